"""Ways out of a library that cannot be used: a backup, what can be salvaged, or a new one.

Nothing is destroyed: what lay in its place is kept in a folder ``kept-aside`` beside it. Whoever
calls these has closed the library; another program that writes to it is noticed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from explorer.core.errors import LibraryBusyError, LibraryError
from explorer.library.storage import backups
from explorer.library.storage.copying import put_in_place
from explorer.library.storage.database import GUARDED_BYTE, lock_of
from explorer.library.storage.mending import Salvaged
from explorer.library.storage.salvage import salvage
from explorer.system.lock import FileLock, HeldError, is_byte_held


def restore(library: Path, source: Path) -> Path | None:
    """Put a copy of ``source``, a backup or any sound library, in the place of the library.

    Returns where the present one is kept, None where there was none. Raises
    :class:`LibraryBusyError`, :class:`LibraryDamagedError` where the source is not sound, and
    :class:`LibraryError`; nothing has changed then.
    """
    with _alone(library):
        return backups.replace(library, source)


def start_anew(library: Path) -> Path | None:
    """Let the next opening find no library; return where the present one is kept."""
    with _alone(library), _moving(library):
        return backups.set_aside(library)


def salvage_in_place(library: Path) -> tuple[Salvaged, Path | None]:
    """Put what can be read of a damaged library in its place; return what, and where it is kept."""
    new = library.with_name(f"{library.stem}-salvaging{library.suffix}")
    with _alone(library), _moving(library):
        new.unlink(missing_ok=True)  # of a salvage that was killed
        salvaged = salvage(library, new)
        aside = backups.set_aside(library)
        put_in_place(new, library)
    salvaged.path = library
    return salvaged, aside


def salvage_beside(library: Path) -> Path:
    """Return where a salvage goes that leaves the library in its place."""
    return library.with_name(f"{library.stem}-salvaged-{date.today().isoformat()}{library.suffix}")


@contextlib.contextmanager
def _alone(library: Path) -> Iterator[None]:
    """Keep every other writer out."""
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_of(library)):
            if is_byte_held(library, GUARDED_BYTE):
                raise HeldError("")
            yield
    except HeldError as error:
        by = f" (process {error.holder})" if error.holder else ""
        raise LibraryBusyError(
            f"Sample Explorer runs with the library {library}{by}; close it and try again."
        ) from error
    except OSError as error:
        raise LibraryError(
            f"The library {library} cannot be replaced ({error.strerror or error}); check the disk"
            " and the permissions of its folder."
        ) from error


@contextlib.contextmanager
def _moving(library: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LibraryError(
            f"The library {library} cannot be moved aside ({error.strerror or error}); check the"
            " permissions of its folder, and close programs that use it."
        ) from error
