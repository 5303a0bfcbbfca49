"""A folder that can be closed for writing, as on a read-only disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


class Sealed:
    """A folder that can be closed for writing, for root too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def closed(
        self, folder: int = 0o555, files: int = 0o444, lock: int | None = None
    ) -> Iterator[None]:
        """Give these permissions to the folder and its files while this lasts."""
        for each in self.folder.iterdir():
            each.chmod(lock if lock is not None and each.suffix == ".lock" else files)
        self.folder.chmod(folder)
        root = os.geteuid() == 0
        if root:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)
            self.folder.chmod(0o755)
