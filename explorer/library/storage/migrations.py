"""The shape of a library file, as a list of named steps that are never edited once released.

``user_version`` of a file is the number of steps it has taken. A new library takes them all; an
older one takes what it lacks, each in a transaction of its own, after a backup (see
:mod:`explorer.library.storage.database`).

What the tables mean:

- ``models``, ``prompts``: what a hunt was made with. A prompt is its token ids together with its
  text, because equal ids mean different texts under different vocabularies.
- ``hunts``: RULES 1. Its key is (ids of the prompt, model, recipe); the seed is text because it may
  reach 2**64 - 1.
- ``tries``, ``ends``, ``completions``: RULES 4. A try row is written at its first token and never
  changed; its end is one more row in each of the other two. Text and figures lie apart because
  counting reads only the small rows.
- ``actions``: RULES 7. One row of everything a person did, in the order in which it was done;
  rows of the tables below name theirs. ``undo`` and ``redo`` rows name in ``target`` what they
  reverse or do again.
- ``verdicts``: RULES 5 and 7. Rows that share ``action`` were one key press. ``undone`` rows name
  the verdict that they reverse in ``undoes``; a verdict that was given again is a new row that
  names the one it repeats in ``redoes``. ``mark`` is the newest try of the hunt (of the family, if
  it is steered) that had been shown when the row was written, by the number of its row.
- ``standing``: a view of the one verdict of each try that counts, RULES 5.
- ``policies``: how refill was switched, because the interval of RULES 10 depends on it.
- ``collections``, ``samples``: where a kept try lies, and a note on it, as they are now. A sample
  counts only while its keep stands.
- ``placements``, ``renamings``, ``annotations``: what each action changed there, as it was before
  and is now: the collection of a sample (NULL: none), the name of a collection (NULL: not there),
  a note.
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

from explorer.core.errors import LibraryDamagedError, LibraryTooNewError

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


_M002 = (
    """CREATE TABLE actions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        target INTEGER REFERENCES actions,
        at TEXT NOT NULL,
        CHECK ((kind IN ('undo', 'redo')) = (target IS NOT NULL))
    )""",
    "CREATE INDEX actions_by_target ON actions (target, id, kind) WHERE target IS NOT NULL",
    # Samples that are in no collection now: taken out, or deleted with the collection.
    """CREATE TABLE gone AS
        SELECT try_id, collection_id, coalesce(removed_at, deleted_at) AS at,
            CASE WHEN removed_at IS NULL THEN 2 ELSE 1 END AS source
        FROM samples JOIN collections ON collections.id = collection_id
        WHERE coalesce(removed_at, deleted_at) IS NOT NULL""",
    "UPDATE samples SET removed_at = (SELECT at FROM gone WHERE gone.try_id = samples.try_id)"
    " WHERE try_id IN (SELECT try_id FROM gone)",
    # Everything that was done, numbered anew in the order of time; decisions keep their order.
    """CREATE TABLE done AS
        SELECT row_number() OVER (ORDER BY at, source, old) AS id, source, old, at FROM (
            SELECT 0 AS source, decision AS old, max(max(at)) OVER (ORDER BY decision) AS at
            FROM verdicts GROUP BY decision
            UNION ALL SELECT 1, try_id, at FROM gone WHERE source = 1
            UNION ALL SELECT 2, id, deleted_at FROM collections WHERE deleted_at IS NOT NULL
        )""",
    "CREATE UNIQUE INDEX done_by_old ON done (source, old)",
    # A decision that undid or repeated another becomes an undo or a redo of the first of its chain.
    """CREATE TABLE chains AS
        WITH RECURSIVE
        behind AS (
            SELECT DISTINCT v.decision, w.decision AS before, v.verdict = 'undone' AS undo
            FROM verdicts AS v JOIN verdicts AS w ON w.id = coalesce(v.undoes, v.redoes)
        ),
        chain AS (
            SELECT decision, before AS first, undo FROM behind
            UNION
            SELECT chain.decision, behind.before, chain.undo
            FROM chain JOIN behind ON behind.decision = chain.first
        )
        SELECT decision, min(first) AS first, max(undo) AS undo FROM chain GROUP BY decision""",
    """INSERT INTO actions (id, kind, target, at)
        SELECT done.id,
            CASE WHEN source = 1 THEN 'removal' WHEN source = 2 THEN 'collection_deleted'
                WHEN undo IS NULL THEN 'decision' WHEN undo THEN 'undo' ELSE 'redo' END,
            (SELECT target.id FROM done AS target WHERE target.source = 0 AND target.old = first),
            at
        FROM done LEFT JOIN chains ON source = 0 AND decision = old ORDER BY done.id""",
    # What had been shown when a row was written, by its time; a clock that was set back does not
    # make it less.
    """CREATE TABLE seen AS
        SELECT hunt_id, source, row, max(shown) OVER (
            PARTITION BY hunt_id ORDER BY at, source, row ROWS UNBOUNDED PRECEDING
        ) AS mark FROM (
            SELECT hunt_id, started_at AS at, 0 AS source, id AS row, id AS shown FROM tries
            UNION ALL
            SELECT hunt_id, at, 1, verdicts.id, try_id FROM verdicts JOIN tries ON tries.id = try_id
            UNION ALL
            SELECT hunt_id, at, 2, try_id, try_id FROM gone JOIN tries ON tries.id = try_id
        )""",
    """CREATE TABLE marks AS
        SELECT source, row, max(mark) OVER (
            PARTITION BY hunt_id, source ORDER BY row ROWS UNBOUNDED PRECEDING
        ) AS mark FROM seen WHERE source = 1
        UNION ALL SELECT source, row, mark FROM seen WHERE source = 2""",
    "CREATE UNIQUE INDEX marks_by_row ON marks (source, row)",
    "DROP VIEW standing",
    """CREATE TABLE verdicts_with_marks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        action INTEGER NOT NULL REFERENCES actions,
        try_id INTEGER NOT NULL REFERENCES tries,
        verdict TEXT NOT NULL CHECK (verdict IN ('kept', 'rejected', 'skipped', 'undone')),
        undoes INTEGER REFERENCES verdicts_with_marks,
        redoes INTEGER REFERENCES verdicts_with_marks,
        mark INTEGER NOT NULL,
        at TEXT NOT NULL,
        CHECK ((verdict = 'undone') = (undoes IS NOT NULL)),
        CHECK (undoes IS NULL OR redoes IS NULL)
    )""",
    """INSERT INTO verdicts_with_marks
        SELECT verdicts.id, done.id, try_id, verdict, undoes, redoes, coalesce(mark, try_id),
            verdicts.at
        FROM verdicts JOIN done ON done.source = 0 AND done.old = decision
        LEFT JOIN marks ON marks.source = 1 AND marks.row = verdicts.id ORDER BY verdicts.id""",
    "DROP TABLE verdicts",
    "ALTER TABLE verdicts_with_marks RENAME TO verdicts",
    "CREATE INDEX verdicts_by_try ON verdicts (try_id, id, verdict)",
    "CREATE INDEX verdicts_by_action ON verdicts (action)",
    "CREATE UNIQUE INDEX verdicts_by_undone ON verdicts (undoes) WHERE undoes IS NOT NULL",
    "CREATE UNIQUE INDEX verdicts_by_redone ON verdicts (redoes) WHERE redoes IS NOT NULL",
    """CREATE VIEW standing AS
        SELECT id, action, try_id, verdict, at FROM verdicts AS v
        WHERE verdict <> 'undone'
        AND NOT EXISTS (SELECT 1 FROM verdicts AS u WHERE u.undoes = v.id)
        AND NOT EXISTS (
            SELECT 1 FROM verdicts AS w
            WHERE w.try_id = v.try_id AND w.id > v.id AND w.verdict <> 'undone'
            AND NOT EXISTS (SELECT 1 FROM verdicts AS u WHERE u.undoes = w.id)
        )""",
    """CREATE TRIGGER verdicts_are_append_only BEFORE UPDATE ON verdicts
        BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END""",
    """CREATE TABLE placements (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        action INTEGER NOT NULL REFERENCES actions,
        try_id INTEGER NOT NULL REFERENCES tries,
        was INTEGER REFERENCES collections,
        now INTEGER REFERENCES collections,
        mark INTEGER NOT NULL
    )""",
    "CREATE INDEX placements_by_action ON placements (action)",
    "CREATE INDEX placements_by_try ON placements (try_id)",
    """INSERT INTO placements (action, try_id, was, now, mark)
        SELECT done.id, try_id, collection_id, NULL, mark FROM gone
        JOIN done ON done.source = gone.source
            AND old = CASE WHEN gone.source = 1 THEN try_id ELSE collection_id END
        JOIN marks ON marks.source = 2 AND marks.row = try_id ORDER BY done.id, try_id""",
    """CREATE TABLE renamings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        action INTEGER NOT NULL REFERENCES actions,
        collection_id INTEGER NOT NULL REFERENCES collections,
        was TEXT,
        now TEXT
    )""",
    "CREATE INDEX renamings_by_action ON renamings (action)",
    """INSERT INTO renamings (action, collection_id, was, now)
        SELECT done.id, collections.id, name, NULL FROM done
        JOIN collections ON collections.id = old WHERE source = 2 ORDER BY done.id""",
    """CREATE TABLE annotations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        action INTEGER NOT NULL REFERENCES actions,
        try_id INTEGER NOT NULL REFERENCES tries,
        was TEXT NOT NULL,
        now TEXT NOT NULL
    )""",
    "CREATE INDEX annotations_by_action ON annotations (action)",
    "CREATE INDEX annotations_by_try ON annotations (try_id)",
    *(
        f"""CREATE TRIGGER {table}_are_append_only BEFORE UPDATE ON {table}
        BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"""
        for table in ("actions", "placements", "renamings", "annotations")
    ),
    # The verdict that cut a try short: what was kept while it streamed was stopped by keeping.
    "ALTER TABLE ends ADD COLUMN action INTEGER REFERENCES actions",
    "ALTER TABLE tombstones RENAME COLUMN unread TO unjudged",
    "ALTER TABLE tombstones RENAME COLUMN crashed TO lost",
    "ALTER TABLE tombstones ADD COLUMN passed_over INTEGER NOT NULL DEFAULT 0",
    *(f"DROP TABLE {table}" for table in ("gone", "done", "chains", "seen", "marks")),
)


def m001_hunts_and_samples(execute: Execute) -> None:
    """Create everything that one machine's library holds."""
    for statement in _M001:
        execute(statement)


def m002_marks_and_actions(execute: Execute) -> None:
    """Record with each verdict what had been shown, and everything that is done as one action."""
    for statement in _M002:
        execute(statement)


MIGRATIONS: tuple[Callable[[Execute], None], ...] = (
    m001_hunts_and_samples,
    m002_marks_and_actions,
)
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
