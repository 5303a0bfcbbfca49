"""Writing decisions down and taking them back: one transaction each, then the lanes move on.

The part under :mod:`.review` that must not be half done. What a decision judges, the ends
it brings and the numbers of the tries that start in its place are on disk together, and only then
does the screen change (RULES 15).

Where another program holds the library for a moment, decisions wait, in their order. What streamed
is cut where the key was pressed, its lane says that the verdict is being written, and nothing moves
on before it is. What was never written needs no undoing: it is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from explorer.core.errors import LibraryBusyError, LibraryError
from explorer.engine.messages import End
from explorer.library.actions import Reversal
from explorer.library.ledger import Ledger, Verdict, VerdictName
from explorer.review.lane_board import LaneBoard
from explorer.review.lane_stacks import Candidate
from explorer.review.open_hunt import OpenHunt
from explorer.review.refill import Refill


@dataclass(frozen=True, slots=True)
class Decision:
    """One key press: what it judges, and what it cancels before its first token."""

    opened: OpenHunt
    judged: Sequence[tuple[Candidate, VerdictName]]
    discard: Sequence[Candidate]
    policy: tuple[bool, bool]
    """How refill was switched: (a keep stops refills, a finished try holds its lane)."""
    collection: int | None
    """Where keeps go."""


class Decisions:
    """Writes what is decided about the hunt on the screen."""

    def __init__(self, ledger: Ledger, screen: LaneBoard, refill: Refill) -> None:
        """Write into the hunts of ``screen``, and reverse what was done in ``ledger``."""
        self._ledger = ledger
        self._screen = screen
        self._refill = refill
        self.waiting: list[Decision] = []
        """What could not be written yet, oldest first."""

    def take(self, decision: Decision) -> None:
        """Write one decision, or let it wait where another program holds the library."""
        if not self.waiting:
            try:
                self._write(decision)
                return
            except LibraryBusyError as error:
                self._screen.failed(error)
        self._postpone(decision)

    def retry(self, *, at_once: bool = False) -> None:
        """Write what waits and is not on disk yet, if it is time to try or must be ``at_once``."""
        if self.waiting and (at_once or self._screen.may_write):
            try:
                while self.waiting:
                    self._write(self.waiting[0])
                    del self.waiting[0]
            except LibraryBusyError as error:
                self._screen.failed(error)
            except LibraryError:
                self.forget(self.waiting[0])
                raise
        if not self.waiting:
            self._screen.save(at_once=at_once)

    def forget(self, decision: Decision) -> None:
        """Give up a decision that was never written; what it cut stays as it is, unjudged."""
        self.waiting.remove(decision)
        for candidate, _ in decision.judged:
            candidate.writing, candidate.cut = None, False
        self._screen.mark()

    def reverse(self, opened: OpenHunt | None, reverse: Callable[[], Sequence[Verdict]]) -> None:
        """Write the opposite of something; what it takes back comes back on top (RULES 7).

        ``opened`` is the hunt on the screen, if it is one of the library's.
        """
        screen = self._screen
        fresh: list[Candidate] = []
        given: list[Candidate] = []
        taken: list[Candidate] = []
        with opened.transaction() if opened else self._ledger.transaction():
            rows = reverse()
            if opened is not None:
                given = opened.of_tries(row.try_id for row in rows if row.verdict != "undone")
                taken = opened.of_tries(row.try_id for row in rows if row.verdict == "undone")
                fresh = self._next_in(given)
        if opened is not None:
            self.reread()
            for candidate in given:
                screen.stacks.unpin(candidate)
            screen.stacks.bring_back(taken)
            screen.launch(fresh)

    def reread(self) -> None:
        """Take up the rows as they are now; captions of other lanes may change with them."""
        self._screen.hunt.reread()
        self._refill.forget_undone(self._screen.hunt.kept())
        self._screen.mark()

    def _write(self, decision: Decision) -> None:
        screen, opened = self._screen, decision.opened
        done = [*(candidate for candidate, _ in decision.judged), *decision.discard]
        cut: dict[Candidate, tuple[End, float]] = {}
        for candidate, verdict in decision.judged:
            if candidate.running:
                reason: End = "stopped" if verdict == "kept" else "dropped"
                cut[candidate] = (reason, screen.seconds(candidate))
            elif candidate.writing and candidate.cut and candidate.end:
                cut[candidate] = (candidate.end, candidate.seconds)
        running = [candidate for candidate in cut if candidate.running]
        with opened.transaction():
            opened.ledger.set_policy(opened.hunt.id, *decision.policy)
            if decision.judged:
                opened.decide(decision.judged, cut, decision.collection)
            fresh = self._next_in(done)
        screen.written()
        for candidate, end in cut.items():
            opened.close(candidate, *end)
        for candidate in (*running, *decision.discard):
            screen.drop(candidate)
        for candidate, _ in decision.judged:
            candidate.writing = None
        self.reread()
        for candidate in done:
            screen.stacks.unpin(candidate)
        for candidate in decision.discard:
            screen.discard(candidate)
        screen.launch(fresh)

    def _postpone(self, decision: Decision) -> None:
        self.waiting.append(decision)
        for candidate, verdict in decision.judged:
            if candidate.running:
                self._screen.drop(candidate)
                self._screen.end(candidate, "stopped" if verdict == "kept" else "dropped")
                candidate.cut = True
            candidate.writing = verdict
        self._screen.mark()

    def _next_in(self, done: Collection[Candidate]) -> list[Candidate]:
        """Reserve a next try, in a transaction, for lanes that ``done`` leaves free (RULES 8)."""
        stands = self._screen.hunt.stands_now()
        if not done or not self._refill.goes_on(self._screen.hunt.kept(stands)):
            return []
        return [self._screen.new(lane) for lane in self._screen.freed_by(done, stands)]


def told(reversal: Reversal, hunt_id: int | None) -> str:
    """Say what was reversed, and of which prompt where ``hunt_id``, on the screen, is another."""
    place = ""
    if reversal.hunts and hunt_id not in reversal.hunts:
        prompt = " ".join(reversal.prompt.split())
        short = prompt if len(prompt) <= 40 else f"{prompt[:39]}…"
        place = f", on “{short}”" if short else ", without a prompt"
    return f"{'Done again' if reversal.again else 'Undone'}: {reversal.what}{place}."
