"""Large files on their way to the disk, while the next part of them is still being made.

Hashing and writing let other threads run, so both go on behind the back of whoever reads and
converts; and a disk that is told early to keep what it got has little left to do at the end. What
waits to be written is bounded, and the first thing that goes wrong ends all of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, Self

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import ModelError

P = ParamSpec("P")

_ALIGNMENT = 4096
"""Tensors start on a page of the weights file, so that they can be mapped."""
_WAITING = 8
"""Parts of some megabytes that wait to be converted or written at most."""
_WORKERS = 4
_BEHIND = 1 << 25
"""Bytes that are written before the disk is told to begin."""
_COPY_BLOCK = 1 << 22
_FICLONE = 0x40049409
"""The request of ioctl_ficlone(2)."""


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    except PermissionError:
        if os.name == "posix":
            raise
        return  # Windows opens no folder so, and looks after names itself
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_file(source: Path, target: Path, progress: Callable[[int], None]) -> str:
    """Copy a file and return the hex SHA-256 of what was copied; ``target`` must not exist.

    ``progress`` gets the bytes of each block. Where the file system can let two files share their
    blocks (Btrfs, XFS) nothing is written. The end may not be on the disk yet. Raises
    :class:`ModelError` where the source cannot be read.
    """
    digest = hashlib.sha256()
    with (
        _opened(source) as origin,
        target.open("xb", buffering=0) as copy,
        ThreadPoolExecutor(1, "hash") as hasher,
    ):
        behind = WriteBehind(copy.fileno())
        shared = _share_blocks(origin.fileno(), copy.fileno())
        # One block is hashed while it is written; then its memory takes the next but one.
        room = [bytearray(_COPY_BLOCK), bytearray(_COPY_BLOCK)]
        hashing: Future[None] | None = None
        for number in itertools.count():
            block = room[number % 2]
            try:
                count = origin.readinto(block)
            except OSError as error:
                raise _gone(source, error) from error
            if hashing is not None:
                hashing.result()
            if not count:
                break
            data = memoryview(block)[:count]
            hashing = hasher.submit(digest.update, data)
            if not shared:
                _write_all(copy, data)
                behind.wrote(count)
            progress(count)
    return digest.hexdigest()


def _opened(source: Path) -> FileIO:
    try:
        return source.open("rb", buffering=0)
    except OSError as error:
        raise _gone(source, error) from error


def _gone(source: Path, error: OSError) -> ModelError:
    """Say that it is the source, not the disk that is written to.

    Nothing is wrong with the checkpoint itself: what was downloaded must not be thrown away for it.
    """
    return ModelError(
        f"{source.name} cannot be read any more ({error.strerror}); leave its folder as it is, and "
        "try again."
    )


def _share_blocks(source: int, target: int) -> bool:
    """Make one open file a copy of another that shares its blocks; False where that cannot be."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _write_all(file: FileIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


class WriteBehind:
    """Has the system store what was written to a file soon, not when the file is flushed.

    Flushing again and again instead would store every other file of the disk too.
    """

    def __init__(self, descriptor: int) -> None:
        """Start at the beginning of an open file."""
        self._descriptor = descriptor
        self._begin = self._end = 0

    def wrote(self, count: int) -> None:
        """Say that so many more bytes were written."""
        self._end += count
        if self._end - self._begin >= _BEHIND and sys.platform == "linux":
            # Linux takes this as a reason to start writing the pages that cannot be dropped yet.
            place = self._begin, self._end - self._begin, os.POSIX_FADV_DONTNEED
            with contextlib.suppress(OSError):
                os.posix_fadvise(self._descriptor, *place)
            self._begin = self._end


class Stretch(NamedTuple):
    """Where a tensor lies, with the names that ONNX gives to this."""

    location: str
    """Name of the file, beside the graph."""
    offset: int
    length: int
    """Bytes."""


class WeightWriter:
    """Appends tensors to the external data file of a graph; a context that ends on the disk.

    Between :meth:`begin` of one tensor and the next the parts of the first are put in order. Any
    method raises what went wrong with earlier parts.
    """

    def __init__(self, path: Path) -> None:
        """Create ``path``, replacing what is there."""
        self._file = path.open("wb", buffering=0)
        self._location = path.name
        self._end = 0
        self._digest = hashlib.sha256()
        self._error: BaseException | None = None
        self._behind = WriteBehind(self._file.fileno())
        self._queue: queue.Queue[tuple[memoryview, Sequence[Future[None]]] | None] = queue.Queue(
            _WAITING
        )
        self._room = threading.BoundedSemaphore(_WAITING)
        self._pool = ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1), "convert")
        self._thread = threading.Thread(target=self._run, name="write", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file and bring it to the disk; or just let go of it after an error."""
        if error is not None:
            self._error = self._error or error
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
        self._queue.put(None)
        self._thread.join()
        with self._file:
            if self._error is None:
                os.fsync(self._file.fileno())
        if error is None:
            self._check()

    @property
    def sha256(self) -> str:
        """Hex digest of the file, once it is finished."""
        return self._digest.hexdigest()

    def begin(self, kind: np.dtype[Any], shape: Sequence[int]) -> Stretch:
        """Start a tensor on the next page and return the bytes that it will take."""
        offset = -(-self._end // _ALIGNMENT) * _ALIGNMENT
        if offset > self._end:
            self.put(np.zeros(offset - self._end, np.uint8))
        return Stretch(self._location, offset, kind.itemsize * int(np.prod(shape, dtype=np.int64)))

    def put(self, array: NDArray[Any], after: Sequence[Future[None]] = ()) -> None:
        """Append ``array``, which must not change any more once the work ``after`` is done."""
        self._check()
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        self._end += len(data)
        self._queue.put((data, after))

    def work(self, do: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> Future[None]:
        """Let another thread call ``do``; waits while too much of that is left to do."""
        self._check()
        self._room.acquire()
        future = self._pool.submit(do, *args, **kwargs)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        """Be the thread that hashes and writes; after an error only take from the queue."""
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._write(*item)
                except Exception as error:
                    self._error = self._error or error

    def _write(self, data: memoryview, after: Sequence[Future[None]]) -> None:
        for future in after:
            future.result()
        self._digest.update(data)
        _write_all(self._file, data)
        self._behind.wrote(len(data))
