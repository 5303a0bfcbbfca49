"""Libraries of older versions: backed up, brought up to date step by step, or left as they were."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from explorer.core.counting import Counts
from explorer.core.errors import LibraryDamagedError, LibraryReadOnlyError
from explorer.library.storage import migrations
from explorer.library.storage.database import Database
from explorer.library.storage.migrations import APPLICATION_ID, MIGRATIONS, Execute
from tests.library.desk import FIRST, Desk


def m003_stars(execute: Execute) -> None:
    """Stand in for the next step of the schema."""
    execute("ALTER TABLE samples ADD COLUMN stars INTEGER NOT NULL DEFAULT 3")
    execute("CREATE INDEX samples_by_stars ON samples (stars)")


def m004_fails(execute: Execute) -> None:
    """Stand in for a step that this file cannot take."""
    execute("ALTER TABLE samples ADD COLUMN colour TEXT")
    execute("UPDATE samples SET collection_id = 404")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch):
    """Return a function that gives the program further migrations."""

    def program_with(*more) -> None:
        monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, *more))

    return program_with


@pytest.fixture
def old(path: Path) -> Path:
    """A library that the first version of the program left behind, written by hand."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        MIGRATIONS[0](connection.execute)
        connection.execute("PRAGMA user_version=1")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        for statement in (
            "INSERT INTO models VALUES (1, 'f1ab', 'demo', 'cpu-int8', '{}')",
            "INSERT INTO prompts VALUES (1, 'a', 'b', 'Once', x'01000000')",
            "INSERT INTO hunts VALUES"
            " (1, 1, 1, '{}', '18446744073709551615', 1, 0, 1, '2026-01-01', NULL, NULL, NULL)",
            "INSERT INTO tries VALUES (1, 1, 0, 0, 'cpu', '{}', '2026-01-02', NULL, NULL, NULL)",
            "INSERT INTO ends VALUES (1, 'max_tokens', 0.5, '2026-01-03', 1)",
            "INSERT INTO completions VALUES (1, 'upon a time', x'02000000', x'0000c0bf')",
            "INSERT INTO verdicts VALUES (1, 1, 1, 'kept', NULL, NULL, '2026-01-04')",
            "INSERT INTO samples VALUES (1, 1, 'good', '2026-01-04', NULL)",
        ):
            connection.execute(statement)
    return path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_migrations_are_numbered_in_order() -> None:
    assert [step.__name__[:5] for step in MIGRATIONS] == [
        f"m{number:03}_" for number in range(1, len(MIGRATIONS) + 1)
    ]


def test_a_library_of_the_first_version_opens_with_all_that_it_held(old: Path) -> None:
    desk = Desk.at(old)
    (sample,) = desk.samples.page(desk.samples.ids(1))
    assert (sample.text, sample.note, sample.caption) == (
        "upon a time",
        "good",
        "machine-written, first try",
    )
    assert sample.hunt.seed == 2**64 - 1
    assert sample.attempt.end is not None
    assert (sample.attempt.end.ids, sample.attempt.end.logprobs) == ((2,), (-1.5,))
    desk.database.close()
    assert version_of(old) == len(MIGRATIONS)


def test_an_older_library_is_backed_up_and_brought_up_to_date(old: Path, steps) -> None:
    before = old.read_bytes()
    steps(m003_stars)
    with Database.open(old) as database:
        assert database.value("SELECT stars FROM samples") == 3
        assert database.value("PRAGMA foreign_keys") == 1
    assert version_of(old) == 3
    (backup,) = old.parent.glob("*.bak*")
    assert backup.name == "library.sqlite.before-m002.bak"
    # The copy is a library of the older version, complete.
    assert version_of(backup) == 1
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT text FROM completions").fetchall() == [("upon a time",)]
    assert len(backup.read_bytes()) == len(before)


def test_a_library_that_is_up_to_date_is_not_backed_up(path: Path) -> None:
    for _ in range(2):
        Database.open(path).close()
    assert not list(path.parent.glob("*.bak*"))


def test_a_step_that_fails_leaves_the_library_as_it_was(old: Path, steps) -> None:
    steps(m003_stars, m004_fails)
    with pytest.raises(LibraryDamagedError, match="point nowhere"):
        Database.open(old)
    assert version_of(old) == 3  # the steps before it were taken, wholly
    assert version_of(old.with_name("library.sqlite.before-m002.bak")) == 1
    with closing(sqlite3.connect(old)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(samples)")]
        assert "stars" in columns
        assert "colour" not in columns
    steps(m003_stars)
    Database.open(old).close()  # the lock was let go, the file is fine


def test_an_older_library_that_is_only_read_is_migrated_in_memory(old: Path, steps) -> None:
    before = old.read_bytes()
    steps(m003_stars)
    with Database.open(old, writable=False) as database:
        assert database.value("SELECT stars FROM samples") == 3
        with pytest.raises(LibraryReadOnlyError):
            database.execute("UPDATE samples SET stars = 4")
    assert old.read_bytes() == before
    assert not list(old.parent.glob("*.bak*"))


def test_an_older_library_on_a_read_only_disk_is_migrated_in_memory(
    old: Path, steps, sealed
) -> None:
    path = sealed.folder / "library.sqlite"
    path.write_bytes(old.read_bytes())
    steps(m003_stars)
    with sealed.closed(), Database.open(path) as database:
        assert database.read_only
        assert database.value("SELECT stars FROM samples") == 3
    assert path.read_bytes() == old.read_bytes()


def test_rows_of_judgement_cannot_be_rewritten(desk: Desk) -> None:
    desk.kept(desk.hunt())
    for table in ("verdicts", "ends", "completions"):
        with pytest.raises(sqlite3.IntegrityError, match=f"{table} are append-only"):
            desk.database.execute(f"UPDATE {table} SET rowid = rowid + 1")


def test_the_columns_that_steering_needs_are_there_from_the_first_schema_on(desk: Desk) -> None:
    for table, wanted in {
        "hunts": {"steered_from_try", "steered_offset", "forced_ids"},
        "tries": {"parent_try_id", "token_offset", "forced_ids"},
    }.items():
        columns = {row["name"] for row in desk.database.rows(f"PRAGMA table_info({table})")}
        assert wanted <= columns


def first_version(path: Path, *statements: str) -> sqlite3.Connection:
    """Open a library of the first version, with one hunt, to be filled by hand."""
    connection = sqlite3.connect(path, isolation_level=None)
    MIGRATIONS[0](connection.execute)
    connection.execute("PRAGMA user_version=1")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    for statement in (
        "INSERT INTO models VALUES (1, 'f1ab', 'demo', 'cpu-int8', '{}')",
        "INSERT INTO prompts VALUES (1, 'a', 'b', 'Once', x'01000000')",
        "INSERT INTO hunts VALUES (1, 1, 1, '{}', '5', 0, 0, 9, '2026-01-01', NULL, NULL, NULL)",
        *statements,
    ):
        connection.execute(statement)
    return connection


def shown_at(try_id: int, second: int) -> tuple[str, ...]:
    return (
        f"INSERT INTO tries VALUES ({try_id}, 1, {try_id - 1}, 0, 'cpu', '{{}}', '{second:02}',"
        " NULL, NULL, NULL)",
        f"INSERT INTO ends VALUES ({try_id}, 'max_tokens', 0.5, '{second:02}', 0)",
        f"INSERT INTO completions VALUES ({try_id}, '', x'', x'')",
    )


def judged(
    row: int, decision: int, try_id: int, verdict: str, second: int, undoes="NULL", redoes="NULL"
) -> str:
    return (
        f"INSERT INTO verdicts VALUES ({row}, {decision}, {try_id}, '{verdict}', {undoes},"
        f" {redoes}, '{second:02}')"
    )


def test_marks_of_old_verdicts_come_from_their_times(path: Path) -> None:
    """Keep the third of four, reject the rest, and see no less when the clock is set back."""
    tries = [row for n in (1, 2, 3, 4) for row in shown_at(n, n)]
    connection = first_version(
        path,
        *tries,
        judged(1, 1, 3, "kept", 10),
        judged(2, 2, 1, "rejected", 11),
        *shown_at(5, 20),
        judged(3, 3, 2, "rejected", 21),
        judged(4, 4, 4, "rejected", 3),  # a clock that was set back
        "INSERT INTO samples VALUES (3, 1, '', '10', NULL)",
    )
    connection.close()
    desk = Desk.at(path)
    assert [row.mark for row in desk.ledger.verdicts(1)] == [4, 4, 5, 5]
    assert desk.samples.get(3).caption == "machine-written, 4 tries (3 rejected)"


def test_what_was_done_before_can_be_undone_in_the_order_of_time(path: Path) -> None:
    tries = [row for n in (1, 2, 3) for row in shown_at(n, n)]
    connection = first_version(
        path,
        *tries,
        judged(1, 1, 1, "kept", 10),
        judged(2, 2, 2, "kept", 11),
        judged(3, 3, 2, "undone", 12, undoes=2),
        judged(4, 4, 2, "kept", 13, redoes=2),
        judged(5, 5, 3, "rejected", 30),
        judged(6, 6, 3, "undone", 31, undoes=5),
        "INSERT INTO samples VALUES (1, 1, '', '10', '20')",
        "INSERT INTO collections VALUES (2, 'Gone', '00', '25')",
        "INSERT INTO samples VALUES (2, 2, '', '11', NULL)",
    )
    connection.close()
    desk = Desk.at(path)
    assert desk.samples.ids(FIRST) == []
    assert {r.mark for r in desk.ledger.removals(1)} == {3}
    assert desk.ledger.redo().what == "rejected try 3"
    desk.ledger.undo()
    said = []
    while (reversal := desk.ledger.undo()) is not None:
        said.append(reversal.what)
        if reversal.kind == "collection_deleted":
            assert desk.samples.ids(2) == [2]
        if reversal.kind == "removal":
            assert desk.samples.ids(FIRST) == [1]
    assert said == [
        "deleted the collection “Gone”",
        "removed try 1 from “Kept samples”",
        "kept try 2",
        "kept try 1",
    ]
    assert desk.database.row("PRAGMA foreign_key_check") is None


def test_counts_of_deleted_hunts_keep_their_numbers(path: Path) -> None:
    connection = first_version(
        path, "INSERT INTO tombstones VALUES (7, 1, '{}', '01', '02', 5, 1, 2, 0, 2, 1, 1)"
    )
    connection.close()
    desk = Desk.at(path)
    (stone,) = desk.history.tombstones()
    assert stone.counts == Counts(kept=1, rejected=2, unjudged=2, lost=1)
    assert desk.samples.deleted_tries() == 6
