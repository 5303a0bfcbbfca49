"""Rows that SQLite finds sound and that are not: each is said, and hides no other."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from explorer.core.errors import LibraryDamagedError
from explorer.core.recipe import Recipe
from explorer.library.export.collection_file import chunks, export
from explorer.library.search import Search
from tests.library.desk import FIRST, MODEL, Desk

TEXT, END, HUNT, PROMPT, TRY = (
    "its text is missing from the library",
    "its end is missing from the library",
    "its hunt is missing from the library",
    "its prompt is missing from the library",
    "its try is missing from the library",
)
OF_A_SAMPLE = [
    ("DELETE FROM completions WHERE try_id = 2", TEXT),
    ("DELETE FROM ends WHERE try_id = 2", END),
    ("DELETE FROM ends WHERE try_id = 2; DELETE FROM completions WHERE try_id = 2", TEXT),
    ("DELETE FROM tries WHERE id = 2", TRY),
    ("DELETE FROM hunts WHERE id = 2", HUNT),
    ("DELETE FROM prompts WHERE id = 2", PROMPT),
    ("UPDATE hunts SET model_id = 404 WHERE id = 2", "its model is missing from the library"),
    ("UPDATE completions SET text = x'00ff' WHERE try_id = 2", "its text cannot be read"),
    (
        "UPDATE completions SET text = CAST(x'61ff62' AS TEXT) WHERE try_id = 2",
        "its row in the library cannot be read",
    ),
    (
        "UPDATE completions SET ids = x'0102030405' WHERE try_id = 2",
        "the list of its tokens cannot be read",
    ),
    (
        "UPDATE completions SET ids = x'01020304' WHERE try_id = 2",
        "some of its tokens are missing from the library",
    ),
    ("UPDATE completions SET ids = 'abcd' WHERE try_id = 2", "the list of its tokens"),
    (
        "UPDATE completions SET logprobs = x'00' WHERE try_id = 2",
        "the list of its probabilities cannot be read",
    ),
    ("UPDATE ends SET seconds = 'long' WHERE try_id = 2", "its duration cannot be read"),
    ("UPDATE tries SET versions_json = '{' WHERE id = 2", "the record of its versions"),
    ("UPDATE tries SET versions_json = '[1]' WHERE id = 2", "the record of its versions"),
    ("UPDATE tries SET device = x'80' WHERE id = 2", "its device cannot be read"),
    ("UPDATE tries SET lane = 'left' WHERE id = 2", "its lane cannot be read"),
    ("UPDATE tries SET started_at = 4 WHERE id = 2; -- text affinity", ""),
    ("UPDATE tries SET started_at = x'04' WHERE id = 2", "its beginning cannot be read"),
    ("UPDATE hunts SET recipe = '{\"top_k\":' WHERE id = 2", "its recipe cannot be read"),
    ("UPDATE hunts SET recipe = '{\"top_k\":-3}' WHERE id = 2", "its recipe cannot be read"),
    ("UPDATE hunts SET recipe = x'7b7d' WHERE id = 2", "its recipe cannot be read"),
    ("UPDATE hunts SET seed = 'x' WHERE id = 2", "its seed cannot be read"),
    ("UPDATE prompts SET text = CAST(x'ff' AS TEXT) WHERE id = 2", "its row in the library"),
    ("UPDATE prompts SET ids = x'010203' WHERE id = 2", "the list of its prompt's tokens"),
    ("UPDATE models SET name = x'00'", "the name of its model cannot be read"),
    ("UPDATE verdicts SET at = x'00' WHERE try_id = 2", "the verdicts of its hunt"),
    ("UPDATE samples SET note = x'00' WHERE try_id = 2", "its note cannot be read"),
    ("UPDATE samples SET added_at = x'00' WHERE try_id = 2", "when it was collected"),
]


@pytest.fixture
def kept(desk: Desk) -> list[int]:
    """Three samples of as many hunts; the second is the one that is damaged."""
    return [desk.kept(desk.hunt(name), f"text of {name}") for name in ("one", "two", "three")]


def damage(path: Path, statements: str) -> None:
    """Change the library as no part of the program would."""
    connection = sqlite3.connect(path)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    guards = triggers.fetchall()
    for name, _ in guards:
        connection.execute(f"DROP TRIGGER {name}")
    connection.executescript(statements)
    for _, again in guards:
        connection.execute(again)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.parametrize(("statements", "words"), OF_A_SAMPLE)
def test_a_damaged_sample_says_so_and_the_others_are_there(
    desk: Desk, kept: list[int], path: Path, tmp_path: Path, statements: str, words: str
) -> None:
    damage(path, statements)
    ids = desk.samples.ids(FIRST)
    assert set(ids) == set(kept)
    if not words:
        assert len(desk.samples.page(ids)) == 3
        return
    # What hunts share damages all of theirs.
    bad = kept if "models SET name" in statements else [kept[1]]
    found = desk.samples.damaged(ids)
    assert {each.id for each in found} == set(bad)
    assert all(each.sentence.startswith(f"This sample is damaged: {words}") for each in found)
    assert [each.id for each in desk.samples.page(ids)] == [i for i in ids if i not in bad]
    with pytest.raises(LibraryDamagedError, match=words):
        desk.samples.get(kept[1])
    # The rest of the program gets over it.
    hunts = desk.history.page(desk.history.ids())
    assert {"one", "three"} <= {each.hunt.prompt_text for each in hunts}
    for hunt in hunts:
        assert len(desk.ledger.tries(hunt.hunt.id)) == (0 if "DELETE FROM tries" in statements
                                                        and hunt.hunt.id == 2 else 1)  # fmt: skip
    desk.ledger.close_crashed()
    assert {each.id for each in desk.samples.damaged(ids)} == set(bad)
    search = Search(desk.database)
    assert set(search.samples(ids, "text of")) >= set(ids) - set(bad)
    search.hunts(desk.history.ids(), "o")
    # An export leaves it out and says so.
    left_out: list[int] = []
    collection, target = desk.collections.get(FIRST), tmp_path / "out"
    for form in ("jsonl", "markdown", "html"):
        count = export(desk.samples, collection, form, target, left_out=left_out.append)
        assert count == 3 - len(bad)
        said = target.read_text()
        if form == "jsonl":
            assert [json.loads(line)["id"] for line in said.splitlines()] == list(range(count))
        else:
            assert f"{count} sample" in said
            assert said.count("Sample ") - said.count("Sample Explorer") == count
    "".join(chunks(desk.samples, collection, "jsonl", "2026", left_out.append))
    assert left_out == [len(bad)] * 4
    # It can be taken away.
    desk.samples.remove(kept[1])
    assert kept[1] not in desk.samples.ids(FIRST)


def test_a_whole_library_leaves_nothing_out(desk: Desk, kept: list[int], tmp_path: Path) -> None:
    left_out: list[int] = []
    collection = desk.collections.get(FIRST)
    assert export(desk.samples, collection, "html", tmp_path / "o", left_out=left_out.append) == 3
    assert left_out == []
    assert desk.samples.damaged(kept) == []


def test_what_is_left_of_a_damaged_sample_is_handed_out(
    desk: Desk, kept: list[int], path: Path
) -> None:
    desk.samples.set_note(kept[1], "mine")
    damage(path, "DELETE FROM ends WHERE try_id = 2")
    (sample,) = desk.samples.damaged(kept)
    assert (sample.prompt, sample.text, sample.note) == ("two", "text of two", "mine")


@pytest.mark.parametrize(
    ("statements", "words", "lost"),
    [
        ("DELETE FROM prompts WHERE id = 2", PROMPT, False),
        ("UPDATE hunts SET model_id = 404 WHERE id = 2", "its model is missing", True),
        ("UPDATE hunts SET recipe = 'null' WHERE id = 2", "its recipe cannot be read", False),
        ("UPDATE hunts SET created_at = CAST(x'ff' AS TEXT) WHERE id = 2", "its row", False),
        ("UPDATE hunts SET created_at = x'ff' WHERE id = 2", "its beginning cannot be read", False),
        ("UPDATE verdicts SET at = 5.5 WHERE try_id = 2; --", "", False),
        ("UPDATE verdicts SET at = x'ff' WHERE try_id = 2", "its tries and verdicts", True),
        ("UPDATE verdicts SET mark = x'ff' WHERE try_id = 2", "its tries and verdicts", True),
    ],
)
def test_a_damaged_hunt_says_so_and_can_be_deleted_if_it_can_be_counted(
    desk: Desk, kept: list[int], path: Path, statements: str, words: str, lost: bool
) -> None:
    damage(path, statements)
    found = {each.hunt.id: each for each in desk.history.page([3, 2, 1])}
    assert list(found) == [3, 2, 1]
    assert [found[number].sentence for number in (1, 3)] == ["", ""]
    assert found[2].sentence.startswith(f"This hunt is damaged: {words}" if words else "")
    if lost:
        with pytest.raises(LibraryDamagedError, match="cannot be deleted"):
            desk.history.delete(2)
        return
    desk.history.delete(2)
    assert sorted(desk.history.ids()) == [1, 3]


@pytest.mark.parametrize(
    "statements",
    [
        "UPDATE hunts SET seed = 'x'",
        "UPDATE prompts SET text = CAST(x'ff' AS TEXT)",
        "UPDATE prompts SET ids = x'00'",
        "UPDATE models SET build = x'00'",
        "UPDATE hunts SET created_at = CAST(x'ff' AS TEXT)",
    ],
)
def test_generate_goes_on_with_no_damaged_hunt(desk: Desk, path: Path, statements: str) -> None:
    before = desk.hunt("Once", Recipe())
    damage(path, statements)
    after = desk.hunt("Once", Recipe())
    assert (after.prompt_text, after.prompt_ids, after.model) == ("Once", before.prompt_ids, MODEL)
    assert not after.damage
    assert (after.id == before.id) != bool(desk.ledger.hunt(before.id).damage)
    assert desk.hunt("Once", Recipe()).id == after.id


def test_one_unreadable_try_of_a_hunt_leaves_the_others(desk: Desk, path: Path) -> None:
    hunt = desk.hunt()
    for text in ("a", "b", "c"):
        desk.attempt(hunt, text)
    damage(path, "UPDATE completions SET text = CAST(x'ff' AS TEXT) WHERE try_id = 2")
    tries = desk.ledger.tries(hunt.id)
    assert [each.index for each in tries] == [0, 1, 2]
    assert [bool(each.damage) for each in tries] == [False, True, False]
    assert [each.end.text for each in tries if each.end] == ["a", "c"]


def test_a_kept_try_without_its_end_is_not_called_lost_to_a_crash(
    desk: Desk, kept: list[int], path: Path
) -> None:
    streaming = desk.shown(desk.hunt("one"))
    damage(path, "DELETE FROM ends WHERE try_id = 2; DELETE FROM completions WHERE try_id = 2")
    assert desk.ledger.close_crashed() == 1
    ends = {each.id: each.end for hunt in (1, 2) for each in desk.ledger.tries(hunt)}
    assert ends[kept[1]] is None
    assert ends[streaming] is not None
    assert ends[streaming].reason == "crash"
