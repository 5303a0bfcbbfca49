"""Row by row out of a damaged library: what can be read is saved, what cannot is counted."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from explorer.core.errors import InputError, LibraryDamagedError, LibraryError
from explorer.library.storage import rescue
from explorer.library.storage.care_jobs import problems_of
from explorer.library.storage.database import Database
from explorer.library.storage.mending import LOST
from explorer.library.storage.salvage import salvage
from tests.library.desk import Desk
from tests.library.storage.test_backups import texts
from tests.library.storage.test_integrity import HEADERS, ROWS, change


@pytest.fixture
def filled(path: Path) -> Path:
    """Twenty hunts of ten tries, one kept each."""
    desk = Desk.at(path)
    with desk.database.transaction():
        for number in range(20):
            desk.kept(desk.hunt(f"prompt {number}"), f"kept {number} " * 40, rejected=9)
    desk.database.close()
    return path


def new(path: Path) -> Path:
    return path.with_name("new.sqlite")


def test_a_sound_library_comes_out_whole(filled: Path) -> None:
    salvaged = salvage(filled, new(filled))
    assert salvaged.whole
    assert salvaged.tables["tries"].saved == 200
    assert texts(new(filled)) == texts(filled)


def test_numbers_that_were_given_are_not_given_again(filled: Path) -> None:
    with Database.open(filled) as database:
        Desk(database).history.delete(20)
    salvage(filled, new(filled))
    with Database.open(new(filled)) as database:
        assert Desk(database).hunt("a new one").id == 21
        assert len(Desk(database).history.tombstones()) == 1


@pytest.mark.parametrize(("sql", "_said"), ROWS)
def test_damaged_rows_are_mended_or_left_out_and_counted(
    filled: Path, sql: str, _said: str
) -> None:
    change(filled, sql)
    before = filled.read_bytes()
    salvaged = salvage(filled, new(filled))
    assert filled.read_bytes() == before
    assert problems_of(new(filled)) == []
    if "next_index" not in sql and "tokens" not in sql and "completions" not in sql:
        assert not salvaged.whole, salvaged.tables
    with Database.open(new(filled)) as database:
        assert database.value("SELECT count(*) FROM hunts") == 20
        desk = Desk(database)
        desk.kept(desk.hunt("one more"))


@pytest.mark.parametrize("sql", HEADERS)
def test_a_damaged_header_costs_nothing(filled: Path, sql: str) -> None:
    change(filled, sql)
    assert salvage(filled, new(filled)).whole
    assert len(texts(new(filled))) == 20


@pytest.mark.parametrize("place", [3, 16, 18, 21, 44, 56])
def test_a_damaged_byte_of_the_header_costs_nothing(filled: Path, place: int) -> None:
    data = bytearray(filled.read_bytes())
    data[place] ^= 0x55
    filled.write_bytes(data)
    assert salvage(filled, new(filled)).tables["tries"].saved == 200


@pytest.mark.parametrize("table", ["models", "prompts", "hunts", "collections"])
def test_a_kept_text_survives_the_loss_of_what_it_hangs_on(filled: Path, table: str) -> None:
    change(filled, f"DELETE FROM {table}")
    salvaged = salvage(filled, new(filled))
    assert sum(each.made for each in salvaged.tables.values())
    with Database.open(new(filled)) as database:
        assert database.value("SELECT count(*) FROM completions") == 200
        assert database.value("SELECT count(*) FROM samples") == 20
        if table == "hunts":
            assert Desk(database).ledger.hunt(1).prompt_text == LOST
    assert problems_of(new(filled)) == []


def test_a_text_whose_end_is_lost_stays(filled: Path) -> None:
    change(filled, "DELETE FROM ends WHERE try_id = 10")
    salvage(filled, new(filled))
    assert texts(new(filled)) == texts_of(20)


def texts_of(number: int) -> list[str]:
    return sorted(f"kept {each} " * 40 for each in range(number))


def test_pages_that_cannot_be_read_cost_their_rows_only(filled: Path) -> None:
    data = bytearray(filled.read_bytes())
    chance = random.Random(1)
    pages = len(data) // 4096
    for page in chance.sample(range(30, pages), 3):
        data[page * 4096 : (page + 1) * 4096] = bytes(4096)
    filled.write_bytes(data)
    salvaged = salvage(filled, new(filled))
    assert not salvaged.whole
    assert salvaged.tables["tries"].saved > 100
    assert "lost" in salvaged.sentence()
    assert problems_of(new(filled)) == []


def test_nothing_is_overwritten_and_nothing_half_is_left(filled: Path) -> None:
    target = new(filled)
    target.write_bytes(b"mine")
    with pytest.raises(InputError):
        salvage(filled, target)
    target.unlink()
    filled.write_bytes(b"nothing " * 1000)
    with pytest.raises(LibraryDamagedError, match="restore a backup"):
        salvage(filled, target)
    with pytest.raises(LibraryError, match="no library"):
        salvage(filled.with_name("absent"), target)
    assert sorted(each.name for each in filled.parent.iterdir()) == [
        "library.sqlite",
        "library.sqlite.lock",
    ]


def test_in_place_the_damaged_one_is_kept(filled: Path) -> None:
    change(filled, "PRAGMA user_version=-1")
    salvaged, aside = rescue.salvage_in_place(filled)
    assert salvaged.whole
    assert texts(filled) == texts_of(20)
    assert aside is not None
    assert aside.is_file()
