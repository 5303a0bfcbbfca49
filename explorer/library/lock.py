"""One writer at a time: an operating-system lock on a small file beside the library.

The lock belongs to the open file, not to its existence, so a killed program leaves nothing that has
to be cleaned up; the file itself stays and holds the process number of whoever locked it last. The
library file is not locked, because SQLite's own locks live there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Final

# Windows forbids reading a locked byte, so the locked one lies far behind the text.
_LOCKED_BYTE: Final = 1 << 20

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # flock, not lockf: a second open in the same process must be noticed too.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class HeldError(Exception):
    """Somebody else holds the lock; ``holder`` is their process number, or empty."""

    def __init__(self, holder: str) -> None:
        """Remember who holds it."""
        super().__init__(holder)
        self.holder = holder


class Lock:
    """A lock held by this process from construction until :meth:`release`."""

    def __init__(self, path: Path) -> None:
        """Take the lock at once or not at all.

        Raises :class:`HeldError` where another program, or another object of this one, holds it,
        and ``OSError`` where the file cannot be created or its disk knows no locks.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise HeldError(_holder(path)) from error
            raise
        # The number is a courtesy to whoever comes second; a full disk must not cost the lock.
        with contextlib.suppress(OSError):
            os.truncate(self._descriptor, 0)
            os.write(self._descriptor, str(os.getpid()).encode())

    def release(self) -> None:
        """Let the next one in; the second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _holder(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii", errors="replace")[:20].strip()
    except OSError:
        return ""
    return text if text.isdigit() else ""
