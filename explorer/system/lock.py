"""One at a time: an operating-system lock on a small file, and on a byte of what it guards.

The lock belongs to the open file, not to its existence, so a killed program leaves nothing that has
to be cleaned up; the file itself stays and names the process that locked it last. Somebody may
delete it all the same, and a new one would let a second holder in. What must not happen then asks
for a byte of the guarded file to be locked too: that file cannot be deleted without being missed.

A disk may know no locks, or grant everybody the same one. Both are an ``OSError`` with one of
:data:`NO_LOCKS`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from explorer.core.bounded_reading import read_bytes

_POLL_SECONDS: Final = 0.1
_SECOND_LOOK: Final = 0.02  # who only asked whether it is held has let go by then
_HELD: Final = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""Errors of a disk on which nothing can be locked."""

# Windows forbids reading a locked byte, so the locked one lies far behind the text.
_LOCKED_BYTE: Final = 1 << 20

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        _try_lock_byte(descriptor, _LOCKED_BYTE)

    def _try_lock_byte(descriptor: int, offset: int) -> None:
        os.lseek(descriptor, offset, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        # flock, not lockf: a second lock in the same process must be noticed too.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _try_lock_byte(descriptor: int, offset: int) -> None:
        # Not flock: a network disk makes that a lock of the whole file, which SQLite would run
        # into. The lock of Linux that belongs to the open file is noticed in this process too.
        if (own := getattr(fcntl, "F_OFD_SETLK", None)) is None:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        else:
            # struct flock: type, whence, start, length, process (0 asks for that kind of lock)
            fcntl.fcntl(descriptor, own, struct.pack("hhqqi0q", fcntl.F_WRLCK, 0, offset, 1, 0))


class HeldError(Exception):
    """Somebody else holds the lock; ``holder`` is their process number, or empty."""

    def __init__(self, holder: str) -> None:
        """Remember who holds it."""
        super().__init__(holder)
        self.holder = holder


class FileLock:
    """A lock on ``path`` that this object holds from construction until :meth:`release`."""

    def __init__(
        self,
        path: Path,
        waiting: Callable[[], None] | None = None,
        *,
        byte_of: tuple[Path, int] | None = None,
    ) -> None:
        """Take the lock; with ``waiting``, wait for it and call that ten times a second.

        ``byte_of``, a file and an offset in it, is locked too; a file that is not there is made,
        one that cannot be opened for writing stays without. The byte must be one that nobody reads.

        Raises :class:`HeldError` where it is held and ``waiting`` is None, ``OSError`` where the
        file cannot be created or its disk knows no locks, and whatever ``waiting`` raises.
        """
        self._path = path
        self._byte_of = byte_of
        self._descriptor = self._guarded = -1
        try:
            patience = 1
            while not self._taken():
                if waiting is not None:
                    waiting()
                    time.sleep(_POLL_SECONDS)
                elif patience:
                    patience -= 1
                    time.sleep(_SECOND_LOOK)
                else:
                    raise HeldError(_holder(path))
        except BaseException:
            self.release()
            raise
        # The number is a courtesy to whoever comes second; a full disk must not cost the lock.
        with contextlib.suppress(OSError):
            os.truncate(self._descriptor, 0)
            os.write(self._descriptor, str(os.getpid()).encode())

    def release(self) -> None:
        """Let the next one in; a second call does nothing."""
        for descriptor in (self._guarded, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._guarded = -1

    def __enter__(self) -> Self:
        """Return the lock itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self.release()

    def _taken(self) -> bool:
        """Take everything, or nothing; the file may be deleted by others at any moment."""
        self.release()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _granted(_try_lock, self._descriptor) or not self._in_place():
            return False
        _require_locks(self._path)
        if self._byte_of is None:
            return True
        path, offset = self._byte_of
        try:
            self._guarded = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            return True
        return _granted(lambda guarded: _try_lock_byte(guarded, offset), self._guarded)

    def _in_place(self) -> bool:
        """Whether the locked file is the one that the next one to come will find."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False


def is_held(path: Path) -> bool:
    """Say whether somebody holds the :class:`FileLock` on ``path``, in this process or another."""
    return _asked(path, lambda descriptor: not _granted(_try_lock, descriptor))


def is_byte_held(path: Path, offset: int) -> bool:
    """Say whether somebody holds a lock by this byte; where nobody can tell, that nobody does.

    Not to be asked while this process has a connection to that file: closing any descriptor of it
    takes away all locks that SQLite holds on it here.
    """
    if sys.platform != "linux":
        return False

    def ask(descriptor: int) -> bool:
        wanted = struct.pack("hhqqi0q", fcntl.F_WRLCK, 0, offset, 1, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted)
        return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)

    return _asked(path, ask)


def _asked(path: Path, question: Callable[[int], bool]) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return question(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _granted(take: Callable[[int], None], descriptor: int) -> bool:
    try:
        take(descriptor)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


def _require_locks(path: Path) -> None:
    """Raise ``OSError`` where the lock that is held now would be granted to somebody else too."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        if _granted(_try_lock, descriptor):
            raise OSError(errno.ENOLCK, "every program is granted the same lock", str(path))
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        text = read_bytes(path, 1_000).decode("ascii", "replace").strip()
    except OSError:
        return ""
    return text if text.isdigit() else ""
