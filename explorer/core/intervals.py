"""How often a try is kept: the keep rate and its interval at 95 % confidence (RULES 10, FACTS 6).

Pure functions. Which tries count, and whether a hunt kept to the stopping rule that makes its
interval exact, is :mod:`explorer.core.counting`'s affair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

CONFIDENCE = 0.95
_Z = 1.959963984540054  # standard normal quantile at 1 - (1 - CONFIDENCE) / 2

Reason = Literal[
    "no keep yet",
    "switched off",
    "stopping rule mixed",
    "several at once",
    "went on after the last keep",
    "a hunt without a keep",
]
"""Why an interval cannot be the exact one of stopping at a keep; the first that holds is said. The
last is said of several hunts together only."""


@dataclass(frozen=True, slots=True)
class KeepRate:
    """The keep rate of a hunt, or of several: kept / chosen among, with its interval (RULES 10)."""

    kept: int
    judged: int
    """What was chosen among: kept, rejected and passed over; skipped and unjudged ones are not."""
    low: float
    high: float
    reason: Reason | None
    """Why the interval is Wilson's; None where it is the exact inverse-binomial one."""

    @property
    def exact(self) -> bool:
        """Whether the interval is exact, because judging stopped at a keep every time."""
        return self.reason is None

    @property
    def estimate(self) -> float | None:
        """The unbiased estimate; None where there is none (stopped at the first keep, FACTS 6)."""
        if self.exact:
            return (self.kept - 1) / (self.judged - 1) if self.kept > 1 else None
        return self.kept / self.judged if self.judged else None

    @property
    def expected_low(self) -> float:
        """Fewest tries a keeper is expected to take: 1 / high."""
        return 1 / self.high

    @property
    def expected_high(self) -> float | None:
        """Most tries a keeper is expected to take: 1 / low; None = no bound can be given."""
        return 1 / self.low if self.low > 0 else None

    @property
    def share_words(self) -> str:
        """The plain share: ``1 of 4 kept``."""
        if not self.judged:
            return "nothing judged yet"
        return f"{self.kept:,} of {self.judged:,} kept"

    @property
    def interval_words(self) -> str:
        """The interval as a screen shows it: ``4.6 to 70 %``; empty where nothing is judged."""
        if not self.judged:
            return ""
        return f"{_figure(100 * self.low)} to {_figure(100 * self.high)} %"

    @property
    def expected_words(self) -> str:
        """Expected tries of a keeper: ``3 to 395 tries``; ``at least 3.6 tries`` without a keep."""
        if not self.judged:
            return ""
        if not self.kept or self.expected_high is None:
            return f"at least {_figure(self.expected_low)} tries"
        return f"{_figure(self.expected_low)} to {_figure(self.expected_high)} tries"

    @property
    def kind_words(self) -> str:
        """The kind of interval in a person's words: exact, or why it can only be near."""
        return f"approximate: {self.reason}" if self.reason else "exact: stopped at each keep"

    @property
    def brief(self) -> str:
        """The share and its interval: ``1 of 4 kept; 4.6 to 70 %``."""
        return "; ".join(filter(None, (self.share_words, self.interval_words)))

    @property
    def about(self) -> str:
        """What the interval is called and what it means, in three lines."""
        return (
            f"{self.share_words}, {self.kind_words}.\n95 % interval {self.interval_words}:"
            f" {self.method}.\nA keeper takes {self.expected_words}."
        )

    @property
    def method(self) -> str:
        """The interval's name in statistics."""
        return "inverse binomial (exact)" if self.exact else "Wilson score"


def keep_rate(kept: int, judged: int, reason: Reason | None) -> KeepRate:
    """Return the rate of ``kept`` of ``judged`` with the interval that its stopping rule needs.

    Without a ``reason`` judging stopped at a keep, which the inverse-binomial interval is for.
    """
    low, high = inverse_binomial(kept, judged) if reason is None else wilson(kept, judged)
    return KeepRate(kept, judged, low, high, reason)


def several(rates: Iterable[KeepRate]) -> KeepRate:
    """Return the rate of several hunts together; it is exact only if that of each is (RULES 10).

    A hunt in which nothing was chosen among yet says nothing, and changes nothing.
    """
    said = [rate for rate in rates if rate.judged]
    kept, judged = sum(rate.kept for rate in said), sum(rate.judged for rate in said)
    reasons = {"a hunt without a keep" if kept and not rate.kept else rate.reason for rate in said}
    found = (reason for reason in get_args(Reason) if reason in reasons)
    return keep_rate(kept, judged, next(found, None if kept else "no keep yet"))


def wilson(kept: int, judged: int) -> tuple[float, float]:
    """Return the Wilson score interval of ``kept`` of a fixed number ``judged``; (0, 1) of none."""
    if not judged:
        return 0.0, 1.0
    rate, z2 = kept / judged, _Z * _Z
    middle = (rate + z2 / (2 * judged)) / (1 + z2 / judged)
    half = _Z * math.sqrt(rate * (1 - rate) / judged + z2 / (4 * judged**2)) / (1 + z2 / judged)
    # At the ends the bound is exact; rounding must not leave 1e-17 where "no bound" is meant.
    return (middle - half if kept else 0.0), (middle + half if kept < judged else 1.0)


def inverse_binomial(kept: int, judged: int) -> tuple[float, float]:
    """Return the exact interval of a rate where judging stopped at the r-th keep, after n tries.

    FACTS 6: the lower end solves P(Bin(n, p) >= r) = 0.025, the upper one
    P(Bin(n - 1, p) <= r - 1) = 0.025.
    """
    tail = (1 - CONFIDENCE) / 2
    low = beta_quantile(tail, kept, judged - kept + 1)
    return low, (beta_quantile(1 - tail, kept, judged - kept) if kept < judged else 1.0)


def beta_quantile(level: float, a: float, b: float) -> float:
    """Return x with I_x(a, b) = ``level``, by bisection; P(Bin(n, p) >= k) is I_p(k, n - k + 1)."""
    return _bisect(lambda x: beta_cdf(x, a, b) < level)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) for positive a and b.

    Continued fraction 8.17.22 of the Digital Library of Mathematical Functions (NIST), evaluated by
    Lentz's method.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    tiny, fraction, c, d = 1e-300, 1.0, 1.0, 0.0
    for i in range(10_000):
        m = i // 2
        if i == 0:
            step = 1.0
        elif i % 2:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / ((1 + step * d) or tiny)
        c = (1 + step / c) or tiny
        fraction *= c * d
        if i and abs(c * d - 1) < 1e-15:
            break
    return front * (fraction - 1) / a


def _bisect(below: Callable[[float], bool]) -> float:
    """Return the point of [0, 1] where ``below`` turns false."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if below(middle) else (low, middle)
    return high


def _figure(value: float) -> str:
    """Write a positive figure with two digits that count, or whole where it is large."""
    if value >= 9.95 or value == 0:
        return f"{value:.0f}"
    return f"{value:.{max(1 - math.floor(math.log10(value)), 0)}f}".rstrip("0").rstrip(".")
