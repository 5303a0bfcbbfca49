"""Fixtures of the library's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.library.desk import Desk


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
