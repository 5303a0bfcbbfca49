"""Backups of a library: one a day of use, checked before an older one goes; and how to go back.

They lie in a folder ``backups`` beside the library, named for their day, at most seven and together
at most 2 GB or a tenth of the free space. A backup is written under another name, checked as
thoroughly as we can, and only then gets its own.

Text that a person deleted must be in none of them (RULES 16), so deleting a hunt rewrites them. One
lock on the folder keeps a backup that is being made and a deletion apart.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from explorer.core.errors import LibraryDamagedError, LibraryError, LibraryFullError
from explorer.library.storage import integrity
from explorer.library.storage.connection import COMMAND_SECONDS, Connection, connect, opened
from explorer.library.storage.copying import PART, copy_whole, put_in_place, synced
from explorer.library.storage.place import SUFFIXES
from explorer.system.lock import FileLock

MOST: Final = 7
MOST_BYTES: Final = 2_000_000_000
OF_FREE: Final = 10
"""All backups together take at most one part in so many of what is free."""
_BESIDE: Final = (*SUFFIXES, "-journal")

Report = Callable[[float, str], None]
"""Told the fraction done and words for it."""


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup."""

    path: Path
    day: date
    bytes: int


def folder_of(library: Path) -> Path:
    """Return where the backups of a library lie."""
    return library.parent / "backups"


def backups(library: Path) -> list[Backup]:
    """Return the backups of a library, newest first."""
    found = []
    for path in folder_of(library).glob(f"{library.stem}-????-??-??{library.suffix}"):
        with contextlib.suppress(ValueError, OSError):
            day = date.fromisoformat(path.stem[-10:])
            found.append(Backup(path, day, path.stat().st_size))
    return sorted(found, key=lambda each: each.day, reverse=True)


def is_due(library: Path, today: date | None = None) -> bool:
    """Say whether this day of use has no backup yet."""
    made = backups(library)
    return library.is_file() and not (made and made[0].day >= (today or date.today()))


def back_up(progress: Report, library: Path, today: date | None = None) -> Path:
    """Make the backup of this day, check it, and let the oldest go: work for a job.

    One of the same day is replaced. Raises :class:`LibraryDamagedError` where the library is not
    sound (the older backups stay then), :class:`LibraryFullError` where there is too little room,
    and :class:`LibraryError`.
    """
    folder = folder_of(library)
    day = today or date.today()
    target = folder / f"{library.stem}-{day.isoformat()}{library.suffix}"
    part = target.with_name(target.name + PART)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", lambda: progress(0.0, "Waiting for another backup")):
            _clear(folder)
            _require_room(library, folder)
            progress(0.1, "Copying the library")
            try:
                _vacuum_into(library, part)
                progress(0.5, "Checking the copy")
                require_sound(part)
                synced(part)
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
            progress(0.9, "Letting the oldest backup go")
            _let_go(library)
    except OSError as error:
        raise LibraryError(
            f"No backup of {library} could be made ({error.strerror or error}); check the disk and"
            f" the permissions of {folder}."
        ) from error
    return target


def require_sound(path: Path) -> None:
    """Raise :class:`LibraryDamagedError` unless every row of the library file can be trusted."""
    with opened(path), contextlib.closing(connect(path, "mode=ro", COMMAND_SECONDS)) as connection:
        if problems := integrity.full(connection):
            raise LibraryDamagedError(integrity.as_sentence(path, problems))


def allowance(library: Path) -> int:
    """Return how many bytes all backups together may take."""
    place = library.parent
    while not place.is_dir():
        place = place.parent
    return min(MOST_BYTES, shutil.disk_usage(place).free // OF_FREE)


def set_aside(library: Path, now: datetime | None = None) -> Path | None:
    """Move a library and what belongs to it into a folder of its own; None where there is none.

    Nobody may have it open. Raises ``OSError``.
    """
    files = [path for each in _BESIDE if (path := Path(f"{library}{each}")).exists()]
    if not files:
        return None
    when = (now or datetime.now()).strftime("%Y-%m-%d-%H%M%S-%f")
    aside = library.parent / "kept-aside" / when
    aside.mkdir(parents=True)
    # The log goes first: without it the file is still what it was at its last checkpoint.
    for path in reversed(files):
        path.rename(aside / path.name)
    return aside / library.name


def replace(library: Path, source: Path) -> Path | None:
    """Put a copy of ``source`` in the place of the library, which is kept aside; return where.

    The caller holds the writer's lock, and nobody has the library open. Raises
    :class:`LibraryDamagedError` where the source is not sound, and :class:`LibraryError`.
    """
    if not source.is_file():
        raise LibraryError(f"There is no backup {source}.")
    part = library.with_name(library.name + PART)
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with (
            opened(source),
            contextlib.closing(connect(source, "mode=ro", COMMAND_SECONDS)) as connection,
        ):
            copy_whole(connection, part, source)
        require_sound(part)
        aside = set_aside(library)
        put_in_place(part, library)
    except OSError as error:
        raise LibraryError(
            f"The library {library} could not be replaced ({error.strerror or error}); check the"
            " disk and the permissions of its folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return aside


# What was deleted


def kept_aside(library: Path) -> list[Path]:
    """Return the libraries that others took the place of."""
    return sorted((library.parent / "kept-aside").glob(f"*/{library.name}"))


def bytes_of_copies(library: Path) -> int:
    """Return how large everything is that a deletion has to rewrite beside the library."""
    sizes = [each.bytes for each in backups(library)]
    with contextlib.suppress(OSError):
        sizes += [path.stat().st_size for path in kept_aside(library)]
    return sum(sizes)


def purge(library: Path, tombstones: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Take deleted hunts, known by when they began, out of every copy, and leave their tombstones.

    A backup that cannot be rewritten goes. What was kept aside stays: those of it that cannot be
    rewritten are returned. Raises ``OSError``.
    """
    folder, left = folder_of(library), []
    with contextlib.ExitStack() as stack:
        if folder.is_dir():
            stack.enter_context(FileLock(folder / ".lock", lambda: None))
            _clear(folder)
        for backup in backups(library):
            try:
                _purge(backup.path, tombstones)
            except LibraryError:
                backup.path.unlink()
        for path in kept_aside(library):
            try:
                _purge(path, tombstones)
            except LibraryError:
                left.append(path)
    return left


def _purge(copy: Path, tombstones: Sequence[Mapping[str, Any]]) -> None:
    with opened(copy), contextlib.closing(connect(copy, "mode=rw", COMMAND_SECONDS)) as connection:
        begun = json.dumps([each["created_at"] for each in tombstones])
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("BEGIN IMMEDIATE")
        hunts = _numbers(
            connection,
            "SELECT id FROM hunts WHERE created_at IN (SELECT value FROM json_each(?))",
            (begun,),
        )
        if not hunts:
            connection.execute("ROLLBACK")
            return
        _delete(connection, "hunts", hunts, _pointing(connection), set())
        connection.execute("DELETE FROM prompts WHERE id NOT IN (SELECT prompt_id FROM hunts)")
        columns = {name for name, _ in integrity.columns_of(connection, "tombstones")}
        for each in tombstones:
            known = [name for name in each if name in columns]
            marks = ", ".join("?" * len(known))
            connection.execute(
                f"INSERT OR IGNORE INTO tombstones ({', '.join(known)}) VALUES ({marks})",
                [each[name] for name in known],
            )
        connection.execute("COMMIT")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _pointing(connection: Connection) -> dict[str, list[tuple[str, str]]]:
    """Return by table: which columns of which tables point at its rows."""
    pointing: dict[str, list[tuple[str, str]]] = {}
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        for row in connection.execute(f"PRAGMA foreign_key_list({table})"):
            pointing.setdefault(row[2], []).append((table, row[3]))
    return pointing


def _delete(
    connection: Connection,
    table: str,
    numbers: set[int],
    pointing: Mapping[str, Sequence[tuple[str, str]]],
    going: set[tuple[str, int]],
) -> None:
    """Delete rows, and before them whatever points at them; ``going`` are on their way already."""
    listed = json.dumps(sorted(numbers))
    going |= {(table, number) for number in numbers}
    for child, column in pointing.get(table, ()):
        below = _numbers(
            connection,
            f"SELECT rowid FROM {child} WHERE {column} IN (SELECT value FROM json_each(?))",
            (listed,),
        )
        below = {number for number in below if (child, number) not in going}
        if below:
            _delete(connection, child, below, pointing, going)
    connection.execute(
        f"DELETE FROM {table} WHERE rowid IN (SELECT value FROM json_each(?))", (listed,)
    )


def _numbers(connection: Connection, sql: str, values: Sequence[Any]) -> set[int]:
    return {row[0] for row in connection.execute(sql, values)}


# Making one


def _vacuum_into(library: Path, part: Path) -> None:
    with (
        opened(library),
        contextlib.closing(connect(library, "mode=ro", COMMAND_SECONDS)) as connection,
    ):
        connection.execute("VACUUM INTO ?", (str(part),))


def _require_room(library: Path, folder: Path) -> None:
    needed, allowed = library.stat().st_size, allowance(library)
    if needed > allowed:
        raise LibraryFullError(
            f"There is too little room for a backup of {library}: it has {needed / 1e6:,.0f} MB,"
            f" and backups may take {allowed / 1e6:,.0f} MB, a tenth of what is free in {folder};"
            " free some space."
        )


def _let_go(library: Path) -> None:
    """Delete the oldest backups until the rest is few and small enough; the newest stays."""
    made, allowed = backups(library), allowance(library)
    while len(made) > 1 and (len(made) > MOST or sum(each.bytes for each in made) > allowed):
        made.pop().path.unlink()


def _clear(folder: Path) -> None:
    """Delete what a killed program left of a backup. The lock is held."""
    for left in _parts(folder):
        left.unlink(missing_ok=True)


def _parts(folder: Path) -> Iterator[Path]:
    for suffix in _BESIDE:
        yield from folder.glob(f"*{PART}{suffix}")
