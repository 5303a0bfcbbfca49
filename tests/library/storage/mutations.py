"""One small harm to a library: bytes of the file, or one row or statement that SQLite allows."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.library.desk import Desk

Harm = Callable[[Path], None]
VALUES = (
    "NULL", "''", "'nonsense'", "-1", "9223372036854775807", "1e300", "x''", "x'ff'", "'{'",
    "CAST(x'fffe41' AS TEXT)", "CAST(x'c3' AS TEXT)", "'[[[[1]]]]'", "'null'", "char(0)",
    "zeroblob(3)", "0.5", "'2026'",
)  # fmt: skip
HEADERS = (
    "user_version=-1", "user_version=0", "user_version=77", "user_version=2147483647",
    "application_id=0", "application_id=1", "application_id=-1",
)  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """A harm with its name, and whether it must not go unnoticed."""

    name: str
    harm: Harm
    loses_rows: bool = False
    """Whether rows that are counted or shown are gone by it, which somebody has to say."""


def sample_library(path: Path) -> None:
    """Make a library with some hunts, verdicts of each kind, notes, collections, a deleted hunt."""
    desk = Desk.at(path)
    second = desk.collections.create("second")
    with desk.database.transaction():
        for number in range(6):
            hunt = desk.hunt(f"prompt {number} äöü")
            desk.ledger.set_policy(hunt.id, until_keep=bool(number % 2), hold=True)
            key = desk.kept(hunt, f"kept {number} – " * 60, rejected=4)
            desk.judge(desk.attempt(hunt), "skipped")
            desk.attempt(hunt, "nobody judged it")
            desk.samples.set_note(key, f"note {number}")
            desk.judge(desk.attempt(hunt, "another"), "kept", second.id)
    desk.history.delete(3)
    desk.database.close()


def mutations(seed: int, count: int, library: Path) -> Iterator[Mutation]:
    """Yield ``count`` mutations of a library, the same for a seed."""
    chance = random.Random(seed)
    size = library.stat().st_size
    connection = sqlite3.connect(library)
    tables = [
        (name, [row[1] for row in connection.execute(f"PRAGMA table_info({name})")])
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    ]
    rows = {
        name: [row[0] for row in connection.execute(f"SELECT rowid FROM {name}")]
        for name, _ in tables
    }
    others = [
        (kind, name)
        for kind, name in connection.execute(
            "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        )
    ]
    connection.close()
    filled = [(name, columns) for name, columns in tables if rows[name]]
    for number in range(count):
        match number % 8:
            case 0 | 1:
                yield _bytes(chance, size, header=False)
            case 2:
                yield _bytes(chance, size, header=True)
            case 3:
                kind, name = chance.choice(others)
                yield _sql(f"DROP {kind} {name}")
            case 4:
                table, _ = chance.choice(filled)
                row = chance.choice(rows[table])
                # What only hangs on others leaves no trace: no digest is stored of it.
                said = table in ("models", "prompts", "hunts", "tries", "ends", "completions")
                yield _sql(f"DELETE FROM {table} WHERE rowid = {row}", said)
            case 5 if number % 3 == 0:
                yield _sql(f"PRAGMA {chance.choice(HEADERS)}")
            case 7 if number % 5 == 0:
                yield _cut(chance, size)
            case _:
                table, columns = chance.choice(filled)
                column, value = chance.choice(columns), chance.choice(VALUES)
                row = chance.choice(rows[table])
                yield _sql(f"UPDATE {table} SET {column} = {value} WHERE rowid = {row}")


def _bytes(chance: random.Random, size: int, *, header: bool) -> Mutation:
    place = chance.randrange(100 if header else size)
    length = chance.choice((1, 1, 1, 4, 16, 512))
    flips = bytes(chance.randrange(1, 256) for _ in range(length))

    def harm(path: Path) -> None:
        data = bytearray(path.read_bytes())
        for at, flip in enumerate(flips, start=place):
            if at < len(data):
                data[at] ^= flip
        path.write_bytes(data)

    return Mutation(f"{length} bytes at {place}", harm)


def _cut(chance: random.Random, size: int) -> Mutation:
    left = chance.randrange(size)

    def harm(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:left])

    return Mutation(f"cut to {left} of {size} bytes", harm)


def _sql(sql: str, loses_rows: bool = False) -> Mutation:
    def harm(path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        triggers = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'")
        ]
        kept = [
            connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            for name in triggers
        ]
        try:
            for pragma in ("foreign_keys=OFF", "ignore_check_constraints=ON"):
                connection.execute(f"PRAGMA {pragma}")
            if sql.startswith("UPDATE"):  # a damaged disk asks no trigger
                for name in triggers:
                    connection.execute(f"DROP TRIGGER {name}")
            with contextlib.suppress(sqlite3.IntegrityError):  # no library can be like that
                connection.execute(sql)
            if sql.startswith("UPDATE"):
                for (statement,) in kept:
                    connection.execute(statement)
        finally:
            connection.close()

    return Mutation(sql, harm, loses_rows)
