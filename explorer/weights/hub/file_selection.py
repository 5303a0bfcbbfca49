"""Which files of a repository a GPT-2 needs: weights in one format, tokenizer, config, licence.

A repository offers the same weights many times over (PyTorch, TensorFlow, Rust, rounded exports).
The list here is of plain names that we know; whatever else a repository holds, and whatever its
names look like, is not fetched.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from explorer.core.errors import DownloadError
from explorer.weights.formats.config import FILE_NAME as CONFIG_FILE
from explorer.weights.formats.safetensors_choice import INDEX_FILE, WEIGHTS_FILE
from explorer.weights.formats.tokenizer import PAIR_FILES
from explorer.weights.formats.untrusted_folder import SUB_FOLDER
from explorer.weights.hub.hub import HubFile, Repository

LICENCES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "COPYING", "README.md")
"""Fetched where they are there and kept beside the weights."""

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_SMALL = 64_000_000
"""Bytes that a config, tokenizer or licence may have at most; no GPT-2 comes near."""
# Rounded exports (_int8, _q4, ...) are left out: their weights are not the model's.
_EXPORTS = tuple(
    f"{folder}{name}{precision}.onnx"
    for precision in ("", "_fp16")
    for folder in ("", f"{SUB_FOLDER}/")
    for name in ("model", "decoder_model", "decoder_model_merged", "decoder_with_past_model")
)


def needed_files(repository: Repository) -> tuple[HubFile, ...]:
    """Return the files to fetch, small ones first, so that a refusal comes before the weights.

    Raises :class:`DownloadError` with what is missing.
    """
    files = repository.files
    if CONFIG_FILE not in files:
        raise DownloadError(
            f"{repository.name} has no {CONFIG_FILE}, so it is no GPT-2 that can be read."
        )
    weights = _weights(repository)
    licences = [name for name in LICENCES if name in files]
    small = [CONFIG_FILE, *_tokenizer(repository), *licences]
    for name in (*small, *weights):
        file = files[name]
        if not (file.sha256 or file.blob):
            raise DownloadError(
                f"{repository.name} gives no hash of {name}, so it could not be checked; take it "
                "from the hub itself, or another mirror (HF_ENDPOINT)."
            )
        if name in small and file.size > _SMALL:
            raise DownloadError(
                f"{name} of {repository.name} has {file.size / 1e6:,.0f} MB, far more than a GPT-2 "
                "needs."
            )
    return tuple(files[name] for name in (*small, *weights))


def _weights(repository: Repository) -> list[str]:
    files = repository.files
    if WEIGHTS_FILE in files:
        return [WEIGHTS_FILE]
    shards = sorted(name for name in files if _SHARD.fullmatch(name))
    if INDEX_FILE in files and shards:
        return [INDEX_FILE, *shards]
    export = next((name for name in _EXPORTS if name in files), None)
    if export is not None:
        return [export, *_external(export, files)]
    if any(name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")) for name in files):
        raise DownloadError(
            f"{repository.name} has its weights as PyTorch files only, which can run code when "
            f"they are opened; look for a copy with {WEIGHTS_FILE}, or save it again with "
            "save_pretrained(..., safe_serialization=True) and import that folder."
        )
    if any(name.endswith(".gguf") for name in files):
        raise DownloadError(
            f"{repository.name} has rounded weights for llama.cpp only; choose the model that it "
            "was made from."
        )
    raise DownloadError(
        f"{repository.name} has no weights that can be read ({WEIGHTS_FILE}, or an ONNX export)."
    )


def _external(export: str, files: Collection[str]) -> list[str]:
    """Return the files beside an export that hold its data."""
    pattern = re.compile(re.escape(export) + r"[._]data(?:_\d{1,3})?")
    return sorted(name for name in files if pattern.fullmatch(name))


def _tokenizer(repository: Repository) -> list[str]:
    files: Mapping[str, HubFile] = repository.files
    if "tokenizer.json" in files:
        return [name for name in ("tokenizer.json", "tokenizer_config.json") if name in files]
    if "vocab.json" in files and "merges.txt" in files:
        return [name for name in PAIR_FILES if name in files]
    raise DownloadError(
        f"{repository.name} has no tokenizer (tokenizer.json, or vocab.json and merges.txt)."
    )
