"""Opening a library, in every state that one is found in; transactions; the lock."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.errors import (
    LibraryBusyError,
    LibraryDamagedError,
    LibraryError,
    LibraryReadOnlyError,
    LibraryTooNewError,
)
from explorer.library.storage import database as database_module
from explorer.library.storage.database import Database, clean
from tests.library.desk import Desk

ROOT = Path(__file__).resolve().parents[3]


def sentence(error: pytest.ExceptionInfo[BaseException]) -> str:
    """Return what a person reads; one line that ends as a sentence does."""
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_a_new_library_is_made_with_its_folder(tmp_path: Path) -> None:
    with Database.open(tmp_path / "new" / "folder" / "library.sqlite") as database:
        assert not database.read_only
        assert database.reason == ""
        assert database.value("SELECT count(*) FROM collections") == 1
    assert (tmp_path / "new" / "folder" / "library.sqlite").is_file()


def test_a_commit_waits_for_the_disk_and_deleted_bytes_are_overwritten(desk: Desk) -> None:
    pragmas = {
        name: desk.database.value(f"PRAGMA {name}")
        for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    }
    full, on = 2, 1
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": on,
        "secure_delete": on,
    }


def create_and_fail(desk: Desk, name: str) -> None:
    with desk.database.transaction():
        desk.collections.create(name)
        raise ZeroDivisionError


def test_a_transaction_is_whole_or_nothing(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError):
        create_and_fail(desk, "half")
    assert [each.name for each in desk.collections.list()] == ["Kept samples"]
    with desk.database.transaction():
        desk.collections.create("whole")
    assert [each.name for each in desk.collections.list()] == ["Kept samples", "whole"]


def test_nested_transactions_commit_once_and_fail_alone(desk: Desk, path: Path) -> None:
    with Database.open(path, writable=False) as reader:
        with desk.database.transaction():
            with desk.database.transaction():
                desk.collections.create("first")
            with pytest.raises(ZeroDivisionError):
                create_and_fail(desk, "second")
            desk.collections.create("third")
            assert reader.value("SELECT count(*) FROM collections") == 1
        assert reader.value("SELECT count(*) FROM collections") == 3
    assert [each.name for each in desk.collections.list()][1:] == ["first", "third"]


def test_a_bug_is_not_dressed_up_as_a_broken_library(desk: Desk) -> None:
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        desk.database.rows("SELECT * FROM nonsense")
    with pytest.raises(sqlite3.IntegrityError):
        desk.ledger.begin_try(hunt_id=404, index=0, lane=0, device="cpu", versions={})


# Two at once


def test_a_second_instance_in_this_process_is_noticed(desk: Desk, path: Path) -> None:
    with pytest.raises(LibraryBusyError) as error:
        Database.open(path)
    assert str(os.getpid()) in sentence(error)
    desk.database.close()
    Database.open(path).close()


def test_a_second_process_is_noticed_and_may_read(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from explorer.library.storage.database import Database;"
        "database = Database.open(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(LibraryBusyError) as error:
            Database.open(path)
        assert f"process {process.pid}" in sentence(error)
        with Database.open(path, writable=False) as reader:
            assert reader.value("SELECT count(*) FROM collections") == 1
            with pytest.raises(LibraryReadOnlyError):
                reader.execute("DELETE FROM collections")
        process.kill()
        process.wait()
        Database.open(path).close()  # a lock dies with its process


def test_any_change_by_anybody_is_another_version(desk: Desk, path: Path) -> None:
    with Database.open(path, writable=False) as reader:
        versions = [(desk.database.version, reader.version)]
        assert versions == [(desk.database.version, reader.version)]
        desk.collections.create("new")
        assert versions[0][0] != desk.database.version
        assert versions[0][1] != reader.version


# Files that are not what they should be


def test_a_library_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    Database.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=999")
    connection.close()
    before = path.read_bytes()
    for writable in (True, False):
        with pytest.raises(LibraryTooNewError) as error:
            Database.open(path, writable=writable)
        assert "999" in sentence(error)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one" * 100, b"short"])
def test_a_file_of_another_kind_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for writable in (True, False):
        with pytest.raises(LibraryDamagedError) as error:
            Database.open(path, writable=writable)
        assert str(path) in sentence(error)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LibraryDamagedError, match="not a library of Sample Explorer"):
        Database.open(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_library(path: Path) -> None:
    path.touch()
    with Database.open(path) as database:
        assert database.value("SELECT count(*) FROM collections") == 1


def test_a_truncated_library_is_refused(path: Path) -> None:
    desk = Desk.at(path)
    hunt = desk.hunt()
    for _ in range(50):
        desk.kept(hunt, "a sentence of some length " * 40)
    desk.database.close()
    whole = path.read_bytes()
    for part in (len(whole) // 2, 1000):
        path.write_bytes(whole[:part])
        with pytest.raises(LibraryDamagedError) as error:
            Database.open(path)
        sentence(error)
    path.write_bytes(whole)
    Database.open(path).close()


def test_damage_that_is_found_later_is_said_then(path: Path) -> None:
    desk = Desk.at(path)
    hunt = desk.hunt()
    for _ in range(50):
        desk.kept(hunt, "a sentence of some length " * 40)
    desk.database.close()
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))
    with pytest.raises(LibraryDamagedError) as error, Database.open(path) as database:
        Desk(database).ledger.tries(hunt.id)
    sentence(error)


def test_a_folder_in_its_place_is_an_error_that_can_be_acted_on(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LibraryError) as error:
        Database.open(path)
    assert str(path) in sentence(error)


def test_a_full_disk_saves_nothing_and_says_so(desk: Desk) -> None:
    hunt = desk.hunt()
    pages = desk.database.value("PRAGMA page_count")
    desk.database.value(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(LibraryError, match="disk is full"):
        desk.kept(hunt, "x" * 100_000)
    desk.database.value(f"PRAGMA max_page_count={pages + 10_000}")
    # The try began before the disk was full; its end and verdict were not saved.
    assert [each.end for each in desk.ledger.tries(hunt.id)] == [None]
    desk.kept(hunt, "x" * 100_000)
    assert len(desk.samples.ids(1)) == 1


# A disk that cannot be written


def test_on_a_read_only_disk_a_library_is_read(sealed) -> None:
    path = sealed.folder / "library.sqlite"
    desk = Desk.at(path)
    desk.kept(desk.hunt(), "still here")
    desk.database.close()
    with sealed.closed(), Database.open(path) as database:
        assert database.read_only
        assert "Permission denied" in database.reason
        again = Desk(database)
        assert [each.text for each in again.samples.page(again.samples.ids(1))] == ["still here"]
        assert again.ledger.reason == database.reason
        assert again.ledger.close_crashed() == 0
        for write in (again.hunt, lambda: again.samples.remove(1), again.ledger.undo):
            with pytest.raises(LibraryReadOnlyError) as error:
                write()
            assert sentence(error) == database.reason
        assert sorted(each.name for each in sealed.folder.iterdir()) == [
            "library.sqlite",
            "library.sqlite.lock",
        ]


def test_on_a_read_only_disk_what_a_killed_program_left_in_the_log_is_read_too(
    sealed, tmp_path: Path
) -> None:
    desk = Desk.at(tmp_path / "library.sqlite")
    desk.kept(desk.hunt(), "only in the log")
    for suffix in ("", "-wal"):  # as if it had been killed here
        name = "library.sqlite" + suffix
        (sealed.folder / name).write_bytes((tmp_path / name).read_bytes())
    desk.database.close()
    with sealed.closed(), Database.open(sealed.folder / "library.sqlite") as database:
        again = Desk(database)
        assert database.read_only
        assert [s.text for s in again.samples.page(again.samples.ids(1))] == ["only in the log"]


def test_on_a_read_only_disk_a_missing_library_is_an_empty_one(sealed) -> None:
    with (
        sealed.closed(),
        Database.open(sealed.folder / "data" / "library.sqlite") as database,
    ):
        assert database.read_only
        assert Desk(database).samples.ids(1) == []
        with pytest.raises(LibraryReadOnlyError):
            Desk(database).hunt()


def test_a_library_file_that_alone_is_read_only_is_read(sealed) -> None:
    path = sealed.folder / "library.sqlite"
    Database.open(path).close()
    with sealed.closed(folder=0o777, files=0o444, lock=0o666), Database.open(path) as database:
        assert database.read_only
        assert "readonly" in database.reason
        with pytest.raises(LibraryReadOnlyError):
            Desk(database).hunt()


def test_a_library_that_may_not_be_read_is_an_error(sealed) -> None:
    path = sealed.folder / "library.sqlite"
    Database.open(path).close()
    with sealed.closed(files=0o000), pytest.raises(LibraryError) as error:
        Database.open(path)
    assert str(path) in sentence(error)


# Text


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_one_that_a_file_can_hold(text: str) -> None:
    stored = clean(text)
    stored.encode()
    if not any(0xD800 <= ord(sign) < 0xE000 for sign in text):
        assert stored == text


def test_times_are_in_text_order() -> None:
    times = []
    for _ in range(3):
        times.append(database_module.utc_now())
        time.sleep(0.001)
    assert times == sorted(set(times))


def test_a_library_in_memory_may_be_written_unless_there_is_a_reason(tmp_path: Path) -> None:
    with Database.in_memory() as database:
        Desk(database).kept(Desk(database).hunt())
        assert len(Desk(database).samples.ids(1)) == 1
    with Database.in_memory("Because.") as database:
        with pytest.raises(LibraryReadOnlyError, match=r"Because\."):
            Desk(database).hunt()
        assert Desk(database).samples.ids(1) == []


def test_the_reason_for_reading_only_is_the_one_given(desk: Desk, path: Path) -> None:
    with (
        Database.open(path, writable=False, reason="Another window has it.") as database,
        pytest.raises(LibraryReadOnlyError, match="Another window"),
    ):
        Desk(database).hunt()


def test_no_statement_numbers_its_question_marks() -> None:
    files = sorted((ROOT / "explorer").rglob("*.py"))
    assert ROOT / "explorer" / "__init__.py" in files
    assert [file.name for file in files if re.search(r"\?[1-9]", file.read_text("utf-8"))] == []
