"""The shape of a library file, as a list of named steps that are never edited once released.

``user_version`` of a file is the number of steps it has taken. A new library takes them all; an
older one takes what it lacks, each in a transaction of its own, after a backup (see
:mod:`explorer.library.database`).

What the tables mean:

- ``models``, ``prompts``: what a hunt was made with. A prompt is its token ids together with its
  text, because equal ids mean different texts under different vocabularies.
- ``hunts``: RULES 1. Its key is (ids of the prompt, model, recipe); the seed is text because it may
  reach 2**64 - 1.
- ``tries``, ``ends``, ``completions``: RULES 4. A try row is written at its first token and never
  changed; its end is one more row in each of the other two. Text and figures lie apart because
  counting reads only the small rows.
- ``verdicts``: RULES 5 and 7. Rows that share ``decision`` were one key press. ``undone`` rows name
  the verdict that they reverse in ``undoes``; a redone verdict is a new row that names the one it
  repeats in ``redoes``.
- ``standing``: a view of the one verdict of each try that counts, RULES 5.
- ``policies``: how refill was switched, because the interval of RULES 10 depends on it.
- ``collections``, ``samples``: where a kept try lies. A sample counts only while its keep stands.
- ``tombstones``: what remains of a deleted hunt, RULES 16; ``erased`` once its bytes are
  overwritten, not only its rows deleted.

Counts are derived from rows, never stored; a tombstone is the one exception, since its rows are
gone. Times are ISO 8601 in UTC with microseconds, so that text order is time order. Token ids are
little-endian int32, log-probabilities little-endian float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from explorer.errors import LibraryDamagedError, LibraryTooNewError

NOWHERE: Final = Path(":memory:")
"""What a library in memory is called in a sentence."""
APPLICATION_ID: Final = 0x53616D70  # "Samp", in the file's header


class Result(Protocol):
    """What a statement gives back."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""


class Connection(Protocol):
    """What taking steps needs of a connection to SQLite."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def execute(self, sql: str, /) -> Result:
        """Run one statement."""


Execute = Callable[[str], Result]
"""Runs one SQL statement inside the transaction of the migration."""

_M001 = (
    """CREATE TABLE models (
        id INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        build TEXT NOT NULL,
        manifest_json TEXT NOT NULL
    )""",
    """CREATE TABLE prompts (
        id INTEGER PRIMARY KEY,
        ids_sha256 TEXT NOT NULL,
        text_sha256 TEXT NOT NULL,
        text TEXT NOT NULL,
        ids BLOB NOT NULL,
        UNIQUE (ids_sha256, text_sha256)
    )""",
    "CREATE INDEX prompts_by_text ON prompts (text_sha256)",
    """CREATE TABLE hunts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        prompt_id INTEGER NOT NULL REFERENCES prompts,
        model_id INTEGER NOT NULL REFERENCES models,
        recipe TEXT NOT NULL,
        seed TEXT NOT NULL,
        seed_fixed INTEGER NOT NULL CHECK (seed_fixed IN (0, 1)),
        deliberate INTEGER NOT NULL CHECK (deliberate IN (0, 1)),
        next_index INTEGER NOT NULL DEFAULT 0,
        created_at TEXT NOT NULL,
        steered_from_try INTEGER REFERENCES tries,
        steered_offset INTEGER,
        forced_ids BLOB
    )""",
    "CREATE INDEX hunts_by_key ON hunts (prompt_id, model_id, recipe)",
    "CREATE INDEX hunts_by_model ON hunts (model_id)",
    "CREATE INDEX hunts_by_parent ON hunts (steered_from_try) WHERE steered_from_try IS NOT NULL",
    """CREATE TABLE tries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hunt_id INTEGER NOT NULL REFERENCES hunts,
        idx INTEGER NOT NULL CHECK (idx >= 0),
        lane INTEGER NOT NULL,
        device TEXT NOT NULL,
        versions_json TEXT NOT NULL,
        started_at TEXT NOT NULL,
        parent_try_id INTEGER REFERENCES tries,
        token_offset INTEGER,
        forced_ids BLOB,
        UNIQUE (hunt_id, idx)
    )""",
    "CREATE INDEX tries_by_parent ON tries (parent_try_id) WHERE parent_try_id IS NOT NULL",
    """CREATE TABLE ends (
        try_id INTEGER PRIMARY KEY REFERENCES tries,
        reason TEXT NOT NULL CHECK (reason IN
            ('end_of_text', 'max_tokens', 'context_full', 'stopped', 'dropped', 'crash')),
        seconds REAL NOT NULL,
        ended_at TEXT NOT NULL,
        tokens INTEGER NOT NULL
    )""",
    """CREATE TABLE completions (
        try_id INTEGER PRIMARY KEY REFERENCES ends,
        text TEXT NOT NULL,
        ids BLOB NOT NULL,
        logprobs BLOB NOT NULL
    )""",
    """CREATE TABLE verdicts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        decision INTEGER NOT NULL,
        try_id INTEGER NOT NULL REFERENCES tries,
        verdict TEXT NOT NULL CHECK (verdict IN ('kept', 'rejected', 'skipped', 'undone')),
        undoes INTEGER REFERENCES verdicts,
        redoes INTEGER REFERENCES verdicts,
        at TEXT NOT NULL,
        CHECK ((verdict = 'undone') = (undoes IS NOT NULL)),
        CHECK (undoes IS NULL OR redoes IS NULL)
    )""",
    "CREATE INDEX verdicts_by_try ON verdicts (try_id, id, verdict)",
    "CREATE UNIQUE INDEX verdicts_by_undone ON verdicts (undoes) WHERE undoes IS NOT NULL",
    "CREATE UNIQUE INDEX verdicts_by_redone ON verdicts (redoes) WHERE redoes IS NOT NULL",
    """CREATE VIEW standing AS
        SELECT id, decision, try_id, verdict, at FROM verdicts AS v
        WHERE verdict <> 'undone'
        AND NOT EXISTS (SELECT 1 FROM verdicts AS u WHERE u.undoes = v.id)
        AND NOT EXISTS (
            SELECT 1 FROM verdicts AS w
            WHERE w.try_id = v.try_id AND w.id > v.id AND w.verdict <> 'undone'
            AND NOT EXISTS (SELECT 1 FROM verdicts AS u WHERE u.undoes = w.id)
        )""",
    """CREATE TRIGGER verdicts_are_append_only BEFORE UPDATE ON verdicts
        BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END""",
    """CREATE TRIGGER ends_are_append_only BEFORE UPDATE ON ends
        BEGIN SELECT RAISE(ABORT, 'ends are append-only'); END""",
    """CREATE TRIGGER completions_are_append_only BEFORE UPDATE ON completions
        BEGIN SELECT RAISE(ABORT, 'completions are append-only'); END""",
    """CREATE TABLE policies (
        id INTEGER PRIMARY KEY,
        hunt_id INTEGER NOT NULL REFERENCES hunts,
        until_keep INTEGER NOT NULL CHECK (until_keep IN (0, 1)),
        hold INTEGER NOT NULL CHECK (hold IN (0, 1)),
        at TEXT NOT NULL
    )""",
    "CREATE INDEX policies_by_hunt ON policies (hunt_id, id)",
    """CREATE TABLE collections (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        created_at TEXT NOT NULL,
        deleted_at TEXT
    )""",
    "CREATE UNIQUE INDEX collections_by_name ON collections (name) WHERE deleted_at IS NULL",
    """CREATE TABLE samples (
        try_id INTEGER PRIMARY KEY REFERENCES tries,
        collection_id INTEGER NOT NULL REFERENCES collections,
        note TEXT NOT NULL DEFAULT '',
        added_at TEXT NOT NULL,
        removed_at TEXT
    )""",
    "CREATE INDEX samples_by_collection ON samples (collection_id, added_at DESC, try_id DESC)"
    " WHERE removed_at IS NULL",
    """CREATE TABLE tombstones (
        hunt_id INTEGER PRIMARY KEY,
        model_id INTEGER NOT NULL REFERENCES models,
        recipe TEXT NOT NULL,
        created_at TEXT NOT NULL,
        deleted_at TEXT NOT NULL,
        tries INTEGER NOT NULL,
        kept INTEGER NOT NULL,
        rejected INTEGER NOT NULL,
        skipped INTEGER NOT NULL,
        unread INTEGER NOT NULL,
        crashed INTEGER NOT NULL,
        erased INTEGER NOT NULL DEFAULT 0 CHECK (erased IN (0, 1))
    )""",
    "INSERT INTO collections (name, created_at)"
    " VALUES ('Kept samples', strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now'))",
)


def m001_hunts_and_samples(execute: Execute) -> None:
    """Create everything that one machine's library holds."""
    for statement in _M001:
        execute(statement)


MIGRATIONS: tuple[Callable[[Execute], None], ...] = (m001_hunts_and_samples,)
"""All steps, oldest first; a file's ``user_version`` says how many of them it has taken."""


def latest() -> int:
    """Return the version of a library that has taken every step."""
    return len(MIGRATIONS)


def version_of(connection: Connection, path: Path) -> int:
    """Return how many steps the file has taken; 0 of an empty one.

    Raises :class:`LibraryDamagedError` for the file of another program,
    :class:`LibraryTooNewError` for one that has taken steps we do not know.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise LibraryDamagedError(
            f"{path} is not a library of Sample Explorer; move it away, or start with another"
            " --data-dir."
        )
    if version < 0:
        raise LibraryDamagedError(
            f"The library {path} is damaged (it names the format {version}); restore a backup, or"
            " salvage what can be read."
        )
    if version > latest():
        raise LibraryTooNewError(
            f"The library {path} was made by a newer version of Sample Explorer (format {version},"
            f" this one knows {latest()}); update the program, or start with another --data-dir."
        )
    return int(version)


def migrate(connection: Connection, path: Path, version: int, until: int | None = None) -> None:
    """Take the steps after ``version``, or only those ``until`` one, each wholly or not at all."""
    for number, step in enumerate(MIGRATIONS[version:until], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            step(connection.execute)
            if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise LibraryDamagedError(
                    f"The library {path} has rows that point nowhere and cannot be brought up to"
                    " date; put a copy in its place, or move it away to start with an empty one."
                )
            connection.execute(f"PRAGMA user_version={number}")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
