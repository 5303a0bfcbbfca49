"""Backups, going back to one, and that what was deleted is in none of them."""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from datetime import date, timedelta
from pathlib import Path

import pytest

from explorer.core.errors import (
    LibraryBusyError,
    LibraryDamagedError,
    LibraryError,
    LibraryFullError,
)
from explorer.library.storage import backups, rescue
from explorer.library.storage.backups import back_up, is_due
from explorer.library.storage.database import Database
from tests.library.desk import Desk
from tests.library.storage.test_integrity import change

TODAY = date(2026, 3, 4)
SECRET = "a secret that nobody else shall read"


def silent(_fraction: float, _words: str) -> None:
    """Report progress to nobody."""


def texts(path: Path) -> list[str]:
    with Database.open(path) as database:
        desk = Desk(database)
        return sorted(s.text for s in desk.samples.page(desk.samples.ids(1)))


@pytest.fixture
def filled(path: Path) -> Path:
    desk = Desk.at(path)
    desk.kept(desk.hunt(), "kept first")
    desk.database.close()
    return path


def test_one_a_day_beside_a_window_that_writes(desk: Desk, path: Path) -> None:
    desk.kept(desk.hunt(), "in the log still")
    assert is_due(path, TODAY)
    made = back_up(silent, path, TODAY)
    assert made == path.parent / "backups" / "library-2026-03-04.sqlite"
    assert not is_due(path, TODAY)
    assert is_due(path, TODAY + timedelta(days=1))
    desk.kept(desk.hunt(), "later")
    assert texts(made) == ["in the log still"]


def test_seven_stay(filled: Path) -> None:
    for day in range(10):
        back_up(silent, filled, TODAY + timedelta(days=day))
    left = [each.day for each in backups.backups(filled)]
    assert left == [TODAY + timedelta(days=day) for day in range(9, 2, -1)]


def test_together_they_take_what_is_allowed(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = back_up(silent, filled, TODAY).stat().st_size
    monkeypatch.setattr(backups, "allowance", lambda _library: int(size * 2.5))
    for day in range(1, 5):
        back_up(silent, filled, TODAY + timedelta(days=day))
    assert len(backups.backups(filled)) == 2
    monkeypatch.setattr(backups, "allowance", lambda _library: size - 1)
    with pytest.raises(LibraryFullError, match="too little room"):
        back_up(silent, filled, TODAY + timedelta(days=9))
    assert len(backups.backups(filled)) == 2


def test_the_allowance_is_a_tenth_of_the_free_space_or_two_gigabytes(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _place: usage(0, 0, 1_000))
    assert backups.allowance(filled) == 100
    monkeypatch.setattr("shutil.disk_usage", lambda _place: usage(0, 0, 10**15))
    assert backups.allowance(filled) == 2_000_000_000


def test_a_damaged_library_makes_no_older_backup_go(filled: Path) -> None:
    for day in range(7):
        back_up(silent, filled, TODAY + timedelta(days=day))
    change(filled, "DELETE FROM completions")
    with pytest.raises(LibraryDamagedError, match="without a text"):
        back_up(silent, filled, TODAY + timedelta(days=8))
    assert len(backups.backups(filled)) == 7
    assert not list(backups.folder_of(filled).glob("*.part*"))


def test_what_a_killed_backup_left_goes_with_the_next(filled: Path) -> None:
    folder = backups.folder_of(filled)
    folder.mkdir()
    left = folder / "library-2026-01-01.sqlite.part"
    left.write_bytes(b"half")
    back_up(silent, filled, TODAY)
    assert not left.exists()


# Going back


def test_a_backup_takes_the_place_of_the_library_which_is_kept_aside(filled: Path) -> None:
    made = back_up(silent, filled, TODAY)
    with Database.open(filled) as database:
        desk = Desk(database)
        desk.kept(desk.hunt(), "kept later")
        with pytest.raises(LibraryBusyError):
            rescue.restore(filled, made)
    aside = rescue.restore(filled, made)
    assert texts(filled) == ["kept first"]
    assert texts(aside) == ["kept first", "kept later"]


def test_an_unsound_backup_changes_nothing(filled: Path) -> None:
    made = back_up(silent, filled, TODAY)
    change(made, "DROP TABLE verdicts")
    with pytest.raises(LibraryDamagedError):
        rescue.restore(filled, made)
    with pytest.raises(LibraryError, match="no backup"):
        rescue.restore(filled, made.with_name("absent"))
    assert texts(filled) == ["kept first"]
    assert not (filled.parent / "kept-aside").exists()


def test_a_damaged_library_is_kept_with_its_log(desk: Desk, path: Path, tmp_path: Path) -> None:
    made = back_up(silent, path, TODAY)
    desk.kept(desk.hunt(), "only in the log")
    place = tmp_path / "killed" / "library.sqlite"
    place.parent.mkdir()
    for suffix in ("", "-wal"):
        file = place.with_name(place.name + suffix)
        file.write_bytes(path.with_name(path.name + suffix).read_bytes())
    aside = rescue.restore(place, made)
    assert texts(aside) == ["only in the log"]
    assert texts(place) == []


def test_a_new_library_is_begun_and_the_old_one_kept(filled: Path) -> None:
    aside = rescue.start_anew(filled)
    assert texts(filled) == []
    assert texts(aside) == ["kept first"]


# What was deleted (RULES 16)


def test_rule_16_what_was_deleted_is_in_no_backup_and_nothing_kept_aside(path: Path) -> None:
    desk = Desk.at(path)
    stays = desk.hunt("what stays")
    desk.kept(stays, "stays")
    secret = desk.hunt(SECRET)
    desk.kept(secret, SECRET, rejected=2)
    desk.database.close()
    for day in range(3):
        back_up(silent, path, TODAY + timedelta(days=day))
    rescue.restore(path, backups.backups(path)[0].path)
    with Database.open(path) as database:
        Desk(database).history.delete(secret.id)
    for file in path.parent.rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes(), file
    for backup in backups.backups(path):
        with Database.open(backup.path) as database:
            (tombstone,) = Desk(database).history.tombstones()
            assert tombstone.counts.tries == 3
            assert len(Desk(database).samples.ids(1)) == 1
    assert len(backups.backups(path)) == 3


def test_rule_16_another_hunt_of_the_same_number_stays(path: Path) -> None:
    desk = Desk.at(path)
    desk.kept(desk.hunt("first"), "of the first")
    desk.database.close()
    made = back_up(silent, path, TODAY)
    rescue.start_anew(path)
    other = Desk(Database.open(path), now=lambda: "2027-01-01T00:00:00.000000Z")
    hunt = other.hunt("another one, of the same number")
    other.kept(hunt)
    other.history.delete(hunt.id)
    other.database.close()
    assert texts(made) == ["of the first"]


def test_rule_16_a_deletion_that_was_cut_short_reaches_the_backups_at_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk.at(path)
    secret = desk.hunt(SECRET)
    desk.kept(secret, SECRET)
    made = back_up(silent, path, TODAY)
    monkeypatch.setattr(Database, "erase_deleted", lambda _self: None)
    desk.history.delete(secret.id)
    desk.database.close()
    assert SECRET.encode() in made.read_bytes()
    Database.open(path).close()
    assert SECRET.encode() not in made.read_bytes()


def test_rule_16_a_backup_that_cannot_be_rewritten_goes_and_a_damaged_one_aside_is_named(
    path: Path,
) -> None:
    desk = Desk.at(path)
    secret = desk.hunt(SECRET)
    desk.kept(secret, SECRET)
    made = back_up(silent, path, TODAY)
    made.write_bytes(b"nothing that SQLite knows" + SECRET.encode())
    aside = path.parent / "kept-aside" / "then" / path.name
    aside.parent.mkdir(parents=True)
    aside.write_bytes(made.read_bytes())
    with pytest.raises(LibraryError, match="kept aside") as error:
        desk.history.delete(secret.id)
    assert str(aside) in str(error.value)
    assert not made.exists()
    desk.database.close()


def test_a_copy_that_is_made_waits_for_no_writer(desk: Desk, path: Path) -> None:
    desk.kept(desk.hunt(), "kept")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert texts_of_copy(back_up(silent, path, TODAY)) == 1
    other.close()


def texts_of_copy(path: Path) -> int:
    with Database.open(path, writable=False) as database:
        return len(Desk(database).samples.ids(1))
