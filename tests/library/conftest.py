"""Fixtures of the library's tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.library.desk import Desk

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a library may be; there is none yet."""
    return tmp_path / "library.sqlite"


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    """An open, empty library."""
    desk = Desk.at(path)
    yield desk
    desk.database.close()


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


@pytest.fixture
def sealed() -> Iterator[Sealed]:
    """A folder that can be closed for writing; where the platform does not know how, a skip."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions of a folder do not close it here")
    # Not below tmp_path, which another user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="sealed-"))
    folder.chmod(0o755)
    yield Sealed(folder)
    shutil.rmtree(folder)
