"""Counting: what the rows of a hunt say about it. Pure functions; nothing here is ever stored.

The rows are append-only, so everything is a fold over them. A verdict row says kept, rejected or
skipped of one try; an ``undone`` row takes one such row back; a redo is a new row that repeats the
one it brings back. Every row carries its *mark*, the newest try that had been shown when it was
written: what a person had seen when they chose is what a kept sample cost, whatever is judged,
undone or lost afterwards (RULES 5 and 6).

- the verdict that stands of each try, and since when: :func:`standing`;
- how the tries stand, what each kept one cost, how often one is kept: :func:`figures`.

Order and marks go by the number of the try's row, the order of first tokens, never by a clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol

from explorer.core.intervals import KeepRate, Reason, keep_rate


class VerdictRow(Protocol):
    """What counting needs of a verdict row; the ledger's rows have it."""

    @property
    def id(self) -> int:
        """Row number; rows are read in its order."""

    @property
    def action(self) -> int:
        """What was done; rows of one key press share it. It grows with time."""

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
    def mark(self) -> int:
        """The newest try of the hunt that had been shown when the row was written."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A sample was taken out of its collection, or brought back into one.

    Either chooses among its hunt's tries again (RULES 6).
    """

    action: int
    try_id: int
    mark: int
    back: bool = False
    """Whether it was brought back: its keep counts from then on."""


@dataclass(frozen=True, slots=True)
class ShownTry:
    """A try, as far as counting goes: its row exists, so a token of it was shown (RULES 3)."""

    try_id: int
    ended: str | None
    """How it ended; None while it streams."""


@dataclass(frozen=True, slots=True)
class Stand:
    """The verdict of a try that stands."""

    try_id: int
    verdict: str
    row: int
    """The verdict row: what an undo of this verdict takes back."""
    since: int
    """The row that made it stand: its own, or the undoing of what had overruled it."""
    mark: int
    """Of that row, or of when its sample was brought back into a collection."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How the tries of a hunt stand; all together are its tries (RULES 5)."""

    kept: int = 0
    rejected: int = 0
    skipped: int = 0
    passed_over: int = 0
    """Ended without a verdict, beside one that was kept: shown in its span."""
    unjudged: int = 0
    """Ended without a verdict, and nothing was chosen among them yet."""
    streaming: int = 0
    lost: int = 0
    """To a crash, without a verdict."""

    @property
    def tries(self) -> int:
        """All tries, from their first shown token on (RULES 3)."""
        return (
            self.kept
            + self.rejected
            + self.skipped
            + self.passed_over
            + self.unjudged
            + self.streaming
            + self.lost
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kept sample cost: the tries in the span of its keep (RULES 6)."""

    tries: int
    """All that were shown in the span, itself included."""
    kept: int = 1
    """Standing keeps among them, itself included."""
    rejected: int = 0
    skipped: int = 0
    passed_over: int = 0
    """Without a verdict, ended or streaming."""
    lost: int = 0
    """To a crash."""
    steered_at: int | None = None
    """The token at which its text was branched; None for a plain try (RULES 12)."""
    plain_tries: int | None = None
    """Of a steered one: the tries of the plain hunt that it was branched from."""

    @property
    def share(self) -> str:
        """Say of how many tries it was chosen: ``first try``, ``one of 2 kept from 12 tries``."""
        if self.kept > 1:
            return f"one of {self.kept:,} kept from {self.tries:,} tries"
        return "first try" if self.tries == 1 else f"{self.tries:,} tries"

    @property
    def brief(self) -> str:
        """The caption without the words that say who wrote the text."""
        beside = (
            (self.rejected, "rejected"),
            (self.skipped, "skipped"),
            (self.passed_over, "passed over"),
            (self.lost, "lost to a crash"),
        )
        inside = "; ".join(f"{number:,} {word}" for number, word in beside if number)
        words = self.share + (f" ({inside})" if inside else "")
        if self.steered_at is not None:
            words = f"steered at token {self.steered_at:,}, {words}"
        if self.plain_tries is not None:
            plain = "try" if self.plain_tries == 1 else "tries"
            words += f", beside {self.plain_tries:,} plain {plain}"
        return words

    @property
    def caption(self) -> str:
        """The caption of the sample, the same everywhere (RULES 9).

        >>> Cost(8, rejected=5, skipped=1, passed_over=1).caption
        'machine-written, 8 tries (5 rejected; 1 skipped; 1 passed over)'
        """
        return f"machine-written, {self.brief}"

    def steered(self, at: int, plain_tries: int) -> Cost:
        """Return the same of a text branched ``at`` a token, beside so many plain tries."""
        return replace(self, steered_at=at, plain_tries=plain_tries)


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is counted of one hunt, or of one family of steered ones."""

    counts: Counts
    costs: dict[int, Cost]
    """Of every standing keep, by try, in the order in which they were kept."""
    rate: KeepRate
    passed_over: frozenset[int]
    """The tries without a verdict, ended or streaming, that stand in the span of a keep."""


def standing(verdicts: Iterable[VerdictRow]) -> dict[int, Stand]:
    """Return what stands of every try with a verdict, in the order in which it began to stand."""
    return _replay(verdicts, ())[0]


def figures(
    shown: Iterable[ShownTry],
    verdicts: Iterable[VerdictRow],
    removals: Iterable[Removal] = (),
    until_keep: Sequence[bool] = (),
    own: Set[int] | None = None,
) -> Figures:
    """Count one hunt (RULES 5, 6 and 10), or one of a family of steered ones.

    ``until_keep`` holds every setting of the switch "until I keep one" that the hunt has seen.
    ``own`` are the tries whose states and costs are asked for; None for all of them.
    """
    verdicts = list(verdicts)
    stands, reach = _replay(verdicts, removals)
    tries = sorted(shown, key=lambda each: each.try_id)
    order = [each.try_id for each in tries]
    states = [_state(each, stands) for each in tries]
    keeps = [each for each in stands.values() if each.verdict == "kept"]
    marks = [each.mark for each in keeps]  # never falling: rows are in the order of time
    totals = {
        name: list(accumulate((state == name for state in states), initial=0)) for name in _STATES
    }
    edges = [0] * (len(order) + 1)
    costs: dict[int, Cost] = {}
    for keep in keeps:
        before = bisect_left(marks, keep.try_id)  # keeps given before this try was shown
        first = bisect_right(order, marks[before - 1]) if before else 0
        last = bisect_right(order, max(keep.mark, reach))
        edges[first] += 1
        edges[last] -= 1
        inside = {name: total[last] - total[first] for name, total in totals.items()}
        costs[keep.try_id] = Cost(
            last - first,
            inside["kept"],
            inside["rejected"],
            inside["skipped"],
            inside["unjudged"] + inside["streaming"],
            inside["lost"],
        )
    all_kept = chosen_among = 0
    passed: set[int] = set()
    counted = dict.fromkeys((*_STATES, "passed_over"), 0)
    for try_id, state, cover in zip(order, states, accumulate(edges), strict=False):
        passed_over = cover > 0 and state in ("unjudged", "streaming")
        if passed_over:
            passed.add(try_id)
        all_kept += state == "kept"
        chosen_among += passed_over or state in ("kept", "rejected")
        if own is None or try_id in own:
            counted["passed_over" if passed_over and state == "unjudged" else state] += 1
    if own is not None:
        costs = {try_id: cost for try_id, cost in costs.items() if try_id in own}
    reason = _why_not_exact(verdicts, stands, until_keep, all_kept)
    rate = keep_rate(all_kept, chosen_among, reason)
    return Figures(Counts(**counted), costs, rate, frozenset(passed))


_STATES = ("kept", "rejected", "skipped", "unjudged", "streaming", "lost")


def _state(each: ShownTry, stands: dict[int, Stand]) -> str:
    if (stand := stands.get(each.try_id)) is not None:
        return stand.verdict
    return {None: "streaming", "crash": "lost"}.get(each.ended, "unjudged")


def _replay(
    verdicts: Iterable[VerdictRow], removals: Iterable[Removal]
) -> tuple[dict[int, Stand], int]:
    """Return what stands, and how far keeps that were taken back stretch the spans of the others.

    Taking a keep back after another try was shown is choosing again, so that the spans of the
    keeps given before reach to that row's mark at least, and stay so whatever is undone later.
    Those given after it have no smaller mark by themselves.
    """
    given: dict[int, list[VerdictRow]] = {}  # rows of a try that are not undone, the newest last
    stands: dict[int, Stand] = {}
    reach = 0
    for row in _in_order(verdicts, removals):
        before = stands.get(row.try_id)
        if isinstance(row, Removal):
            if before is not None and before.verdict == "kept" and row.mark > before.mark:
                if row.back:  # it stands again, and last
                    del stands[row.try_id]
                    stands[row.try_id] = replace(before, mark=row.mark)
                else:
                    reach = max(reach, row.mark)
            continue
        rows = given.setdefault(row.try_id, [])
        if row.verdict == "undone":
            rows[:] = [each for each in rows if each.id != row.undoes]
        else:
            rows.append(row)
        top = rows[-1] if rows else None
        if before is not None and top is not None and before.row == top.id:
            continue
        stands.pop(row.try_id, None)  # what stands anew stands last
        if top is not None:
            stands[row.try_id] = Stand(row.try_id, top.verdict, top.id, row.id, row.mark)
        kept_no_more = top is None or top.verdict != "kept"
        if before is not None and before.verdict == "kept" and kept_no_more:
            reach = max(reach, row.mark if row.mark > before.mark else 0)
    return stands, reach


def _in_order(
    verdicts: Iterable[VerdictRow], removals: Iterable[Removal]
) -> list[VerdictRow | Removal]:
    """Return all rows as they were written; a removal comes after the verdicts of its action."""
    keyed: list[tuple[int, int, VerdictRow | Removal]] = [
        (row.action, row.id, row) for row in verdicts
    ]
    keyed += [(row.action, 1 << 62, row) for row in removals]
    return [row for *_, row in sorted(keyed, key=lambda each: each[:2])]


def _why_not_exact(
    verdicts: Sequence[VerdictRow],
    stands: dict[int, Stand],
    until_keep: Sequence[bool],
    kept: int,
) -> Reason | None:
    """Return the first reason why the stopping rule was not that of RULES 10; None where it was."""
    if not kept:
        return "no keep yet"
    if not any(until_keep):
        return "switched off"
    if not all(until_keep):
        return "stopping rule mixed"
    if any(row.mark != row.try_id for row in verdicts):
        return "several at once"
    judged = [each for each in stands.values() if each.verdict != "skipped"]
    newest = max(judged, key=lambda each: each.since)  # a sample brought back is no new verdict
    return None if newest.verdict == "kept" else "went on after the last keep"
