"""A library that is taken away while it is open: nothing acknowledged is lost, nothing goes on."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.core.errors import InputError, LibraryError, LibraryLostError
from explorer.library.storage.database import Database
from tests.library.desk import Desk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="an open file stays in its place")


def removed(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere.sqlite"))


def replaced(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copyfile(path, copy)
    copy.replace(path)


def without_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def with_another_log(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    log.unlink()
    log.write_bytes(b"")


def without_shared_memory(path: Path) -> None:
    path.with_name(path.name + "-shm").unlink()


def folder_removed(path: Path) -> None:
    shutil.rmtree(path.parent)


ALL = [
    removed, moved, replaced, without_log, with_another_log, without_shared_memory, folder_removed
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "library.sqlite"


@pytest.mark.parametrize("harm", ALL)
def test_what_is_taken_away_is_not_written_but_read_and_saved_anew(
    desk: Desk, path: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    hunt = desk.hunt()
    desk.kept(hunt, "kept before")
    harm(path)
    with pytest.raises(LibraryLostError) as error:
        desk.attempt(hunt)
    assert str(error.value).endswith("new library.")
    assert str(path) in str(error.value)
    assert desk.database.reason == str(error.value)
    assert [s.text for s in desk.samples.page(desk.samples.ids(1))] == ["kept before"]
    target = tmp_path / "saved" / "new.sqlite"
    version = desk.database.version
    desk.database.save_as(target)
    assert desk.database.version != version
    assert (desk.database.path, desk.database.reason) == (target, "")
    assert desk.samples.library == target
    desk.kept(hunt, "kept after")
    desk.database.close()
    with Database.open(target) as database:
        again = Desk(database)
        texts = [s.text for s in again.samples.page(again.samples.ids(1))]
        assert sorted(texts) == ["kept after", "kept before"]


@pytest.mark.parametrize("harm", [removed, moved, folder_removed])
def test_it_may_be_saved_where_it_was(desk: Desk, path: Path, harm: Callable[[Path], None]) -> None:
    desk.kept(desk.hunt(), "kept before")
    harm(path)
    assert desk.database.check_place()
    desk.database.save_as(path)
    assert desk.database.check_place() == ""
    desk.kept(desk.hunt("Twice"))
    desk.database.close()
    with Database.open(path) as database:
        assert len(Desk(database).samples.ids(1)) == 2


def test_a_transaction_under_way_is_nothing_when_the_file_goes(desk: Desk, path: Path) -> None:
    hunt = desk.hunt()

    def shown_and_gone() -> None:
        with desk.database.transaction():
            desk.shown(hunt)
            removed(path)

    with pytest.raises(LibraryLostError):
        shown_and_gone()
    assert desk.ledger.tries(hunt.id) == []


def test_a_statement_of_its_own_is_a_commit_too(desk: Desk, path: Path) -> None:
    key = desk.kept(desk.hunt())
    removed(path)
    with pytest.raises(LibraryLostError):
        desk.samples.set_note(key, "a note")


def test_what_comes_back_is_written_again(desk: Desk, path: Path) -> None:
    hunt = desk.hunt()
    away = path.with_name("away")
    path.rename(away)
    with pytest.raises(LibraryLostError):
        desk.shown(hunt)
    away.rename(path)
    desk.kept(hunt)
    assert desk.database.reason == ""


def test_a_log_that_was_removed_has_moved_into_the_file_at_once(desk: Desk, path: Path) -> None:
    desk.kept(desk.hunt(), "acknowledged")
    without_log(path)
    assert desk.database.check_place()
    # As after a kill: nobody closes anything.
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(path.read_bytes())
    with Database.open(copy) as database:
        assert [s.text for s in Desk(database).samples.page([1])] == ["acknowledged"]


def test_closing_harms_nothing_of_the_library_that_took_its_place(desk: Desk, path: Path) -> None:
    desk.kept(desk.hunt(), "the first")
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("CREATE TABLE mine (a)")
    assert desk.database.check_place()
    desk.database.close()
    assert path.with_name(path.name + "-wal").exists()
    assert other.execute("SELECT count(*) FROM mine").fetchone() == (0,)
    other.close()


def test_nothing_that_is_there_is_overwritten(desk: Desk, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "taken.sqlite"
    for taken in (target, target.with_name(target.name + "-wal")):
        taken.write_bytes(b"mine")
        with pytest.raises(InputError, match="is there already"):
            desk.database.save_as(target)
        assert taken.read_bytes() == b"mine"
        taken.unlink()
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(LibraryError):
        desk.database.save_as(blocked / "new.sqlite")
    desk.kept(desk.hunt())  # it goes on where it was


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EHOSTDOWN, errno.ENOENT])
def test_a_server_that_went_away_is_said_with_its_reason(
    desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    stat = os.stat

    def gone(where: object, *more: object, **how: object) -> os.stat_result:
        if Path(str(where)).is_relative_to(path.parent):
            raise OSError(code, os.strerror(code), str(where))
        return stat(where, *more, **how)

    monkeypatch.setattr(os, "stat", gone)
    with pytest.raises(LibraryLostError) as error:
        desk.hunt()
    assert code == errno.ENOENT or os.strerror(code) in str(error.value)
    monkeypatch.undo()
    desk.hunt()  # it came back
