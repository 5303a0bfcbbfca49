"""Counting: what the rows of a hunt say about it. Pure functions; nothing here is ever stored.

The rows are append-only, so everything is a fold over them. A verdict row says kept, rejected or
skipped of one try; an ``undone`` row takes one such row back; a redo is a new row that repeats the
one it brings back. A try's *standing* verdict is its newest row that is not undone (RULES 5), and
every figure follows from the standing rows in their order:

- what a kept sample cost, and its caption (RULES 6 and 9): :func:`costs`, :func:`caption`;
- how many tries are kept, rejected, skipped, unread, streaming, lost to a crash: :func:`count`;
- the keep rate and its interval (RULES 10): :func:`keep_rate`;
- which decision undo and redo would take next (RULES 7): :func:`next_undo`, :func:`next_redo`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol, TypeVar

CONFIDENCE = 0.95
_Z = 1.959963984540054  # standard normal quantile at 1 - (1 - CONFIDENCE) / 2


class VerdictRow(Protocol):
    """What counting needs of a verdict row; the ledger's rows have it."""

    @property
    def id(self) -> int:
        """Row number; rows are read in its order."""

    @property
    def decision(self) -> int:
        """Rows of one decision (keep this, reject the rest) share it; grows with time."""

    @property
    def try_id(self) -> int:
        """The try that was judged."""

    @property
    def verdict(self) -> str:
        """``kept``, ``rejected``, ``skipped`` or ``undone``."""

    @property
    def undoes(self) -> int | None:
        """Row that an ``undone`` row takes back."""

    @property
    def redoes(self) -> int | None:
        """Row that a redo repeats."""

    @property
    def at(self) -> str:
        """When, in ISO form and UTC, so that text order is time order."""


Row = TypeVar("Row", bound=VerdictRow)


@dataclass(frozen=True, slots=True)
class Shown:
    """A try, as far as counting goes: its row exists, so a token of it was shown (RULES 3)."""

    try_id: int
    started_at: str
    """ISO, UTC: text order is time order, comparable with :attr:`VerdictRow.at`."""
    ended: str | None
    """How it ended; None while it streams."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How the tries of a hunt stand; streaming ones and those lost to a crash apart (RULES 5)."""

    kept: int = 0
    rejected: int = 0
    skipped: int = 0
    unread: int = 0
    """Shown, ended, no standing verdict, no crash."""
    streaming: int = 0
    crashed: int = 0

    @property
    def tries(self) -> int:
        """Tries that have ended and were not lost: kept, rejected, skipped and unread together."""
        return self.kept + self.rejected + self.skipped + self.unread

    @property
    def judged(self) -> int:
        """What the keep rate is taken of; skipped and unread are a third state."""
        return self.kept + self.rejected


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kept sample cost (RULES 6)."""

    rejected: int
    """Rejects that stand since the previous standing keep of the hunt."""
    skipped: int
    """Skips that stand in the same stretch."""
    unread: int
    """Unread tries of that stretch: shown before this keep, and not before the previous one."""
    steered: bool = False

    @property
    def tries(self) -> int:
        """The kept one and the rejected ones."""
        return 1 + self.rejected

    @property
    def caption(self) -> str:
        """The words of RULES 9."""
        return caption(self.tries, self.rejected, self.skipped, self.unread, self.steered)


@dataclass(frozen=True, slots=True)
class Interval:
    """The keep rate of a hunt, kept / judged, with its interval at 95 % confidence (RULES 10)."""

    kept: int
    judged: int
    """All judged tries, or those up to the last keep where ``kind`` is ``inverse binomial``."""
    low: float
    high: float
    kind: Literal["inverse binomial", "wilson"]
    note: str
    """Why this kind: ``stopped at a keep``, ``no keep yet``, ``stopping rule mixed`` or empty."""

    @property
    def estimate(self) -> float | None:
        """The unbiased estimate; None where there is none (stopped at the first keep, FACTS 6)."""
        if self.kind == "inverse binomial":
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
    def rate_words(self) -> str:
        """The interval as a screen shows it: ``0.4–46 %``."""
        if not self.judged:
            return "nothing judged yet"
        return f"{_figure(100 * self.low)}–{_figure(100 * self.high)} %"

    @property
    def expected_words(self) -> str:
        """Expected tries of a keeper: ``3–395 tries``; ``at least 3.6 tries`` without a keep."""
        if not self.judged:
            return ""
        if not self.kept or self.expected_high is None:
            return f"at least {_figure(self.expected_low)} tries"
        return f"{_figure(self.expected_low)}–{_figure(self.expected_high)} tries"


def standing(verdicts: Iterable[Row]) -> dict[int, Row]:
    """Return every standing verdict row by its try, in the order of the rows (RULES 5)."""
    rows = sorted(verdicts, key=lambda row: row.id)
    undone = {row.undoes for row in rows if row.verdict == "undone"}
    newest: dict[int, Row] = {}
    for row in rows:
        if row.verdict != "undone" and row.id not in undone:
            newest.pop(row.try_id, None)  # an older row gives up its place in the order too
            newest[row.try_id] = row
    return newest


def count(shown: Iterable[Shown], verdicts: Iterable[VerdictRow]) -> Counts:
    """Count the tries of one hunt by how they stand."""
    verdict = {try_id: row.verdict for try_id, row in standing(verdicts).items()}
    states = Counter(verdict.get(each.try_id) or _without_verdict(each) for each in shown)
    return Counts(**states)


def costs(
    shown: Iterable[Shown], verdicts: Iterable[VerdictRow], *, steered: bool = False
) -> dict[int, Cost]:
    """Return what every kept try of one hunt cost, by try, in the order of the keeps (RULES 6).

    An unread try is counted beside the first keep that came after it was shown; one shown after the
    last keep is nobody's yet.
    """
    verdicts = list(verdicts)
    stands = standing(verdicts)
    keeps = [row for row in stands.values() if row.verdict == "kept"]
    said = _first_said(verdicts)
    times = list(accumulate((said[row.id] for row in keeps), max))  # a clock may have been set back
    unread = Counter(
        bisect_left(times, each.started_at)
        for each in shown
        if each.try_id not in stands and _without_verdict(each) == "unread"
    )
    found: dict[int, Cost] = {}
    since = Counter[str]()
    for row in stands.values():
        if row.verdict == "kept":
            place = len(found)
            found[row.try_id] = Cost(since["rejected"], since["skipped"], unread[place], steered)
            since.clear()
        else:
            since[row.verdict] += 1
    return found


def caption(tries: int, rejected: int, skipped: int, unread: int, steered: bool = False) -> str:
    """Return the caption of a kept sample, the same everywhere (RULES 9).

    >>> caption(7, 6, 2, 3)
    'machine-written, 7 tries (6 rejected; 2 skipped, 3 unread)'
    """
    beside = ", ".join(
        f"{number} {name}" for number, name in ((skipped, "skipped"), (unread, "unread")) if number
    )
    inside = "; ".join(
        part for part in (f"{rejected} rejected" if rejected else "", beside) if part
    )
    words = ["machine-written", *(["steered"] if steered else [])]
    words.append("first try" if tries == 1 else f"{tries} tries")
    return ", ".join(words) + (f" ({inside})" if inside else "")


def keep_rate(verdicts: Iterable[VerdictRow], until_keep: Sequence[bool]) -> Interval:
    """Return the keep rate of one hunt with the interval that its stopping rule needs (RULES 10).

    ``until_keep`` holds every setting of the switch "until I keep one" that the hunt has seen.
    """
    judged = [row.verdict for row in standing(verdicts).values() if row.verdict != "skipped"]
    kept = judged.count("kept")
    if kept and until_keep and all(until_keep):
        upto = len(judged) - judged[::-1].index("kept")
        low, high = inverse_binomial(kept, upto)
        return Interval(kept, upto, low, high, "inverse binomial", "stopped at a keep")
    mixed = len(set(until_keep)) > 1
    note = "stopping rule mixed" if mixed else "no keep yet" if judged and not kept else ""
    return Interval(kept, len(judged), *wilson(kept, len(judged)), "wilson", note)


def next_undo(verdicts: Iterable[VerdictRow]) -> int | None:
    """Return the decision that undo would take back, the newest that stands; None without one."""
    return next(iter(_decisions(verdicts)[0][-1:]), None)


def next_redo(verdicts: Iterable[VerdictRow]) -> int | None:
    """Return the decision that redo would bring back; None without one or after a new decision."""
    return next(iter(_decisions(verdicts)[1][-1:]), None)


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


def _without_verdict(shown: Shown) -> str:
    """Say how a try that nobody judged is counted."""
    return {None: "streaming", "crash": "crashed"}.get(shown.ended, "unread")


def _first_said(verdicts: Iterable[VerdictRow]) -> dict[int, str]:
    """Return when each verdict was first given; a redo brings back the time of what it repeats."""
    said: dict[int, str] = {}
    for row in sorted(verdicts, key=lambda row: row.id):
        said[row.id] = row.at if row.redoes is None else said.get(row.redoes, row.at)
    return said


def _decisions(verdicts: Iterable[VerdictRow]) -> tuple[list[int], list[int]]:
    """Return the decisions that stand and those that can be redone, the next to take last."""
    rows = sorted(verdicts, key=lambda row: row.id)
    decision_of = {row.id: row.decision for row in rows}
    first_of: dict[int, VerdictRow] = {}
    for row in rows:
        first_of.setdefault(row.decision, row)
    done: list[int] = []
    undone: list[int] = []
    for decision, row in first_of.items():
        if row.undoes is not None:
            done.remove(decision_of[row.undoes])
            undone.append(decision_of[row.undoes])
        elif row.redoes is not None:
            undone.remove(decision_of[row.redoes])
            done.append(decision)
        else:
            done.append(decision)
            undone.clear()
    return done, undone


def _figure(value: float) -> str:
    """Write a positive figure with two digits that count, or whole where it is large."""
    if value >= 9.95 or value == 0:
        return f"{value:.0f}"
    return f"{value:.{max(1 - math.floor(math.log10(value)), 0)}f}".rstrip("0").rstrip(".")
