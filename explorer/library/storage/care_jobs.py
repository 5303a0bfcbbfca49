"""What takes long with a library and is asked for in a window, as work for a job.

Each returns what a person should know of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from explorer.library.storage import integrity, rescue
from explorer.library.storage.connection import COMMAND_SECONDS, opened
from explorer.library.storage.opening import open_reading

Report = Callable[[float, str], None]
"""Told the fraction done and words for it."""


def problems_of(library: Path) -> list[str]:
    """Return everything that is wrong with a library; none where there is no such file."""
    with (
        opened(library),
        contextlib.closing(open_reading(library, COMMAND_SECONDS, checked=False)) as connection,
    ):
        return integrity.full(connection)


def check(_progress: Report, library: Path) -> list[str]:
    """Read every row; return what is wrong."""
    return problems_of(library)


def restore(_progress: Report, library: Path, backup: Path) -> str:
    """Put a backup in the place of the library."""
    return f"The library is as it was in {backup}.{_kept(rescue.restore(library, backup))}"


def salvage(_progress: Report, library: Path) -> str:
    """Put what can be read in the place of the library."""
    salvaged, aside = rescue.salvage_in_place(library)
    return f"{salvaged.sentence()}{_kept(aside)}"


def start_anew(_progress: Report, library: Path) -> str:
    """Let the next opening begin an empty library."""
    return f"A new library was begun.{_kept(rescue.start_anew(library))}"


def _kept(aside: Path | None) -> str:
    return f" The one before is kept as {aside}." if aside else ""
