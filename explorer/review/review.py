"""The product's rule: what happens when a person keeps, rejects, skips, undoes, stops, goes on.

A :class:`Review` stands between the engine and the library and holds the hunt that is on the
screen. It is told what a person does and what the engine says; it answers with the commands that
the engine is to carry out, to be sent as *one* message. It knows no window, no SQL and no process,
only RULES:

- a try is recorded at its first token, its end is one more row, and what was cancelled before is
  void (3, 4);
- a verdict is on disk when the method that gave it returns; whatever goes with it, the partial text
  of a lane that still streamed and the number of the try that starts in its place, is in the same
  transaction (4, 15);
- reject and skip start the next try in the lane; a keep stops all refills until the next Generate,
  others stream on; a finished try holds its lane until it is judged (8). :meth:`Review.set_policy`
  switches both;
- undo reverses whatever was done last in the library; a try of the hunt on the screen comes back on
  top of the one that took its place. The undo of a lane takes back what it shows, and nothing else
  (7).

What the rules leave open is decided here:

- Generate fills the free lanes. Where every lane holds a finished, unjudged try, these move aside
  and stay so. Tries that stream are left alone, unless their hunt leaves the screen.
- A verdict on a lane that still streams ends its try where it stands: what is kept is what was
  seen.
- After a crash of the engine nothing restarts by itself; the lanes are free for the next Generate.
- A verdict that follows another in the same lane within :data:`GLANCE_S` is passed by where it
  would fall on another try: nobody has seen that one.
- Where another program holds the library for a moment, verdicts wait: :mod:`.decisions`.
- Where the library cannot be written, tries stream into ``scratch``, a library in memory, and
  verdicts are refused with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

from explorer.core.errors import LibraryBusyError, LibraryReadOnlyError, VerdictError
from explorer.core.recipe import Recipe
from explorer.engine.messages import Command, Crashed, Ended, Event, Refused, Steps, Stop
from explorer.library.actions import Reversal
from explorer.library.ledger import Ledger, ModelRef, Verdict
from explorer.library.storage.database import utc_now
from explorer.review.decisions import Decision, told
from explorer.review.hunt_view import HuntView
from explorer.review.lane_board import LaneBoard
from explorer.review.lane_stacks import NATURAL_ENDS, Candidate
from explorer.review.open_hunt import OpenHunt
from explorer.review.refill import Refill

__all__ = ["Judgement", "Review"]

Judgement = Literal["kept", "rejected", "skipped"]


GLANCE_S: Final = 0.25
"""A second click within this many seconds is meant for what the first one was meant for."""


class Review(HuntView):
    """The hunt on the screen: what a person can do with it; and what is seen, as a HuntView.

    A method that answers with commands has written what belongs to them before it returns.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        scratch: Ledger | None = None,
        lanes: int = 4,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], str] = utc_now,
    ) -> None:
        """Begin without a hunt; tries that an earlier run left open are closed as lost to a crash.

        ``scratch`` takes the tries where ``ledger`` cannot be written. ``clock`` gives seconds,
        ``now`` the times that are counted with (the ledger's own clock).
        """
        super().__init__(ledger, scratch, LaneBoard(lanes, clock), Refill())
        self._now = now
        self.collection: int | None = None
        """Where keeps go."""
        self._judged_in: dict[int, tuple[Candidate, float]] = {}  # by lane: the last, and when
        ledger.close_crashed()

    # What a person does

    def generate(
        self,
        prompt_text: str,
        prompt_ids: Sequence[int],
        recipe: Recipe,
        model: ModelRef,
        *,
        lanes: int,
        seed: int | None,
        device: str,
        versions: Mapping[str, str],
        new_hunt: bool = False,
    ) -> list[Command]:
        """Start tries in the free lanes, of the same hunt if its key is the same (RULES 1).

        A fixed ``seed`` other than the hunt's, or ``new_hunt``, begins another hunt; what still
        streams of the old one ends as stopped. Raises :class:`LibraryError` where nothing can be
        recorded, :class:`RecipeError` for a seed outside 0 .. 2**64 - 1.
        """
        screen = self._screen
        opened = self._hunt_for(prompt_text, tuple(prompt_ids), recipe, model, seed, new_hunt)
        if opened is not screen.opened:
            self._enter(opened, lanes)
        opened.device, opened.versions = device, dict(versions)
        screen.resize(lanes)
        free, aside = screen.free_lanes()
        if not free:
            screen.say("Every lane is taken: judge a try, or generate again when all have ended.")
        with opened.transaction():
            opened.ledger.set_policy(opened.hunt.id, *self.policy)
            fresh = [screen.new(lane) for lane in free]
        opened.reread()
        for candidate in aside:
            screen.stacks.set_aside(candidate)
        self._refill.begin(opened.kept())
        screen.launch(fresh)
        return screen.drain()

    def judge(self, lane: int, verdict: Judgement) -> list[Command]:
        """Give a verdict on what the lane shows, and start the next try there as RULES 8 say.

        A lane that streams ends where it stands. Rejecting or skipping one that waits for its first
        token cancels it. The verdict that stands already changes nothing. Raises
        :class:`VerdictError` where there is nothing to judge, :class:`LibraryReadOnlyError` where
        nothing can be written.
        """
        self._check_writable()
        candidate = self._visible(lane)
        if candidate is not None and self._too_soon(lane, candidate):
            return self._screen.drain()
        if candidate is not None and not candidate.shown and verdict != "kept":
            return self._decide([], [candidate])
        chosen = _judgeable(candidate, lane)
        if chosen.writing or self._is_judged(chosen, verdict):
            return self._screen.drain()
        return self._decide([(chosen, verdict)], [])

    def judge_tries(self, try_ids: Collection[int], verdict: Judgement) -> list[Command]:
        """Give tries of the hunt a verdict wherever they are, as one decision.

        Those that have it already, were lost to a crash or are damaged are left out. Raises
        :class:`VerdictError` where none is left, and as :meth:`judge`.
        """
        self._check_writable()
        hunt = self._screen.opened
        whole = (c for c in (hunt.of_tries(try_ids) if hunt else ()) if not c.damage)
        chosen = [c for c in whole if c.end != "crash"]
        if hunt is None or not chosen:
            raise VerdictError("There is nothing to judge among these tries; choose others.")
        fresh = [c for c in chosen if not (c.writing or self._is_judged(c, verdict))]
        return self._decide([(c, verdict) for c in fresh], []) if fresh else self._screen.drain()

    def keep_rest_rejected(self, lane: int) -> list[Command]:
        """Keep what the lane shows and reject every other try in a lane without a verdict, at once.

        Tries that moved out of the lanes keep none, and count as passed over; what has not shown a
        token is cancelled. Raises as :meth:`judge`.
        """
        self._check_writable()
        best = _judgeable(self._visible(lane), lane)
        return self._screen.drain() if self._too_soon(lane, best) else self._keep_only(best)

    def keep_try_rest_rejected(self, try_id: int) -> list[Command]:
        """Keep a try of the hunt wherever it is, and reject the others as
        :meth:`keep_rest_rejected` does.
        """
        self._check_writable()
        opened = self._screen.opened
        best = opened.of_try(try_id) if opened else None
        return self._keep_only(_judgeable(best, best.lane if best else 0))

    def take_back(self, try_id: int) -> list[Command]:
        """Take back the verdict that stands of one try, of this hunt or another (RULES 7).

        In a lane that went on meanwhile it comes back on top. One that waits to be written is
        forgotten.
        """
        self._check_writable()
        for waiting in self._decisions.waiting:
            if any(candidate.try_id == try_id for candidate, _ in waiting.judged):
                self._decisions.forget(waiting)
                return self._screen.drain()
        return self._reverse(lambda: self._ledger.take_back(try_id))

    def undo(self) -> list[Command]:
        """Reverse what was done last in the library and say what it was (RULES 7)."""
        self._check_writable()
        if self._decisions.waiting:
            self._decisions.forget(self._decisions.waiting[-1])
            return self._screen.drain()
        return self._reverse(lambda: self._told(self._ledger.undo()))

    def redo(self) -> list[Command]:
        """Do again what was undone last, unless something was done since."""
        self._check_writable()
        if self._decisions.waiting:
            return self._screen.drain()
        return self._reverse(lambda: self._told(self._ledger.redo()))

    def refresh(self) -> None:
        """Take up what was done elsewhere: a sample removed, a note written."""
        if self._screen.opened is not None:
            self._decisions.reread()

    def stop(self, lane: int | None = None) -> list[Command]:
        """Ask the engine to end what streams in one lane, or everywhere; its text stays."""
        screen = self._screen
        if lane is None:
            self._refill.pause()
            return [Stop()] if screen.running else []
        return [Stop(screen.hunt.key(c)) for c in screen.running if c.lane == lane]

    def interrupt(self, lane: int | None = None) -> list[Command]:
        """End what runs in one lane, or all, without waiting for the engine: before it quits."""
        if lane is None:
            self._refill.pause()
        running = [c for c in self._screen.running if lane in (None, c.lane)]
        self._screen.end_here(running)
        return self._screen.drain()

    def set_policy(self, until_keep: bool, hold: bool) -> list[Command]:
        """Switch whether a keep stops refills and whether a finished try holds its lane (RULES 8).

        It is recorded with the hunt while that goes on, else with the next Generate or verdict in
        it. It starts nothing by itself.
        """
        opened = self._screen.opened
        going_on = self._refill.switch(until_keep, hold, opened.kept() if opened else set())
        if opened is not None and going_on:
            with opened.transaction():
                opened.ledger.set_policy(opened.hunt.id, until_keep, hold)
            opened.reread()
        return self._screen.drain()

    def reopen(self, hunt_id: int) -> list[Command]:
        """Bring an earlier hunt back: unjudged tries in the lanes, oldest on top, then the newest.

        Nothing starts before the next Generate. What streams of another hunt ends as stopped.
        """
        screen = self._screen
        if screen.opened and (screen.opened.ledger, screen.opened.hunt.id) == (
            self._ledger,
            hunt_id,
        ):
            return screen.drain()
        lanes = len(screen.stacks)
        self._enter(OpenHunt(self._ledger, self._ledger.hunt(hunt_id), self._now), lanes)
        self._say_damage(screen.hunt)
        unjudged = screen.hunt.unjudged()
        others = [c for _, c in sorted(screen.hunt.candidates.items()) if c not in unjudged]
        for lane in range(lanes):
            if mine := unjudged[lane::lanes]:
                screen.stacks.fill(lane, reversed(mine))
            elif others:
                screen.stacks.fill(lane, [others.pop()])
        return screen.drain()

    def show(self, try_id: int, lane: int) -> None:
        """Show any try of the hunt in a lane, over what is there, until judged or replaced."""
        candidate = self._screen.opened.of_try(try_id) if self._screen.opened else None
        if candidate is not None and not candidate.running:
            self._screen.stacks.pin(candidate, lane)
            self._screen.mark()

    def leave(self) -> list[Command]:
        """Leave the hunt, before it is deleted for instance; what streams ends as stopped."""
        self._enter(None, len(self._screen.stacks))
        return self._screen.drain()

    # What the engine says

    def receive(self, events: Iterable[Event]) -> list[Command]:
        """Take in what the engine says and return what follows: first tokens and ends go on disk.

        Events of candidates that are over or belong to another hunt are passed by. Where the
        library cannot be written just now, streaming goes on, a notice says so, and the next call
        tries again.
        """
        screen = self._screen
        over: list[Candidate] = []
        for event in events:
            match event:
                case Steps():
                    screen.take_steps(event)
                case Ended():
                    if (candidate := screen.find(event.key)) is not None:
                        candidate.text += event.text
                        screen.end(candidate, event.reason, event.seconds)
                        over.append(candidate)
                case Refused(key=key) if key is not None:
                    if (candidate := screen.find(key)) is not None:
                        screen.end(candidate, "stopped")
                case Crashed():
                    self._refill.pause()
                    for candidate in screen.running:
                        screen.end(candidate, "crash")
                case _:
                    pass
        screen.save([candidate for candidate in over if self._passes(candidate)])
        return screen.drain()

    def retry(self, *, at_once: bool = False) -> list[Command]:
        """Write what another program's lock kept waiting, if it lets go and it is time to try."""
        self._decisions.retry(at_once=at_once)
        return self._screen.drain()

    # The rules underneath

    def _hunt_for(
        self,
        prompt_text: str,
        prompt_ids: tuple[int, ...],
        recipe: Recipe,
        model: ModelRef,
        seed: int | None,
        new_hunt: bool,
    ) -> OpenHunt:
        """Return the hunt with this key: the one on the screen, an earlier one, or a new one."""
        ledger, opened, current = self._taking, self._screen.opened, self._to_go_on
        key = (prompt_ids, recipe, model.fingerprint, seed)
        if current and not new_hunt and current.is_same_hunt(*key):
            return current
        hunt = ledger.open_hunt(prompt_text, prompt_ids, model, recipe, seed=seed, new=new_hunt)
        if current and current.hunt.id == hunt.id:
            return current
        if opened and (notice := opened.other_build(hunt)):
            self._screen.say(notice)
        return OpenHunt(ledger, hunt, self._now)

    def _enter(self, opened: OpenHunt | None, lanes: int) -> None:
        """Put another hunt on the screen; what runs of the one before ends as stopped.

        Raises :class:`LibraryBusyError` where that cannot be written just now: it would be lost.
        """
        screen = self._screen
        screen.end_here(screen.running)
        if self._decisions.waiting:
            self._decisions.retry(at_once=True)
        busy = screen.busy and screen.opened is not None and screen.opened.unsaved
        if self._decisions.waiting or busy:
            raise LibraryBusyError(
                "Verdicts on this hunt are still being written, because another program holds"
                " the library; try again when they are."
            )
        screen.enter(opened, lanes)
        self._refill.end()

    def _is_judged(self, candidate: Candidate, verdict: Judgement) -> bool:
        """Say whether a verdict stands already, so that giving it changes nothing.

        A kept try whose sample was removed is kept again, into the collection that is chosen now.
        """
        hunt = self._screen.hunt
        gone = candidate.try_id in hunt.removed and self.collection is not None
        return hunt.verdict(candidate) == verdict and not (verdict == "kept" and gone)

    def _keep_only(self, best: Candidate) -> list[Command]:
        """Keep a try and reject what is open in the lanes beside it, as one decision."""
        stacks = self._screen.stacks
        others = [c for n in range(len(stacks)) for c in stacks.open_in(n) if c is not best]
        rest = sorted((c for c in others if c.shown and not c.writing), key=lambda c: c.index)
        judged: list[tuple[Candidate, Judgement]] = [(c, "rejected") for c in rest]
        if not self._is_judged(best, "kept"):
            judged.append((best, "kept"))
        discard = [c for c in others if not c.shown]
        return self._decide(judged, discard) if judged or discard else self._screen.drain()

    def _decide(
        self, judged: Sequence[tuple[Candidate, Judgement]], discard: Sequence[Candidate]
    ) -> list[Command]:
        """Take one decision; ``void`` are candidates that it cancels before their first token."""
        screen = self._screen
        for candidate, _ in judged:
            if (lane := screen.stacks.lane_of(candidate)) is not None:
                self._judged_in[lane] = (candidate, screen.now)
        decision = Decision(screen.hunt, judged, discard, self.policy, self.collection)
        self._decisions.take(decision)
        return screen.drain()

    def _reverse(self, reverse: Callable[[], Sequence[Verdict]]) -> list[Command]:
        opened = self._screen.opened
        ours = opened if opened and opened.ledger is self._ledger else None
        self._decisions.reverse(ours, reverse)
        return self._screen.drain()

    def _told(self, reversal: Reversal | None) -> Sequence[Verdict]:
        """Say what was reversed; return the verdict rows that this wrote."""
        if reversal is None:
            return ()
        self._screen.tell(told(reversal, self.hunt.id if self.hunt else None))
        return reversal.verdicts

    def _too_soon(self, lane: int, candidate: Candidate) -> bool:
        """Say whether a verdict follows one on another try in this lane within a glance."""
        before, when = self._judged_in.get(lane, (candidate, 0.0))
        return candidate is not before and self._screen.now - when < GLANCE_S

    def _passes(self, candidate: Candidate) -> bool:
        """Say whether an ended try gives up its lane unjudged (the switch "go on" of RULES 8)."""
        return (
            candidate.end in NATURAL_ENDS
            and self._visible(candidate.lane) is candidate
            and self._refill.passes(self._screen.hunt.kept())
        )

    def _say_damage(self, opened: OpenHunt) -> None:
        """Say what the library lacks of a hunt that was reopened."""
        damaged = sum(bool(candidate.damage) for candidate in opened.candidates.values())
        if opened.hunt.damage:
            self._screen.say(
                f"This hunt is damaged: {opened.hunt.damage}. Its tries can be read; Generate"
                " begins another hunt."
            )
        elif damaged:
            tries = "1 try" if damaged == 1 else f"{damaged} tries"
            self._screen.say(f"The library lacks a part of {tries} of this hunt; each says which.")

    def _visible(self, lane: int) -> Candidate | None:
        stacks = self._screen.stacks
        return stacks.visible(lane) if 0 <= lane < len(stacks) else None

    def _check_writable(self) -> None:
        if self.reason:
            raise LibraryReadOnlyError(self.reason)


def _judgeable(candidate: Candidate | None, lane: int) -> Candidate:
    """Return what a lane shows if a verdict on it has a meaning."""
    if candidate is None or not candidate.shown:
        raise VerdictError(
            f"There is nothing to judge in lane {lane + 1} yet; wait for its first token."
        )
    if candidate.damage:
        raise VerdictError(
            f"Try {candidate.index + 1} is damaged ({candidate.damage}), so there is nothing whole"
            " to judge; generate again."
        )
    if candidate.end == "crash":
        raise VerdictError(
            f"Try {candidate.index + 1} was lost to a crash, so there is nothing whole to judge;"
            " generate again."
        )
    return candidate
