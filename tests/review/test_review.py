"""The hard corners of the review; the rules themselves are in test_rules.py."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from explorer.core.counting import Counts
from explorer.core.errors import LibraryError, LibraryReadOnlyError, VerdictError
from explorer.core.recipe import Recipe
from explorer.engine.messages import Crashed, Drop, Refused, Start, Stop
from explorer.library.ledger import Ledger
from explorer.library.storage.database import Database
from explorer.review.review import Review
from tests.hunting import IDS, MODEL, OTHER_BUILD, PROMPT, Desk


@pytest.fixture
def desk(tmp_path) -> Iterator[Desk]:
    with Desk(tmp_path) as desk:
        yield desk


@pytest.fixture
def streaming(desk) -> Desk:
    """Four lanes, each with two tokens."""
    desk.generate()
    desk.stream(tokens=2)
    return desk


# Generate


def test_generate_starts_every_lane_with_the_hunts_seed(desk):
    desk.generate(seed=7)
    starts = desk.engine.messages[0]
    assert [s.lane for s in starts] == [0, 1, 2, 3]
    assert [s.key[1] for s in starts] == [0, 1, 2, 3]
    assert {(s.seed, s.prompt, s.recipe) for s in starts} == {(7, IDS, Recipe())}
    assert desk.states() == ["waiting"] * 4


def test_generate_leaves_streaming_lanes_alone(streaming):
    streaming.generate()
    assert streaming.indices() == [0, 1, 2, 3]
    assert len(streaming.engine.started) == 4


def test_generate_fills_only_free_lanes(streaming):
    streaming.finish(0, 1)
    streaming.judge(0, "kept")
    streaming.generate()
    assert streaming.indices() == [4, 1, 2, 3]


def test_generate_moves_unjudged_tries_aside_where_nothing_else_could_start(streaming):
    streaming.finish()
    streaming.generate()
    assert streaming.indices() == [4, 5, 6, 7]
    assert streaming.review.counts.unjudged == 4


def test_generate_says_where_nothing_is_free_while_something_streams(streaming):
    streaming.finish(0, 1)
    streaming.generate()
    assert streaming.indices() == [0, 1, 2, 3]
    (notice,) = streaming.review.take_notices()
    assert "Every lane is taken" in notice


def test_fewer_lanes_end_what_streams_in_the_others(streaming):
    streaming.generate(lanes=2)
    assert streaming.indices() == [0, 1]
    assert sorted(streaming.engine.running) == [(1, 0), (1, 1)]
    assert streaming.review.counts == Counts(streaming=2, unjudged=2)
    streaming.generate(lanes=3)
    assert streaming.indices() == [0, 1, 4]


def test_another_prompt_ends_what_streams_of_the_first(streaming):
    hunt = streaming.review.hunt
    streaming.generate("Another", (1, 2))
    assert streaming.review.hunt != hunt
    assert {start.prompt for start in streaming.engine.running.values()} == {(1, 2)}
    ends = {row.end.reason for row in streaming.ledger.tries(hunt.id)}
    assert ends == {"stopped"}
    assert streaming.review.counts == Counts()


def test_generate_is_one_message_with_drops_before_starts(streaming):
    streaming.engine.messages.clear()
    streaming.generate("Another", (1, 2))
    kinds = [type(command) for command in streaming.engine.messages[0]]
    assert kinds == [Drop] * 4 + [Start] * 4


def test_a_fixed_seed_other_than_the_hunts_is_another_hunt(desk):
    desk.generate(seed=1)
    desk.generate(seed=None)
    assert desk.review.hunt.id == 1
    desk.generate(seed=1)
    assert desk.review.hunt.id == 1
    desk.generate(seed=2)
    assert (desk.review.hunt.id, desk.review.hunt.seed) == (2, 2)
    desk.generate(seed=1)
    assert desk.review.hunt.id == 1


def test_a_reopened_older_hunt_goes_on_although_a_newer_one_has_the_same_key(desk):
    desk.generate()
    desk.finish()
    desk.generate(new_hunt=True)
    desk.finish()
    desk.do(desk.review.reopen(1))
    desk.generate()
    assert desk.review.hunt.id == 1
    assert desk.indices() == [4, 5, 6, 7]


# Verdicts


def test_reject_of_a_streaming_lane_is_one_message_and_one_transaction(streaming):
    streaming.engine.messages.clear()
    streaming.judge(1, "rejected")
    (message,) = streaming.engine.messages
    hunt = streaming.review.hunt.id
    assert message[0] == Drop((hunt, 1))
    assert isinstance(message[1], Start)
    assert (message[1].key, message[1].lane) == ((hunt, 4), 1)
    rejected = streaming.ledger.tries(hunt)[1]
    assert (rejected.end.reason, rejected.end.text) == ("dropped", "1.1 1.2 ")
    assert rejected.end.ids == (1, 2)
    assert streaming.indices() == [0, 4, 2, 3]


def test_a_decision_that_cannot_be_written_changes_nothing(streaming, monkeypatch):
    before = (streaming.review.views, streaming.rows("verdicts"), streaming.rows("ends"))

    def full(hunt_id: int) -> int:
        raise LibraryError("The disk is full.")

    monkeypatch.setattr(streaming.ledger, "reserve_index", full)
    with pytest.raises(LibraryError, match="disk is full"):
        streaming.review.judge(1, "rejected")
    assert (streaming.review.views, streaming.rows("verdicts"), streaming.rows("ends")) == before
    monkeypatch.undo()
    streaming.stream()
    streaming.judge(1, "rejected")
    assert streaming.ledger.tries(1)[1].end.text == "1.1 1.2 1.3 "


def test_late_steps_of_a_dropped_candidate_are_passed_by(streaming):
    streaming.engine.stream([(1, 1)])  # on its way when the person rejects
    late = streaming.engine.poll()
    streaming.judge(1, "rejected")
    streaming.do(streaming.review.receive(late))
    assert streaming.ledger.tries(1)[1].end.text == "1.1 1.2 "
    assert streaming.review.counts == Counts(rejected=1, streaming=3)


def test_keep_of_a_streaming_lane_keeps_what_was_seen(streaming):
    streaming.judge(0, "kept")
    kept = streaming.ledger.tries(1)[0]
    assert (kept.end.reason, kept.end.text) == ("stopped", "0.1 0.2 ")
    assert streaming.rows("samples")[0][:2] == (kept.id, streaming.collection)
    assert len(streaming.engine.running) == 3  # the others stream on


def test_the_verdict_that_stands_changes_nothing(streaming):
    streaming.judge(0, "kept")
    streaming.judge(0, "kept")
    assert len(streaming.rows("verdicts")) == 1


def test_another_verdict_replaces_the_first(streaming):
    streaming.judge(0, "kept")
    streaming.judge(0, "rejected")  # no keep stands any more, so the lane refills
    assert streaming.review.counts == Counts(rejected=1, streaming=3)
    assert streaming.indices() == [4, 1, 2, 3]


@pytest.mark.parametrize("verdict", ["kept", "rejected", "skipped"])
def test_an_empty_lane_cannot_be_judged(desk, verdict):
    with pytest.raises(VerdictError, match="lane 1"):
        desk.review.judge(0, verdict)
    with pytest.raises(VerdictError):
        desk.review.keep_rest_rejected(9)


def test_a_waiting_lane_cannot_be_kept_but_cancelled(desk):
    desk.generate()
    with pytest.raises(VerdictError, match="first token"):
        desk.review.judge(0, "kept")
    desk.judge(0, "rejected")
    assert desk.rows("verdicts") == []
    assert desk.indices() == [4, 1, 2, 3]


def test_keep_and_reject_the_rest_is_one_decision_over_the_lanes(streaming):
    streaming.finish(0)
    streaming.judge(0, "rejected")  # 4 waits in lane 0
    streaming.finish(1)
    streaming.do(streaming.review.keep_rest_rejected(1))
    assert streaming.review.counts == Counts(kept=1, rejected=3)
    assert streaming.engine.running == {}
    assert streaming.review.newest_cost.caption == "machine-written, 4 tries (3 rejected)"
    assert streaming.states() == ["rejected", "kept", "rejected", "rejected"]
    streaming.do(streaming.review.undo())
    assert streaming.review.counts == Counts(rejected=1, unjudged=3)
    assert streaming.indices()[1:] == [1, 2, 3]


def test_keep_and_reject_the_rest_passes_over_tries_set_aside(streaming):
    streaming.finish()
    streaming.generate()
    streaming.stream(0)
    streaming.do(streaming.review.keep_rest_rejected(0))
    assert streaming.review.newest_cost.caption == "machine-written, 5 tries (4 passed over)"


def test_a_keep_that_stands_can_still_reject_the_rest(streaming):
    streaming.judge(0, "kept")
    streaming.do(streaming.review.keep_rest_rejected(0))
    assert streaming.review.view(0).caption == "machine-written, 4 tries (3 rejected)"


def test_in_go_on_mode_a_keep_with_the_rest_rejected_refills_every_lane(streaming):
    streaming.do(streaming.review.set_policy(False, True))
    streaming.do(streaming.review.keep_rest_rejected(2))
    assert streaming.indices() == [4, 5, 6, 7]


def test_any_try_of_the_hunt_can_be_judged(streaming):
    streaming.judge(0, "rejected")
    first = streaming.ledger.tries(1)[0].id
    streaming.judge_try(first, "kept", 2)
    assert streaming.review.counts.kept == 1
    assert streaming.indices() == [4, 1, 2, 3]


def test_a_shown_try_covers_its_lane_until_it_is_judged(streaming):
    streaming.judge(0, "rejected")
    first = streaming.ledger.tries(1)[0].id
    streaming.review.show(first, 0)
    assert streaming.review.view(0).index == 0
    assert streaming.review.view(0).beneath == 1
    streaming.judge(0, "skipped")
    assert streaming.review.view(0).index == 4
    assert streaming.review.counts == Counts(skipped=1, streaming=3)


# Undo


def test_undo_of_a_reject_while_streaming_gives_the_partial_text_unjudged(streaming):
    streaming.judge(1, "rejected")
    streaming.stream(1)
    streaming.do(streaming.review.undo())
    view = streaming.review.view(1)
    assert (view.index, view.state, view.end) == (1, "ended", "dropped")
    assert (view.text, view.verdict, view.beneath) == ("1.1 1.2 ", None, 1)
    assert streaming.review.counts == Counts(streaming=4, unjudged=1)
    streaming.stream(1)
    streaming.judge(1, "kept")
    assert streaming.review.view(1).text == "4.1 4.2 "  # it went on underneath


def test_undone_candidates_stack_up_in_a_lane(streaming):
    for _ in range(3):
        streaming.judge(0, "rejected")
        streaming.stream(0)
    shown = []
    for _ in range(3):
        streaming.do(streaming.review.undo())
        shown.append(streaming.indices()[0])
    assert shown == [5, 4, 0]
    for expected in (4, 5, 6):
        streaming.judge(0, "rejected")
        assert streaming.indices()[0] == expected
    assert streaming.engine.started[-1].key[1] == 6  # nothing started while others lay underneath


def test_undo_of_a_keep_lets_lanes_refill_again(streaming):
    streaming.judge(0, "kept")
    streaming.do(streaming.review.undo())
    streaming.judge(1, "rejected")
    assert streaming.indices() == [0, 4, 2, 3]


def test_redo_of_a_keep_stops_refills_again(streaming):
    streaming.judge(0, "kept")
    streaming.do(streaming.review.undo())
    streaming.do(streaming.review.redo())
    streaming.judge(1, "rejected")
    assert streaming.indices() == [0, 1, 2, 3]


def test_an_old_keep_that_is_undone_and_given_again_stops_refills(streaming):
    streaming.finish()
    streaming.judge(0, "kept")
    streaming.generate()  # goes on to the next keep
    streaming.stream(0)
    streaming.do(streaming.review.undo())
    streaming.do(streaming.review.redo())
    streaming.judge(1, "rejected")
    assert streaming.indices() == [4, 1, 2, 3]


def test_nothing_to_undo_is_no_error(desk):
    assert desk.review.undo() == desk.review.redo() == []
    assert (desk.review.can_undo, desk.review.can_redo) == (False, False)


def test_undo_and_redo_know_when_they_can(streaming):
    streaming.judge(0, "rejected")
    assert (streaming.review.can_undo, streaming.review.can_redo) == (True, False)
    streaming.do(streaming.review.undo())
    assert (streaming.review.can_undo, streaming.review.can_redo) == (False, True)
    streaming.judge(0, "skipped")
    assert (streaming.review.can_undo, streaming.review.can_redo) == (True, False)


# Stop, crash, refusal


def test_stopped_tries_are_unjudged_and_can_be_judged(streaming):
    streaming.do(streaming.review.stop())
    assert streaming.review.counts == Counts(unjudged=4)
    assert {view.end for view in streaming.review.views} == {"stopped"}
    streaming.judge(0, "rejected")
    assert streaming.indices() == [4, 1, 2, 3]


def test_stop_of_one_lane_leaves_the_others(streaming):
    assert streaming.review.stop(2) == [Stop((1, 2))]
    streaming.do(streaming.review.stop(2))
    assert streaming.states() == ["streaming", "streaming", "ended", "streaming"]
    assert streaming.review.stop(2) == []


def test_interrupt_ends_everything_without_the_engine(streaming):
    commands = streaming.review.interrupt()
    assert commands == [Drop((1, index)) for index in range(4)]
    assert streaming.review.counts == Counts(unjudged=4)
    assert not streaming.review.running


def test_a_crash_marks_what_ran_and_nothing_restarts_by_itself(streaming):
    streaming.judge(0, "rejected")  # 4 waits: of it nothing was shown
    streaming.do(streaming.review.receive([Crashed("It died.", True)]))
    assert streaming.review.counts == Counts(rejected=1, lost=3)
    assert streaming.review.view(0).verdict == "rejected"  # the last that was there
    assert streaming.review.view(1).end == "crash"
    with pytest.raises(VerdictError, match="lost to a crash"):
        streaming.review.judge(1, "rejected")
    streaming.engine.running.clear()
    streaming.generate()
    assert streaming.indices() == [5, 6, 7, 8]
    assert streaming.review.counts == Counts(rejected=1, lost=3)


def test_a_refused_candidate_leaves_its_lane_empty(desk):
    desk.generate()
    desk.do(desk.review.receive([Refused((1, 0), "No room."), Refused(None, "No model.")]))
    assert desk.states() == ["empty", "waiting", "waiting", "waiting"]


def test_a_program_that_was_killed_leaves_tries_lost_to_a_crash(tmp_path):
    with Desk(tmp_path) as first:
        first.generate()
        first.stream()
        first.judge(0, "rejected")
    with Desk(tmp_path) as second:
        second.do(second.review.reopen(1))
        assert second.review.counts == Counts(rejected=1, lost=3)
        lost = second.review.tries()[1].try_id
        second.review.show(lost, 0)
        with pytest.raises(VerdictError, match="lost to a crash"):
            second.review.judge(0, "rejected")
        second.generate()
        assert second.indices() == [5, 6, 7, 8]  # 4 was given, though nothing of it was shown


# Switches


def test_go_on_after_a_keep(streaming):
    streaming.do(streaming.review.set_policy(False, True))
    streaming.judge(0, "kept")
    assert streaming.indices() == [4, 1, 2, 3]


def test_keeps_from_before_the_switch_stop_nothing_after_it(streaming):
    streaming.do(streaming.review.set_policy(False, True))
    streaming.judge(0, "kept")
    streaming.do(streaming.review.set_policy(True, True))
    streaming.judge(1, "rejected")
    assert streaming.indices() == [4, 5, 2, 3]
    streaming.stream()
    streaming.judge(2, "kept")
    streaming.judge(3, "rejected")
    assert streaming.indices() == [4, 5, 2, 3]


def test_lanes_that_do_not_hold_go_on_and_stop_stops_them(desk):
    desk.do(desk.review.set_policy(True, False))
    desk.generate(lanes=2)
    desk.finish(0)
    desk.finish(0)
    assert desk.indices() == [3, 1]
    assert desk.review.counts == Counts(unjudged=2)
    desk.stream()
    desk.do(desk.review.stop())
    assert desk.indices() == [3, 1]
    assert not desk.review.running


def test_lanes_that_do_not_hold_are_stopped_by_a_keep(desk):
    desk.do(desk.review.set_policy(True, False))
    desk.generate(lanes=2)
    desk.stream()
    desk.judge(0, "kept")
    desk.finish(1)
    assert desk.indices() == [0, 1]


def test_a_switch_after_the_hunt_came_to_its_keep_does_not_mix_its_rule(streaming):
    streaming.judge(0, "kept")
    streaming.do(streaming.review.set_policy(False, True))  # for the next prompt
    assert streaming.review.rate.reason == "several at once"
    streaming.generate()
    assert streaming.review.rate.reason == "stopping rule mixed"


# History


def test_reopen_shows_unjudged_tries_first_and_lists_all(desk):
    desk.generate()
    desk.finish()
    desk.judge(0, "rejected")
    desk.finish()
    desk.judge(1, "kept")
    desk.generate("Another", (1,))
    desk.finish()
    desk.do(desk.review.reopen(1))
    assert desk.indices() == [2, 3, 4, 1]
    assert [(view.index, view.verdict, view.lane) for view in desk.review.tries()] == [
        (0, "rejected", -1),
        (1, "kept", 3),
        (2, None, 0),
        (3, None, 1),
        (4, None, 2),
    ]
    desk.judge(0, "rejected")
    assert desk.engine.running == {}  # nothing starts before Generate
    desk.do(desk.review.undo())
    assert desk.review.view(0).verdict is None


def test_judging_in_a_reopened_hunt_walks_through_its_unjudged_tries(desk):
    for _ in range(2):
        desk.generate()
        desk.finish()
    desk.generate("Another", (1,))
    desk.do(desk.review.reopen(1))
    assert [(view.index, view.beneath) for view in desk.review.views] == [
        (0, 1), (1, 1), (2, 1), (3, 1)
    ]  # fmt: skip
    desk.judge(0, "rejected")
    assert desk.indices() == [4, 1, 2, 3]
    desk.judge(0, "rejected")
    assert desk.states() == ["rejected", "ended", "ended", "ended"]


def test_reopening_the_hunt_on_the_screen_changes_nothing(streaming):
    streaming.do(streaming.review.reopen(1))
    assert streaming.states() == ["streaming"] * 4


def test_leaving_a_hunt_empties_the_screen(streaming):
    streaming.do(streaming.review.leave())
    assert streaming.states() == ["empty"] * 4
    assert streaming.engine.running == {}
    assert (streaming.review.hunt, streaming.review.counts) == (None, Counts())
    assert {row.end.reason for row in streaming.ledger.tries(1)} == {"stopped"}


# Trouble with the library


def test_where_the_library_cannot_be_written_for_a_while_streaming_goes_on(desk, monkeypatch):
    desk.generate()
    with monkeypatch.context() as patch:
        patch.setattr(desk.database, "transaction", _full)
        desk.stream()
        desk.stream()
        assert desk.review.take_problems() == ["The disk is full."]  # said once
        with pytest.raises(LibraryError, match="disk is full"):
            desk.review.judge(0, "rejected")
    assert desk.states() == ["streaming"] * 4
    desk.judge(0, "rejected")  # what was missing is written with it
    assert len(desk.ledger.tries(1)) == 4
    assert desk.ledger.tries(1)[0].end.text == "0.1 0.2 "


def test_rows_that_could_not_be_written_together_are_written_later(desk, monkeypatch):
    desk.generate()
    begin, calls = desk.ledger.begin_try, []

    def third_time_full(*values: object) -> int:
        calls.append(values)
        if len(calls) == 3:
            raise LibraryError("The disk is full.")
        return begin(*values)

    monkeypatch.setattr(desk.ledger, "begin_try", third_time_full)
    desk.stream()
    assert desk.review.counts == Counts()  # none is on disk
    desk.stream()
    assert desk.review.counts == Counts(streaming=4)
    assert [row.index for row in desk.ledger.tries(1)] == [0, 1, 2, 3]


@contextlib.contextmanager
def _full() -> Iterator[None]:
    raise LibraryError("The disk is full.")
    yield


def test_a_library_that_cannot_be_written_streams_and_refuses_verdicts(tmp_path):
    with Desk(tmp_path) as before:
        before.generate()
        before.finish()
    reading = Database.open(tmp_path / "library.sqlite", writable=False)
    with reading, Desk(tmp_path / "scratch") as desk:
        desk.review = Review(Ledger(reading), scratch=desk.ledger)
        assert not desk.review.writable
        desk.generate()
        desk.finish()
        assert desk.review.counts == Counts(unjudged=4)
        assert desk.review.prompt_tries == 8
        for act in (
            lambda: desk.review.judge(0, "kept"),
            lambda: desk.review.keep_rest_rejected(0),
            desk.review.undo,
            desk.review.redo,
        ):
            with pytest.raises(LibraryReadOnlyError, match="reading only"):
                act()
        desk.do(desk.review.reopen(1))
        assert desk.states() == ["ended"] * 4


def test_what_cannot_be_written_does_not_go_on(tmp_path):
    with Desk(tmp_path) as before:
        before.generate()
        before.finish()
    reading = Database.open(tmp_path / "library.sqlite", writable=False)
    key = (IDS, Recipe(), MODEL.fingerprint, None)
    with reading, Desk(tmp_path / "scratch") as desk:
        desk.review = Review(Ledger(reading), scratch=desk.ledger)
        desk.do(desk.review.reopen(1))
        assert not desk.review.is_same_hunt(*key)
        desk.generate()
        assert desk.states() == ["waiting"] * 4
        assert desk.review.is_same_hunt(*key)


def test_a_library_that_cannot_be_written_refuses_to_stream_without_a_scratch(tmp_path):
    with Database.open(tmp_path / "library.sqlite", writable=False) as reading:
        review = Review(Ledger(reading))
        with pytest.raises(LibraryReadOnlyError):
            review.generate(
                PROMPT, IDS, Recipe(), MODEL, lanes=1, seed=None, device="cpu", versions={}
            )


# What the screen is told


def test_only_lanes_that_changed_are_named(streaming):
    streaming.review.take_changed()
    streaming.stream(2)
    assert streaming.review.take_changed() == {2}
    assert streaming.review.take_changed() == set()


def test_figures_in_memory_equal_those_of_the_library(streaming):
    """What the screen counts while it goes on is what a reopened hunt counts from its rows."""
    streaming.judge(0, "rejected")
    streaming.finish(1, 2)
    streaming.judge(2, "kept")
    streaming.stream()
    streaming.do(streaming.review.stop())
    fresh = Review(streaming.ledger)
    fresh.reopen(1)
    assert fresh.counts == streaming.review.counts
    assert fresh.newest_cost == streaming.review.newest_cost
    assert fresh.rate == streaming.review.rate
    assert fresh.prompt_tries == streaming.review.prompt_tries


def test_a_try_of_another_build_is_said_once(streaming):
    streaming.generate(model=OTHER_BUILD)
    (notice,) = streaming.review.take_notices()
    assert "cpu-fp32" in notice
    assert "cpu-int8" in notice
    streaming.generate("Another", (1,))
    assert streaming.review.take_notices() == []


def test_verdict_rows_cannot_be_changed(streaming):
    streaming.judge(0, "rejected")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        streaming.database.execute("UPDATE verdicts SET verdict = 'kept'")
