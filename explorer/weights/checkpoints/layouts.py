"""In which of three layouts somebody's GPT-2 lies, and which files of its folder it is made of.

The first that fits is taken: safetensors, OpenAI's release, an ONNX export. A file that a person
chose goes before that. What decides among several files of one layout is said where that layout is
read: ``safetensors_choice``, ``openai``, ``onnx_export``.
"""

from __future__ import annotations

from typing import Literal

from explorer.core.errors import CheckpointError
from explorer.core.manifest import FILE_NAME as MANIFEST_FILE
from explorer.weights.checkpoints.openai import HPARAMS_FILE, PREFIX, is_release
from explorer.weights.checkpoints.openai import weight_files as release_files
from explorer.weights.formats.checkpoint_state import FILE_NAME as STATE_FILE
from explorer.weights.formats.config import FILE_NAME as CONFIG_FILE
from explorer.weights.formats.safetensors_choice import ENDING, INDEX, INDEX_FILE, WEIGHTS_FILE
from explorer.weights.formats.safetensors_choice import weight_files as safetensors_files
from explorer.weights.formats.tensorflow import INDEX as INDEX_ENDING
from explorer.weights.formats.tokenizer import tokenizer_files
from explorer.weights.formats.untrusted_folder import (
    Source,
    where_below,
    why_not_found,
    why_not_read,
    without_part,
)

Kind = Literal["huggingface", "openai", "onnx"]
"""Layouts of a folder: safetensors, OpenAI's release, somebody's ONNX export."""


def kind_of(source: Source) -> Kind:
    """Return which layout a folder has, or the file that was chosen in it.

    Raises :class:`CheckpointError` where it holds no weights that can be read.
    """
    chosen = source.chosen.lower()
    if chosen.endswith(ENDING) or INDEX.fullmatch(chosen):
        return "huggingface"
    if chosen in (HPARAMS_FILE, STATE_FILE) or without_part(chosen) != chosen:
        return "openai"
    if chosen:
        return "onnx"
    if source.has(WEIGHTS_FILE) or source.has(INDEX_FILE):
        return "huggingface"
    if is_release(source):
        return "openai"
    if source.names(".onnx"):
        return "onnx"
    raise CheckpointError(_explain_absence(source))


def source_files(source: Source) -> tuple[str, ...]:
    """Return the names of the files that the checkpoint in a folder is made of.

    Raises :class:`CheckpointError` where the weights, or the index of their shards, are missing.
    """
    kind = kind_of(source)
    sizes = HPARAMS_FILE if kind == "openai" else CONFIG_FILE
    return (sizes, *tokenizer_files(source), *weight_files(source, kind))


def weight_files(source: Source, kind: Kind) -> tuple[str, ...]:
    """Return the names of the files that hold the weights, the one that decides first."""
    match kind:
        case "openai":
            return release_files(source)
        case "onnx":
            from explorer.weights.checkpoints.onnx_export import weight_files as export_files

            return export_files(source)
        case "huggingface":
            return safetensors_files(source)


def origin_of(source: Source) -> dict[str, str]:
    """Return what ``model.json`` says of a source: its layout and folder, and which file was taken.

    The file is left out where nobody chose and it has the one name that is looked for.
    """
    kind = kind_of(source)
    origin, file = {"kind": kind, "path": str(source.folder)}, weight_files(source, kind)[0]
    usual = file in (WEIGHTS_FILE, INDEX_FILE, PREFIX + INDEX_ENDING, "model.onnx")
    return origin if usual and not source.chosen else origin | {"file": file}


def names_of_copy(source: Source) -> dict[str, str]:
    """Return by which name each file of a checkpoint is found in a copy of it.

    Where a person chose among several, the copy has only what they chose, by its usual name.
    """
    kind, names = kind_of(source), {name: name for name in source_files(source)}
    if not source.chosen:
        return names
    weights = weight_files(source, kind)[0]
    match kind:
        case "openai":
            stem = without_part(weights)
            parts = [name for name in names if without_part(name) == stem != name]
            return names | {name: PREFIX + name[len(stem) :] for name in parts}
        case "onnx":
            return names | {weights: f"{weights[: weights.rfind('/') + 1]}model.onnx"}
        case "huggingface":
            usual = INDEX_FILE if INDEX.fullmatch(weights) else WEIGHTS_FILE
            return names | {weights: usual}


def _explain_absence(source: Source) -> str:
    expected = f"{source.folder} has no {WEIGHTS_FILE} (nor {INDEX_FILE})"
    if source.has(MANIFEST_FILE):
        return (
            f"{source.folder} is a model of this program already; copy it into the folder of its "
            f"models, or import {source.folder / 'source'}."
        )
    if reason := why_not_found(source) or why_not_read(source) or where_below(source):
        return f"{expected}, and {reason}."
    return (
        f"{expected}; choose a folder that holds a GPT-2 in safetensors format, as OpenAI "
        "released it, or as ONNX."
    )
