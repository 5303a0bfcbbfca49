"""Hunts, newest first, and deleting one so that nothing of its text is left."""

import random
from pathlib import Path

import pytest

from explorer.core.counting import Counts
from explorer.core.errors import LibraryError
from explorer.core.intervals import several
from explorer.library.storage.database import Database
from tests.library.desk import MODEL, Desk, ended

SECRET = "the quick brown confession"


def bytes_of(folder: Path) -> bytes:
    """Return every byte of every file of the library."""
    return b"\0".join(each.read_bytes() for each in sorted(folder.iterdir()))


def mentions(folder: Path, text: str) -> bool:
    return text.encode() in bytes_of(folder)


def test_the_hunt_used_last_comes_first(desk: Desk) -> None:
    first, second, unused = desk.hunt("first"), desk.hunt("second"), desk.hunt("unused")
    desk.attempt(second)
    desk.attempt(first)
    assert desk.history.ids() == [first.id, second.id, unused.id]
    page = desk.history.page(desk.history.ids())
    assert [each.hunt.prompt_text for each in page] == ["first", "second", "unused"]
    assert [each.counts.tries for each in page] == [1, 1, 0]
    assert page[2].last_used_at == unused.created_at


def test_a_hunt_says_how_its_tries_stand(desk: Desk) -> None:
    hunt = desk.hunt()
    desk.kept(hunt, rejected=2)
    desk.judge(desk.attempt(hunt), "skipped")
    desk.attempt(hunt)
    lost = desk.shown(hunt)
    desk.ledger.end_try(lost, ended("half a", reason="crash"))
    desk.shown(hunt)
    (summary,) = desk.history.page([hunt.id])
    assert summary.counts == Counts(kept=1, rejected=2, skipped=1, unjudged=1, streaming=1, lost=1)


def test_counts_are_fresh_after_every_change(desk: Desk) -> None:
    hunt = desk.hunt()
    for number in range(3):
        desk.attempt(hunt)
        assert desk.history.page([hunt.id])[0].counts.unjudged == number + 1


def test_a_deleted_hunt_leaves_its_counts_and_nothing_else(desk: Desk, path: Path) -> None:
    hunt = desk.hunt(SECRET + " prompt")
    kept = desk.kept(hunt, SECRET + " completion", rejected=2, ids=(305419896,) * 8)
    desk.samples.set_note(kept, SECRET + " note")
    desk.attempt(hunt, SECRET + " unread" * 5000)  # on overflow pages
    assert mentions(path.parent, SECRET)
    tombstone = desk.history.delete(hunt.id)
    assert tombstone.counts == Counts(kept=1, rejected=2, unjudged=1)
    assert desk.history.tombstones() == [tombstone]
    assert desk.history.ids() == []
    assert desk.history.page([hunt.id]) == []
    assert desk.samples.ids(1) == []
    assert desk.ledger.tries_on_prompt(hunt.prompt_ids) == 0
    for left in (SECRET, "xV4\x12" * 2):  # the second is how its token ids lie on the disk
        assert not mentions(path.parent, left)
    for table in ("prompts", "hunts", "tries", "ends", "completions", "verdicts", "samples"):
        assert desk.database.value(f"SELECT count(*) FROM {table}") == 0
    desk.database.close()
    assert not mentions(path.parent, SECRET)


def test_a_hunt_can_be_deleted_once(desk: Desk) -> None:
    hunt = desk.hunt()
    desk.history.delete(hunt.id)
    with pytest.raises(LibraryError, match="already"):
        desk.history.delete(hunt.id)
    assert desk.hunt().id != hunt.id  # its number stands in exports and is not given again


def test_other_hunts_and_a_prompt_they_share_stay(desk: Desk, path: Path) -> None:
    first = desk.hunt(SECRET)
    second = desk.hunt(SECRET, new=True)
    kept = desk.kept(second, "another text")
    desk.kept(first, "one text")
    desk.history.delete(first.id)
    assert desk.samples.get(kept).text == "another text"
    assert desk.ledger.hunt(second.id).prompt_text == SECRET
    assert not mentions(path.parent, "one text")
    desk.history.delete(second.id)
    assert not mentions(path.parent, SECRET)


def test_hunts_that_were_steered_from_it_go_with_it(desk: Desk, path: Path) -> None:
    hunt = desk.hunt("parent")
    parent = desk.kept(hunt, SECRET)
    child = desk.ledger.open_hunt("parent " + SECRET, (1, 2), MODEL, hunt.recipe)
    desk.database.execute(
        "UPDATE hunts SET steered_from_try = ?, steered_offset = 3 WHERE id = ?",
        (parent, child.id),
    )
    steered = desk.kept(child, SECRET + " goes on")
    assert desk.samples.get(steered).caption == (
        "machine-written, steered at token 3, first try, beside 1 plain try"
    )
    desk.history.delete(hunt.id)
    assert [each.hunt_id for each in desk.history.tombstones()] == [hunt.id, child.id]
    assert not mentions(path.parent, SECRET)


def test_backups_that_still_hold_the_text_go_too(desk: Desk, path: Path) -> None:
    backup = path.with_name("library.sqlite.before-m002.bak")
    backup.write_text(SECRET)
    other = path.with_name("my own copy.bak")
    other.write_text("untouched")
    desk.history.delete(desk.hunt().id)
    assert not backup.exists()
    assert other.exists()


def test_no_trace_is_left_wherever_the_pages_lay(desk: Desk, path: Path) -> None:
    """Many hunts of many sizes, interleaved, deleted in another order: pages merge and move."""
    chance = random.Random(7)
    desk.database.execute("PRAGMA synchronous=OFF")
    hunts = {}
    with desk.ledger.transaction():
        for number in range(60):
            mark = f"<<mark {number:03}>>"
            hunt = desk.hunt(mark + "p" * chance.randrange(300))
            hunts[hunt.id] = mark
        for _ in range(600):
            hunt_id = chance.choice(list(hunts))
            try_id = desk.shown(desk.ledger.hunt(hunt_id))
            text = hunts[hunt_id] * chance.choice([1, 3, 40, 900])
            verdict = chance.choice(["kept", "rejected"])
            desk.ledger.decide([(try_id, verdict)], {try_id: ended(text)}, collection=1)
    order = list(hunts)
    chance.shuffle(order)
    for place, hunt_id in enumerate(order):
        desk.history.delete(hunt_id)
        if place % 10 == 9:
            content = bytes_of(path.parent)
            gone = [hunts[each] for each in order[: place + 1] if hunts[each].encode() in content]
            assert gone == []
            for each in order[place + 1 :]:
                assert hunts[each].encode() in content


def test_while_another_program_reads_the_bytes_stay_and_it_is_said(desk: Desk, path: Path) -> None:
    desk.database.rows("PRAGMA busy_timeout=50")
    hunt = desk.hunt(SECRET)
    with Database.open(path, writable=False) as reader:
        reader.rows("BEGIN")
        assert reader.value("SELECT count(*) FROM hunts") == 1
        with pytest.raises(LibraryError, match="the next time"):
            desk.history.delete(hunt.id)
        assert desk.history.ids() == []
        desk.database.close()  # no checkpoint while somebody reads
    with Database.open(path):
        assert not mentions(path.parent, SECRET)


def test_a_deletion_that_was_cut_short_is_finished_at_the_next_start(
    desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hunt = desk.hunt(SECRET)
    desk.kept(hunt, SECRET)

    def killed(database: Database) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Database, "erase_deleted", killed)
        with pytest.raises(KeyboardInterrupt):
            desk.history.delete(hunt.id)
    assert desk.history.ids() == []
    assert desk.database.value("SELECT erased FROM tombstones") == 0
    desk.database.close()
    with Database.open(path) as database:
        assert database.value("SELECT erased FROM tombstones") == 1
        assert not mentions(path.parent, SECRET)


@pytest.mark.parametrize("seed", range(5))
def test_hunts_on_a_prompt_are_those_of_a_plain_recount(desk: Desk, seed: int) -> None:
    draw = random.Random(seed)
    kept = judged = 0
    for prompt in ("Once", "Once", "Twice", "Once"):
        hunt = desk.hunt(prompt, new=True)
        given = [draw.choice(("kept", "rejected", "skipped", "")) for _ in range(12)]
        first = None
        for verdict in given:
            first = first or desk.shown(hunt)
            try_id = desk.attempt(hunt)
            if verdict:
                desk.judge(try_id, verdict)
        if prompt == "Once":
            newest_keep = max((i for i, each in enumerate(given) if each == "kept"), default=-1)
            kept += given.count("kept")
            judged += sum(
                each in ("kept", "rejected") or (not each and number < newest_keep)
                for number, each in enumerate(given)
            )
            judged += newest_keep >= 0  # the one that streams all along
            branch = desk.hunt(prompt, new=True)
            desk.database.execute(
                "UPDATE hunts SET steered_from_try = ?, steered_offset = 1 WHERE id = ?",
                (first, branch.id),
            )
            desk.kept(branch, "steered, and not to be summed with plain ones")
    together = several(desk.history.rates_on_prompt(tuple(b"Once")))
    assert (together.kept, together.judged) == (kept, judged)
