"""Figures of hunts, folded from their rows and remembered until a row changes."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.core.counting import Figures
from explorer.library.ledger import Ledger
from explorer.library.storage.database import Database


class HuntFigures:
    """What the rows of each hunt say about it; the arithmetic is
    :mod:`explorer.core.counting`.

    A list asks for the same hunt once a row, so an answer is kept until the library changes.
    """

    def __init__(self, database: Database) -> None:
        """Count in ``database``."""
        self._database = database
        self._ledger = Ledger(database)
        self._version = database.version
        self._figures: dict[int, Figures] = {}
        self._prompts: dict[tuple[int, ...], tuple[int, int]] = {}

    def figures(self, hunt_id: int) -> Figures:
        """Return how the tries of one hunt stand, and what each of its keeps cost (RULES 5, 6).

        Raises :class:`LibraryDamagedError` where a row of it says nothing that counts.
        """
        self._forget_if_changed()
        if hunt_id not in self._figures:
            self._figures[hunt_id] = self._ledger.figures(hunt_id)
        return self._figures[hunt_id]

    def on_prompt(self, prompt_ids: Sequence[int]) -> tuple[int, int]:
        """Return (tries, kept) on a prompt over all hunts."""
        self._forget_if_changed()
        ids = tuple(prompt_ids)
        if ids not in self._prompts:
            tries, kept = self._ledger.tries_on_prompt(ids), self._ledger.kept_on_prompt(ids)
            self._prompts[ids] = (tries, kept)
        return self._prompts[ids]

    def _forget_if_changed(self) -> None:
        version = self._database.version
        if version != self._version:
            self._version = version
            self._figures.clear()
            self._prompts.clear()
