"""The hunt on the screen in motion: its lanes, what runs in them, what the engine is told.

The moving parts under :mod:`.review`, which holds the rules. A :class:`LaneBoard` takes in
tokens, writes what is not on disk yet, seats candidates, and gathers the commands that go out as
one message.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from explorer.core.errors import LibraryBusyError, LibraryError
from explorer.engine.messages import Command, Drop, End, Key, Steps
from explorer.review.lane_stacks import NATURAL_ENDS, Candidate, LaneStacks, LaneView
from explorer.review.open_hunt import OpenHunt, Standing

RETRY_S: Final = 0.5
"""Between two attempts to write while another program holds the library: each may wait a little."""


class LaneBoard:
    """The lanes of the screen and the hunt in them; at first there is none."""

    def __init__(self, lanes: int, clock: Callable[[], float]) -> None:
        """Begin with empty lanes; ``clock`` gives seconds for rates and durations."""
        self._clock = clock
        self._outbox: list[Command] = []
        self._changed: set[int] = set()
        self._notices: list[str] = []
        self._news: list[str] = []
        self._problems: list[str] = []
        self._trouble = ""
        self._retry_at = 0.0
        self.busy = False
        """Whether another program held the library at the last attempt to write."""
        self._passing: list[Candidate] = []
        self.enter(None, lanes)

    def enter(self, opened: OpenHunt | None, lanes: int) -> None:
        """Put a hunt, or none, on the screen, its lanes still empty."""
        self.opened = opened
        self._passing = []
        self.stacks = LaneStacks(lanes, lambda c: opened is not None and opened.is_open(c))
        self._changed = set(range(lanes))

    @property
    def hunt(self) -> OpenHunt:
        """The hunt, where there must be one."""
        assert self.opened is not None
        return self.opened

    # What is seen

    def view(self, lane: int) -> LaneView:
        """Return what a lane shows."""
        candidate = self.stacks.visible(lane)
        if candidate is None:
            return LaneView(lane)
        beneath = sum(other is not candidate for other in self.stacks.open_in(lane))
        return self.hunt.view(candidate, lane, beneath)

    def tries(self) -> list[LaneView]:
        """Return every candidate of the hunt in order of index; lane -1 where it sits in none."""
        if self.opened is None:
            return []
        return [
            self.opened.view(candidate, -1 if lane is None else lane)
            for _, candidate in sorted(self.opened.candidates.items())
            for lane in [self.stacks.lane_of(candidate)]
        ]

    def mark(self, lanes: Iterable[int] | None = None) -> None:
        """Note that these lanes, or all, look different now."""
        self._changed |= set(range(len(self.stacks)) if lanes is None else lanes)

    def take_changed(self) -> set[int]:
        """Return the lanes that changed since the last call."""
        changed, self._changed = self._changed, set()
        return {lane for lane in changed if lane < len(self.stacks)}

    def say(self, sentence: str) -> None:
        """Leave a sentence for the person."""
        self._notices.append(sentence)

    def take_notices(self) -> list[str]:
        """Return the sentences left since the last call."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def troubled(self) -> bool:
        """Whether the last attempt to write failed."""
        return bool(self._trouble)

    def tell(self, sentence: str) -> None:
        """Say what was done, in passing."""
        self._news.append(sentence)

    def take_news(self) -> list[str]:
        """Return what was done since the last call."""
        news, self._news = self._news, []
        return news

    def take_problems(self) -> list[str]:
        """Return what went wrong since the last call."""
        problems, self._problems = self._problems, []
        return problems

    # What the engine is told

    def new(self, lane: int) -> Candidate:
        """Return a candidate with the next index, inside a transaction; :meth:`launch` it after."""
        return self.hunt.reserve(lane, self._clock())

    def launch(self, fresh: Iterable[Candidate]) -> None:
        """Put new candidates into their lanes and let the engine start them."""
        for candidate in fresh:
            self.hunt.add(candidate)
            self.stacks.place(candidate)
            self.mark([candidate.lane])
            self._outbox.append(self.hunt.start(candidate))

    def drop(self, candidate: Candidate) -> None:
        """Let the engine forget a candidate."""
        self._outbox.append(Drop(self.hunt.key(candidate)))

    def drain(self) -> list[Command]:
        """Return all that the engine is to carry out now, between two steps."""
        commands, self._outbox = self._outbox, []
        return commands

    @property
    def now(self) -> float:
        """The time in seconds, for what must not follow too soon."""
        return self._clock()

    # What runs

    @property
    def running(self) -> list[Candidate]:
        """The candidates that the engine works on."""
        return self.opened.all_running() if self.opened else []

    def find(self, key: Key) -> Candidate | None:
        """Return the running candidate with this key; None if it is over or of another hunt."""
        return self.opened.running(key) if self.opened else None

    def seconds(self, candidate: Candidate) -> float:
        """Return how long a candidate has been with the engine."""
        return max(self._clock() - candidate.begun, 0.0)

    def take_steps(self, steps: Steps) -> None:
        """Let candidates grow; what is over is passed by."""
        columns = zip(
            steps.keys, steps.tokens.tolist(), steps.texts, steps.logprobs.tolist(), strict=True
        )
        for key, token, text, logprob in columns:
            if (candidate := self.find(key)) is None:
                continue
            if not candidate.ids:
                candidate.started = self._clock()
            candidate.ids.append(token)
            candidate.logprobs.append(logprob)
            candidate.text += text
            self.mark([candidate.lane])

    def end(self, candidate: Candidate, reason: End, seconds: float | None = None) -> None:
        """Take up how a candidate ended; if nothing of it was shown, it is void (RULES 3)."""
        if candidate.ids or reason in NATURAL_ENDS:
            candidate.end = reason
            candidate.seconds = self.seconds(candidate) if seconds is None else seconds
            self.mark([candidate.lane])
        else:
            self.discard(candidate)

    def end_here(self, candidates: Iterable[Candidate]) -> None:
        """End candidates as stopped without waiting for the engine, which forgets them."""
        for candidate in candidates:
            self.drop(candidate)
            self.end(candidate, "stopped")
        self.save(at_once=True)

    def discard(self, candidate: Candidate) -> None:
        """Forget a candidate of which nothing was shown."""
        self.mark([candidate.lane])
        self.stacks.set_aside(candidate)
        self.hunt.discard(candidate)

    def save(self, passing: Collection[Candidate] = (), *, at_once: bool = False) -> None:
        """Write what is not on disk yet; in the lanes of ``passing`` the next try starts.

        Where the library cannot be written just now, a notice says so and nothing is lost: a later
        call tries again, where another program holds it not before :data:`RETRY_S` are over unless
        it must be ``at_once``.
        """
        if self.opened is not None:
            self._passing = list(filter(self.opened.is_open, (*self._passing, *passing)))
        if self.opened is None or not (self._passing or self.opened.unsaved):
            return
        if not (at_once or self.may_write):
            return
        try:
            with self.opened.transaction():
                fresh = [self.new(candidate.lane) for candidate in self._passing]
        except LibraryError as error:
            self.failed(error)
            return
        self.written()
        for candidate in self._passing:
            self.stacks.set_aside(candidate)
        self._passing.clear()
        self.launch(fresh)

    @property
    def may_write(self) -> bool:
        """Whether it is time for another attempt to write."""
        return self._clock() >= self._retry_at

    def failed(self, error: LibraryError) -> None:
        """Say once why nothing could be written, and put off the next attempt."""
        self.busy = isinstance(error, LibraryBusyError)
        if self.busy:
            self._retry_at = self._clock() + RETRY_S
        if str(error) != self._trouble:
            self._trouble = str(error)
            self._problems.append(self._trouble)

    def written(self) -> None:
        """Note that writing works again."""
        self._trouble = ""
        self._retry_at = 0.0
        self.busy = False

    # Lanes

    def resize(self, lanes: int) -> None:
        """Have so many lanes; what streams in one that goes ends as stopped."""
        gone = self.stacks.resize(lanes)
        self.end_here([candidate for candidate in gone if candidate.running])
        self.mark()

    def free_lanes(self) -> tuple[list[int], list[Candidate]]:
        """Return the lanes that Generate fills, and the unjudged tries that move aside for it."""
        lanes = range(len(self.stacks))
        free = [lane for lane in lanes if not self.stacks.open_in(lane)]
        if free or self.running:
            return free, []
        return list(lanes), [candidate for lane in lanes for candidate in self.stacks.open_in(lane)]

    def freed_by(self, done: Collection[Candidate], stands: Standing) -> list[int]:
        """Return the lanes of ``done`` that have nothing open any more under these verdicts."""
        lanes = {lane for c in done if (lane := self.stacks.lane_of(c)) is not None}
        return [
            lane
            for lane in sorted(lanes)
            if not any(
                self.hunt.is_open(c, stands) and (c.shown or c not in done)
                for c in self.stacks.stack(lane)
            )
        ]
