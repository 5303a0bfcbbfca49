"""Every rule of counting as a test that names it. The numbers are those of the rules."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from explorer.core.counting import Cost, Counts
from explorer.core.errors import LibraryError
from explorer.core.intervals import inverse_binomial, several, wilson
from explorer.core.recipe import Recipe
from explorer.engine.messages import Crashed, Drop, Start
from explorer.engine.sampling import uniforms
from explorer.library.collection import Collections
from explorer.library.export.collection_file import export
from explorer.library.history import History
from explorer.library.ledger import Ledger
from explorer.library.samples import Samples
from explorer.library.storage.database import Database
from explorer.review.review import Review
from tests.engine.one_draw import draw_one
from tests.hunting import IDS, MODEL, OTHER_BUILD, PROMPT, Desk


@pytest.fixture
def desk(tmp_path) -> Iterator[Desk]:
    with Desk(tmp_path) as desk:
        yield desk


@pytest.fixture
def streaming(desk) -> Desk:
    """Four lanes, each with a token."""
    desk.generate()
    desk.stream()
    return desk


def test_rule_01_the_same_key_goes_on_with_the_same_hunt(desk):
    desk.generate()
    first = desk.review.hunt
    desk.finish()
    desk.judge(0, "rejected")
    desk.finish()
    desk.generate(lanes=2, seed=first.seed)  # seed and lanes are no part of the key
    assert desk.review.hunt == first
    assert [start.key[1] for start in desk.engine.started] == list(range(7))
    assert desk.review.counts.rejected == 1


def test_rule_01_the_same_key_goes_on_after_a_restart(tmp_path):
    with Desk(tmp_path) as first:
        first.generate()
        first.finish()
        first.judge(0, "rejected")
        hunt = first.review.hunt
    with Desk(tmp_path) as second:
        second.generate()
        assert second.review.hunt == hunt
        assert second.review.counts.rejected == 1
        assert second.indices() == [5, 6, 7, 8]


def test_rule_01_the_ids_are_the_key_not_how_the_text_was_spelt(tmp_path):
    with Desk(tmp_path) as first:
        first.generate("\ufb01n", (1, 2))  # a tokenizer may read the ligature as two letters
        hunt = first.review.hunt
        first.generate("fin", (1, 2))
        assert first.review.hunt == hunt
    with Desk(tmp_path) as second:
        second.generate("fin", (1, 2))
        assert second.review.hunt == hunt


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "Another", "ids": (1,)},
        {"recipe": Recipe(temperature=0.5)},
        {"recipe": Recipe(max_tokens=10)},
        {"model": OTHER_BUILD},
        {"new_hunt": True},
    ],
)
def test_rule_01_another_key_or_a_deliberate_act_is_a_new_hunt(streaming, change):
    first = streaming.review.hunt
    streaming.generate(**change)
    assert streaming.review.hunt.id != first.id
    assert streaming.review.counts == Counts()
    assert streaming.indices() == [0, 1, 2, 3]
    assert streaming.review.hunt.deliberate == ("new_hunt" in change)


def test_rule_01_tries_on_the_prompt_are_counted_over_all_hunts(streaming):
    streaming.generate(recipe=Recipe(top_k=0))
    streaming.stream()
    assert streaming.review.counts == Counts(streaming=4)
    assert streaming.review.prompt_tries == 8
    streaming.generate("Another", (1,))
    assert streaming.review.prompt_tries == 0


def test_rule_01_the_seed_is_drawn_once_and_stored(desk):
    desk.generate()
    seed = desk.review.hunt.seed
    assert not desk.review.hunt.seed_fixed
    desk.finish()
    desk.generate()
    assert {start.seed for start in desk.engine.started} == {seed}
    assert desk.ledger.hunt(1).seed == seed


def test_rule_02_indices_are_given_at_the_start_and_never_again(desk):
    desk.generate()
    desk.do(desk.review.stop())  # nothing was shown: four void candidates
    desk.generate()
    desk.stream()
    desk.judge(0, "rejected")
    desk.do(desk.review.undo())
    desk.judge(0, "rejected")
    indices = [start.key[1] for start in desk.engine.started]
    assert indices == list(range(9))
    assert desk.database.value("SELECT next_index FROM hunts") == 9


def test_rule_02_seed_and_index_determine_the_draws():
    assert np.array_equal(uniforms(3, 5, 100), uniforms(3, 5, 100))
    assert not np.array_equal(uniforms(3, 5, 100), uniforms(3, 6, 100))
    assert not np.array_equal(uniforms(3, 5, 100), uniforms(4, 5, 100))


@pytest.mark.parametrize("cancel", ["reject", "stop", "interrupt", "crash", "other prompt"])
def test_rule_03_what_is_cancelled_before_its_first_token_is_void(desk, cancel):
    desk.generate(lanes=1)
    match cancel:
        case "reject":
            desk.judge(0, "rejected")
        case "stop":
            desk.do(desk.review.stop())
        case "interrupt":
            desk.do(desk.review.interrupt())
        case "crash":
            desk.do(desk.review.receive([Crashed("It died.", True)]))
        case "other prompt":
            desk.generate("Another", (1,), lanes=1)
    assert desk.rows("tries") == []
    assert desk.rows("verdicts") == []
    assert desk.review.prompt_tries == 0


def test_rule_03_a_try_counts_from_its_first_token(desk):
    desk.generate()
    assert desk.review.counts == Counts()
    desk.stream(2)
    assert desk.review.counts == Counts(streaming=1)
    assert desk.review.prompt_tries == 1


def test_rule_03_a_model_that_ends_at_once_has_spoken(desk):
    desk.generate(lanes=1)
    desk.engine.end(desk.key(0), "end_of_text")
    desk.settle()
    assert desk.review.counts == Counts(unjudged=1)


def test_rule_04_a_row_at_the_first_token_and_a_row_at_the_end(desk):
    desk.generate(lanes=1)
    assert desk.rows("tries") == []
    desk.stream(tokens=3)
    (attempt,) = desk.ledger.tries(1)
    assert (attempt.index, attempt.lane, attempt.device) == (0, 0, "cpu")
    assert (attempt.versions, attempt.end) == ({"numpy": "2"}, None)
    desk.finish(reason="context_full")
    end = desk.ledger.tries(1)[0].end
    assert (end.reason, end.ids, end.text) == ("context_full", (1, 2, 3, 4), "0.1 0.2 0.3 0.4 ")
    assert end.logprobs == (-1.5,) * 4


def test_rule_04_a_reject_while_streaming_is_text_end_and_verdict_at_once(streaming, monkeypatch):
    """Every table that a reject writes is found unchanged until all of them have changed."""
    tables = ("ends", "verdicts", "hunts")
    with Database.open(streaming.database.path, writable=False) as reader:
        seen = [[reader.rows(f"SELECT * FROM {table}") for table in tables]]
        execute = Database.execute

        def watched(database: Database, *statement: object) -> int:
            seen.append([reader.rows(f"SELECT * FROM {table}") for table in tables])
            return execute(database, *statement)

        monkeypatch.setattr(Database, "execute", watched)
        streaming.judge(2, "rejected")
        assert len(seen) >= 4  # an end, a verdict, an index
        assert all(state == seen[0] for state in seen)
        row = reader.row(
            "SELECT reason, tokens, verdict, next_index FROM ends JOIN verdicts USING (try_id)"
            " JOIN tries ON try_id = tries.id JOIN hunts ON hunt_id = hunts.id WHERE idx = 2"
        )
    assert tuple(row) == ("dropped", 1, "rejected", 5)
    assert streaming.review.counts == Counts(rejected=1, streaming=3)


def test_rule_05_the_newest_verdict_that_is_not_undone_stands(streaming):
    streaming.judge(0, "kept")
    first = streaming.review.view(0).try_id
    streaming.judge_try(first, "skipped")
    streaming.judge_try(first, "rejected")
    stands = []
    for _ in range(3):
        stands.append(next(s.verdict for s in streaming.review.tries() if s.try_id == first))
        streaming.do(streaming.review.undo())
    assert stands == ["rejected", "skipped", "kept"]
    assert [row.verdict for row in streaming.ledger.verdicts(1)] == [
        "kept", "skipped", "rejected", "undone", "undone", "undone"
    ]  # fmt: skip


def test_rule_05_unjudged_streaming_and_lost_are_apart(streaming):
    streaming.finish(0)
    streaming.do(streaming.review.stop(1))
    assert streaming.review.counts == Counts(unjudged=2, streaming=2)
    streaming.do(streaming.review.receive([Crashed("It died.", True)]))
    assert streaming.review.counts == Counts(unjudged=2, lost=2)


@pytest.fixture
def four(desk) -> Desk:
    """Four lanes, each with a try shown in full."""
    desk.generate()
    desk.finish()
    return desk


def in_words(desk: Desk, index: int) -> str:
    caption = desk.caption(index)
    assert caption is not None
    return caption.removeprefix("machine-written, ")


@pytest.mark.parametrize("shown", ["streaming", "ended"])
def test_rule_06_what_had_been_shown_counts_whatever_is_rejected_later(desk, tmp_path, shown):
    desk.generate()
    desk.stream() if shown == "streaming" else desk.finish()
    desk.judge(2, "kept")
    assert in_words(desk, 2) == "4 tries (3 passed over)"
    for lane in (0, 1, 3):
        desk.judge(lane, "rejected")
    assert in_words(desk, 2) == "4 tries (3 rejected)"
    (sample,) = exported(desk, tmp_path / "export.jsonl")
    assert (sample["tries"], sample["caption"]) == (4, "machine-written, 4 tries (3 rejected)")


def test_rule_06_one_lane_counts_the_tries_since_the_keep_before(desk):
    desk.generate(lanes=1)
    for verdict in ["rejected"] * 6 + ["kept"]:
        desk.stream()
        desk.judge(0, verdict)
    assert in_words(desk, 6) == "7 tries (6 rejected)"
    desk.generate(lanes=1)
    for verdict in ["rejected"] * 2 + ["kept"]:
        desk.stream()
        desk.judge(0, verdict)
    assert in_words(desk, 9) == "3 tries (2 rejected)"
    assert in_words(desk, 6) == "7 tries (6 rejected)"


def test_rule_06_two_keeps_of_one_sight_name_each_other(four):
    four.judge(0, "kept")
    four.judge(1, "kept")
    for index in (0, 1):
        assert in_words(four, index) == "one of 2 kept from 4 tries (2 passed over)"


def test_rule_06_a_keep_after_more_tries_counts_those_too(desk):
    desk.do(desk.review.set_policy(False, False))
    desk.generate()
    desk.stream()
    first, second = (desk.review.view(lane).try_id for lane in (0, 1))
    desk.judge(0, "kept")  # goes on: t4
    for _ in range(7):
        desk.stream()
        desk.judge(0, "rejected")
    desk.do(desk.review.stop())
    assert desk.review.counts.tries == 11
    desk.generate()
    desk.stream(0)
    desk.judge(0, "rejected")
    assert desk.review.counts.tries == 12
    desk.judge_tries([second], "kept")
    assert in_words(desk, 1) == "one of 2 kept from 12 tries (8 rejected; 2 passed over)"
    assert in_words(desk, 0) == "one of 2 kept from 4 tries (2 passed over)"
    desk.do(desk.review.take_back(first))
    assert in_words(desk, 1) == "12 tries (8 rejected; 3 passed over)"


@pytest.mark.parametrize("again", ["keep", "redo"])
def test_rule_06_a_keep_given_again_counts_what_was_seen_meanwhile(desk, again):
    desk.generate(lanes=1)
    desk.stream()
    first = desk.review.view(0).try_id
    desk.judge(0, "kept")
    assert in_words(desk, 0) == "first try"
    desk.do(desk.review.undo())
    for _ in range(20):  # the one before moves aside
        desk.generate(lanes=1)
        desk.finish()
    assert desk.review.counts.tries == 21
    if again == "keep":
        desk.judge_tries([first], "kept")
    else:
        desk.do(desk.review.redo())
    assert in_words(desk, 0) == "21 tries (20 passed over)"


def test_rule_06_twenty_keeps_taken_back_but_one_are_twenty_tries(desk):
    desk.do(desk.review.set_policy(False, True))
    desk.generate(lanes=1)
    for _ in range(20):
        desk.stream()
        desk.judge(0, "kept")
    desk.do(desk.review.stop())
    tries = {view.index: view.try_id for view in desk.review.tries() if view.try_id}
    for index, try_id in tries.items():
        if index != 7:
            desk.do(desk.review.take_back(try_id))
    assert in_words(desk, 7) == "20 tries (19 passed over)"


def test_rule_06_a_crash_after_a_keep_takes_nothing_from_its_tries(tmp_path):
    with Desk(tmp_path) as first:
        first.generate()
        first.stream()
        first.judge(0, "kept")
    with Desk(tmp_path, first.clock) as second:
        second.do(second.review.reopen(1))
        assert in_words(second, 0) == "4 tries (3 lost to a crash)"
        assert second.review.rate.share_words == "1 of 1 kept"


def test_rule_06_a_keep_stands_again_from_the_row_that_brought_it_back(desk):
    desk.generate(lanes=8)
    desk.finish()
    ids = [view.try_id for view in desk.review.views]
    desk.judge(0, "kept")
    desk.judge_tries([ids[0]], "rejected")
    desk.judge(5, "kept")
    assert in_words(desk, 5) == "8 tries (1 rejected; 6 passed over)"
    desk.do(desk.review.take_back(ids[0]))  # the reject; the keep stands again
    assert in_words(desk, 5) == "one of 2 kept from 8 tries (6 passed over)"
    assert in_words(desk, 0) == "one of 2 kept from 8 tries (6 passed over)"


def test_rule_06_taking_samples_out_one_by_one_flatters_nobody(desk):
    desk.do(desk.review.set_policy(False, True))
    desk.generate(lanes=1)
    for _ in range(5):
        desk.stream()
        desk.judge(0, "kept")
    assert [in_words(desk, n) for n in range(5)] == ["first try"] * 5
    samples = Samples(desk.database)
    for view in desk.review.tries():
        if view.try_id and view.index != 1:
            samples.remove(view.try_id)
    desk.review.refresh()
    # Its span reaches to the removal of what was kept before the last try was shown.
    assert in_words(desk, 1) == "one of 4 kept from 4 tries"
    assert samples.page([view.try_id for view in desk.review.tries() if view.index == 1])[
        0
    ].caption == desk.caption(1)


@pytest.mark.parametrize("back", ["undo", "restore", "collection", "keep"])
def test_rule_06_a_sample_brought_back_counts_what_was_seen_meanwhile(desk, back):
    desk.generate(lanes=1)
    desk.stream()
    first = desk.review.view(0).try_id
    desk.judge(0, "kept")
    samples = Samples(desk.database)
    if back == "collection":
        Collections(desk.database).delete(desk.collection)
    else:
        samples.remove(first)
    desk.review.refresh()
    for _ in range(20):
        desk.generate(lanes=1)
        desk.finish()
    match back:
        case "restore":
            samples.restore(first)
        case "keep":
            desk.judge_tries([first], "kept")
        case _:
            desk.do(desk.review.undo())
    desk.review.refresh()
    assert samples.ids(desk.collection) == [first]
    assert in_words(desk, 0) == "21 tries (20 passed over)"
    assert samples.get(first).caption == desk.caption(0)


def test_rule_06_a_sample_brought_back_at_once_was_removed_by_a_slip(desk):
    desk.generate(lanes=1)
    desk.stream()
    desk.judge(0, "kept")
    Samples(desk.database).remove(desk.review.view(0).try_id)
    desk.do(desk.review.undo())
    assert in_words(desk, 0) == "first try"
    assert desk.review.rate.exact


def test_rule_10_a_sample_brought_back_is_no_newer_verdict(desk):
    desk.generate(lanes=1)
    desk.stream()
    first = desk.review.view(0).try_id
    desk.judge(0, "kept")
    desk.generate(lanes=1)
    desk.stream()
    desk.judge(0, "rejected")
    samples = Samples(desk.database)
    samples.remove(first)
    samples.restore(first)
    desk.review.refresh()
    assert desk.review.rate.reason == "went on after the last keep"


def test_rule_06_taken_back_before_another_try_was_shown_it_was_a_slip(desk):
    desk.generate(lanes=1)
    for verdict in ("rejected", "kept"):
        desk.stream()
        desk.judge(0, verdict)
    desk.generate(lanes=1)
    desk.stream()
    desk.judge(0, "kept")
    desk.do(desk.review.undo())
    desk.judge(0, "rejected")
    assert in_words(desk, 1) == "2 tries (1 rejected)"


def test_rule_06_undo_changes_later_live_counts_an_export_is_a_snapshot(desk, tmp_path):
    desk.do(desk.review.set_policy(False, True))
    desk.generate(lanes=1)
    for verdict in ("rejected", "kept", "rejected", "kept"):
        desk.stream()
        desk.judge(0, verdict)
    first = exported(desk, tmp_path / "first.jsonl")
    assert [sample["tries"] for sample in first] == [2, 2]
    kept_first = desk.ledger.tries(1)[1].id
    desk.judge_try(kept_first, "rejected")
    assert [sample["tries"] for sample in exported(desk, tmp_path / "later.jsonl")] == [4]
    assert exported_lines(tmp_path / "first.jsonl") == first


def test_rule_07_undo_goes_back_as_far_as_one_likes_across_restarts(tmp_path):
    with Desk(tmp_path) as first:
        first.generate()
        first.finish()
        for lane in range(4):
            first.judge(lane, ("kept", "rejected", "skipped", "rejected")[lane])
    with Desk(tmp_path, first.clock) as second:
        second.do(second.review.reopen(1))
        while second.review.can_undo:
            second.do(second.review.undo())
        assert second.review.counts == Counts(unjudged=4)
        assert len(second.rows("verdicts")) == 8
        while second.review.can_redo:
            second.do(second.review.redo())
        assert second.review.counts == Counts(kept=1, rejected=2, skipped=1)


def test_rule_07_an_undone_try_comes_back_on_top_and_the_newer_one_reappears(streaming):
    streaming.judge(1, "rejected")
    streaming.stream(1)
    streaming.do(streaming.review.undo())
    assert (streaming.review.view(1).index, streaming.review.view(1).beneath) == (1, 1)
    streaming.stream(1)  # the newer one goes on underneath
    streaming.judge(1, "rejected")
    view = streaming.review.view(1)
    assert (view.index, view.text, view.beneath) == (4, "4.1 4.2 ", 0)


def test_rule_07_the_undo_of_a_lane_takes_that_verdict_back_alone(four):
    four.do(four.review.keep_rest_rejected(2))
    four.do(four.review.take_back(four.review.view(0).try_id))
    assert four.states() == ["ended", "rejected", "kept", "rejected"]
    four.do(four.review.undo())  # reversing it gives the verdict again
    assert four.states() == ["rejected", "rejected", "kept", "rejected"]
    four.do(four.review.undo())
    assert four.states() == ["ended"] * 4
    for _ in range(2):
        four.do(four.review.redo())
    assert four.states() == ["ended", "rejected", "kept", "rejected"]


def test_rule_07_ctrl_z_is_one_stack_for_everything(four):
    samples, collections = Samples(four.database), Collections(four.database)
    four.judge(0, "kept")
    four.judge(1, "skipped")
    kept = four.review.view(0).try_id
    other = collections.create("Dragons")
    samples.move(kept, other.id)
    samples.set_note(kept, "good")
    collections.rename(other.id, "Wyrms")
    samples.remove(kept)
    collections.delete(other.id)
    four.generate("Another", (1,))
    four.finish()
    four.judge(0, "rejected")
    said = []
    while four.review.can_undo:
        four.do(four.review.undo())
        said += four.review.take_news()
    assert said == [
        "Undone: rejected try 1.",
        "Undone: deleted the collection “Wyrms”.",
        f"Undone: removed try 1 from “Wyrms”, on “{PROMPT}”.",
        "Undone: renamed “Dragons” to “Wyrms”.",
        f"Undone: noted on try 1, on “{PROMPT}”.",
        f"Undone: moved try 1 to “Dragons”, on “{PROMPT}”.",
        "Undone: made the collection “Dragons”.",
        f"Undone: skipped try 2, on “{PROMPT}”.",
        f"Undone: kept try 1, on “{PROMPT}”.",
    ]
    assert [each.name for each in collections.list()] == ["Kept samples"]
    while four.review.can_redo:
        four.do(four.review.redo())
    assert [each.name for each in collections.list()] == ["Kept samples"]
    four.do(four.review.undo())
    four.do(four.review.undo())
    four.do(four.review.undo())
    (sample,) = samples.page(samples.ids(other.id))
    assert (sample.id, sample.note) == (kept, "good")
    assert [each.name for each in collections.list()] == ["Kept samples", "Wyrms"]


def test_rule_07_removals_and_moves_are_rows(four):
    samples, collections = Samples(four.database), Collections(four.database)
    four.judge(0, "kept")
    kept = four.review.view(0).try_id
    other = collections.create("Dragons")
    samples.move(kept, other.id)
    samples.remove(kept)
    four.do(four.review.undo())
    rows = four.database.rows("SELECT was, now FROM placements ORDER BY id")
    assert [tuple(row) for row in rows] == [(None, 1), (1, 2), (2, None), (None, 2)]


@pytest.mark.parametrize("verdict", ["rejected", "skipped"])
def test_rule_08_reject_and_skip_start_the_next_try_in_that_lane(streaming, verdict):
    streaming.judge(2, verdict)
    assert streaming.indices() == [0, 1, 4, 3]
    assert streaming.key(2) == (1, 4)


def test_rule_08_a_keep_stops_all_refills_and_the_others_stream_to_their_end(streaming):
    streaming.judge(0, "kept")
    assert streaming.states() == ["kept", "streaming", "streaming", "streaming"]
    streaming.finish()
    streaming.judge(1, "rejected")
    assert streaming.states() == ["kept", "rejected", "ended", "ended"]
    assert streaming.engine.running == {}
    streaming.generate()
    assert streaming.indices() == [4, 5, 2, 3]


def test_rule_08_a_finished_unjudged_try_holds_its_lane(streaming):
    streaming.finish(0)
    streaming.stream()
    assert streaming.indices() == [0, 1, 2, 3]


def test_rule_08_both_can_be_switched(streaming):
    streaming.do(streaming.review.set_policy(False, False))
    streaming.judge(0, "kept")  # goes on
    streaming.finish(1)  # does not hold
    assert streaming.indices() == [4, 5, 2, 3]
    assert streaming.review.counts == Counts(kept=1, passed_over=1, streaming=2)


def test_rule_08_the_best_of_four_reads_as_four_tries(streaming):
    streaming.do(streaming.review.keep_rest_rejected(2))
    assert streaming.review.view(2).caption == "machine-written, 4 tries (3 rejected)"
    assert len({row.action for row in streaming.ledger.verdicts(1)}) == 1
    assert streaming.engine.running == {}


def test_rule_08_keep_this_reject_the_rest_leaves_out_the_judged_and_the_crashed(desk):
    desk.generate()
    desk.stream(0, 1)
    desk.judge(1, "skipped")
    desk.stream(0, 2)
    desk.do(desk.review.receive([Crashed("It died.", True)]))
    desk.engine.running.clear()
    desk.generate()
    desk.finish(3)
    desk.do(desk.review.keep_rest_rejected(3))
    assert desk.review.counts == Counts(kept=1, skipped=1, lost=2)


def test_rule_08_keep_this_reject_the_rest_leaves_what_moved_out_of_sight(desk):
    desk.generate()
    desk.finish()
    desk.generate()  # the four move aside, unjudged
    desk.finish()
    desk.do(desk.review.keep_rest_rejected(1))
    assert desk.review.counts == Counts(kept=1, rejected=3, passed_over=4)
    assert desk.caption(5) == "machine-written, 8 tries (3 rejected; 4 passed over)"


def test_rule_09_the_caption():
    assert Cost(8, rejected=5, skipped=1, passed_over=1).caption == (
        "machine-written, 8 tries (5 rejected; 1 skipped; 1 passed over)"
    )
    assert Cost(12, kept=2, rejected=8, passed_over=2).caption == (
        "machine-written, one of 2 kept from 12 tries (8 rejected; 2 passed over)"
    )
    assert Cost(4, lost=3).caption == "machine-written, 4 tries (3 lost to a crash)"
    assert Cost(1).caption == "machine-written, first try"
    assert Cost(8, passed_over=7).steered(57, 12).caption == (
        "machine-written, steered at token 57, 8 tries (7 passed over), beside 12 plain tries"
    )


def test_rule_09_the_caption_is_the_same_everywhere(desk, tmp_path):
    desk.generate(seed=5)
    desk.finish()
    desk.judge(0, "rejected")
    desk.judge(1, "skipped")
    desk.judge(2, "kept")
    desk.finish()  # the two that came for the judged ones
    (sample,) = exported(desk, tmp_path / "export.jsonl")
    words = "machine-written, 4 tries (1 rejected; 1 skipped; 1 passed over)"
    assert desk.review.view(2).caption == desk.review.newest_cost.caption == words
    assert sample["caption"] == words
    expected = {
        "tries": 4, "kept": 1, "rejected": 1, "skipped": 1, "passed_over": 1, "lost": 0,
        "seed_fixed": True, "steered_at": None, "plain_tries": None,
        "prompt_tries": 6, "prompt_kept": 1, "deleted_tries": 0,
    }  # fmt: skip
    assert {name: sample[name] for name in expected} == expected


def test_rule_10_until_i_keep_one_throughout_is_inverse_binomial(desk):
    desk.generate(lanes=1)
    for verdict in ["rejected"] * 9 + ["kept"]:
        desk.stream()
        desk.judge(0, verdict)
    rate = desk.review.rate
    assert (rate.exact, rate.kept, rate.judged) == (True, 1, 10)
    assert (rate.low, rate.high) == pytest.approx((0.0025, 0.3363), abs=5e-5)


def test_rule_10_the_first_of_rule_6_is_one_of_four(four):
    four.judge(2, "kept")
    for later in (False, True):
        if later:
            for lane in (0, 1, 3):
                four.judge(lane, "rejected")
        rate = four.review.rate
        assert (rate.share_words, rate.interval_words) == ("1 of 4 kept", "4.6 to 70 %")
        assert rate.reason == "several at once"


def test_rule_10_what_streams_beside_a_keep_was_chosen_among_too(streaming):
    streaming.judge(2, "kept")
    assert streaming.review.rate.share_words == "1 of 4 kept"


def test_rule_10_the_second_of_rule_6_is_two_of_ten(desk):
    for rejects in (6, 2):
        desk.generate(lanes=1)
        for verdict in ["rejected"] * rejects + ["kept"]:
            desk.stream()
            desk.judge(0, verdict)
    rate = desk.review.rate
    assert (rate.share_words, rate.interval_words) == ("2 of 10 kept", "2.5 to 48 %")
    assert rate.reason is None


@pytest.mark.parametrize(
    ("policies", "reason"),
    [
        ([(True, True)], None),
        ([(True, True), (True, False)], None),
        ([(False, True)], "switched off"),
        ([(True, True), (False, True)], "stopping rule mixed"),
        ([(False, True), (True, True)], "stopping rule mixed"),
    ],
)
def test_rule_10_the_switch_decides_the_interval(desk, policies, reason):
    for number, policy in enumerate(policies):
        desk.do(desk.review.set_policy(*policy))
        if number == 0:
            desk.generate(lanes=1)
        desk.stream()
        desk.judge(0, "rejected")
    desk.stream()
    desk.judge(0, "kept")
    assert desk.review.rate.reason == reason
    again = Review(desk.ledger)
    again.reopen(1)
    assert again.rate == desk.review.rate


def test_rule_10_what_is_judged_after_the_last_keep_takes_exactness_away(desk):
    desk.generate(lanes=1)
    desk.stream()
    desk.judge(0, "kept")
    desk.generate(lanes=1)
    for verdict, reason in (("skipped", None), ("rejected", "went on after the last keep")):
        desk.stream()
        desk.judge(0, verdict)
        assert desk.review.rate.reason == reason


def test_rule_10_without_a_keep_the_expected_tries_have_a_lower_end_only(desk):
    desk.generate(lanes=1)
    for _ in range(10):
        desk.stream()
        desk.judge(0, "rejected")
    assert desk.review.rate.reason == "no keep yet"
    assert desk.review.rate.expected_words == "at least 3.6 tries"


@pytest.mark.parametrize("moved", [False, True])
def test_rule_10_several_hunts_are_exact_only_if_each_is(desk, moved):
    for seed, rejects in ((1, 6), (2, 2)):
        desk.generate(lanes=1, seed=seed, new_hunt=True)
        for verdict in ["rejected"] * rejects + ["kept"]:
            desk.stream()
            desk.judge(0, verdict)
    if moved:  # past the keep, in the second hunt alone
        desk.generate(lanes=1, seed=2)
        desk.stream()
        desk.judge(0, "rejected")
    together = several(History(desk.database).rates_on_prompt(IDS))
    assert (together.kept, together.judged) == (2, 10 + moved)
    if moved:
        assert together.reason == "went on after the last keep"
        assert (together.low, together.high) == wilson(2, 11)
    else:
        assert (together.share_words, together.interval_words) == ("2 of 10 kept", "2.5 to 48 %")
        assert together.exact
        assert (together.low, together.high) == inverse_binomial(2, 10)


def test_rule_11_another_build_is_another_hunt_and_is_said(streaming):
    first = streaming.review.hunt
    streaming.generate(model=OTHER_BUILD)
    assert streaming.review.hunt.id != first.id
    assert streaming.review.counts == Counts()
    (notice,) = streaming.review.take_notices()
    assert "another hunt" in notice
    assert streaming.review.prompt_tries == 4


def test_rule_12_the_columns_of_steering_exist(desk):
    for table, columns in {
        "tries": {"parent_try_id", "token_offset", "forced_ids"},
        "hunts": {"steered_from_try", "steered_offset", "forced_ids"},
    }.items():
        found = {row["name"] for row in desk.database.rows(f"PRAGMA table_info({table})")}
        assert columns <= found


def test_rule_12_steered_tries_are_captioned_so_and_never_sum_with_plain_ones(streaming):
    streaming.do(streaming.review.stop())
    streaming.generate(new_hunt=True)
    streaming.stream()
    streaming.do(streaming.review.interrupt())
    streaming.database.execute(
        "UPDATE hunts SET steered_from_try = 1, steered_offset = 57 WHERE id = 2"
    )
    streaming.do(streaming.review.leave())
    streaming.do(streaming.review.reopen(2))
    streaming.judge(0, "kept")
    assert streaming.review.newest_cost.caption == (
        "machine-written, steered at token 57, 4 tries (3 passed over), beside 4 plain tries"
    )
    assert streaming.ledger.tries_on_prompt(IDS) == 4
    streaming.generate()  # the same key, but plain tries go into a plain hunt
    assert streaming.review.hunt.id == 1


def test_rule_13_figures_are_at_temperature_1_over_the_full_vocabulary():
    logits = np.array([1.0, 3.0, 2.0, 3.0], dtype=np.float32)
    total = math.log(sum(math.exp(x) for x in logits.tolist()))
    drawn = draw_one(logits, Recipe(top_k=3, temperature=0.5), 0.999999)
    assert drawn.token == 2
    assert drawn.logprob == pytest.approx(2.0 - total)
    assert drawn.rank == 2  # from 0: ids 1 and 3 are likelier
    assert draw_one(logits, Recipe(top_k=2), 0.999999).rank == 1  # ties by lower id


def test_rule_13_greedy_takes_the_lowest_id_among_equals():
    logits = np.array([1.0, 3.0, 2.0, 3.0], dtype=np.float32)
    for recipe in (Recipe(temperature=0.0), Recipe(top_k=1)):
        drawn = {draw_one(logits, recipe, uniform).token for uniform in (0.0, 0.4)}
        assert drawn == {1}
    assert draw_one(logits, Recipe(temperature=0.0), 0.999).token == 1


def test_rule_13_draws_are_the_inverse_cdf_in_descending_order_and_keep_ties():
    logits = np.log(np.array([0.1, 0.4, 0.1, 0.4], dtype=np.float32))
    drawn = [draw_one(logits, Recipe(top_k=0), u).token for u in (0.39, 0.41, 0.79, 0.81, 0.95)]
    assert drawn == [1, 3, 3, 0, 2]
    # k = 3 ties with the 4th, which stays; an effective k above the vocabulary is the vocabulary.
    assert draw_one(logits, Recipe(top_k=3), 0.95).token == 2
    assert draw_one(logits, Recipe(top_k=1000), 0.95).token == 2


def test_rule_13_the_effective_top_k_is_recorded(desk, tmp_path):
    model = replace(MODEL, manifest_json=json.dumps({"vocabulary": 7}))
    for top_k, effective in ((40, 7), (0, 7), (3, 3)):
        desk.generate(recipe=Recipe(top_k=top_k), model=model, lanes=1)
        desk.stream()
        desk.judge(0, "kept")
        sample = exported(desk, tmp_path / "export.jsonl")[-1]
        assert sample["effective_top_k"] == effective


def test_rule_14_the_four_fields_come_first_and_number_the_file(desk, tmp_path):
    desk.do(desk.review.set_policy(False, True))
    desk.generate(lanes=1)
    for reason in ("end_of_text", "max_tokens"):
        desk.stream()
        desk.finish(reason=reason)
        desk.judge(0, "kept")
    samples = exported(desk, tmp_path / "export.jsonl")
    assert [list(sample)[:4] for sample in samples] == [["id", "ended", "length", "text"]] * 2
    assert [list(sample.values())[:4] for sample in samples] == [
        [0, True, 2, "0.1 0.2 "],
        [1, False, 2, "1.1 1.2 "],
    ]
    assert {sample["prompt"] for sample in samples} == {PROMPT}


def test_rule_15_the_library_is_durable_and_has_one_writer(desk):
    assert desk.database.value("PRAGMA journal_mode") == "wal"
    assert desk.database.value("PRAGMA synchronous") == 2  # FULL
    with pytest.raises(LibraryError, match="already runs"):
        Database.open(desk.database.path)


@pytest.mark.parametrize("act", ["judge", "rest", "undo", "redo", "first token"])
def test_rule_15_what_the_screen_shows_is_on_disk_when_the_act_returns(streaming, act):
    """A second connection sees only what is committed."""
    streaming.judge(0, "rejected")
    with Database.open(streaming.database.path, writable=False) as reader:
        other = Ledger(reader)
        match act:
            case "judge":
                commands = streaming.review.judge(1, "rejected")
                assert [type(command) for command in commands] == [Drop, Start]
            case "rest":
                streaming.review.keep_rest_rejected(1)
            case "undo":
                streaming.review.undo()
            case "redo":
                streaming.review.undo()
                streaming.review.redo()
            case "first token":
                streaming.engine.stream([streaming.key(0)])
                streaming.review.receive(streaming.engine.poll())
        assert other.verdicts(1) == streaming.ledger.verdicts(1)
        seen = {view.try_id: view for view in streaming.review.tries() if view.try_id}
        assert {row.id for row in other.tries(1)} == set(seen)
        for row in other.tries(1):
            assert (row.end.reason if row.end else None) == seen[row.id].end
            assert row.end is None or row.end.text == seen[row.id].text


def test_rule_16_a_deleted_hunt_leaves_its_counts_and_nothing_it_said(desk):
    secret = "a secret prompt"
    desk.generate(secret, (1, 2))
    desk.stream()
    desk.judge(0, "rejected")
    desk.stream()
    desk.judge(1, "kept")
    desk.do(desk.review.leave())
    tombstone = History(desk.database).delete(1)
    assert tombstone.counts == Counts(kept=1, rejected=1, passed_over=3)
    assert [stone.counts for stone in History(desk.database).tombstones()] == [tombstone.counts]
    with pytest.raises(LibraryError, match="deleted"):
        desk.review.reopen(1)
    folder = desk.database.path.parent
    said = [secret.encode(), b"0.1 ", b"1.1 "]
    for path in folder.iterdir():
        data = path.read_bytes()
        assert not [words for words in said if words in data], path


def exported(desk: Desk, target) -> list[dict]:
    (collection,) = Collections(desk.database).list()
    export(Samples(desk.database), collection, "jsonl", target)
    return exported_lines(target)


def exported_lines(target) -> list[dict]:
    return [json.loads(line) for line in target.read_text("utf-8").splitlines()]
