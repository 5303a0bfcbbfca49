"""Who sits where: candidates of a hunt, and the lanes of the screen in which they are seen.

A lane is a stack, because undo brings a try back *on top* of the one that took its place (RULES 7):
the newer one goes on underneath and reappears when the first is judged. What a lane shows is its
topmost open candidate, one that still waits for its end or its verdict; where none is open, the
last one with its verdict. Nothing here knows the library or the engine; :mod:`.review`
moves the pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from explorer.core.counting import Cost
from explorer.engine.messages import End

NATURAL_ENDS: Collection[End] = ("end_of_text", "max_tokens", "context_full")
"""Ends that the model or its context gave, not a person and not an accident."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """What a lane shows, or one try of a hunt in a list: a snapshot."""

    lane: int
    """-1 where it is in no lane."""
    index: int | None = None
    try_id: int | None = None
    """None until its first token is recorded."""
    state: Literal["empty", "waiting", "streaming", "ended"] = "empty"
    text: str = ""
    tokens: int = 0
    end: End | None = None
    verdict: str | None = None
    """The standing verdict: ``kept``, ``rejected``, ``skipped``; None = none (or not ended)."""
    writing: str | None = None
    """The verdict that is being written, while another program holds the library."""
    cut: bool = False
    """Whether a verdict ended it while it streamed."""
    passed_over: bool = False
    """Whether it stands without a verdict beside one that was kept (RULES 6)."""
    cost: Cost | None = None
    """What a kept try cost."""
    started: float = 0.0
    """When its first token came, on the clock of the review; 0 before."""
    seconds: float = 0.0
    """From its start to its end."""
    beneath: int = 0
    """Open candidates underneath, which reappear when this one is judged."""
    damage: str = ""
    """What of it the library lacks, as ``its text is missing from the library``."""

    @property
    def number(self) -> int | None:
        """The number of the try as a screen says it, from 1 on; None where there is none."""
        return None if self.index is None else self.index + 1

    @property
    def caption(self) -> str | None:
        """What a kept try cost, in the words of RULES 9."""
        return self.cost.caption if self.cost else None


@dataclass(eq=False, slots=True)
class Candidate:
    """One continuation of the current hunt, growing."""

    index: int
    lane: int
    """Where it streams or streamed, and where undo brings it back."""
    begun: float = 0.0
    """When it was sent to the engine, on the clock of the review."""
    started: float = 0.0
    try_id: int | None = None
    started_at: str = ""
    """The time that its try row says."""
    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    end: End | None = None
    seconds: float = 0.0
    damage: str = ""
    """What of it the library lacks; such a one waits for no verdict."""
    cut: bool = False
    """Whether a verdict ended it."""
    writing: str | None = None
    """The verdict that waits to be written; what it ended is written with it."""

    @property
    def running(self) -> bool:
        """Whether the engine still works on it."""
        return self.end is None

    @property
    def shown(self) -> bool:
        """Whether it counts as a try (RULES 3): a token was shown, or the model ended it first.

        A model that draws end-of-text at once has spoken; only what was cancelled before is void.
        Of a try that was lost with the program nothing may be left but its row.
        """
        return bool(self.ids) or self.end in NATURAL_ENDS or self.try_id is not None


class LaneStacks:
    """The lanes as stacks; ``is_open`` says which candidates wait for an end or a verdict."""

    def __init__(self, lanes: int, is_open: Callable[[Candidate], bool]) -> None:
        """Begin with ``lanes`` empty lanes."""
        self._stacks: list[list[Candidate]] = [[] for _ in range(lanes)]
        self._pins: dict[int, Candidate] = {}
        self._is_open = is_open

    def __len__(self) -> int:
        """Return the number of lanes."""
        return len(self._stacks)

    def visible(self, lane: int) -> Candidate | None:
        """Return what the lane shows; None where it is empty."""
        if lane in self._pins:
            return self._pins[lane]
        stack = self._stacks[lane]
        return next(filter(self._is_open, reversed(stack)), stack[-1] if stack else None)

    def stack(self, lane: int) -> Sequence[Candidate]:
        """Return all that is in a lane, the topmost last."""
        return self._stacks[lane]

    def open_in(self, lane: int) -> list[Candidate]:
        """Return the open candidates of a lane, the topmost last."""
        return list(filter(self._is_open, self._stacks[lane]))

    def lane_of(self, candidate: Candidate) -> int | None:
        """Return the lane whose stack has the candidate; None where it was set aside."""
        return next((n for n, stack in enumerate(self._stacks) if candidate in stack), None)

    def fill(self, lane: int, stack: Iterable[Candidate]) -> None:
        """Put a whole stack into an empty lane, the topmost last."""
        self._stacks[lane] = list(stack)
        for candidate in self._stacks[lane]:
            candidate.lane = lane

    def place(self, candidate: Candidate) -> None:
        """Put a new candidate on top of its lane."""
        self._pins.pop(candidate.lane, None)
        self._stacks[candidate.lane].append(candidate)

    def bring_back(self, candidates: Iterable[Candidate]) -> set[int]:
        """Put undone candidates on top of the lanes they were in; return those lanes.

        Several of one lane keep their order; those that had been set aside lie below them.
        """
        returning = sorted(candidates, key=lambda c: self.lane_of(c) is not None)
        for candidate in returning:
            candidate.lane %= len(self._stacks)
        lanes = {candidate.lane for candidate in returning}
        for lane in lanes:
            self._pins.pop(lane, None)
            coming = [c for c in returning if c.lane == lane]
            coming.sort(
                key=lambda c: self._stacks[lane].index(c) if c in self._stacks[lane] else -1
            )
            self._stacks[lane] = [c for c in self._stacks[lane] if c not in coming] + coming
        return lanes

    def pin(self, candidate: Candidate, lane: int) -> None:
        """Show a candidate in a lane, whatever is open there, until it is judged or replaced."""
        self.unpin(candidate)
        if (old := self.lane_of(candidate)) is not None and old != lane:
            self._stacks[old].remove(candidate)
        if candidate not in self._stacks[lane]:
            self._stacks[lane].append(candidate)
        candidate.lane = lane
        self._pins[lane] = candidate

    def unpin(self, candidate: Candidate) -> None:
        """Let the lane show what is open in it again."""
        self._pins = {n: pinned for n, pinned in self._pins.items() if pinned is not candidate}

    def set_aside(self, candidate: Candidate) -> None:
        """Take a candidate out of the lanes; if it is unjudged it stays so."""
        self.unpin(candidate)
        for stack in self._stacks:
            if candidate in stack:
                stack.remove(candidate)

    def resize(self, lanes: int) -> list[Candidate]:
        """Have so many lanes from now on; return the candidates whose lanes are gone."""
        gone = [candidate for stack in self._stacks[lanes:] for candidate in stack]
        self._stacks = [self._stacks[n] if n < len(self._stacks) else [] for n in range(lanes)]
        self._pins = {n: pinned for n, pinned in self._pins.items() if n < lanes}
        return gone
