"""One build of a model, open on one device: the only file that knows onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from explorer.engine.messages import DeviceWish
from explorer.errors import EngineError
from explorer.manifest import Build, Manifest

CHUNK = 256
"""Tokens of a prompt that are read in one call."""


class InterruptedPrefillError(EngineError):
    """A prompt was stopped while it was being read; the cache holds nothing of use."""


class Output:
    """Logits of R rows, valid until the session's next call."""

    top_logits: NDArray[np.float32]  # [R, K] descending, ties by lower id
    top_ids: NDArray[np.int64]  # [R, K]
    logsumexp: NDArray[np.float32]  # [R]

    def logits(self, row: int) -> NDArray[np.float32]:
        """Return all logits [V] of one row; -inf for ids that are never drawn."""
        raise NotImplementedError


class Cache:
    """Keys and values of up to ``rows`` sequences; memory is touched only as positions are filled."""

    rows: int


class Session:
    """A build of a model folder, open on a device."""

    manifest: Manifest
    build: Build
    device: str
    device_name: str
    reason: str
    versions: dict[str, str]

    def __init__(
        self, folder: Path, build: str, device: DeviceWish = "auto", threads: int = 0
    ) -> None:
        """Open ``folder/build``.

        Raises :class:`ModelError` where the build is missing or broken and :class:`DeviceError` where the device
        cannot be used.
        """
        raise NotImplementedError

    def cache(self, rows: int) -> Cache:
        """Return an empty cache for ``rows`` sequences."""
        raise NotImplementedError

    def prefill(
        self,
        cache: Cache,
        ids: Sequence[int],
        start: int = 0,
        *,
        chunk: int = CHUNK,
        stop: Callable[[], bool] | None = None,
        progress: Callable[[int, int], None] | None = None,
        rows: Literal["last", "all"] = "last",
    ) -> Output:
        """Read ``ids`` at positions start, start+1, ... of row 0 of a one-row cache.

        ``progress(done, total)`` is called after every chunk; ``stop`` is asked from another thread while
        a chunk runs. Raises :class:`InterruptedPrefillError` when it answers True.
        """
        raise NotImplementedError

    def step(
        self, cache: Cache, tokens: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> Output:
        """Give row r of ``cache`` the token ``tokens[r]`` at ``positions[r]``, for the first b rows."""
        raise NotImplementedError

    def copy_row(
        self, source: Cache, source_row: int, target: Cache, target_row: int, positions: int
    ) -> None:
        """Copy the first ``positions`` keys and values of a row to another."""
        raise NotImplementedError

    def close(self) -> None:
        """Free the model."""
        raise NotImplementedError
