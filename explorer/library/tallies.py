"""Counts and costs of hunts, folded from their rows and remembered until a row changes."""

from __future__ import annotations

from explorer.library.damage import require_types
from explorer.library.database import Database
from explorer.library.ledger import Ledger
from explorer.library.statistics import Cost, Counts, Shown, costs, count


class Tallies:
    """What the rows of each hunt say about it; the arithmetic is
    :mod:`explorer.library.statistics`.

    A list asks for the same hunt once a row, so an answer is kept until the library changes.
    """

    def __init__(self, database: Database) -> None:
        """Count in ``database``."""
        self._database = database
        self._ledger = Ledger(database)
        self._version = database.version
        self._counts: dict[int, Counts] = {}
        self._costs: dict[int, dict[int, Cost]] = {}

    def counts(self, hunt_id: int) -> Counts:
        """Return how the tries of one hunt stand (RULES 5).

        Raises :class:`LibraryDamagedError` where a row of it says nothing that counts.
        """
        self._forget_if_changed()
        if hunt_id not in self._counts:
            self._counts[hunt_id] = count(self._shown(hunt_id), self._ledger.verdicts(hunt_id))
        return self._counts[hunt_id]

    def costs(self, hunt_id: int) -> dict[int, Cost]:
        """Return what each standing keep of one hunt cost, by try id (RULES 6).

        Raises as :meth:`counts`.
        """
        self._forget_if_changed()
        if hunt_id not in self._costs:
            steered = self._database.value(
                "SELECT steered_from_try IS NOT NULL FROM hunts WHERE id = ?", (hunt_id,)
            )
            self._costs[hunt_id] = costs(
                self._shown(hunt_id), self._ledger.verdicts(hunt_id), steered=bool(steered)
            )
        return self._costs[hunt_id]

    def _forget_if_changed(self) -> None:
        version = self._database.version
        if version != self._version:
            self._version = version
            self._counts.clear()
            self._costs.clear()

    def _shown(self, hunt_id: int) -> list[Shown]:
        rows = self._database.rows(
            "SELECT id, started_at, reason FROM tries LEFT JOIN ends ON try_id = id"
            " WHERE hunt_id = ?",
            (hunt_id,),
        )
        for row in rows:
            require_types(row, ((int,), (str,), (str, type(None))), "A try")
        return [Shown(*row) for row in rows]
