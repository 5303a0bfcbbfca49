"""Samples in their collections: listed, paged, moved, removed, annotated."""

import pytest

from explorer.core.counting import Cost
from explorer.core.errors import InputError, LibraryError
from explorer.core.recipe import Recipe
from explorer.library.collection import MAX_NAME
from tests.library.desk import FIRST, MODEL, Desk


def names(desk: Desk) -> list[str]:
    return [each.name for each in desk.collections.list()]


# Samples


def test_a_kept_try_is_a_sample_with_its_provenance(desk: Desk) -> None:
    hunt = desk.hunt("Once upon", Recipe(top_k=5), seed=2**64 - 1)
    desk.judge(desk.attempt(hunt), "skipped")
    desk.attempt(hunt)
    try_id = desk.kept(hunt, "a time", rejected=6, ids=(7, 8))
    sample = desk.samples.get(try_id)
    assert sample.text == "a time"
    assert sample.tokens == (7, 8)
    assert sample.hunt == hunt
    assert sample.hunt.model == MODEL
    assert sample.attempt.index == 8
    assert sample.caption == "machine-written, 9 tries (6 rejected; 1 skipped; 1 passed over)"
    assert sample.captioned_text.splitlines() == [
        "Prompt (human-written):",
        "Once upon",
        "",
        "Completion, machine-written, 9 tries (6 rejected; 1 skipped; 1 passed over):",
        "a time",
        "",
        "k 5 · T 1.0, seed 18446744073709551615, index 8, demo cpu-int8",
    ]


def test_samples_are_listed_newest_first_and_paged(desk: Desk) -> None:
    hunts = [desk.hunt("one"), desk.hunt("two")]
    kept = [desk.kept(hunts[number % 2], f"text {number}") for number in range(11)]
    newest_first = kept[::-1]
    assert desk.samples.ids(FIRST) == newest_first
    pages: list[int] = []
    while page := desk.samples.ids(FIRST, limit=3, after=pages[-1] if pages else None):
        assert len(page) <= 3
        pages += page
    assert pages == newest_first
    rows = desk.samples.page(newest_first[2:5])
    assert [row.id for row in rows] == newest_first[2:5]
    assert [row.text for row in rows] == ["text 8", "text 7", "text 6"]


def test_tries_that_are_not_kept_are_no_samples(desk: Desk) -> None:
    hunt = desk.hunt()
    rejected = desk.attempt(hunt)
    desk.judge(rejected, "rejected")
    kept = desk.kept(hunt)
    assert desk.samples.ids(FIRST) == [kept]
    assert [row.id for row in desk.samples.page([rejected, kept, 404])] == [kept]
    with pytest.raises(LibraryError):
        desk.samples.get(rejected)


def test_a_later_verdict_takes_a_sample_out_and_undo_brings_it_back(desk: Desk) -> None:
    hunt = desk.hunt()
    kept = desk.kept(hunt)
    desk.judge(kept, "rejected")
    assert desk.samples.ids(FIRST) == []
    assert desk.collections.get(FIRST).samples == 0
    desk.ledger.undo()
    assert desk.samples.ids(FIRST) == [kept]
    assert desk.collections.get(FIRST).samples == 1


def test_the_cost_of_a_sample_follows_later_verdicts(desk: Desk) -> None:
    hunt = desk.hunt()
    late = desk.attempt(hunt)
    kept = desk.kept(hunt, rejected=1)
    assert desk.samples.get(kept).cost == Cost(3, rejected=1, passed_over=1)
    desk.judge(late, "rejected")
    assert desk.samples.get(kept).cost == Cost(3, rejected=2)


def test_removing_is_not_rejecting_and_can_be_undone(desk: Desk) -> None:
    hunt = desk.hunt()
    kept = desk.kept(hunt)
    desk.samples.set_note(kept, "keep me\nreally")
    desk.samples.remove(kept)
    assert desk.samples.ids(FIRST) == []
    assert [v.verdict for v in desk.ledger.verdicts(hunt.id)] == ["kept"]
    desk.samples.restore(kept)
    assert desk.samples.get(kept).note == "keep me\nreally"


def test_a_sample_moves_with_its_note_and_its_place_in_time(desk: Desk) -> None:
    hunt = desk.hunt()
    older, newer = desk.kept(hunt), desk.kept(hunt)
    other = desk.collections.create("other")
    desk.samples.set_note(older, "first")
    for try_id in (newer, older):
        desk.samples.move(try_id, other.id)
    assert desk.samples.ids(FIRST) == []
    assert desk.samples.ids(other.id) == [newer, older]
    assert desk.samples.get(older).note == "first"
    desk.collections.delete(FIRST)
    with pytest.raises(LibraryError, match="deleted"):
        desk.samples.move(older, FIRST)
    assert desk.samples.get(older).collection_id == other.id


# Collections


def test_collections_are_made_renamed_and_counted(desk: Desk) -> None:
    new = desk.collections.create("  Unicorns ")
    assert (new.name, new.samples) == ("Unicorns", 0)
    desk.kept(desk.hunt())
    desk.collections.rename(new.id, "Fires under water")
    desk.collections.rename(new.id, "Fires under water")
    assert [(c.name, c.samples) for c in desk.collections.list()] == [
        ("Kept samples", 1),
        ("Fires under water", 0),
    ]
    assert desk.collections.find(" Fires under water").id == new.id
    with pytest.raises(InputError, match="'Kept samples', 'Fires under water'"):
        desk.collections.find("Unicorns")


@pytest.mark.parametrize("name", ["", " \n", "x" * (MAX_NAME + 1), "Kept samples "])
def test_a_name_that_cannot_be_used_is_refused(desk: Desk, name: str) -> None:
    with pytest.raises(InputError):
        desk.collections.create(name)
    other = desk.collections.create("other")
    with pytest.raises(InputError):
        desk.collections.rename(other.id, name)
    assert names(desk) == ["Kept samples", "other"]


def test_deleting_a_collection_can_be_undone_with_all_its_samples(desk: Desk) -> None:
    kept = desk.kept(desk.hunt())
    desk.collections.delete(FIRST)
    assert names(desk) == []
    with pytest.raises(InputError):
        desk.collections.get(FIRST)
    assert desk.samples.ids(FIRST) == []
    desk.ledger.undo()
    assert desk.collections.get(FIRST).samples == 1
    assert desk.samples.ids(FIRST) == [kept]


def test_a_collection_that_comes_back_gives_way_to_one_that_took_its_name(desk: Desk) -> None:
    desk.collections.delete(FIRST)
    with desk.database.transaction():  # by a hand that left no action
        for name in ("Kept samples", "Kept samples (2)"):
            new = desk.database.execute(
                "INSERT INTO collections (name, created_at) VALUES (?, '2026')", (name,)
            )
            desk.judge(desk.attempt(desk.hunt(name)), "rejected")
            desk.database.execute(
                "INSERT INTO samples (try_id, collection_id, added_at)"
                " SELECT max(id), ?, '2026' FROM tries",
                (new,),
            )
    for _ in range(3):
        desk.ledger.undo()
    assert desk.collections.get(FIRST).name == "Kept samples (3)"


def test_a_collection_of_any_size_is_deleted_and_brought_back(desk: Desk) -> None:
    hunts = [desk.hunt("one"), desk.hunt("two")]
    kept = [desk.kept(hunts[number % 2]) for number in range(20)]
    removed = kept[3]
    desk.samples.remove(removed)
    desk.collections.delete(FIRST)
    desk.ledger.undo()
    assert set(desk.samples.ids(FIRST)) == set(kept) - {removed}
    desk.ledger.undo()
    assert desk.samples.ids(FIRST) == kept[::-1]  # each in its old place


def test_there_is_always_a_collection_to_keep_into(desk: Desk) -> None:
    assert desk.collections.default().id == FIRST
    desk.collections.delete(FIRST)
    fresh = desk.collections.default()
    assert fresh.name == "Kept samples"
    assert fresh.id != FIRST
    assert desk.collections.default() == fresh
