"""One candidate as the command line gathers it from the engine's events."""

from __future__ import annotations

from dataclasses import dataclass, field

from explorer.engine.messages import Ended, Start


@dataclass
class Candidate:
    """What there is of one candidate so far."""

    start: Start
    ids: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    end: Ended | None = None

    @property
    def index(self) -> int:
        """Its number in the hunt."""
        return self.start.key[1]

    @property
    def text(self) -> str:
        """The completion, without the prompt."""
        return "".join(self.pieces)
