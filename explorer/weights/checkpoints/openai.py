"""The folder of OpenAI's original release, and what was fine-tuned with its code.

``hparams.json`` holds the sizes, ``encoder.json`` and ``vocab.bpe`` the tokenizer, a TensorFlow
checkpoint the weights, under the names that openai/gpt-2 (src/model.py) gave its variables. Here
they go by Hugging Face's. Both keep matrices as ``[in, out]``; the original has an axis of length 1
in front, since its linear layers were convolutions of width 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import CheckpointError
from explorer.weights.formats.checkpoint_state import FILE_NAME as STATE_FILE
from explorer.weights.formats.checkpoint_state import named_checkpoint
from explorer.weights.formats.config import Config, read_sizes
from explorer.weights.formats.tensorflow import INDEX, TensorFlowFile, read_bundle
from explorer.weights.formats.untrusted_folder import Source, shorten, shown, without_part

HPARAMS_FILE = "hparams.json"
PREFIX = "model.ckpt"
"""What the files of the released weights are called, before their endings."""

_TOKENIZER = ("encoder.json", "vocab.bpe")
_LIMIT = 1_000_000
_SCOPE = "model/"
# With the scope: embeddings, norms (gain and bias), linear layers (weight and bias).
_EMBEDDING = re.compile(r"model/(wte|wpe)")
_NORM = re.compile(r"model/(ln_f|h(?:0|[1-9][0-9]{0,4})/ln_[12])/([gb])")
_LINEAR = re.compile(
    r"model/(h(?:0|[1-9][0-9]{0,4})/(?:attn/c_attn|attn/c_proj|mlp/c_fc|mlp/c_proj))/([wb])"
)
# What optimizers keep beside each weight, in checkpoints that training was to go on from.
_SLOT = re.compile(r".*/(Adam|Adam_1|Momentum|RMSProp|RMSProp_1)")


def read_hparams(source: Source) -> Config:
    """Read and check ``hparams.json``.

    Raises :class:`CheckpointError` that names the entry, what was found and what is expected.
    """
    missing = [name for name in (HPARAMS_FILE, *_TOKENIZER) if not source.has(name)]
    if len(missing) == 1 + len(_TOKENIZER) and not source.has("tokenizer.json"):
        # Code that fine-tunes writes the weights alone, apart from the model that it began with.
        raise CheckpointError(
            f"{source.folder} has the weights but not {', '.join(missing[:-1])} and {missing[-1]}; "
            "copy these three there from the model that was fine-tuned."
        )
    values = source.json(HPARAMS_FILE, _LIMIT)
    return read_sizes(values, HPARAMS_FILE, "n_vocab", "n_ctx")


def is_release(source: Source) -> bool:
    """Return whether a folder is laid out like OpenAI's, complete or not."""
    return source.has(HPARAMS_FILE) or bool(_prefixes(source))


def weight_files(source: Source) -> tuple[str, ...]:
    """Return the names of the index and the data files that hold the weights.

    Raises :class:`CheckpointError` where there is no index, or it cannot be read.
    """
    prefix = choose(source)
    return (prefix + INDEX, *read_bundle(source, prefix).shards)


def open_release(source: Source) -> ReleaseFile:
    """Open the weights of a folder; raises :class:`CheckpointError`."""
    return ReleaseFile(TensorFlowFile(source, choose(source)))


def choose(source: Source) -> str:
    """Return which checkpoint is meant, without the endings of its files.

    It is the one of which a person chose a file, or else the one that ``checkpoint`` names, as for
    TensorFlow, or else the only one. Raises :class:`CheckpointError` where nothing decides, or what
    decides is not there.
    """
    if (chosen := without_part(source.chosen)) != source.chosen:
        return chosen
    found = _prefixes(source)
    named = named_checkpoint(source)
    if named in found:
        return named
    if not found:
        raise CheckpointError(
            f"{source.folder} has no weights beside its {HPARAMS_FILE}: {PREFIX}{INDEX} and "
            f"{PREFIX}.data-00000-of-00001 are expected."
        )
    if named is None and len(found) == 1:
        return found[0]
    files = shorten(", ".join(name + INDEX for name in found), 200)
    held = f"{len(found)} checkpoint{'s' if len(found) > 1 else ''} ({files})"
    named = (
        f"not {shown(named)}, which {STATE_FILE} names" if named else f"no {STATE_FILE} names one"
    )
    raise CheckpointError(
        f"{source.folder} holds {held}, but {named}; choose the file that is meant itself."
    )


@dataclass(frozen=True, slots=True)
class Variable:
    """One weight of OpenAI's model."""

    name: str
    """Its name in the checkpoint."""
    shape: tuple[int, ...]
    """Without the axis in front."""


class ReleaseFile:
    """One open checkpoint whose tensors go by Hugging Face's names."""

    def __init__(self, file: TensorFlowFile) -> None:
        """Rename the weights in ``file``, which is closed with this one."""
        self.name = file.name
        self._file = file
        self.tensors = dict(
            _renamed(name, stored.shape)
            for name, stored in file.tensors.items()
            # Nothing outside the scope is part of the model: counters, rates of the optimizer.
            if name.startswith(_SCOPE) and not _SLOT.fullmatch(name)
        )

    def read(self, tensor: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return a tensor, or its rows ``start`` to ``stop``, as fresh float32 in C order.

        Raises :class:`CheckpointError` for what cannot be read as weights.
        """
        variable = self.tensors[tensor]
        if not variable.shape:
            return self._file.read(variable.name).reshape(())
        rows = range(variable.shape[0])[start:stop]
        row = int(np.prod(variable.shape[1:], dtype=np.int64))
        values = self._file.read(variable.name, rows.start * row, len(rows) * row)
        return values.reshape(len(rows), *variable.shape[1:])

    def close(self) -> None:
        """Close the file; reading is over."""
        self._file.close()


def _prefixes(source: Source) -> list[str]:
    """Return the checkpoints of a folder, without the endings of their files."""
    return [name.removesuffix(INDEX) for name in source.names(INDEX) if "/" not in name]


def _renamed(name: str, shape: tuple[int, ...]) -> tuple[str, Variable]:
    """Return Hugging Face's name of a variable, and the variable; strange ones keep their name."""
    if match := _EMBEDDING.fullmatch(name):
        return f"{match[1]}.weight", Variable(name, shape)
    match = _NORM.fullmatch(name) or _LINEAR.fullmatch(name)
    if match is None:
        return name, Variable(name, shape)
    if match[2] == "w" and len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    place = match[1].replace("/", ".")
    place = f"h.{place[1:]}" if place.startswith("h") else place
    return f"{place}.{'bias' if match[2] == 'b' else 'weight'}", Variable(name, shape)
