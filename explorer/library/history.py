"""Every hunt, newest first, and how to delete one for good.

To reopen a hunt, read :meth:`Ledger.hunt`, :meth:`Ledger.tries` and :meth:`Ledger.verdicts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from explorer.core.counting import Counts
from explorer.core.errors import LibraryDamagedError, LibraryError
from explorer.core.intervals import KeepRate
from explorer.library.hunt_figures import HuntFigures
from explorer.library.ledger import Ledger
from explorer.library.rows import Hunt
from explorer.library.storage.backups import bytes_of_copies
from explorer.library.storage.connection import COMMAND_SECONDS
from explorer.library.storage.database import Database, clean, utc_now

QUICK_BYTES: Final = 8_000_000
"""Up to this size a library is rewritten in less than a quarter of a second."""


@dataclass(frozen=True, slots=True)
class HuntSummary:
    """A hunt as a list shows it."""

    hunt: Hunt
    counts: Counts
    last_used_at: str
    """When its newest try began, or it did where it has none."""
    uncounted: bool = False
    """Whether its tries and verdicts cannot be counted, because a row of them is damaged."""
    ambiguous: bool = False
    """Whether this model read the same prompt as other tokens too: a special token's name in it was
    meant as letters there, or as the token."""
    rate: KeepRate | None = None
    """How often its tries are kept; None where they cannot be counted."""

    @property
    def sentence(self) -> str:
        """What to say of a damaged one; empty where it is whole."""
        damage = self.hunt.damage
        if not damage and self.uncounted:
            damage = "its tries and verdicts cannot be counted"
        return f"This hunt is damaged: {damage}." if damage else ""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What remains of a deleted hunt (RULES 16): when it was, under which settings, its counts."""

    hunt_id: int
    recipe: str
    created_at: str
    deleted_at: str
    counts: Counts


class History:
    """Lists and deletes the hunts of one library."""

    def __init__(self, database: Database, now: Callable[[], str] = utc_now) -> None:
        """Work on ``database``; ``now`` gives the times that are written."""
        self._database = database
        self._ledger = Ledger(database)
        self._hunt_figures = HuntFigures(database)
        self._now = now

    def ids(self) -> list[int]:
        """Return the ids of all hunts, the one used last first."""
        return [
            row[0]
            for row in self._database.rows(
                f"SELECT id FROM hunts ORDER BY {_LAST_USED} DESC, id DESC"
            )
        ]

    def page(self, hunt_ids: Sequence[int]) -> list[HuntSummary]:
        """Return these hunts in this order; a deleted one is left out."""
        found = []
        for hunt_id in hunt_ids:
            try:
                last_used: object = self._database.value(
                    f"SELECT {_LAST_USED} FROM hunts WHERE id = ?", (hunt_id,)
                )
            except LibraryDamagedError:
                last_used = ""
            if last_used is not None:
                found.append(self._summary(hunt_id, last_used))
        return found

    def _summary(self, hunt_id: int, last_used: object) -> HuntSummary:
        hunt, counts, rate = self._ledger.hunt(hunt_id), Counts(), None
        try:
            figures = self._hunt_figures.figures(hunt_id)
            counts, rate = figures.counts, figures.rate
        except LibraryDamagedError:
            pass
        used = last_used if isinstance(last_used, str) else ""
        return HuntSummary(hunt, counts, used, rate is None, self._is_ambiguous(hunt_id), rate)

    def _is_ambiguous(self, hunt_id: int) -> bool:
        return bool(
            self._database.value(
                "SELECT EXISTS (SELECT 1 FROM hunts"
                " JOIN prompts ON prompts.id = hunts.prompt_id"
                " JOIN models ON models.id = hunts.model_id"
                " JOIN prompts AS others ON others.text_sha256 = prompts.text_sha256"
                " JOIN hunts AS theirs ON theirs.prompt_id = others.id"
                " JOIN models AS their_models ON their_models.id = theirs.model_id"
                " WHERE hunts.id = ? AND others.id <> prompts.id"
                " AND their_models.name = models.name)",
                (hunt_id,),
            )
        )

    def rates_on_prompt(self, prompt_ids: Sequence[int]) -> Iterator[KeepRate]:
        """Yield the keep rate of each plain hunt on this prompt, one at a time as they are asked
        for.

        Raises :class:`LibraryDamagedError` where one of them cannot be counted.
        """
        for hunt_id in self._ledger.hunts_on_prompt(prompt_ids):
            yield self._hunt_figures.figures(hunt_id).rate

    def has_prompt(self, text: str) -> bool:
        """Return whether a hunt has this prompt."""
        return bool(
            self._database.value("SELECT count(*) FROM prompts WHERE text = ?", (clean(text),))
        )

    def delete(self, hunt_id: int) -> Tombstone:
        """Remove every text, token id, note and verdict of a hunt, and its prompt; leave its
        counts.

        Hunts that were steered from it repeat its text and go with it. There is no undo: the file
        is rewritten without its bytes, and backups made before a migration are removed. Raises
        :class:`LibraryError` where it is gone already, or where the rewriting has to wait for the
        next start (another program is reading, the disk is full); its rows are deleted then. Raises
        :class:`LibraryDamagedError` where what would remain of it cannot be told.
        """
        with self._database.transaction():
            tombstone = self._delete(hunt_id)
        self._database.erase_deleted()
        return tombstone

    def takes_long(self) -> bool:
        """Return whether deleting rewrites so large a file that nobody should wait for it."""
        try:
            path = self._database.path
            return path.stat().st_size + bytes_of_copies(path) > QUICK_BYTES
        except OSError:  # a library in memory
            return False

    def tombstones(self) -> list[Tombstone]:
        """Return what remains of the deleted hunts, the last deleted first."""
        return [
            Tombstone(
                row["hunt_id"],
                row["recipe"],
                row["created_at"],
                row["deleted_at"],
                Counts(
                    kept=_whole(row["kept"]),
                    rejected=_whole(row["rejected"]),
                    skipped=_whole(row["skipped"]),
                    passed_over=_whole(row["passed_over"]),
                    unjudged=_whole(row["unjudged"]),
                    lost=_whole(row["lost"]),
                ),
            )
            for row in self._database.rows(
                "SELECT * FROM tombstones ORDER BY deleted_at DESC, hunt_id DESC"
            )
        ]

    def _delete(self, hunt_id: int) -> Tombstone:
        database = self._database
        row = database.row(
            "SELECT prompt_id, models.id AS model_id, CAST(recipe AS BLOB) AS recipe,"
            " CAST(created_at AS BLOB) AS created_at"
            " FROM hunts LEFT JOIN models ON models.id = model_id WHERE hunts.id = ?",
            (hunt_id,),
        )
        if row is None:
            raise LibraryError("That hunt was deleted already.")
        for child in database.rows(
            "SELECT hunts.id FROM hunts JOIN tries ON steered_from_try = tries.id"
            " WHERE hunt_id = ? AND hunts.id <> hunt_id",
            (hunt_id,),
        ):
            self._delete(child[0])
        summary = self._summary(hunt_id, "")
        if summary.uncounted or row["model_id"] is None:
            raise LibraryDamagedError(
                f"{summary.sentence} It cannot be deleted, because nobody could say what was."
            )
        counts = summary.counts
        recipe, begun = (row[name].decode("utf-8", "replace") for name in ("recipe", "created_at"))
        tombstone = Tombstone(hunt_id, recipe, begun, self._now(), counts)
        database.execute(
            "INSERT INTO tombstones (hunt_id, model_id, recipe, created_at, deleted_at,"
            " tries, kept, rejected, skipped, passed_over, unjudged, lost)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                hunt_id,
                row["model_id"],
                tombstone.recipe,
                tombstone.created_at,
                tombstone.deleted_at,
                counts.tries,
                counts.kept,
                counts.rejected,
                counts.skipped,
                counts.passed_over,
                counts.unjudged,
                counts.lost,
            ),
        )
        actions = {
            row[0]
            for table in ("verdicts", "placements", "annotations")
            for row in database.rows(
                f"SELECT action FROM {table} JOIN tries ON tries.id = try_id WHERE hunt_id = ?",
                (hunt_id,),
            )
        }
        for table in ("samples", "annotations", "placements", "verdicts", "completions", "ends"):
            database.execute(
                f"DELETE FROM {table} WHERE try_id IN (SELECT id FROM tries WHERE hunt_id = ?)",
                (hunt_id,),
            )
        self._ledger.actions.forget(actions)
        for table in ("policies", "tries"):
            database.execute(f"DELETE FROM {table} WHERE hunt_id = ?", (hunt_id,))
        database.execute("DELETE FROM hunts WHERE id = ?", (hunt_id,))
        database.execute(
            "DELETE FROM prompts WHERE id = ? AND id NOT IN (SELECT prompt_id FROM hunts)",
            (row["prompt_id"],),
        )
        return tombstone


def delete_hunt(progress: Callable[[float, str], None], library: Path, hunt_id: int) -> None:
    """Delete a hunt as :meth:`History.delete` does: work for a job of the library's writer.

    Its process writes nothing until this is over. Killed half-way, it leaves the hunt as it was, or
    deleted and to be erased from the file at the next start.
    """
    progress(-1.0, "Taking its text out of the library")
    with Database.lent(library, COMMAND_SECONDS) as database:
        History(database).delete(hunt_id)


def _whole(value: object) -> int:
    """Return a count as it is stored; of a damaged one, which a check names, nothing."""
    return value if isinstance(value, int) else 0


_LAST_USED = (
    "max(created_at, coalesce((SELECT max(started_at) FROM tries WHERE hunt_id = hunts.id), ''))"
)
