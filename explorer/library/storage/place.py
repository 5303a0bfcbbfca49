"""Whether the files that a connection writes are still the ones that will be found at their place.

A library that is deleted, moved or replaced while the program runs stays open, and commits go on
succeeding: into a file without a name, which is gone when it is closed. So device and inode of the
library, of its log and of its shared memory are written down when it is opened, and looked at
before each commit. On Windows an open file cannot be taken away, and the look finds nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

SUFFIXES: Final = ("", "-wal", "-shm")
_REMEDY: Final = (
    "nothing more is written there. What you have judged is still here: put the file back, or save"
    " everything as a new library."
)

Identity = tuple[int, int]
"""Device and inode."""


def identity(path: Path) -> Identity | None:
    """Return what a file is apart from its name; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class Place:
    """The files of an open library as they were when it was opened."""

    def __init__(self, path: Path) -> None:
        """Write down what lies at ``path`` and beside it. Raises ``OSError``."""
        self._path = path
        self._files = {
            name: found
            for suffix in SUFFIXES
            if (found := identity(name := path.with_name(path.name + suffix))) is not None
        }

    @property
    def library(self) -> Identity | None:
        """Device and inode of the library file."""
        return self._files.get(self._path)

    def change(self) -> str:
        """Return what is not as it was, as a sentence; empty where all is."""
        for path, before in self._files.items():
            what = (
                f"The library {path}" if path == self._path else f"{path}, a part of the library,"
            )
            try:
                now = os.stat(path)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR) and self._disk_is_there():
                    return f"{what} was removed or moved while the program runs, so {_REMEDY}"
                why = error.strerror or str(error)
                return f"{what} cannot be reached any more ({why}), so {_REMEDY}"
            if (now.st_dev, now.st_ino) != before:
                return f"{what} was replaced by another file while the program runs, so {_REMEDY}"
        return ""

    def left(self) -> list[Path]:
        """Return what lay beside the library and still does, though that itself is gone."""
        with contextlib.suppress(OSError):
            if identity(self._path) is None:
                beside = [path for path in self._files if path != self._path]
                return [path for path in beside if identity(path) == self._files[path]]
        return []

    def only_beside(self) -> bool:
        """Whether the library file is in its place, and what lay beside it is not there."""
        try:
            return identity(self._path) == self._files.get(self._path) and all(
                identity(path) in (None, before) for path, before in self._files.items()
            )
        except OSError:
            return False

    def _disk_is_there(self) -> bool:
        """Whether a missing file means that it was removed, not that its disk went away."""
        try:
            os.stat(self._path.parent)
        except FileNotFoundError:
            return True  # the folder was removed with it
        except OSError:
            return False
        return True
