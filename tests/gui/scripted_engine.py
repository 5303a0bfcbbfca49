"""An engine that says what it was told to say: ``send``, ``poll`` and ``close`` as the real one.

Candidates take their tokens from what was enqueued, in order of their start; when nothing is left
they take them from a built-in story. Time is the test's: :meth:`ScriptedEngine.step` gives every
running candidate its next token. With ``tokens_per_second`` the clock decides, for measurements.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from explorer.engine.messages import (
    ALTERNATIVES,
    Command,
    Crashed,
    Drop,
    End,
    Ended,
    Event,
    Key,
    Load,
    Quit,
    Ready,
    Refused,
    Restart,
    Start,
    Steps,
    Stop,
)  # fmt: skip

STORY = (
    " The scientist named the population, after their distinctive horn, Ovid’s Unicorn."
    " These four-horned, silver-white unicorns were previously unknown to science."
    " Now, after almost two centuries, the mystery of what sparked this odd phenomenon is finally"
    " solved.\nDr. Jorge Pérez, an evolutionary biologist, and several companions were exploring"
    " the Andes Mountains when they found a small valley, with no other animals or humans."
)


def words(text: str) -> list[str]:
    """Split text into tokens of one word with the space before it."""
    found: list[str] = []
    for piece in text.split(" "):
        found.append(piece if not found else " " + piece)
    return [x for x in found if x]


@dataclass
class Script:
    """What one candidate says and how it ends."""

    texts: Sequence[str]
    reason: End = "end_of_text"


@dataclass
class _Running:
    start: Start
    script: Script
    began: float
    done: int = 0
    ready: bool = True
    texts: list[str] = field(default_factory=list)


class ScriptedEngine:
    """Stands in for the engine process."""

    pid = 4242
    silent = ""
    """Which process does not answer: "engine", "load", or none; a test may set it."""

    def __init__(
        self, tokens_per_second: float = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.sent: list[tuple[Command, ...]] = []
        self.closed = False
        self.ready = True
        self._clock = clock
        self._rate = tokens_per_second
        self._last = clock()
        self._owed = 0.0
        self._scripts: deque[Script] = deque()
        self._running: dict[int, _Running] = {}
        self._events: list[Event] = []
        self._load: Load | None = None

    # What the window calls

    def send(self, *commands: Command) -> None:
        """Carry out one message."""
        self.sent.append(commands)
        for command in commands:
            match command:
                case Load():
                    self._load = command
                    if self.ready:  # until then the model before goes on
                        self._running.clear()
                        self.say_ready()
                case Start():
                    script = self._scripts.popleft() if self._scripts else self._story()
                    if (former := self._running.get(command.lane)) is not None:
                        self._end(former, "dropped")
                    self._running[command.lane] = _Running(command, script, self._clock())
                case Drop(key):
                    for run in self._with(key):
                        self._end(run, "dropped")
                case Stop(key):
                    for run in self._with(key):
                        self._end(run, "stopped")
                case Restart():
                    self._running.clear()
                    self.silent = ""
                    self.say_ready()
                case Quit():
                    self.close()

    def poll(self) -> list[Event]:
        """Return what happened since the last call."""
        if self._rate:
            self._run_clock()
        events, self._events = self._events, []
        return events

    @property
    def busy(self) -> bool:
        """Whether a candidate runs."""
        return bool(self._running)

    def close(self) -> None:
        """End."""
        self.closed = True
        self._running.clear()

    # What the test calls

    def enqueue(self, *candidates: str | Sequence[str] | Script) -> None:
        """Let the next candidates say these texts; a plain string is split into words."""
        for each in candidates:
            if isinstance(each, str):
                each = Script(words(each))
            self._scripts.append(each if isinstance(each, Script) else Script(each))

    def step(self, times: int = 1, lanes: Iterable[int] | None = None) -> None:
        """Give every running candidate (or those in ``lanes``) its next token, ``times`` times."""
        wanted = None if lanes is None else set(lanes)
        for _ in range(times):
            runs = [r for r in self._running.values() if wanted is None or r.start.lane in wanted]
            fresh = [run for run in runs if run.done < len(run.script.texts)]
            if fresh:
                self._events.append(_steps(fresh))
            for run in fresh:
                run.done += 1
            for run in runs:
                limit = run.start.recipe.max_tokens
                if run.done >= min(len(run.script.texts), limit):
                    cut = run.done >= limit and run.done < len(run.script.texts)
                    self._end(run, "max_tokens" if cut else run.script.reason)

    def finish(self) -> None:
        """Run every candidate to its end."""
        while self._running:
            self.step()

    def crash(
        self,
        message: str = "The engine process ended.",
        restarting: bool = True,
        ready: bool = True,
    ) -> None:
        """Die, and perhaps start again; with ``ready`` the model is back at once."""
        self._running.clear()
        self._events.append(Crashed(message, restarting))
        if restarting and ready and self._load is not None:
            self.say_ready()

    def refuse(self, key: Key | None, message: str) -> None:
        """Refuse a candidate, or the last load with None."""
        self._events.append(Refused(key, message))
        for run in self._with(key) if key is not None else []:
            del self._running[run.start.lane]

    def say_ready(self, device: str = "cpu", reason: str = "No NVIDIA driver found.") -> None:
        """Report that the last load is done."""
        load = self._load or Load(Path("demo"), "cpu-int8")
        self._events.append(
            Ready(load.folder, load.build, device, "CPU, 2 cores", reason, {"program": "test"})
        )

    def _run_clock(self) -> None:
        now = self._clock()
        if self._running:
            # Like the real one, a step is one token of every lane; the rate is of all together.
            self._owed += (now - self._last) * self._rate / len(self._running)
            whole = int(self._owed)
            self._owed -= whole
            self.step(min(whole, 64))
        self._last = now

    def _with(self, key: Key | None) -> list[_Running]:
        return [r for r in self._running.values() if key is None or r.start.key == key]

    def _end(self, run: _Running, reason: End) -> None:
        self._running.pop(run.start.lane, None)
        seconds = self._clock() - run.began
        self._events.append(Ended(run.start.key, run.start.lane, reason, "", run.done, seconds))

    @staticmethod
    def _story() -> Script:
        return Script(list(itertools.islice(itertools.cycle(words(STORY)), 100_000)))


def _steps(runs: Sequence[_Running]) -> Steps:
    n = len(runs)
    return Steps(
        keys=tuple(run.start.key for run in runs),
        lanes=tuple(run.start.lane for run in runs),
        tokens=np.arange(n, dtype=np.int32) + 100,
        texts=tuple(run.script.texts[run.done] for run in runs),
        logprobs=np.full(n, -1.5, np.float32),
        ranks=np.zeros(n, np.int32),
        top_ids=np.tile(np.arange(ALTERNATIVES, dtype=np.int32), (n, 1)),
        top_logprobs=np.full((n, ALTERNATIVES), -2.0, np.float32),
    )
