"""A small real library for the panels: hunts with rejected and kept tries."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtTest import QAbstractItemModelTester

from explorer.core.recipe import Recipe
from explorer.gui.cards.card_model import CARD, Card
from explorer.library.collection import Collections
from explorer.library.history import History
from explorer.library.ledger import Ledger, ModelRef, TryEnd
from explorer.library.rows import Hunt
from explorer.library.samples import Samples
from explorer.library.search import Search
from explorer.library.storage.database import Database

MODEL = ModelRef("ab12" * 16, "demo", "cpu-int8", "{}")


class LibraryAccess:
    """A library in a folder, and the few lines that fill it."""

    def __init__(self, folder: Path, *, writable: bool = True) -> None:
        self.database = Database.open(folder / "library.sqlite", writable=writable)
        self.ledger = Ledger(self.database)
        self.samples = Samples(self.database)
        self.collections = Collections(self.database)
        self.history = History(self.database)
        self.words = Search(self.database)

    def hunt(
        self,
        prompt: str = "Once upon a time",
        recipe: Recipe | None = None,
        ids: tuple[int, ...] | None = None,
    ) -> Hunt:
        """Begin a new hunt; without ``ids`` each byte of the prompt is a token."""
        ids = tuple(prompt.encode()) if ids is None else ids
        return self.ledger.open_hunt(prompt, ids, MODEL, recipe or Recipe(), new=True)

    def attempt(self, hunt: Hunt, text: str, verdict: str = "") -> int:
        """Write a finished try, judged or not, and return its id."""
        index = self.ledger.reserve_index(hunt.id)
        key = self.ledger.begin_try(hunt.id, index, 0, "CPU, 2 cores", {"onnxruntime": "1.31"})
        ids = tuple(range(1, 4))
        self.ledger.end_try(key, TryEnd("max_tokens", ids, text, (-1.0,) * 3, 0.5))
        if verdict:
            collection = self.collections.default().id if verdict == "kept" else None
            self.ledger.decide([(key, verdict)], collection=collection)
        return key

    def keep(self, text: str, rejects: int = 0, hunt: Hunt | None = None) -> int:
        """Keep a try after some rejected ones; return its id."""
        hunt = hunt or self.hunt()
        for number in range(rejects):
            self.attempt(hunt, f"no {number}", "rejected")
        return self.attempt(hunt, text, "kept")

    def show_undo(self, panel) -> None:
        """Undo what a panel asks to be undone, as the window does."""
        panel.undo_asked.connect(lambda: (self.ledger.undo(), panel.refresh()))

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()


def shown(panel, qtbot, width: int, height: int):
    """Show a panel with a ``list`` of cards; Qt watches what its model does."""
    fatal = QAbstractItemModelTester.FailureReportingMode.Fatal
    panel.tester = QAbstractItemModelTester(panel.list.model, fatal)
    qtbot.addWidget(panel)
    panel.resize(width, height)
    panel.show()
    return panel


def cards(panel) -> list[Card]:
    """Return the cards of a panel's list."""
    model = panel.list.model
    return [model.index(row).data(CARD) for row in range(model.rowCount())]
