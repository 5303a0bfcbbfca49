"""Libraries of older versions: backed up, brought up to date step by step, or left as they were."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from explorer.errors import LibraryDamagedError, LibraryReadOnlyError
from explorer.library import migrations
from explorer.library.database import Database
from explorer.library.migrations import APPLICATION_ID, MIGRATIONS, Execute
from tests.library.desk import Desk


def m002_stars(execute: Execute) -> None:
    """Stand in for the next step of the schema."""
    execute("ALTER TABLE samples ADD COLUMN stars INTEGER NOT NULL DEFAULT 3")
    execute("CREATE INDEX samples_by_stars ON samples (stars)")


def m003_fails(execute: Execute) -> None:
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
    steps(m002_stars)
    with Database.open(old) as database:
        assert database.value("SELECT stars FROM samples") == 3
        assert database.value("PRAGMA foreign_keys") == 1
    assert version_of(old) == 2
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
    steps(m002_stars, m003_fails)
    with pytest.raises(LibraryDamagedError, match="point nowhere"):
        Database.open(old)
    assert version_of(old) == 2  # the step before it was taken, wholly
    assert version_of(old.with_name("library.sqlite.before-m002.bak")) == 1
    with closing(sqlite3.connect(old)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(samples)")]
        assert "stars" in columns
        assert "colour" not in columns
    steps(m002_stars)
    Database.open(old).close()  # the lock was let go, the file is fine


def test_an_older_library_that_is_only_read_is_migrated_in_memory(old: Path, steps) -> None:
    before = old.read_bytes()
    steps(m002_stars)
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
    steps(m002_stars)
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
