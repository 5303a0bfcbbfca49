"""The maths of the keep rate against FACTS 6, and the counting of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.library.statistics import (
    Counts,
    Shown,
    beta_cdf,
    beta_quantile,
    caption,
    costs,
    count,
    inverse_binomial,
    keep_rate,
    next_redo,
    next_undo,
    standing,
    wilson,
)


@dataclass(frozen=True)
class Row:
    id: int
    decision: int
    try_id: int
    verdict: str
    undoes: int | None = None
    redoes: int | None = None
    at: str = ""


def at(second: float) -> str:
    return f"2026-01-01T00:00:{second:09.6f}Z"


def rows(*said: tuple[int, str]) -> list[Row]:
    """One decision a verdict, one second apart, from second 10 on."""
    return [Row(i, i, each, verdict, at=at(10 + i)) for i, (each, verdict) in enumerate(said)]


@pytest.mark.parametrize(
    ("kept", "judged", "low", "high"),
    [
        (1, 10, 0.0179, 0.4042),
        (5, 10, 0.2366, 0.7634),
        (17, 20, 0.6396, 0.9476),
        (5, 5, 0.5655, 1),
        (0, 10, 0, 0.2775),
        (10, 100, 0.0552, 0.1744),
    ],
)
def test_wilson_equals_facts_6(kept, judged, low, high):
    assert wilson(kept, judged) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_nothing_is_everything():
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("kept", "judged", "low", "high"),
    [(1, 10, 0.0025, 0.3363), (1, 1, 0.025, 1), (1, 25, 0.0010, 0.1425), (3, 30, 0.0211, 0.2277)],
)
def test_inverse_binomial_equals_facts_6(kept, judged, low, high):
    assert inverse_binomial(kept, judged) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("kept", "judged", "low", "high"),
    [(1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (0, 10, 0, 0.3085), (5, 5, 0.4782, 1)],
)
def test_beta_quantile_gives_clopper_pearson_of_facts_6(kept, judged, low, high):
    if kept:
        assert beta_quantile(0.025, kept, judged - kept + 1) == pytest.approx(low, abs=5e-5)
    if kept < judged:
        assert beta_quantile(0.975, kept + 1, judged - kept) == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.001, 0.999))
def test_beta_cdf_is_the_binomial_tail(kept, others, rate):
    judged = kept + others
    tail = math.fsum(
        math.comb(judged, k) * rate**k * (1 - rate) ** (judged - k) for k in range(kept, judged + 1)
    )
    assert beta_cdf(rate, kept, judged - kept + 1) == pytest.approx(tail, rel=1e-9, abs=1e-12)


@given(st.integers(1, 5000), st.integers(0, 5000))
def test_intervals_hold_the_rate_and_stay_within_bounds(kept, others):
    judged = kept + others
    for low, high in (inverse_binomial(kept, judged), wilson(kept, judged)):
        assert 0 <= low < kept / judged <= high <= 1


def test_keep_rate_of_the_unicorn():
    judged = rows(*((i, "rejected") for i in range(9)), (9, "kept"))
    rate = keep_rate(judged, [True])
    assert (rate.kind, rate.kept, rate.judged) == ("inverse binomial", 1, 10)
    assert rate.estimate is None  # one keep: no unbiased estimate exists
    assert rate.expected_low == pytest.approx(2.97, abs=0.005)
    assert rate.expected_high == pytest.approx(395, abs=0.5)
    assert (rate.rate_words, rate.expected_words) == ("0.25–34 %", "3–395 tries")


def test_keep_rate_counts_up_to_the_last_keep_and_never_the_skipped():
    said = rows((0, "rejected"), (1, "skipped"), (2, "kept"), (3, "rejected"), (4, "kept"))
    rate = keep_rate([*said, *[Row(9, 9, 9, "rejected")]], [True, True])
    assert (rate.kept, rate.judged) == (2, 4)
    assert rate.estimate == pytest.approx(1 / 3)  # (r - 1) / (n - 1)
    assert rate.note == "stopped at a keep"


@pytest.mark.parametrize(
    ("until_keep", "note"),
    [([True, False], "stopping rule mixed"), ([False], ""), ([], ""), ([False, False], "")],
)
def test_keep_rate_is_wilson_where_the_rule_was_not_kept_to(until_keep, note):
    rate = keep_rate(rows((0, "rejected"), (1, "kept"), (2, "rejected")), until_keep)
    assert (rate.kind, rate.judged, rate.note) == ("wilson", 3, note)
    assert (rate.low, rate.high) == wilson(1, 3)


def test_keep_rate_without_a_keep_says_at_least():
    rate = keep_rate(rows(*((i, "rejected") for i in range(10))), [True])
    assert (rate.kind, rate.note, rate.expected_high) == ("wilson", "no keep yet", None)
    assert rate.expected_words == "at least 3.6 tries"
    assert keep_rate([], [True]).rate_words == "nothing judged yet"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((7, 6, 2, 3), "machine-written, 7 tries (6 rejected; 2 skipped, 3 unread)"),
        ((7, 6, 0, 0), "machine-written, 7 tries (6 rejected)"),
        ((7, 6, 0, 3), "machine-written, 7 tries (6 rejected; 3 unread)"),
        ((1, 0, 0, 0), "machine-written, first try"),
        ((1, 0, 2, 0), "machine-written, first try (2 skipped)"),
    ],
)
def test_caption_names_only_what_is_not_zero(numbers, words):
    assert caption(*numbers) == words


def test_caption_says_steered():
    assert caption(2, 1, 0, 0, steered=True) == "machine-written, steered, 2 tries (1 rejected)"


def test_a_try_judged_again_counts_where_its_newest_verdict_stands():
    said = rows((0, "rejected"), (1, "rejected"), (2, "kept"), (0, "kept"))
    cost = costs([], said)
    assert {each: found.rejected for each, found in cost.items()} == {2: 1, 0: 0}


def test_unread_tries_stand_beside_the_first_keep_after_they_were_shown():
    shown = [
        Shown(0, at(1), "end_of_text"),  # kept at 10
        Shown(1, at(2), "max_tokens"),  # unread before the first keep
        Shown(2, at(10.5), "stopped"),  # unread between the two
        Shown(3, at(10.7), "dropped"),  # kept at 11
        Shown(4, at(10.8), None),  # streams
        Shown(5, at(10.9), "crash"),
        Shown(6, at(12), "end_of_text"),  # unread after both
    ]
    found = costs(shown, rows((0, "kept"), (3, "kept")))
    assert {each: cost.unread for each, cost in found.items()} == {0: 1, 3: 1}
    assert count(shown, rows((0, "kept"), (3, "kept"))) == Counts(
        kept=2, unread=3, streaming=1, crashed=1
    )


def test_undo_and_redo_bring_back_the_same_cost():
    shown = [Shown(0, at(1), "stopped"), Shown(1, at(10.5), "stopped"), Shown(2, at(1), "stopped")]
    before = rows((0, "kept"), (2, "kept"))
    undone = [
        *before,
        Row(5, 5, 2, "undone", undoes=1, at=at(20)),
        Row(6, 6, 0, "undone", undoes=0, at=at(21)),
    ]
    redone = [
        *undone,
        Row(7, 7, 0, "kept", redoes=0, at=at(30)),
        Row(8, 8, 2, "kept", redoes=1, at=at(31)),
    ]
    assert costs(shown, undone) == {}
    assert costs(shown, redone) == costs(shown, before)
    assert (next_undo(undone), next_redo(undone)) == (None, 0)
    assert (next_undo(redone), next_redo(redone)) == (8, None)


def test_a_new_decision_ends_what_could_be_redone():
    said = [*rows((0, "kept")), Row(3, 3, 0, "undone", undoes=0), Row(4, 4, 0, "rejected")]
    assert next_redo(said[:2]) == 0
    assert (next_undo(said), next_redo(said)) == (4, None)


def test_one_decision_of_many_rows_is_one_step():
    said = [Row(0, 7, 0, "rejected"), Row(1, 7, 1, "rejected"), Row(2, 7, 2, "kept")]
    assert next_undo(said) == 7
    back = [Row(3 + i, 8, i, "undone", undoes=i) for i in range(3)]
    assert (next_undo(said + back), next_redo(said + back)) == (None, 7)
    assert standing(said + back) == {}
    assert costs([], said)[2].caption == "machine-written, 3 tries (2 rejected)"
