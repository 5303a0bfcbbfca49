"""What every reader of weights offers, whatever format the file has, and what all of them need.

A :class:`~..checkpoints.checkpoint.Checkpoint` is made of such files and knows no format itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import FileIO
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import CheckpointError

MAX_RANK = 8

FloatType = Literal["F32", "F16", "BF16", "F64"]
"""Types of numbers that weights may have, as safetensors names them."""


class Shaped(Protocol):
    """One stored tensor, as far as it is known without reading it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis; matrices are ``[in, out]``."""


class TensorFile(Protocol):
    """One open file of tensors, read one tensor at a time."""

    @property
    def name(self) -> str:
        """What the file is called in messages."""

    @property
    def tensors(self) -> Mapping[str, Shaped]:
        """Tensors by name: Hugging Face's for a GPT-2, with or without ``transformer.``."""

    def read(self, tensor: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return a tensor, or rows ``start`` to ``stop`` of its first axis, as fresh float32.

        In C order. Raises :class:`CheckpointError` for what cannot be read as weights.
        """

    def close(self) -> None:
        """Close the file; reading is over."""


def fill(file: FileIO, offset: int, buffer: memoryview, name: str, what: str) -> None:
    """Fill ``buffer`` with the bytes of an unbuffered file from ``offset`` on.

    Raises :class:`CheckpointError`, with ``name`` for the file and ``what`` for what was being
    read, where the file ends too early or the disk fails.
    """
    try:
        file.seek(offset)
        while buffer:
            count = file.readinto(buffer)
            if not count:
                raise CheckpointError(
                    f"{name} ends in the middle of {what}; "
                    "it is truncated or was changed while it was read."
                )
            buffer = buffer[count:]
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read ({error.strerror}).") from error


def floats(raw: NDArray[np.uint8], dtype: FloatType) -> NDArray[np.float32]:
    """Return the little-endian numbers in ``raw``, which may be reused, as float32."""
    match dtype:
        case "F32":
            return raw.view("<f4").astype(np.float32, copy=False)
        case "F64":
            with np.errstate(over="ignore"):  # infinite then, which no weight may be
                return raw.view("<f8").astype(np.float32)
        case "F16":
            return raw.view("<f2").astype(np.float32)
        case "BF16":
            # The upper half of a float32.
            bits = raw.view("<u2").astype(np.uint32)
            bits <<= 16
            return bits.view(np.float32)
