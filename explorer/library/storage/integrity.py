"""Is a library what we wrote? SQLite's own check and ours, which knows what the rows mean.

SQLite finds pages that do not fit together. It says nothing of a text that is no UTF-8, of a number
where a text belongs, of a table that is missing or of a kept try without its text. Two checks look
for these: a light one at every opening (the tables, and the newest rows), and a full one when a
person asks and before a backup counts (every row).

A problem is a short clause such as ``12 of "completions" have no try``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from explorer.library.storage import migrations
from explorer.library.storage.connection import READ_ERRORS, Connection, damaged, empty

NEWEST: Final = 200
"""So many of the newest rows of each table are read at an opening."""
GREATEST: Final = 2**53
"""No row has a number beyond this; SQLite has none left to give behind its own greatest."""
MOST_SAID: Final = 20
"""So many findings of SQLite are told."""

Schema = tuple[tuple[str, str, str], ...]

_TYPES: Final = {
    "INTEGER": ("integer",),
    "REAL": ("real", "integer"),
    "TEXT": ("text",),
    "BLOB": ("blob",),
}
"""By declared type: what may be stored."""

_RULES: Final = (
    ("ends without a text", "SELECT count(*) FROM ends WHERE try_id > :since AND tokens"
     " AND try_id NOT IN (SELECT try_id FROM completions WHERE try_id > :since)", "ends"),
    ("texts whose tokens are not as many as counted",
     "SELECT count(*) FROM completions JOIN ends USING (try_id) WHERE try_id > :since"
     " AND (length(ids) <> 4 * tokens OR length(logprobs) <> 4 * tokens)", "ends"),
    ("prompts whose tokens cannot be read",
     "SELECT count(*) FROM prompts WHERE id > :since AND length(ids) % 4", "prompts"),
    ("recipes that cannot be read",
     "SELECT count(*) FROM hunts WHERE id > :since AND NOT json_valid(recipe)", "hunts"),
    ("seeds that cannot be read",
     "SELECT count(*) FROM hunts WHERE id > :since"
     " AND (seed = '' OR seed GLOB '*[^0-9]*')", "hunts"),
    ("versions that cannot be read",
     "SELECT count(*) FROM tries WHERE id > :since AND NOT json_valid(versions_json)", "tries"),
    ("models that cannot be read",
     "SELECT count(*) FROM models WHERE id > :since AND NOT json_valid(manifest_json)", "models"),
    ("hunts whose next number was given already",
     "SELECT count(*) FROM hunts WHERE id > :since"
     " AND next_index <= (SELECT max(idx) FROM tries WHERE hunt_id = hunts.id)", "hunts"),
)  # fmt: skip
"""What rows must be beyond their types: what is wrong, a count of those :since, whose ids."""


def expected(version: int) -> Schema:
    """Return (type, name, statement) of everything that a library of this version has."""
    return _made_by(migrations.MIGRATIONS[:version])


def columns(version: int) -> dict[str, list[tuple[str, str]]]:
    """Return (name, declared type) of the columns of each table of a library of this version."""
    return _columns_made_by(migrations.MIGRATIONS[:version])


@functools.cache
def _made_by(steps: tuple[Callable[..., None], ...]) -> Schema:
    connection = empty()
    try:
        migrations.migrate(connection, migrations.NOWHERE, 0, len(steps))
        return tuple((kind, name, sql) for kind, name, sql in _schema(connection))
    finally:
        connection.close()


@functools.cache
def _columns_made_by(steps: tuple[Callable[..., None], ...]) -> dict[str, list[tuple[str, str]]]:
    connection = empty()
    try:
        migrations.migrate(connection, migrations.NOWHERE, 0, len(steps))
        tables = [name for kind, name, _ in _schema(connection) if kind == "table"]
        return {table: columns_of(connection, table) for table in tables}
    finally:
        connection.close()


def as_sentence(path: Path, problems: Sequence[str]) -> str:
    """Return what to say of a library with these problems; empty where there are none."""
    if not problems:
        return ""
    more = f", and {len(problems) - 1:,} more" if len(problems) > 1 else ""
    return str(damaged(path, problems[0] + more))


def structure(connection: Connection) -> list[str]:
    """Return what is missing of tables, columns, indices and rules; what others added is theirs."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = {(kind, name): sql for kind, name, sql in _schema(connection)}
    wanted = columns(version)
    problems = []
    for kind, name, sql in expected(version):
        if (kind, name) not in found:
            problems.append(f"the {kind} “{name}” is missing")
        elif kind == "table" and found[kind, name].startswith(sql.rstrip(") \n")):
            continue  # as it was made, perhaps with columns of somebody else
        elif kind == "table" and (gone := _missing_columns(connection, name, wanted[name])):
            problems += gone
        elif found[kind, name] != sql:
            problems.append(f"the {kind} “{name}” is not as it was made")
    return problems


def _missing_columns(
    connection: Connection, table: str, wanted: Sequence[tuple[str, str]]
) -> list[str]:
    there = columns_of(connection, table)
    return [
        f"the column “{each[0]}” of “{table}” is missing" for each in wanted if each not in there
    ]


def columns_of(connection: Connection, table: str) -> list[tuple[str, str]]:
    """Return (name, declared type) of each column."""
    return [(name, kind) for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")]


def light(connection: Connection) -> list[str]:
    """Return what is wrong with the newest rows, in some milliseconds however large the library."""
    return list(_rows(connection, newest=NEWEST))


def culprit(connection: Connection) -> str:
    """Return what is wrong with a library in which a statement failed that never should.

    An empty text where nothing is: the fault is ours then. It may read the whole file.
    """
    try:
        for problem in (*structure(connection), *light(connection)):
            return problem
        (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except READ_ERRORS as error:
        return str(error)
    return "" if said == "ok" else str(said)


def full(connection: Connection) -> list[str]:
    """Return everything that is wrong; it reads every row."""
    problems = structure(connection)
    if problems:
        return problems
    try:
        said = [row[0] for row in connection.execute(f"PRAGMA integrity_check({MOST_SAID})")]
        problems += [f"SQLite says: {each}" for each in said if each != "ok"]
        orphans: dict[tuple[str, str], int] = {}
        for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            orphans[table, parent] = orphans.get((table, parent), 0) + 1
        for (table, parent), number in orphans.items():
            problems.append(f"{number:,} rows of “{table}” point at no row of “{parent}”")
    except READ_ERRORS as error:
        problems.append(f"SQLite says: {error}")
    problems += _rows(connection)
    return problems


def _schema(connection: Connection) -> list[tuple[str, str, str]]:
    return connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY rowid"
    ).fetchall()


def _rows(connection: Connection, newest: int | None = None) -> Iterator[str]:
    """Yield what is wrong with rows: with all of them, or the ``newest`` of each table."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    names = [name for kind, name, _ in expected(version) if kind == "table"]
    for table in names:
        yield from _guarded(table, _numbers(connection, table))
        yield from _guarded(table, _values(connection, table, _since(connection, table, newest)))
    for kind, table, sql in expected(version):
        if kind == "table":
            for condition in _conditions(sql):
                broken = _broken(connection, table, condition, newest)
                yield from _guarded(table, broken)
    for what, question, table in _RULES:
        yield from _guarded(table, _rule(connection, what, question, table, newest))


def _guarded(table: str, problems: Iterator[str]) -> Iterator[str]:
    """Yield the problems, and one more where the table cannot be read to its end."""
    try:
        yield from problems
    except READ_ERRORS as error:
        yield f"“{table}” cannot be read to its end ({error})"


def _since(connection: Connection, table: str, newest: int | None) -> int:
    """Return the number behind which the rows lie that are looked at."""
    if newest is None:
        return -(2**63)
    try:
        (last,) = connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()
    except READ_ERRORS:
        return -(2**63)
    return (last or 0) - newest


def _rule(
    connection: Connection, what: str, question: str, table: str, newest: int | None
) -> Iterator[str]:
    (number,) = connection.execute(
        question, {"since": _since(connection, table, newest)}
    ).fetchone()
    if number:
        yield f"{number:,} {what}"


def _numbers(connection: Connection, table: str) -> Iterator[str]:
    (last,) = connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()
    if (last or 0) > GREATEST:
        yield f"a row of “{table}” has a number that nobody gave it ({last})"


def _conditions(sql: str) -> Iterator[str]:
    """Yield the CHECKs of a table; SQLite skips them in a file that it may only read."""
    for part in sql.split("CHECK (")[1:]:
        depth = 1
        for end, sign in enumerate(part):
            depth += (sign == "(") - (sign == ")")
            if not depth:
                yield " ".join(part[:end].split())
                break


def _broken(
    connection: Connection, table: str, condition: str, newest: int | None
) -> Iterator[str]:
    (number,) = connection.execute(
        f"SELECT count(*) FROM {table} WHERE rowid > ? AND NOT ({condition})",
        (_since(connection, table, newest),),
    ).fetchone()
    if number:
        yield f"{number:,} rows of “{table}” are not as they must be ({condition})"


def _values(connection: Connection, table: str, since: int) -> Iterator[str]:
    """Yield which columns hold values of a type that does not belong there, or no UTF-8."""
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    wrong = {}
    for _, name, kind, required, _, key in columns:
        allowed = [*_TYPES.get(kind.upper(), ()), *(() if required or key else ("null",))]
        if kind.upper() in _TYPES:
            listed = ", ".join(f"'{each}'" for each in allowed)
            wrong[name] = f'total(typeof("{name}") NOT IN ({listed}))'
    numbers = connection.execute(
        f"SELECT {', '.join(wrong.values()) or '0'} FROM {table} WHERE rowid > ?", (since,)
    ).fetchone()
    for column, number in zip(wrong, numbers, strict=False):
        if number:
            yield f"{int(number):,} values of “{column}” in “{table}” are of a wrong type"
    texts = [name for _, name, kind, *_ in columns if kind.upper() == "TEXT"]
    if texts:
        yield from _undecodable(connection, table, texts, since)


def _undecodable(
    connection: Connection, table: str, texts: Sequence[str], since: int
) -> Iterator[str]:
    listed = ", ".join(f'CAST("{name}" AS BLOB)' for name in texts)
    bad = dict.fromkeys(texts, 0)
    for row in connection.execute(f"SELECT {listed} FROM {table} WHERE rowid > ?", (since,)):
        for name, value in zip(texts, row, strict=True):
            if isinstance(value, bytes) and not value.isascii() and not _is_utf8(value):
                bad[name] += 1
    for name, number in bad.items():
        if number:
            yield f"{number:,} texts of “{name}” in “{table}” are not UTF-8"


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
