"""A library with somebody at work in it: what most of these tests begin with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from explorer.core.recipe import Recipe
from explorer.library.collection import Collections
from explorer.library.history import History
from explorer.library.ledger import End, Hunt, Ledger, ModelRef, TryEnd, VerdictName
from explorer.library.samples import Samples
from explorer.library.storage.database import Database

MODEL = ModelRef(
    "f1ab" * 16, "demo", "cpu-int8", json.dumps({"vocabulary": 257, "end_of_text": 256})
)
FIRST = 1
"""The collection that every new library has."""

OPENED: list[Database] = []
"""What :meth:`Desk.at` has opened: the tests of the library close it behind each of them."""


def ticking(start: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> Callable[[], str]:
    """Return a clock that goes on by one second whenever it is read."""
    seconds = count()
    return lambda: (start + timedelta(seconds=next(seconds))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ended(text: str = "and so on", ids: Sequence[int] = (1, 2, 3), reason: End = "max_tokens"):
    return TryEnd(reason, tuple(ids), text, tuple(-1.5 for _ in ids), 0.25)


@dataclass
class Desk:
    """Ledger, samples, collections and history of one library, and shortcuts to fill it."""

    database: Database
    now: Callable[[], str] = field(default_factory=ticking)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.database, self.now)
        self.samples = Samples(self.database, self.now)
        self.collections = Collections(self.database, self.now)
        self.history = History(self.database, self.now)

    @classmethod
    def at(cls, path: Path) -> Desk:
        desk = cls(Database.open(path))
        OPENED.append(desk.database)
        return desk

    def hunt(
        self, prompt: str = "Once", recipe: Recipe | None = None, seed: int | None = None, **how
    ) -> Hunt:
        ids = tuple(prompt.encode("utf-8", "replace"))
        return self.ledger.open_hunt(prompt, ids, MODEL, recipe or Recipe(), seed=seed, **how)

    def shown(self, hunt: Hunt) -> int:
        """Show the first token of the next candidate; return its try."""
        index = self.ledger.reserve_index(hunt.id)
        return self.ledger.begin_try(hunt.id, index, index % 4, "cpu", {"program": "1.0"})

    def attempt(self, hunt: Hunt, text: str = "and so on", **how) -> int:
        """Let a candidate stream to its end; return its try."""
        try_id = self.shown(hunt)
        self.ledger.end_try(try_id, ended(text, **how))
        return try_id

    def judge(self, try_id: int, verdict: VerdictName, collection: int = FIRST) -> int:
        return self.ledger.decide([(try_id, verdict)], collection=collection)

    def kept(self, hunt: Hunt, text: str = "and so on", rejected: int = 0, **how) -> int:
        """Keep a candidate after ``rejected`` others were not; return its try."""
        for _ in range(rejected):
            self.judge(self.attempt(hunt, "no"), "rejected")
        try_id = self.attempt(hunt, text, **how)
        self.judge(try_id, "kept")
        return try_id
