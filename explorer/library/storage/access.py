"""The library that a window begins with: the one at its place, or the best stand-in for it.

Whatever is wrong with it, there is something to open: the library for reading, or an empty one in
memory. Why it is so, and with it what can be done about it, is told as a kind and a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from explorer.core.errors import ExplorerError, LibraryBusyError, LibraryDamagedError, LibraryError
from explorer.library.storage.connection import damaged
from explorer.library.storage.database import Database, lock_of
from explorer.system.lock import is_held

Kind = Literal["sound", "rows", "in use", "busy", "unwritable", "damaged", "unusable"]
"""What was found:

- ``rows``: it is written, and some of its rows are damaged;
- ``in use``: another window writes to it; ``busy``: another program holds it for now;
- ``unwritable``: its disk or its folder does not let us write;
- ``damaged``: it cannot be trusted; ``unusable``: it cannot be opened for another reason."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A library, and what is to be said of it."""

    database: Database
    kind: Kind = "sound"
    trouble: str = ""
    """What is wrong, as a sentence; empty where nothing is."""


def open_or_stand_in(path: Path) -> Opened:
    """Open the library, to be written if that can be; it never raises for what can be mended."""
    try:
        database = Database.open(path)
    except LibraryBusyError as error:
        # What the other window has kept may be read here meanwhile.
        return _reading(path, "in use" if is_held(lock_of(path)) else "busy", str(error))
    except LibraryDamagedError as error:
        return _reading(path, "damaged", str(error))
    except LibraryError as error:
        return Opened(Database.in_memory(str(error)), "unusable", str(error))
    if database.reason:
        return Opened(database, "unwritable", database.reason)
    return Opened(database, "rows" if database.damage else "sound", database.damage)


def stand_in(path: Path, error: Exception) -> Opened:
    """Return an empty library in the place of one whose rows raised ``error``."""
    why = str(error) if isinstance(error, ExplorerError) else str(damaged(path, str(error)))
    return Opened(Database.in_memory(why), "damaged", why)


def _reading(path: Path, kind: Kind, why: str) -> Opened:
    try:
        return Opened(Database.open(path, writable=False, reason=why), kind, why)
    except LibraryError:
        return Opened(Database.in_memory(why), kind, why)
