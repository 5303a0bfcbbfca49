"""The hunt on the screen, as the library has it, and the tries that are not wholly on disk yet.

An :class:`OpenHunt` keeps the rows of one hunt in memory, writes new ones, and derives every figure
from them with :mod:`explorer.library.statistics`. Which try starts, ends or is judged when is not
decided here but in :mod:`explorer.review`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from explorer.engine.messages import End, Key, Start
from explorer.library.ledger import (
    Hunt,
    Ledger,
    Policy,
    Try,
    TryEnd,
    Verdict,
    VerdictName,
)
from explorer.library.statistics import (
    Cost,
    Counts,
    Interval,
    Shown,
    costs,
    count,
    keep_rate,
    next_redo,
    next_undo,
    standing,
)
from explorer.recipe import Recipe
from explorer.seats import Candidate, Seat

Standing = Mapping[int, Verdict]
"""The standing verdict row of every try that has one, by try."""


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
        self.reread()

    def reread(self) -> None:
        """Read verdicts and policies anew, after a decision."""
        self.verdicts: list[Verdict] = self.ledger.verdicts(self.hunt.id)
        self.policies: list[Policy] = self.ledger.policies(self.hunt.id)
        self.standing: Standing = standing(self.verdicts)
        decision = next_undo(self.verdicts)
        self.undoable = {row.try_id for row in self.verdicts if row.decision == decision}
        """The tries whose verdicts undo would take back, all of one decision."""
        self.can_redo = next_redo(self.verdicts) is not None
        """Whether an undone decision could be repeated."""
        self.touch()

    def touch(self) -> None:
        """Let every figure be derived anew, after a try began or ended."""
        self._counts: Counts | None = None
        self._costs: dict[int, Cost] | None = None
        self._interval: Interval | None = None

    def goes_on(
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

    def of_rows(self, rows: Iterable[Verdict]) -> list[Candidate]:
        """Return the candidates that verdict rows are about, in their order."""
        return [c for row in rows if (c := self.of_try(row.try_id)) is not None]

    def is_open(self, candidate: Candidate, stands: Standing | None = None) -> bool:
        """Say whether a candidate still waits for its end or its verdict."""
        stands = self.standing if stands is None else stands
        lost = candidate.end == "crash" or bool(candidate.damage)
        return not lost and candidate.try_id not in stands

    def stands_now(self) -> Standing:
        """Return what stands after the rows that an open transaction has written."""
        return standing(self.ledger.verdicts(self.hunt.id))

    def unread(self) -> list[Candidate]:
        """Return the shown, ended candidates without verdict or crash, in order of index."""
        return [
            c for c in self.candidates.values() if c.shown and not c.running and self.is_open(c)
        ]

    # Writing

    @property
    def unsaved(self) -> bool:
        """Whether a first token or an end is not on disk yet."""
        return any(c.shown and (c.try_id is None or not c.running) for c in self._live.values())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is not on disk yet together with what the caller writes, or nothing of it."""
        begun = [c for c in self._live.values() if c.shown and c.try_id is None]
        over = [c for c in self._live.values() if c.shown and not c.running]
        try:
            with self.ledger.transaction():
                for candidate in begun:
                    self._begin(candidate)
                for candidate in over:
                    self.ledger.end_try(_row(candidate), _ending(candidate))
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

    def void(self, candidate: Candidate) -> None:
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
        ends = {_row(candidate): _ending(candidate, *end) for candidate, end in cut.items()}
        self.ledger.decide(
            [(_row(candidate), name) for candidate, name in judged], ends, collection
        )

    def close(self, candidate: Candidate, reason: End, seconds: float) -> None:
        """Take up that the end of a candidate is on disk."""
        candidate.end, candidate.seconds = reason, seconds
        del self._live[candidate.index]

    def _begin(self, candidate: Candidate) -> None:
        candidate.started_at = self._now()
        candidate.try_id = self.ledger.begin_try(
            self.hunt.id, candidate.index, candidate.lane, self.device, self.versions
        )

    # Figures

    @property
    def shown(self) -> list[Shown]:
        """The tries as counting sees them."""
        return [
            Shown(c.try_id, c.started_at, c.end)
            for c in self.candidates.values()
            if c.try_id is not None
        ]

    @property
    def counts(self) -> Counts:
        """How the tries stand."""
        if self._counts is None:
            self._counts = count(self.shown, self.verdicts)
        return self._counts

    @property
    def costs(self) -> dict[int, Cost]:
        """What every kept try cost, in the order of the keeps."""
        if self._costs is None:
            self._costs = costs(self.shown, self.verdicts, steered=self.hunt.steered)
        return self._costs

    @property
    def interval(self) -> Interval:
        """The keep rate with its interval."""
        if self._interval is None:
            self._interval = keep_rate(self.verdicts, [row.until_keep for row in self.policies])
        return self._interval

    @property
    def caption(self) -> str:
        """The caption of the newest kept try, or what the hunt has cost so far without one."""
        if self.costs:
            return list(self.costs.values())[-1].caption
        counts = self.counts
        numbers = {"rejected": counts.rejected, "skipped": counts.skipped, "unread": counts.unread}
        said = ", ".join(f"{number} {name}" for name, number in numbers.items() if number)
        return f"no keep yet ({said})" if said else "no keep yet"

    @property
    def prompt_tries(self) -> int:
        """Tries on this prompt over all hunts."""
        return self._prompt_tries

    @property
    def can_undo(self) -> bool:
        """Whether a decision stands that could be undone."""
        return bool(self.undoable)

    def kept(self, stands: Standing | None = None) -> set[int]:
        """Return the tries whose standing verdict is a keep."""
        stands = self.standing if stands is None else stands
        return {try_id for try_id, row in stands.items() if row.verdict == "kept"}

    def verdict(self, candidate: Candidate) -> str | None:
        """Return the standing verdict of a candidate."""
        row = None if candidate.try_id is None else self.standing.get(candidate.try_id)
        return row.verdict if row else None

    def seat(self, candidate: Candidate, lane: int, beneath: int = 0) -> Seat:
        """Return what a screen shows of a candidate."""
        cost = None if candidate.try_id is None else self.costs.get(candidate.try_id)
        return Seat(
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
            caption=cost.caption if cost else None,
            started=candidate.started,
            seconds=candidate.seconds,
            beneath=beneath,
            damage=candidate.damage,
        )


def _row(candidate: Candidate) -> int:
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
    )
