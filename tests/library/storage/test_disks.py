"""Disks that lack something, locks that are held or lost, and what the library says of it."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.core.errors import LibraryBusyError, LibraryError, LibraryFullError
from explorer.library.storage import connection as connection_module
from explorer.library.storage import opening
from explorer.library.storage.connection import WINDOW_SECONDS
from explorer.library.storage.database import Database
from explorer.system import lock as lock_module
from tests.library.desk import Desk
from tests.library.storage.small_disk import fill, small_disk

ROOT = Path(__file__).resolve().parents[3]
LONG = WINDOW_SECONDS * 4
"""More than a person may be kept waiting, for a slow machine; far less than the old ten seconds."""


@contextlib.contextmanager
def held(path: Path, how: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Another program holds a lock on the library."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("SELECT count(*) FROM tries")
    other.execute(how)
    try:
        yield other
    finally:
        other.close()


# Another program's lock


def test_a_write_lock_of_another_program_is_said_fast_and_nothing_is_lost(
    desk: Desk, path: Path
) -> None:
    hunt = desk.hunt()
    with held(path):
        began = time.perf_counter()
        with pytest.raises(LibraryBusyError):
            desk.shown(hunt)
        first = time.perf_counter() - began
        for _ in range(20):  # what a window asks next does not wait again
            with pytest.raises(LibraryBusyError):
                desk.shown(hunt)
        assert desk.ledger.tries(hunt.id) == []
        assert first < LONG
        assert time.perf_counter() - began < first + LONG
    desk.kept(hunt)
    assert len(desk.samples.ids(1)) == 1


def test_who_was_let_in_waits_again(desk: Desk, path: Path) -> None:
    waits = round(WINDOW_SECONDS * 1000)
    assert desk.database.value("PRAGMA busy_timeout") == waits
    with held(path), pytest.raises(LibraryBusyError):
        desk.hunt()
    assert desk.database.value("PRAGMA busy_timeout") in (0, waits)
    desk.hunt()
    assert desk.database.value("PRAGMA busy_timeout") == waits


def test_a_command_waits_longer(path: Path) -> None:
    with Database.open(path, patience=30.0) as database:
        assert database.value("PRAGMA busy_timeout") == 30_000


def test_opening_does_not_wait_long_either(path: Path) -> None:
    Database.open(path).close()
    with held(path):
        began = time.perf_counter()
        with pytest.raises(LibraryBusyError) as error:
            Database.open(path)
        assert time.perf_counter() - began < 2 * LONG
    assert "Another program holds" in str(error.value)
    Database.open(path).close()


# The writer's lock


def test_a_lock_file_that_is_deleted_lets_nobody_in(desk: Desk, path: Path) -> None:
    lock = path.with_name(path.name + ".lock")
    lock.unlink()
    for _ in range(2):  # the first attempt makes a new lock file
        with pytest.raises(LibraryBusyError, match="already runs"):
            Database.open(path)
    desk.kept(desk.hunt())
    desk.database.close()
    Database.open(path).close()


def test_another_process_is_not_let_in_either(desk: Desk, path: Path) -> None:
    path.with_name(path.name + ".lock").unlink()
    code = (
        "import sys; from pathlib import Path;"
        "from explorer.library.storage.database import Database;"
        "Database.open(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "LibraryBusyError" in done.stderr


def test_a_lock_file_that_is_replaced_while_it_is_taken_is_taken_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = path.with_name("lock")
    take, taken = lock_module._try_lock, []

    def overtaken(descriptor: int) -> None:
        take(descriptor)
        taken.append(descriptor)
        if len(taken) == 1:
            lock.unlink()
            lock.touch()

    monkeypatch.setattr(lock_module, "_try_lock", overtaken)
    with lock_module.FileLock(lock):
        assert lock_module.is_held(lock)


def test_a_reader_knows_whether_a_writer_is_there(path: Path) -> None:
    desk = Desk.at(path)
    with Database.open(path, writable=False) as reader:
        assert reader.written_elsewhere
        assert not desk.database.written_elsewhere
        desk.database.close()
        assert not reader.written_elsewhere


def test_a_reader_knows_of_a_writer_whose_lock_file_was_deleted(desk: Desk, path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux can be asked")
    path.with_name(path.name + ".lock").unlink()
    with Database.open(path, writable=False) as reader:
        assert reader.written_elsewhere
    assert desk.database.value("SELECT count(*) FROM tries") == 0


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_only_read_and_the_reason_is_true(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    desk = Desk.at(path)
    desk.kept(desk.hunt(), "still here")
    desk.database.close()

    def refuse(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock_module, "_try_lock", refuse)
    with Database.open(path) as database:
        assert "nothing can be locked" in database.reason
        assert os.strerror(code) in database.reason
        assert [s.text for s in Desk(database).samples.page([1])] == ["still here"]


def test_a_disk_that_grants_everybody_the_same_lock_is_only_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "_try_lock", lambda _descriptor: None)
    with Database.open(path) as database:
        assert "nothing can be locked" in database.reason


# Shared memory


@pytest.fixture
def no_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own layer for disks without it: it knows no locks either."""
    connect = connection_module.connect
    for module in (connection_module, opening):
        monkeypatch.setattr(
            module,
            "connect",
            lambda path, options, patience: connect(path, f"{options}&vfs=unix-none", patience),
        )


@pytest.mark.skipif(sys.platform == "win32", reason="that layer is of Unix")
@pytest.mark.usefixtures("no_shared_memory")
def test_without_shared_memory_a_rollback_journal_takes_the_place_of_the_log(path: Path) -> None:
    with Database.open(path) as database:
        assert not database.read_only
        assert database.value("PRAGMA journal_mode") == "truncate"
        assert database.value("PRAGMA synchronous") == 2
        assert "without memory that programs can share" in database.remark
        desk = Desk(database)
        desk.kept(desk.hunt(), "kept")
    with Database.open(path) as database:
        desk = Desk(database)
        assert "kept" in [s.text for s in desk.samples.page(desk.samples.ids(1))]


def test_a_log_that_needs_shared_memory_is_taken_over(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("that layer is of Unix")
    desk = Desk.at(tmp_path / "first.sqlite")
    desk.kept(desk.hunt(), "only in the log")
    for suffix in ("", "-wal"):  # as if it had been killed
        source = tmp_path / ("first.sqlite" + suffix)
        path.with_name(path.name + suffix).write_bytes(source.read_bytes())
    desk.database.close()
    connect = connection_module.connect
    monkeypatch.setattr(
        opening,
        "connect",
        lambda path, options, patience: connect(path, f"{options}&vfs=unix-none", patience),
    )
    with Database.open(path) as database:
        assert not database.read_only
        assert database.value("PRAGMA journal_mode") == "truncate"
        assert [s.text for s in Desk(database).samples.page([1])] == ["only in the log"]
    monkeypatch.undo()
    with Database.open(path) as database:  # back on a disk that has it
        assert database.value("PRAGMA journal_mode") == "wal"
        assert database.remark == ""


# A full disk


def test_a_full_disk_at_the_start_is_called_one_and_the_library_is_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "library.sqlite"
        desk = Desk.at(path)
        desk.kept(desk.hunt(), "still here")
        desk.database.close()
        filling = fill(disk)
        with Database.open(path) as database:
            assert "The disk is full" in database.reason
            again = Desk(database)
            assert [s.text for s in again.samples.page(again.samples.ids(1))] == ["still here"]
        filling.unlink()
        with Database.open(path) as database:
            assert database.reason == ""


def test_a_full_disk_with_a_killed_programs_log_is_read_too(tmp_path: Path) -> None:
    desk = Desk.at(tmp_path / "library.sqlite")
    desk.kept(desk.hunt(), "only in the log")
    with small_disk(tmp_path / "disk") as disk:
        for suffix in ("", "-wal"):
            name = "library.sqlite" + suffix
            (disk / name).write_bytes((tmp_path / name).read_bytes())
        fill(disk)
        with Database.open(disk / "library.sqlite") as database:
            assert "The disk is full" in database.reason
            assert [s.text for s in Desk(database).samples.page([1])] == ["only in the log"]
    desk.database.close()


def test_a_new_library_on_a_full_disk_is_an_empty_one_to_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        with Database.open(disk / "library.sqlite") as database:
            assert "The disk is full" in database.reason
            assert Desk(database).samples.ids(1) == []


def test_a_disk_that_becomes_full_says_so_at_the_verdict(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        desk = Desk.at(disk / "library.sqlite")
        hunt = desk.hunt()
        filling = fill(disk)
        with pytest.raises(LibraryFullError, match="disk is full"):
            desk.kept(hunt, "x" * 100_000)
        filling.unlink()
        desk.kept(hunt, "x" * 100_000)
        desk.database.close()


def test_an_io_error_that_is_none_of_a_full_disk_stays_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    with pytest.raises(LibraryError, match="disk I/O error"), connection_module.explained(path):
        raise error
    monkeypatch.setattr(connection_module, "refusal", lambda _path: connection_module.FULL)
    with pytest.raises(LibraryFullError), connection_module.explained(path):
        raise error
