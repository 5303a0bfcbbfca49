"""Verdicts while another program holds the library, and verdicts that come too soon."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from explorer.core.counting import Counts
from explorer.core.errors import LibraryBusyError, LibraryError
from explorer.engine.messages import Drop
from explorer.library.ledger import Ledger
from explorer.review.review import GLANCE_S, Review
from tests.hunting import Desk


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


@contextmanager
def held(desk: Desk) -> Iterator[None]:
    """Another program holds the library's write lock."""
    other = sqlite3.connect(desk.database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def writing(desk: Desk) -> list[str | None]:
    return [view.writing for view in desk.review.views]


def test_a_verdict_waits_and_is_not_final_before_it_is_written(streaming):
    with held(streaming):
        streaming.judge(1, "rejected")
        assert writing(streaming) == [None, "rejected", None, None]
        assert streaming.review.view(1).verdict is None
        assert streaming.engine.messages[-1] == [Drop((1, 1))]  # cut where the key was pressed
        assert streaming.review.counts == Counts(streaming=3, unjudged=1)
        streaming.stream()  # the others go on
        assert streaming.review.view(1).text == "1.1 "
        assert streaming.review.view(0).text == "0.1 0.2 "
        (problem,) = streaming.review.take_problems()
        assert "Another program" in problem
    streaming.do(streaming.review.retry())
    assert writing(streaming) == [None] * 4
    assert streaming.review.counts == Counts(rejected=1, streaming=3)
    assert streaming.indices() == [0, 4, 2, 3]
    assert not streaming.review.unwritten
    (end,) = streaming.rows("ends")
    assert end[1] == "dropped"


def test_verdicts_that_wait_are_written_in_their_order(streaming):
    with held(streaming):
        streaming.judge(0, "rejected")
        streaming.judge(1, "kept")
        streaming.judge(2, "skipped")
        assert streaming.review.waiting == 3
    streaming.do(streaming.review.retry())
    rows = streaming.ledger.verdicts(1)
    assert [(row.try_id, row.verdict) for row in rows] == [
        (1, "rejected"),
        (2, "kept"),
        (3, "skipped"),
    ]
    assert streaming.review.view(1).cut
    assert streaming.indices() == [4, 1, 2, 3]  # the keep came before the skip


def test_undo_takes_a_verdict_away_that_was_never_written(streaming):
    with held(streaming):
        streaming.judge(0, "kept")
        streaming.judge(1, "rejected")
        assert streaming.review.can_undo
        assert not streaming.review.can_redo
        streaming.do(streaming.review.undo())
        streaming.do(streaming.review.take_back(streaming.review.view(0).try_id))
        assert writing(streaming) == [None] * 4
    streaming.do(streaming.review.retry())
    assert streaming.rows("verdicts") == []
    assert streaming.review.counts == Counts(unjudged=2, streaming=2)
    assert streaming.review.view(0).end == "stopped"


def test_a_hunt_is_not_left_while_its_verdicts_wait(streaming):
    with held(streaming):
        streaming.judge(0, "kept")
        with pytest.raises(LibraryBusyError, match="being written"):
            streaming.review.leave()
        assert streaming.review.view(0).writing == "kept"
    streaming.do(streaming.review.leave())
    fresh = Review(Ledger(streaming.database))
    fresh.reopen(1)
    assert (fresh.counts.kept, fresh.counts.lost) == (1, 0)


def test_an_end_that_cannot_be_written_is_not_left_behind_either(streaming):
    with held(streaming), pytest.raises(LibraryBusyError):
        streaming.review.leave()
    streaming.do(streaming.review.retry(at_once=True))
    assert len(streaming.rows("ends")) == 4


def test_no_attempt_follows_another_at_once(streaming, monkeypatch):
    attempts = []
    transaction = Ledger.transaction
    monkeypatch.setattr(
        Ledger, "transaction", lambda ledger: attempts.append(1) or transaction(ledger)
    )
    streaming.review._screen._clock = lambda: 100.0  # no time passes
    with held(streaming):
        streaming.judge(0, "kept")
        attempts.clear()
        for _ in range(10):
            streaming.do(streaming.review.retry())
            streaming.stream()
    assert attempts == []


def test_a_verdict_that_can_never_be_written_is_said_and_given_up(streaming):
    with held(streaming):
        streaming.judge(0, "kept")
    streaming.review.take_problems()
    streaming.database.execute("UPDATE collections SET deleted_at = '2026'")
    with pytest.raises(LibraryError, match="deleted"):
        streaming.review.retry()
    assert streaming.review.waiting == 0
    assert streaming.review.view(0).verdict is None


# Too soon


def at(desk: Desk, second: float) -> None:
    desk.review._screen._clock = lambda: second


@pytest.mark.parametrize("first", ["rejected", "skipped"])
@pytest.mark.parametrize("again", ["rejected", "kept", "rest"])
@pytest.mark.parametrize("shown", [False, True])
def test_a_second_press_never_judges_what_nobody_has_seen(streaming, first, again, shown):
    def press() -> None:
        if again == "rest":
            streaming.do(streaming.review.keep_rest_rejected(2))
        else:
            streaming.judge(2, again)

    at(streaming, 10.0)
    streaming.judge(2, first)
    if shown:
        streaming.stream(2)
    before = streaming.review.counts
    at(streaming, 10.0 + GLANCE_S * 0.9)
    if shown or again == "rejected":
        press()
    assert streaming.review.counts == before
    assert streaming.review.view(2).index == 4
    at(streaming, 10.0 + GLANCE_S * 1.1)
    streaming.stream(2)
    press()
    assert streaming.review.counts != before


def test_other_lanes_can_be_judged_at_once(streaming):
    at(streaming, 10.0)
    for lane in range(4):
        streaming.judge(lane, "rejected")
    assert streaming.review.counts.rejected == 4


def test_what_is_kept_while_it_streams_says_so(streaming):
    streaming.finish(1)
    for lane in (0, 1):
        streaming.judge_tries([streaming.review.view(lane).try_id], "kept")
    assert [streaming.review.view(lane).cut for lane in (0, 1)] == [True, False]
    fresh = Review(Ledger(streaming.database))
    fresh.reopen(1)
    assert {
        view.index: view.cut for view in fresh.tries() if view.end in ("stopped", "max_tokens")
    } == {
        0: True,
        1: False,
    }
