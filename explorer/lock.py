"""One at a time: an operating-system lock on a small file.

The lock belongs to the open file, not to its existence, so a killed program leaves nothing that has
to be cleaned up; the file itself stays and names the process that locked it last.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

_POLL_SECONDS: Final = 0.1

# Windows forbids reading a locked byte, so the locked one lies far behind the text.
_LOCKED_BYTE: Final = 1 << 20

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        # flock, not lockf: a second lock in the same process must be noticed too.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class HeldError(Exception):
    """Somebody else holds the lock; ``holder`` is their process number, or empty."""

    def __init__(self, holder: str) -> None:
        """Remember who holds it."""
        super().__init__(holder)
        self.holder = holder


class FileLock:
    """A lock on ``path`` that this object holds from construction until :meth:`release`."""

    def __init__(self, path: Path, waiting: Callable[[], None] | None = None) -> None:
        """Take the lock; with ``waiting``, wait for it and call that ten times a second.

        Raises :class:`HeldError` where it is held and ``waiting`` is None, ``OSError`` where the
        file cannot be created or its disk knows no locks, and whatever ``waiting`` raises.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            while not self._taken():
                if waiting is None:
                    raise HeldError(_holder(path))
                waiting()
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self.release()
            raise
        # The number is a courtesy to whoever comes second; a full disk must not cost the lock.
        with contextlib.suppress(OSError):
            os.truncate(self._descriptor, 0)
            os.write(self._descriptor, str(os.getpid()).encode())

    def release(self) -> None:
        """Let the next one in; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """Return the lock itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self.release()

    def _taken(self) -> bool:
        try:
            _try_lock(self._descriptor)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                return False
            raise
        return True


def _holder(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii", errors="replace")[:20].strip()
    except OSError:
        return ""
    return text if text.isdigit() else ""
