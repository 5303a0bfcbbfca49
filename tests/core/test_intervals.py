"""The maths of the keep rate against FACTS 6."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.intervals import (
    beta_cdf,
    beta_quantile,
    inverse_binomial,
    keep_rate,
    several,
    wilson,
)


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
    rate = keep_rate(1, 10, None)
    assert rate.exact
    assert rate.estimate is None  # one keep: no unbiased estimate exists
    assert rate.expected_low == pytest.approx(2.97, abs=0.005)
    assert rate.expected_high == pytest.approx(395, abs=0.5)
    assert (rate.share_words, rate.interval_words) == ("1 of 10 kept", "0.25 to 34 %")
    assert rate.expected_words == "3 to 395 tries"
    assert (rate.kind_words, rate.method) == (
        "exact: stopped at each keep",
        "inverse binomial (exact)",
    )


def test_the_unbiased_estimate_of_several_keeps():
    assert keep_rate(2, 4, None).estimate == pytest.approx(1 / 3)  # (r - 1) / (n - 1)
    assert keep_rate(2, 4, "several at once").estimate == 0.5


def test_keep_rate_is_wilson_where_the_rule_was_not_kept_to():
    rate = keep_rate(1, 3, "stopping rule mixed")
    assert (rate.low, rate.high) == wilson(1, 3)
    assert (rate.kind_words, rate.method) == ("approximate: stopping rule mixed", "Wilson score")


def test_keep_rate_without_a_keep_says_at_least():
    rate = keep_rate(0, 10, "no keep yet")
    assert rate.expected_high is None
    assert rate.expected_words == "at least 3.6 tries"
    nothing = keep_rate(0, 0, "no keep yet")
    assert (nothing.share_words, nothing.interval_words) == ("nothing judged yet", "")


HUNTS = st.tuples(
    st.integers(0, 9),
    st.integers(0, 40),
    st.sampled_from([None, "switched off", "stopping rule mixed", "several at once"]),
)


@given(st.lists(HUNTS, max_size=6))
def test_several_hunts_are_their_sum_and_exact_only_if_each_is(hunts):
    rates = [
        keep_rate(kept, kept + others, reason if kept else "no keep yet")
        for kept, others, reason in hunts
    ]
    together = several(rates)
    kept = judged = 0
    for rate in rates:
        kept += rate.kept
        judged += rate.judged
    assert (together.kept, together.judged) == (kept, judged)
    said = [rate for rate in rates if rate.judged]
    assert together.exact == (bool(said) and all(rate.exact for rate in said))
    bounds = inverse_binomial(kept, judged) if together.exact else wilson(kept, judged)
    assert (together.low, together.high) == bounds
    assert several(reversed(rates)) == together


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ((None, None), None),
        ((None, "several at once", "switched off"), "switched off"),
        (("went on after the last keep", "several at once"), "several at once"),
    ],
)
def test_of_several_hunts_the_first_reason_that_holds_is_said(reasons, said):
    assert several(keep_rate(1, 4, reason) for reason in reasons).reason == said


def test_a_hunt_without_a_keep_makes_several_approximate():
    without = keep_rate(0, 5, "no keep yet")
    assert several([without, without]).reason == "no keep yet"
    together = several([keep_rate(1, 4, None), without])
    assert together.kind_words == "approximate: a hunt without a keep"
    assert together.share_words == "1 of 9 kept"
    assert several([]).share_words == "nothing judged yet"
