"""What every reader of weights offers, whatever format the file has.

A :class:`~explorer.weights.checkpoint.Checkpoint` is made of such files and knows no format itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
