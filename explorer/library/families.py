"""Which hunts are counted together: a plain one alone, steered ones with their kin (RULES 12).

A text that is branched or continued belongs to a child hunt. All steered hunts below one plain hunt
are one family, so that eight branches are eight tries, and never sum with the plain ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from explorer.library.storage.database import Database


@dataclass(frozen=True, slots=True)
class Family:
    """Hunts that are counted together."""

    hunts: tuple[int, ...]
    plain: int | None
    """The plain hunt that they were branched from; None for a plain hunt itself."""


def family(database: Database, hunt_id: int) -> Family:
    """Return the family of a hunt."""
    if not database.value(
        "SELECT steered_from_try IS NOT NULL FROM hunts WHERE id = ?", (hunt_id,)
    ):
        return Family((hunt_id,), None)
    plain: int | None = database.value(
        "WITH RECURSIVE above (id, parent) AS ("
        " SELECT id, steered_from_try FROM hunts WHERE id = ?"
        " UNION SELECT hunts.id, hunts.steered_from_try FROM above"
        " JOIN tries ON tries.id = parent JOIN hunts ON hunts.id = tries.hunt_id"
        ") SELECT id FROM above WHERE parent IS NULL",
        (hunt_id,),
    )
    below = database.rows(
        "WITH RECURSIVE below (id) AS (SELECT ? UNION"
        " SELECT hunts.id FROM below JOIN tries ON tries.hunt_id = below.id"
        " JOIN hunts ON hunts.steered_from_try = tries.id"
        ") SELECT id FROM below",
        (plain,),
    )
    hunts = {hunt_id, *(row[0] for row in below)} - {plain}
    return Family(tuple(sorted(hunts)), plain)
