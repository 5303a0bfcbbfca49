"""Copies of a library: whole, checked before they count, and never in the place of another file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from explorer.core.errors import InputError, LibraryDamagedError, LibraryError
from explorer.library.storage.connection import Connection, connect, explained
from explorer.library.storage.place import SUFFIXES

PART = ".part"


def require_free(target: Path, ours: Collection[Path] = ()) -> None:
    """Raise :class:`InputError` unless nothing but ``ours`` lies at ``target`` or belongs to it."""
    for suffix in (*SUFFIXES, "-journal"):
        beside = target.with_name(target.name + suffix)
        if beside not in ours and os.path.lexists(beside):
            raise InputError(f"{beside} is there already; choose another name.")


def copy_whole(source: Connection, part: Path, library: Path) -> None:
    """Write all that ``source`` holds into the file ``part``, which is on disk then, and check it.

    ``library`` names the source in sentences. Raises :class:`LibraryDamagedError` where it cannot
    be read, or the copy is not sound, and what :func:`~.connection.explained` does.
    """
    part.unlink(missing_ok=True)
    with explained(library), contextlib.closing(connect(part, "mode=rwc", 0.0)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        (said,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        if said != "ok":
            raise LibraryDamagedError(
                f"The copy of {library} is not sound ({said}); it is not used."
            )
    synced(part)


def synced(path: Path) -> None:
    """Wait until a file is on its disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Yield a path to write a new file at; at the end it is called ``target``, or gone.

    Raises :class:`LibraryError` where it cannot be written.
    """
    part = target.with_name(target.name + PART)
    try:
        yield part
        put_in_place(part, target)
    except OSError as error:
        raise LibraryError(
            f"{target} cannot be written ({error.strerror or error}); choose another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def put_in_place(part: Path, target: Path) -> None:
    """Give a finished file its name, which must be free. Raises :class:`LibraryError`."""
    require_free(target)
    try:
        os.rename(part, target)
        if hasattr(os, "O_DIRECTORY"):
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise LibraryError(
            f"{target} cannot be written ({error.strerror or error}); choose another place."
        ) from error
