"""Fixtures of the library's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.library.desk import OPENED, Desk


@pytest.fixture(autouse=True)
def _no_library_left_open() -> Iterator[None]:
    """Close what a test has opened; from Python 3.13 on the collector warns of what nobody did."""
    yield
    while OPENED:
        OPENED.pop().close()


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
