"""What the checks find, and that they find nothing where nothing is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from explorer.core.errors import LibraryDamagedError
from explorer.library.storage import integrity
from explorer.library.storage.access import open_or_stand_in
from explorer.library.storage.care_jobs import problems_of
from explorer.library.storage.database import Database
from tests.library.desk import Desk

ROWS = [
    ("UPDATE prompts SET text = CAST(x'ff41' AS TEXT)", "not UTF-8"),
    ("UPDATE models SET id = 9223372036854775807", "nobody gave"),
    ("UPDATE hunts SET seed = 'x'", "seeds"),
    ("UPDATE hunts SET recipe = 'no JSON'", "recipes"),
    ("UPDATE hunts SET next_index = 0", "next number"),
    ("UPDATE tries SET versions_json = '{'", "versions"),
    ("UPDATE tries SET lane = 'left'", "wrong type"),
    ("UPDATE tries SET lane = 1e300 WHERE id = 1", "wrong type"),
    ("UPDATE models SET manifest_json = x'00'", "wrong type"),
    ("UPDATE prompts SET ids = x'000102'", "tokens"),
    ("DROP TRIGGER verdicts_are_append_only; UPDATE verdicts SET verdict = 'loved';"
     " CREATE TRIGGER verdicts_are_append_only BEFORE UPDATE ON verdicts\n"
     "        BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END", "as they must be"),
    ("DELETE FROM completions WHERE try_id = 1", "without a text"),
    ("DELETE FROM verdicts; DELETE FROM samples; DELETE FROM tries WHERE id = 1", "point at no"),
]  # fmt: skip
STRUCTURE = [
    "DROP TABLE completions",
    "DROP VIEW standing",
    "DROP INDEX verdicts_by_try",
    "DROP TRIGGER ends_are_append_only",
    "ALTER TABLE tries RENAME COLUMN lane TO street",
]
HEADERS = ["PRAGMA user_version=-1", "PRAGMA application_id=77", "PRAGMA user_version=0"]


@pytest.fixture
def filled(path: Path) -> Path:
    """A closed library with one kept try and three others."""
    desk = Desk.at(path)
    desk.kept(desk.hunt(), rejected=3)
    desk.database.close()
    return path


def change(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA ignore_check_constraints=ON")
    connection.executescript(sql)
    connection.close()


def test_a_sound_library_has_no_problem(filled: Path) -> None:
    assert problems_of(filled) == []
    with Database.open(filled) as database:
        assert database.damage == ""
    opened = open_or_stand_in(filled)
    opened.database.close()
    assert opened.kind == "sound"


@pytest.mark.parametrize(("sql", "said"), ROWS)
def test_damaged_rows_are_found_and_the_rest_is_written_on(
    filled: Path, sql: str, said: str
) -> None:
    change(filled, sql)
    assert any(said in problem for problem in problems_of(filled))
    opened = open_or_stand_in(filled)
    with opened.database as database:
        assert not database.read_only
        if "point at" not in said:  # what points nowhere is for the full check
            assert opened.kind == "rows"
            assert said in opened.trouble
            assert opened.trouble.endswith(".")


@pytest.mark.parametrize("sql", [*STRUCTURE, *HEADERS])
def test_what_is_no_library_of_ours_any_more_is_damaged(filled: Path, sql: str) -> None:
    change(filled, sql)
    before = filled.read_bytes()
    for writable in (True, False):
        with pytest.raises(LibraryDamagedError) as error:
            Database.open(filled, writable=writable)
        assert str(error.value).endswith(".")
    assert filled.read_bytes() == before
    with open_or_stand_in(filled).database as database:
        assert database.read_only


def test_what_others_add_is_theirs(filled: Path) -> None:
    change(filled, "CREATE TABLE mine (a); ALTER TABLE samples ADD COLUMN stars INTEGER; ANALYZE")
    assert problems_of(filled) == []
    Database.open(filled).close()


def test_damage_that_is_met_later_is_called_that(path: Path) -> None:
    desk = Desk.at(path)
    hunt = desk.hunt()
    desk.attempt(hunt)
    change(path, "DROP TABLE completions")
    with pytest.raises(LibraryDamagedError, match="completions"):
        desk.attempt(hunt)
    desk.database.close()


def test_a_number_is_never_given_twice_though_the_next_one_is_damaged(path: Path) -> None:
    desk = Desk.at(path)
    hunt = desk.hunt()
    desk.attempt(hunt)
    change(path, "UPDATE hunts SET next_index = 0")
    desk.attempt(hunt)
    assert [each.index for each in desk.ledger.tries(hunt.id)] == [0, 1]
    desk.database.close()


def test_a_damaged_tombstone_hides_no_other(path: Path) -> None:
    desk = Desk.at(path)
    for _ in range(2):
        hunt = desk.hunt()
        desk.kept(hunt)
        desk.history.delete(hunt.id)
    change(path, "UPDATE tombstones SET kept = x'' WHERE hunt_id = 1")
    assert sorted(stone.counts.kept for stone in desk.history.tombstones()) == [0, 1]
    desk.database.close()


def test_the_light_check_reads_the_newest_rows_only(path: Path) -> None:
    desk = Desk.at(path)
    first = desk.hunt("first")
    desk.attempt(first)
    for number in range(integrity.NEWEST + 1):
        desk.hunt(f"prompt {number}")
    desk.database.close()
    change(path, "UPDATE hunts SET recipe = '' WHERE id = 1")
    with Database.open(path) as database:
        assert database.damage == ""
    assert "recipes" in problems_of(path)[0]
