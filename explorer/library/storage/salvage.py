"""Salvaging: what can be read of a damaged library goes row by row into a new one.

Nothing is assumed of the source but that some of its pages are those of a library. Rows are read by
their numbers, so that a page that cannot be read costs only the rows on it. Values of a wrong type,
texts that are no UTF-8 and rows that point nowhere are mended where that does not change what they
say, and left out where it would; the report counts all of it.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from explorer.core.errors import LibraryDamagedError, LibraryError
from explorer.library.storage import integrity, migrations
from explorer.library.storage.connection import (
    COMMAND_SECONDS,
    READ_ERRORS,
    Connection,
    connect,
    explained,
)
from explorer.library.storage.copying import require_free, synced, written_beside
from explorer.library.storage.integrity import GREATEST
from explorer.library.storage.mending import Rows, Salvaged, join, numbers_go_on

_PAGE_BYTES: Final = 4096
_MOST_FAILURES: Final = 20_000
"""Of reading single rows, for each table: with so many, nothing more is there."""


def salvage(source: Path, target: Path) -> Salvaged:
    """Write what can be read of the library at ``source`` into a new one at ``target``.

    The source is left as it is. Raises :class:`InputError` where something lies at
    ``target``, :class:`LibraryDamagedError` where nothing can be read, and :class:`LibraryError`.
    """
    require_free(target)
    with written_beside(target) as part:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _reading(source) as connection:
            salvaged = salvage_from(connection, part)
    salvaged.path = target
    return salvaged


def salvage_from(source: Connection, part: Path) -> Salvaged:
    """Write what an open connection can read into a new library file, as :func:`salvage`."""
    part.unlink(missing_ok=True)
    version = _version(source)
    salvaged = Salvaged(part)
    with explained(part), contextlib.closing(connect(part, "mode=rwc", 0.0)) as target:
        migrations.migrate(target, part, 0, version)
        target.execute("PRAGMA foreign_keys=OFF")
        target.execute("BEGIN")
        tables = [name for kind, name, _ in integrity.expected(version) if kind == "table"]
        for table in tables:
            target.execute(f"DELETE FROM {table}")  # what a new library begins with
            salvaged.tables[table] = _table(source, target, table)
        join(target, salvaged)
        numbers_go_on(source, target)
        target.execute("COMMIT")
        migrations.migrate(target, part, version)
        if problems := integrity.full(target):
            raise LibraryDamagedError(
                f"What was salvaged of the library is not sound ({problems[0]}); it is not used."
            )
    if not any(each.saved for each in salvaged.tables.values()):
        raise LibraryDamagedError("Nothing of the library can be read any more; restore a backup.")
    synced(part)
    return salvaged


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Connection]:
    """Open a file that may be damaged anywhere; its log is read where that is possible."""
    if not path.is_file():
        raise LibraryError(f"There is no library {path}.")
    for options in ("mode=ro", "mode=ro&immutable=1"):
        with contextlib.closing(connect(path, options, COMMAND_SECONDS)) as connection:
            if _is_readable(connection):
                yield connection
                return
    with tempfile.TemporaryDirectory(prefix="sample-explorer-") as folder:
        copy = Path(folder) / path.name
        _with_another_header(path, copy)
        with contextlib.closing(connect(copy, "mode=ro", COMMAND_SECONDS)) as connection:
            if not _is_readable(connection):
                raise LibraryDamagedError(
                    f"Nothing of the library {path} can be read any more; restore a backup."
                )
            yield connection


def _is_readable(connection: Connection) -> bool:
    try:
        return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    except READ_ERRORS:
        return False


def _with_another_header(path: Path, copy: Path) -> None:
    """Copy a file, and write into its beginning what SQLite writes into that of every library.

    What stands there of sizes and counts is left out: SQLite then takes them from the file.
    """
    shutil.copyfile(path, copy)
    with copy.open("r+b") as file:
        file.write(b"SQLite format 3\0" + struct.pack(">HBBBBBB", _PAGE_BYTES, 1, 1, 0, 64, 32, 32))
        file.seek(28)
        file.write(struct.pack(">III", 0, 0, 0))  # pages of the file, and its free ones
        file.seek(44)
        file.write(struct.pack(">IIII", 4, 0, 0, 1))  # format of the tables ... text is UTF-8
    log = path.with_name(path.name + "-wal")
    if log.is_file() and log.stat().st_size:
        shutil.copyfile(log, copy.with_name(copy.name + "-wal"))


def _version(source: Connection) -> int:
    """Return the format of a damaged library, of which the number may be damaged too."""
    there = {name for (name,) in source.execute("SELECT name FROM sqlite_master")}

    def missing(version: int) -> int:
        made = {(kind, name) for kind, name, _ in integrity.expected(version)}
        before = {(kind, name) for kind, name, _ in integrity.expected(version - 1)}
        tables = {name for kind, name in made - before if kind == "table"}
        columns = 0
        for kind, name in before:
            if kind == "table" and name in there:
                known = {column for column, _ in integrity.columns_of(source, name)}
                wanted = integrity.columns(version).get(name, [])
                columns += sum(column not in known for column, _ in wanted)
        return len(tables - there) + columns

    (version,) = source.execute("PRAGMA user_version").fetchone()
    if 0 < version <= migrations.latest():
        return int(version)
    newest = migrations.latest()
    return next((number for number in range(newest, 1, -1) if not missing(number)), 1)


def _table(source: Connection, target: Connection, table: str) -> Rows:
    """Copy one table; rows that point nowhere are looked after when all tables are there."""
    rows = Rows()
    columns = target.execute(f"PRAGMA table_info({table})").fetchall()
    try:
        known = {name for name, _ in integrity.columns_of(source, table)}
    except READ_ERRORS:
        known = set()
    columns = [column for column in columns if column[1] in known]
    if not columns:
        return rows
    names = [f'"{column[1]}"' for column in columns]
    kinds = [(column[2].upper(), bool(column[3] or column[5]), column[4]) for column in columns]
    sql = (
        f"INSERT INTO {table} (rowid, {', '.join(names)}) VALUES (?, {', '.join('?' * len(names))})"
    )
    for row in _read(source, table, names, rows):
        if abs(row[0]) > GREATEST:  # a number that we never gave, behind which none is left to give
            rows.lost += 1
            continue
        values, mended = [], False
        for value, (kind, required, default) in zip(row[1:], kinds, strict=True):
            fitting, sound = _fitting(value, kind, required, default)
            values.append(fitting)
            mended |= not sound
        try:
            target.execute(sql, (row[0], *values))
        except READ_ERRORS:
            rows.lost += 1
            continue
        rows.saved += 1
        rows.mended += mended
    return rows


def _fitting(value: Any, kind: str, required: bool, default: Any) -> tuple[Any, bool]:
    """Return a value of the declared type, and whether it is the one that was there.

    Where nothing fits it is None, which a required column refuses: the row is lost then.
    """
    match kind, value:
        case ("TEXT", bytes()):  # texts are read as bytes, so that none can fail
            text = value.decode("utf-8", "replace")
            return text, text.encode() == value
        case ("TEXT", (int() | float()) as number):
            return str(number), False
        case ("INTEGER", int()) | ("REAL", float() | int()) | (_, None):
            return value, True
        case ("BLOB", bytes()):
            return value, True
        case ("INTEGER", bytes() | float()):
            with contextlib.suppress(ValueError, OverflowError):
                if abs(number := int(value)) <= GREATEST:
                    return number, False
        case ("REAL", bytes()):
            with contextlib.suppress(ValueError):
                return float(value), False
        case _:
            pass
    return (None, False) if not required or default is None else (default, False)


def _read(source: Connection, table: str, names: Sequence[str], rows: Rows) -> Iterator[Any]:
    """Yield (number, values) of all rows that can be read, in halves where that fails."""
    typed = ", ".join(
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
        for name in names
    )
    question = f"SELECT rowid, {typed} FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ?"
    spans = [_bounds(source, table)]
    failures = 0
    while spans:
        first, last = spans.pop()
        try:
            for row in source.execute(f"{question} ORDER BY rowid", (first, last)):
                yield row
                first = min(row[0] + 1, last)
        except READ_ERRORS:
            if first >= last:
                failures += 1
                rows.lost += 1
                if failures > _MOST_FAILURES:
                    return
                continue
            middle = first + (last - first) // 2
            spans += [(middle + 1, last), (first, middle)]


def _bounds(source: Connection, table: str) -> tuple[int, int]:
    """Return the smallest and the largest number that a row can have, as far as can be told."""
    bounds: list[int | None] = []
    for order in ("", "DESC"):
        try:
            found = source.execute(
                f"SELECT rowid FROM {table} NOT INDEXED ORDER BY rowid {order} LIMIT 1"
            ).fetchone()
            bounds.append(found[0] if found else 0)
        except READ_ERRORS:
            bounds.append(None)
    first = bounds[0] if bounds[0] is not None else 0
    if bounds[1] is not None:
        last = bounds[1]
    else:
        last = 0
        with contextlib.suppress(*READ_ERRORS):
            counted = source.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
            last = max((row[0] for row in counted if isinstance(row[0], int)), default=0)
        last = min(max(last, first), GREATEST) + _MOST_FAILURES
    return first, max(first, last)
