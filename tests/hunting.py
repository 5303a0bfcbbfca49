"""A review on a library in a temporary folder, and an engine that streams on demand."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path

import numpy as np

from explorer.core.recipe import Recipe
from explorer.engine.messages import Command, Drop, End, Ended, Event, Key, Start, Steps, Stop
from explorer.library.ledger import Ledger, ModelRef
from explorer.library.storage.database import Database
from explorer.review.review import Review

MODEL = ModelRef("fingerprint-int8", "demo", "cpu-int8", "{}")
OTHER_BUILD = ModelRef("fingerprint-fp32", "demo", "cpu-fp32", "{}")
PROMPT, IDS = "In a shocking finding", (5, 6, 7)


class Clock:
    """Time that passes by being asked for."""

    def __init__(self) -> None:
        self.ticks = 0

    def __call__(self) -> str:
        self.ticks += 1
        minutes, seconds = divmod(self.ticks, 60)
        return f"2026-01-01T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.000000Z"


class Engine:
    """Carries commands out as the real one does, but streams only on demand."""

    def __init__(self) -> None:
        self.running: dict[Key, Start] = {}
        self.messages: list[list[Command]] = []
        self.started: list[Start] = []
        self._counts: dict[Key, int] = {}
        self._answers: list[Event] = []

    def send(self, commands: list[Command]) -> None:
        if commands:
            self.messages.append(commands)
        for command in commands:
            match command:
                case Start():
                    for key, other in list(self.running.items()):
                        if other.lane == command.lane:
                            self.end(key, "dropped")
                    self.running[command.key] = command
                    self.started.append(command)
                case Drop():
                    self.end(command.key, "dropped")
                case Stop():
                    for key in [command.key] if command.key else list(self.running):
                        self.end(key, "stopped")

    def end(self, key: Key, reason: End) -> None:
        if (start := self.running.pop(key, None)) is not None:
            count = self._counts.get(key, 0)
            self._answers.append(Ended(key, start.lane, reason, "", count, 0.5))

    def stream(self, keys: Iterable[Key]) -> None:
        """Give each of these candidates one more token, whose text says which it is."""
        starts = [self.running[key] for key in keys]
        n = len(starts)
        for start in starts:
            self._counts[start.key] = self._counts.get(start.key, 0) + 1
        self._answers.append(
            Steps(
                tuple(start.key for start in starts),
                tuple(start.lane for start in starts),
                np.array([self._counts[s.key] for s in starts], dtype=np.int32),
                tuple(f"{s.key[1]}.{self._counts[s.key]} " for s in starts),
                np.full(n, -1.5, dtype=np.float32),
                np.zeros(n, dtype=np.int32),
                np.zeros((n, 10), dtype=np.int32),
                np.zeros((n, 10), dtype=np.float32),
            )
        )

    def poll(self) -> list[Event]:
        answers, self._answers = self._answers, []
        return answers


class Desk:
    """A person at the program: review, engine and library together."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.engine = Engine()
        self.database = Database.open(folder / "library.sqlite")
        self.ledger = Ledger(self.database, self.clock)
        # Seconds pass between any two looks at the clock, as they do for a person who reads.
        self.review = Review(self.ledger, clock=count().__next__, now=self.clock)
        self.collection = self.database.value("SELECT id FROM collections")
        self.review.collection = self.collection

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def generate(self, prompt: str = PROMPT, ids: tuple[int, ...] = IDS, **more: object) -> None:
        settings = {
            "recipe": Recipe(), "model": MODEL, "lanes": 4, "seed": None, "device": "cpu",
            "versions": {"numpy": "2"},
        }  # fmt: skip
        self.engine.send(self.review.generate(prompt, ids, **{**settings, **more}))  # type: ignore[arg-type]
        self.settle()

    def do(self, commands: list[Command]) -> None:
        """Send what the review answered, and let it hear what the engine says to that."""
        self.engine.send(commands)
        self.settle()

    def settle(self) -> None:
        while events := self.engine.poll():
            self.engine.send(self.review.receive(events))

    def key(self, lane: int) -> Key:
        return next(key for key, start in self.engine.running.items() if start.lane == lane)

    def stream(self, *lanes: int, tokens: int = 1) -> None:
        """One or more tokens in these lanes, or in all that run."""
        for _ in range(tokens):
            running = self.engine.running.items()
            self.engine.stream([k for k, start in running if not lanes or start.lane in lanes])
            self.settle()

    def finish(self, *lanes: int, reason: End = "max_tokens") -> None:
        """Stream a token and end, in these lanes or in all that run."""
        running = [k for k, s in self.engine.running.items() if not lanes or s.lane in lanes]
        self.engine.stream(running)
        for key in running:
            self.engine.end(key, reason)
        self.settle()

    def judge(self, lane: int, verdict: str) -> None:
        self.do(self.review.judge(lane, verdict))  # type: ignore[arg-type]

    def judge_try(self, try_id: int, verdict: str, lane: int = 0) -> None:
        """Choose a try from the list of all, which shows it in a lane, and judge it there."""
        self.review.show(try_id, lane)
        self.judge(lane, verdict)

    def judge_tries(self, try_ids: Iterable[int], verdict: str) -> None:
        """Judge tries wherever they are, as a list of all tries does."""
        self.do(self.review.judge_tries(list(try_ids), verdict))  # type: ignore[arg-type]

    def caption(self, index: int) -> str | None:
        """What is said of a try, by its number from 0."""
        return next(view.caption for view in self.review.tries() if view.index == index)

    def indices(self) -> list[int | None]:
        """What every lane shows, by index."""
        return [view.index for view in self.review.views]

    def states(self) -> list[str]:
        return [view.verdict or view.state for view in self.review.views]

    def rows(self, table: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.database.rows(f"SELECT * FROM {table}")]
