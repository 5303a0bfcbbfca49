"""Counting of rows that no review writes: made by hand, or by another order of events."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.core.counting import Counts, Removal, Replay, ShownTry, count, figures, standing
from tests.rereading import Event, told_by


@dataclass(frozen=True)
class Row:
    id: int
    action: int
    try_id: int
    verdict: str
    undoes: int | None = None
    mark: int = 0


def shown(*ended: str | None) -> list[ShownTry]:
    """Tries 1, 2, ..., by how they ended."""
    return [ShownTry(n, how) for n, how in enumerate(ended, start=1)]


def one_at_a_time(*verdicts: str) -> list[Row]:
    """A verdict on each of the tries 1, 2, ..., given before the next was shown."""
    return [Row(n, n, n, verdict, mark=n) for n, verdict in enumerate(verdicts, start=1)]


def test_states_and_spans_cover_every_try_once():
    tries = shown("stopped", "max_tokens", "crash", None, "end_of_text", "stopped")
    found = figures(tries, [Row(1, 1, 1, "kept", mark=4)])
    assert found.counts == Counts(kept=1, passed_over=1, unjudged=2, streaming=1, lost=1)
    assert found.counts.tries == 6
    assert found.passed_over == {2, 4}
    assert (found.costs[1].tries, found.costs[1].passed_over, found.costs[1].lost) == (4, 2, 1)
    assert (found.rate.kept, found.rate.judged) == (1, 3)


def test_a_try_that_was_judged_and_lost_is_judged():
    found = figures(shown("crash"), [Row(1, 1, 1, "rejected", mark=1)])
    assert found.counts == Counts(rejected=1)


def test_a_verdict_that_is_overruled_stands_again_from_the_row_that_undid_the_other():
    rows = [
        Row(1, 1, 1, "kept", mark=1),
        Row(2, 2, 1, "rejected", mark=3),
        Row(3, 3, 1, "undone", undoes=2, mark=5),
    ]
    stand = standing(rows)[1]
    assert (stand.row, stand.since, stand.mark) == (1, 3, 5)


def test_undoing_what_does_not_stand_changes_nothing():
    rows = [
        Row(1, 1, 1, "kept", mark=1),
        Row(2, 2, 1, "rejected", mark=1),
        Row(3, 3, 1, "undone", undoes=1, mark=4),
    ]
    stand = standing(rows)[1]
    assert (stand.verdict, stand.since) == ("rejected", 2)


def test_an_undoing_of_a_row_that_is_not_there_is_passed_by():
    assert standing([Row(3, 3, 1, "undone", undoes=1, mark=4)]) == {}


def test_a_removal_before_another_try_was_shown_is_a_slip():
    rows = one_at_a_time("kept", "kept")
    for mark, reaches in ((2, 1), (3, 3)):
        tries = shown(*["stopped"] * 3)
        found = figures(tries, rows, [Removal(3, 2, mark)], [True])
        assert found.costs[1].tries == reaches


def test_keeps_order_by_when_they_began_to_stand():
    rows = [
        *one_at_a_time("kept", "kept"),
        Row(3, 3, 1, "undone", undoes=1, mark=2),
        Row(4, 4, 1, "kept", mark=2),
    ]
    assert list(figures(shown("stopped", "stopped"), rows).costs) == [2, 1]


def test_rates_of_one_at_a_time_are_exact():
    rate = figures(
        shown(*["stopped"] * 3), one_at_a_time("rejected", "skipped", "kept"), (), [True]
    )
    assert (rate.rate.reason, rate.rate.judged) == (None, 2)


def test_a_family_counts_its_own_tries_and_spans_over_all():
    tries = shown(*["max_tokens"] * 4)
    found = figures(tries, [Row(1, 1, 3, "kept", mark=4)], own={3, 4})
    assert found.counts == Counts(kept=1, passed_over=1)
    assert found.costs[3].tries == 4
    assert found.rate.judged == 4


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["show", "show", "end", "crash", "judge", "judge", "take back", "remove", "bring back"]
        ),
        st.integers(0, 5),
        st.sampled_from(["kept", "kept", "rejected", "skipped"]),
    ),
    min_size=12,  # what is interesting takes some steps
    max_size=40,
)


@settings(max_examples=400)
@given(STEPS)
def test_any_history_tells_what_its_rows_say_read_one_by_one(steps):
    ended: dict[int, str | None] = {}
    rows: list[Row] = []
    removals: list[Removal] = []
    events: list[Event] = []
    before: dict[int, int] = {}
    going_on = Replay()
    for number, (what, pick, verdict) in enumerate(steps, start=1):
        stands = standing(rows)
        mark = max(ended, default=0)
        if what == "show":
            ended[mark + 1] = None
        elif not ended:
            continue
        chosen = sorted(ended)[pick % len(ended)]
        if what in ("end", "crash") and ended[chosen] is None:
            ended[chosen] = "max_tokens" if what == "end" else "crash"
        if what == "judge" and (chosen not in stands or stands[chosen].verdict != verdict):
            rows.append(Row(number, number, chosen, verdict, mark=mark))
            events.append(Event(chosen, mark, number, verdict))
        if what == "take back" and chosen in stands:
            undoes = stands[chosen].row
            rows.append(Row(number, number, chosen, "undone", undoes, mark))
            events.append(Event(chosen, mark, number, "undone", undoes))
        if what == "remove":
            removals.append(Removal(number, chosen, mark))
            events.append(Event(chosen, mark))
        if what == "bring back":
            removals.append(Removal(number, chosen, mark, back=True))
            events.append(Event(chosen, mark, verdict="back"))
        tried = [ShownTry(*each) for each in ended.items()]
        found = figures(tried, rows, removals)
        ahead = going_on.copy()  # what looks ahead changes nothing
        ahead.add([Row(number + 1, number + 1, chosen, "kept", mark=mark)])
        of_this_step = (
            [each for each in those if each.action == number] for those in (rows, removals)
        )
        going_on.add(*of_this_step)
        assert count(tried, going_on) == found
        told = told_by(events, ended)
        names = ("tries", "kept", "rejected", "skipped", "passed_over", "lost")
        assert told.costs == {
            key: {name: getattr(cost, name) for name in names} for key, cost in found.costs.items()
        }
        states = (*names[1:], "unjudged", "streaming")
        assert {name: told.counts.get(name, 0) for name in states} == {
            name: getattr(found.counts, name) for name in states
        }
        assert told.rate == (found.rate.kept, found.rate.judged)
        tries = {key: cost.tries for key, cost in found.costs.items()}
        assert all(tries.get(key, least) >= least for key, least in before.items())
        before = tries
