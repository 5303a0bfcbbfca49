"""The hunt on the screen, as the library has it, and the tries that are not wholly on disk yet.

An :class:`OpenHunt` keeps the rows of one hunt in memory, writes new ones, and derives every figure
from them with :mod:`explorer.core.counting`. Which try starts, ends or is judged when is not
decided here but in :mod:`explorer.review.review`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from explorer.core.counting import (
    Cost,
    Counts,
    Figures,
    Replay,
    ShownTry,
    Stand,
    count,
)
from explorer.core.intervals import KeepRate
from explorer.core.recipe import Recipe
from explorer.engine.messages import End, Key, Start
from explorer.library.ledger import (
    Hunt,
    Ledger,
    Policy,
    Try,
    TryEnd,
    VerdictName,
)
from explorer.review.lane_stacks import Candidate, LaneView

Standing = Mapping[int, Stand]
"""The standing verdict of every try that has one, by try."""


class OpenHunt:
    """One hunt with its candidates, verdicts and policies, and the ledger that it is written in."""

    def __init__(self, ledger: Ledger, hunt: Hunt, now: Callable[[], str]) -> None:
        """Read the hunt's rows from ``ledger``; ``now`` gives the times that are counted with."""
        self.ledger = ledger
        self.hunt = hunt
        streams = ledger.written_elsewhere
        self.candidates = {row.index: _candidate(row, streams) for row in ledger.tries(hunt.id)}
        self.device = ""
        self.versions: Mapping[str, str] = {}
        self._now = now
        self._live: dict[int, Candidate] = {}  # by index: those whose end is not on disk yet
        self._prompt_tries = ledger.tries_on_prompt(hunt.prompt_ids)
        self._replay = Replay()
        self._read_to = 0, 0  # the newest verdict row, the newest action of a removal
        self.removed: set[int] = set()
        """The tries whose samples were taken out of their collections."""
        self.reread()

    def reread(self) -> None:
        """Read what was added to verdicts, removals and policies, after something was done."""
        ledger, hunt_id = self.ledger, self.hunt.id
        row, action = self._read_to
        verdicts = ledger.verdicts(hunt_id, after=row)
        removals = ledger.removals(hunt_id, after=action)
        self._replay.add(verdicts, removals)
        self._read_to = (
            verdicts[-1].id if verdicts else row,
            removals[-1].action if removals else action,
        )
        for removal in removals:
            (self.removed.discard if removal.back else self.removed.add)(removal.try_id)
        self.policies: list[Policy] = ledger.policies(hunt_id)
        self.standing: Standing = self._replay.stands
        self.undoable = ledger.actions.tries_of(ledger.actions.next_undo())
        """The tries whose verdicts undo would change next, all of one action."""
        self.touch()

    def touch(self) -> None:
        """Let every figure be derived anew, after a try began or ended."""
        self._figures: Figures | None = None

    def is_same_hunt(
        self, prompt_ids: tuple[int, ...], recipe: Recipe, fingerprint: str, seed: int | None
    ) -> bool:
        """Say whether Generate with these goes on with this hunt (RULES 1).

        ``fingerprint`` is that of the model build.
        """
        hunt = self.hunt
        key = (hunt.prompt_ids, hunt.recipe, hunt.model.fingerprint)
        return (
            key == (prompt_ids, recipe, fingerprint)
            and not hunt.steered
            and not hunt.damage
            and seed in (None, hunt.seed)
        )

    def other_build(self, after: Hunt) -> str:
        """Return what to say where only the build changed, by fallback for instance (RULES 11)."""
        before = self.hunt
        if (before.prompt_text, before.recipe) != (after.prompt_text, after.recipe):
            return ""
        if before.model.fingerprint == after.model.fingerprint:
            return ""
        return (
            f"{after.model.name} runs as {after.model.build} now, no longer as"
            f" {before.model.name} {before.model.build}, so this is another hunt with counts of"
            " its own."
        )

    # Candidates

    def key(self, candidate: Candidate) -> Key:
        """Return the name by which the engine knows a candidate."""
        return self.hunt.id, candidate.index

    def start(self, candidate: Candidate) -> Start:
        """Return the command that streams a candidate."""
        hunt = self.hunt
        return Start(self.key(candidate), candidate.lane, hunt.seed, hunt.prompt_ids, hunt.recipe)

    def running(self, key: Key) -> Candidate | None:
        """Return the candidate that the engine means; None if it is over or of another hunt."""
        candidate = self._live.get(key[1]) if key[0] == self.hunt.id else None
        return candidate if candidate is not None and candidate.running else None

    def all_running(self) -> list[Candidate]:
        """Return the candidates that the engine still works on."""
        return [candidate for candidate in self._live.values() if candidate.running]

    def of_try(self, try_id: int) -> Candidate | None:
        """Return the candidate of a try row; None where the hunt has none such."""
        return next((c for c in self.candidates.values() if c.try_id == try_id), None)

    def of_tries(self, try_ids: Iterable[int]) -> list[Candidate]:
        """Return the candidates of try rows, in their order, as far as they are of this hunt."""
        found = {c.try_id: c for c in self.candidates.values()}
        return [found[try_id] for try_id in try_ids if try_id in found]

    def is_open(self, candidate: Candidate, stands: Standing | None = None) -> bool:
        """Say whether a candidate still waits for its end or its verdict."""
        stands = self.standing if stands is None else stands
        lost = candidate.end == "crash" or bool(candidate.damage)
        return not lost and candidate.try_id not in stands

    def stands_now(self) -> Standing:
        """Return what stands after the rows that an open transaction has written."""
        ahead = self._replay.copy()
        ahead.add(self.ledger.verdicts(self.hunt.id, after=self._read_to[0]))
        return ahead.stands

    def unjudged(self) -> list[Candidate]:
        """Return the shown, ended candidates without verdict or crash, in order of index."""
        return [
            c for c in self.candidates.values() if c.shown and not c.running and self.is_open(c)
        ]

    # Writing

    @property
    def unsaved(self) -> bool:
        """Whether a first token or an end is not on disk yet."""
        return any(
            c.shown and (c.try_id is None or not c.running) and not c.writing
            for c in self._live.values()
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is not on disk yet together with what the caller writes, or nothing of it."""
        begun = [c for c in self._live.values() if c.shown and c.try_id is None]
        over = [c for c in self._live.values() if c.shown and not c.running and not c.writing]
        try:
            with self.ledger.transaction():
                for candidate in begun:
                    self._begin(candidate)
                for candidate in over:
                    self.ledger.end_try(row_of(candidate), _ending(candidate))
                yield
        except BaseException:
            for candidate in begun:
                candidate.try_id = None
            raise
        for candidate in over:
            del self._live[candidate.index]
        if begun or over:
            self._prompt_tries = self.ledger.tries_on_prompt(self.hunt.prompt_ids)
            self.touch()

    def reserve(self, lane: int, begun: float) -> Candidate:
        """Return a candidate with the next index, inside a transaction; :meth:`add` it after."""
        return Candidate(self.ledger.reserve_index(self.hunt.id), lane, begun)

    def add(self, candidate: Candidate) -> None:
        """Take up a candidate whose index is on disk."""
        self.candidates[candidate.index] = self._live[candidate.index] = candidate

    def discard(self, candidate: Candidate) -> None:
        """Forget a candidate of which nothing was shown; its index stays used (RULES 2 and 3)."""
        self._live.pop(candidate.index, None)
        self.candidates.pop(candidate.index, None)

    def decide(
        self,
        judged: Sequence[tuple[Candidate, VerdictName]],
        cut: Mapping[Candidate, tuple[End, float]],
        collection: int | None,
    ) -> None:
        """Write verdicts as one decision, inside a transaction.

        ``cut`` gives the ends (reason, seconds) of the candidates that it ends; :meth:`close` them
        after.
        """
        ends = {row_of(candidate): _ending(candidate, *end) for candidate, end in cut.items()}
        self.ledger.decide(
            [(row_of(candidate), name) for candidate, name in judged], ends, collection
        )

    def close(self, candidate: Candidate, reason: End, seconds: float) -> None:
        """Take up that the end of a candidate is on disk."""
        candidate.end, candidate.seconds, candidate.cut = reason, seconds, True
        del self._live[candidate.index]

    def _begin(self, candidate: Candidate) -> None:
        candidate.started_at = self._now()
        candidate.try_id = self.ledger.begin_try(
            self.hunt.id, candidate.index, candidate.lane, self.device, self.versions
        )

    # Figures

    @property
    def shown(self) -> list[ShownTry]:
        """The tries as counting sees them."""
        return [ShownTry(c.try_id, c.end) for c in self.candidates.values() if c.try_id is not None]

    @property
    def figures(self) -> Figures:
        """All that is counted of the hunt."""
        if self._figures is None:
            if self.hunt.steered:
                self._figures = self.ledger.figures(self.hunt.id, self.shown)
            else:
                until_keep = [row.until_keep for row in self.policies]
                self._figures = count(self.shown, self._replay, until_keep)
        return self._figures

    @property
    def counts(self) -> Counts:
        """How the tries stand."""
        return self.figures.counts

    @property
    def costs(self) -> dict[int, Cost]:
        """What every kept try cost, in the order of the keeps."""
        return self.figures.costs

    @property
    def rate(self) -> KeepRate:
        """The keep rate with its interval."""
        return self.figures.rate

    @property
    def newest_cost(self) -> Cost | None:
        """What the try that was kept last cost; None without one."""
        return next(reversed(self.costs.values()), None)

    @property
    def prompt_tries(self) -> int:
        """Tries on this prompt over all hunts."""
        return self._prompt_tries

    def kept(self, stands: Standing | None = None) -> set[int]:
        """Return the tries whose standing verdict is a keep."""
        stands = self.standing if stands is None else stands
        return {try_id for try_id, row in stands.items() if row.verdict == "kept"}

    def verdict(self, candidate: Candidate) -> str | None:
        """Return the standing verdict of a candidate."""
        row = None if candidate.try_id is None else self.standing.get(candidate.try_id)
        return row.verdict if row else None

    def view(self, candidate: Candidate, lane: int, beneath: int = 0) -> LaneView:
        """Return what a screen shows of a candidate."""
        cost = None if candidate.try_id is None else self.costs.get(candidate.try_id)
        return LaneView(
            lane=lane,
            index=candidate.index,
            try_id=candidate.try_id,
            state="ended"
            if not candidate.running
            else "streaming"
            if candidate.shown
            else "waiting",
            text=candidate.text,
            tokens=len(candidate.ids),
            end=candidate.end,
            verdict=self.verdict(candidate),
            writing=candidate.writing,
            cut=candidate.cut,
            passed_over=candidate.try_id in self.figures.passed_over,
            cost=cost,
            started=candidate.started,
            seconds=candidate.seconds,
            beneath=beneath,
            damage=candidate.damage,
        )


def row_of(candidate: Candidate) -> int:
    """Return the try row of a candidate, which has one by now."""
    assert candidate.try_id is not None
    return candidate.try_id


def _ending(
    candidate: Candidate, reason: End | None = None, seconds: float | None = None
) -> TryEnd:
    """Return the end row of a candidate: as it ended, or cut short now."""
    return TryEnd(
        reason or candidate.end or "crash",
        tuple(candidate.ids),
        candidate.text,
        tuple(candidate.logprobs),
        candidate.seconds if seconds is None else seconds,
    )


def _candidate(row: Try, streams: bool) -> Candidate:
    """Return the candidate of a try that is on disk.

    One without an end ``streams`` in another window, or was lost to a crash.
    """
    end = row.end or TryEnd("crash", (), "", (), 0.0)
    return Candidate(
        index=row.index,
        lane=row.lane,
        try_id=row.id,
        started_at=row.started_at,
        text=end.text,
        ids=list(end.ids),
        logprobs=list(end.logprobs),
        end=None if streams and row.end is None else end.reason,
        seconds=end.seconds,
        damage=row.damage,
        cut=end.cut,
    )
