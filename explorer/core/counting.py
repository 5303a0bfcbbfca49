"""Counting: what the rows of a hunt say about it. Pure functions; nothing here is ever stored.

The rows are append-only, so everything is a fold over them. A verdict row says kept, rejected or
skipped of one try; an ``undone`` row takes one such row back; a redo is a new row that repeats the
one it brings back. Every row carries its *mark*, the newest try that had been shown when it was
written: what a person had seen when they chose is what a kept sample cost, whatever is judged,
undone or lost afterwards (RULES 5 and 6).

- the verdict that stands of each try, and since when: :func:`standing`;
- how the tries stand, what each kept one cost, how often one is kept: :func:`figures`;
- the same while rows are added, without reading all of them again: :class:`Replay` and
  :func:`count`.

Order and marks go by the number of the try's row, the order of first tokens, never by a clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
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


class Replay:
    """What stands after the rows so far; rows are only added, so that it goes on from there.

    Taking a keep back after another try was shown is choosing again, so that the spans of the
    keeps given before reach to that row's mark at least, and stay so whatever is undone later.
    Those given after it have no smaller mark by themselves.
    """

    def __init__(
        self, verdicts: Iterable[VerdictRow] = (), removals: Iterable[Removal] = ()
    ) -> None:
        """Begin with these rows."""
        self.stands: dict[int, Stand] = {}
        """The standing verdicts by try, in the order in which they began to stand."""
        self.reach = 0
        """How far keeps that were taken back stretch the spans of the others."""
        self.one_at_a_time = True
        """Whether every verdict was given while its own try was the newest one shown."""
        self._given: dict[int, tuple[VerdictRow, ...]] = {}  # not undone, the newest last
        self.add(verdicts, removals)

    def copy(self) -> Replay:
        """Return one that goes on by itself."""
        other = Replay()
        other.stands, other._given = dict(self.stands), dict(self._given)
        other.reach, other.one_at_a_time = self.reach, self.one_at_a_time
        return other

    def add(self, verdicts: Iterable[VerdictRow], removals: Iterable[Removal] = ()) -> None:
        """Go on with rows that were written after those before."""
        for row in _in_order(verdicts, removals):
            if isinstance(row, Removal):
                self._move(row)
            else:
                self._judge(row)

    def _move(self, row: Removal) -> None:
        before = self.stands.get(row.try_id)
        if before is None or before.verdict != "kept" or row.mark <= before.mark:
            return
        if row.back:  # it stands again, and last
            del self.stands[row.try_id]
            self.stands[row.try_id] = replace(before, mark=row.mark)
        else:
            self.reach = max(self.reach, row.mark)

    def _judge(self, row: VerdictRow) -> None:
        self.one_at_a_time &= row.mark == row.try_id
        before, given = self.stands.get(row.try_id), self._given.get(row.try_id, ())
        if row.verdict == "undone":
            given = tuple(each for each in given if each.id != row.undoes)
        else:
            given = (*given, row)
        self._given[row.try_id] = given
        top = given[-1] if given else None
        if before is not None and top is not None and before.row == top.id:
            return
        self.stands.pop(row.try_id, None)  # what stands anew stands last
        if top is not None:
            self.stands[row.try_id] = Stand(row.try_id, top.verdict, top.id, row.id, row.mark)
        kept_no_more = top is None or top.verdict != "kept"
        if before is not None and before.verdict == "kept" and kept_no_more:
            self.reach = max(self.reach, row.mark if row.mark > before.mark else 0)


def standing(verdicts: Iterable[VerdictRow]) -> dict[int, Stand]:
    """Return what stands of every try with a verdict, in the order in which it began to stand."""
    return Replay(verdicts).stands


def figures(
    shown: Iterable[ShownTry],
    verdicts: Iterable[VerdictRow],
    removals: Iterable[Removal] = (),
    until_keep: Sequence[bool] = (),
    own: Set[int] | None = None,
) -> Figures:
    """Count one hunt, or one of a family of steered ones, from its rows; as :func:`count`."""
    return count(shown, Replay(verdicts, removals), until_keep, own)


def count(
    shown: Iterable[ShownTry],
    replay: Replay,
    until_keep: Sequence[bool] = (),
    own: Set[int] | None = None,
) -> Figures:
    """Count one hunt (RULES 5, 6 and 10), or one of a family of steered ones.

    ``until_keep`` holds every setting of the switch "until I keep one" that the hunt has seen.
    ``own`` are the tries whose states and costs are asked for; None for all of them.
    """
    stands = replay.stands
    order: list[int] = []
    by_state: dict[str, list[int]] = {state: [] for state in _STATES}  # tries, ascending
    for each in sorted(shown, key=attrgetter("try_id")):
        order.append(each.try_id)
        by_state[_state(each, stands)].append(each.try_id)
    keeps = [each for each in stands.values() if each.verdict == "kept"]
    marks = [each.mark for each in keeps]  # never falling: rows are in the order of time
    spans: list[tuple[int, int]] = []  # (behind this try, up to that one)
    costs: dict[int, Cost] = {}
    for keep in keeps:
        before = bisect_left(marks, keep.try_id)  # keeps given before this try was shown
        span = marks[before - 1] if before else 0, max(keep.mark, replay.reach)
        spans.append(span)
        if own is None or keep.try_id in own:
            inside = {state: _within(tries, span) for state, tries in by_state.items()}
            costs[keep.try_id] = Cost(
                _within(order, span),
                inside["kept"],
                inside["rejected"],
                inside["skipped"],
                inside["unjudged"] + inside["streaming"],
                inside["lost"],
            )
    apart = _joined(spans)
    passed = {
        state: [try_id for try_id in by_state[state] if _covered(try_id, apart)]
        for state in ("unjudged", "streaming")
    }
    kept = len(by_state["kept"])
    chosen_among = kept + len(by_state["rejected"]) + sum(map(len, passed.values()))
    counted = {state: _count(tries, own) for state, tries in by_state.items()}
    passed_over = _count(passed["unjudged"], own)
    counts = Counts(
        **{**counted, "unjudged": counted["unjudged"] - passed_over}, passed_over=passed_over
    )
    rate = keep_rate(kept, chosen_among, _why_not_exact(replay, until_keep, kept))
    return Figures(counts, costs, rate, frozenset(chain(*passed.values())))


def _within(tries: Sequence[int], span: tuple[int, int]) -> int:
    """Count those of ascending tries that stand in a span."""
    return bisect_right(tries, span[1]) - bisect_right(tries, span[0])


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same spans, ascending and apart."""
    apart: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if apart and begin <= apart[-1][1]:
            begin, end = apart[-1][0], max(end, apart.pop()[1])
        apart.append((begin, end))
    return apart


def _covered(try_id: int, apart: Sequence[tuple[int, int]]) -> bool:
    """Say whether a try stands in one of the spans, ascending and apart."""
    place = bisect_left(apart, (try_id,))
    return place > 0 and try_id <= apart[place - 1][1]


def _count(tries: Sequence[int], own: Set[int] | None) -> int:
    return len(tries) if own is None else sum(try_id in own for try_id in tries)


_STATES = ("kept", "rejected", "skipped", "unjudged", "streaming", "lost")


def _state(each: ShownTry, stands: dict[int, Stand]) -> str:
    if (stand := stands.get(each.try_id)) is not None:
        return stand.verdict
    return {None: "streaming", "crash": "lost"}.get(each.ended, "unjudged")


def _in_order(
    verdicts: Iterable[VerdictRow], removals: Iterable[Removal]
) -> list[VerdictRow | Removal]:
    """Return all rows as they were written; a removal comes after the verdicts of its action."""
    keyed: list[tuple[int, int, VerdictRow | Removal]] = [
        (row.action, row.id, row) for row in verdicts
    ]
    keyed += [(row.action, 1 << 62, row) for row in removals]
    return [row for *_, row in sorted(keyed, key=lambda each: each[:2])]


def _why_not_exact(replay: Replay, until_keep: Sequence[bool], kept: int) -> Reason | None:
    """Return the first reason why the stopping rule was not that of RULES 10; None where it was."""
    if not kept:
        return "no keep yet"
    if not any(until_keep):
        return "switched off"
    if not all(until_keep):
        return "stopping rule mixed"
    if not replay.one_at_a_time:
        return "several at once"
    judged = [each for each in replay.stands.values() if each.verdict != "skipped"]
    newest = max(judged, key=lambda each: each.since)  # a sample brought back is no new verdict
    return None if newest.verdict == "kept" else "went on after the last keep"
