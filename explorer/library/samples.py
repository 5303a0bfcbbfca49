"""Kept tries as a person meets them: with prompt, provenance, and what they cost.

A list holds the ids of all its samples and asks for the rows it shows (:meth:`Samples.ids`,
:meth:`Samples.page`), so that a hundred thousand of them open as fast as ten. A sample is in its
collection while its keep stands and it was not removed; undoing the keep hides it, redoing shows
it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.core.counting import Cost
from explorer.core.errors import LibraryDamagedError, LibraryError
from explorer.library.actions import Actions
from explorer.library.damage import UNREADABLE, Fields
from explorer.library.hunt_figures import HuntFigures
from explorer.library.ledger import Ledger
from explorer.library.rows import Hunt, Try, try_from_row
from explorer.library.storage.connection import Row
from explorer.library.storage.database import Database, utc_now


@dataclass(frozen=True, slots=True)
class Sample:
    """A kept try with everything that has to be said beside its text."""

    attempt: Try
    hunt: Hunt
    cost: Cost
    """Tries, and what stands beside them, as they count now (RULES 6)."""
    collection_id: int
    note: str
    added_at: str
    kept_at: str
    prompt_tries: int = 0
    """Plain tries on this prompt over every hunt of the library."""
    prompt_kept: int = 0
    """Those of them that are kept."""

    @property
    def id(self) -> int:
        """The id of its try."""
        return self.attempt.id

    @property
    def text(self) -> str:
        """The completion alone, as the machine wrote it."""
        return self.attempt.end.text if self.attempt.end else ""

    @property
    def tokens(self) -> tuple[int, ...]:
        """Token ids of the completion."""
        return self.attempt.end.ids if self.attempt.end else ()

    @property
    def caption(self) -> str:
        """The words of RULES 9: ``machine-written, 7 tries (6 rejected)``."""
        return self.cost.caption

    @property
    def captioned_text(self) -> str:
        """Prompt and completion told apart by their author, for a clipboard."""
        return captioned(self.hunt, self.attempt.index, self.caption, self.text)


def captioned(hunt: Hunt, index: int, caption: str, text: str) -> str:
    """Return a try with its prompt, told apart by their author, and with what made it."""
    prompt = hunt.prompt_text or "(none: unconditional)"
    return (
        f"Prompt (human-written):\n{prompt}\n\n"
        f"Completion, {caption}:\n{text}\n\n"
        f"{hunt.recipe.describe()}, seed {hunt.seed}, index {index},"
        f" {hunt.model.name} {hunt.model.build}"
    )


@dataclass(frozen=True, slots=True)
class DamagedSample:
    """A kept try of which something is missing: what is left of it, and no claim beside it."""

    id: int
    damage: str
    """As ``its text is missing from the library``."""
    prompt: str
    """Empty where that is missing too."""
    text: str
    note: str

    @property
    def sentence(self) -> str:
        """What to say of it."""
        return f"This sample is damaged: {self.damage}."


class Samples:
    """Reads the samples of a library, and moves, removes and annotates them."""

    def __init__(self, database: Database, now: Callable[[], str] = utc_now) -> None:
        """Work on ``database``; ``now`` gives the times that are written."""
        self._database = database
        self._ledger = Ledger(database)
        self._hunt_figures = HuntFigures(database)
        self._actions = Actions(database, now)

    @property
    def library(self) -> Path:
        """The file that they lie in."""
        return self._database.path

    def ids(
        self, collection_id: int, *, limit: int | None = None, after: int | None = None
    ) -> list[int]:
        """Return the try ids of a collection's samples, newest first.

        At most ``limit`` of them, beginning behind the sample ``after``: the next page of a list
        costs the same however long the collection is.
        """
        return [
            row[0]
            for row in self._database.rows(
                "SELECT try_id FROM samples JOIN standing USING (try_id)"
                " WHERE collection_id = :collection AND removed_at IS NULL AND verdict = 'kept'"
                " AND (:after IS NULL OR (added_at, try_id) <"
                " (SELECT added_at, try_id FROM samples WHERE try_id = :after))"
                " ORDER BY added_at DESC, try_id DESC LIMIT :limit",
                {
                    "collection": collection_id,
                    "after": after,
                    "limit": -1 if limit is None else limit,
                },
            )
        ]

    def page(self, try_ids: Sequence[int]) -> list[Sample]:
        """Return these samples in this order; left out is what is a sample no longer, or damaged.

        :meth:`damaged` has the damaged ones.
        """
        found = self._read(try_ids)
        return [each for i in try_ids if isinstance(each := found.get(i), Sample)]

    def damaged(self, try_ids: Sequence[int]) -> list[DamagedSample]:
        """Return those of these samples that cannot be read in full, in this order."""
        found = self._read(try_ids)
        return [each for i in try_ids if isinstance(each := found.get(i), DamagedSample)]

    def get(self, try_id: int) -> Sample:
        """Return one sample.

        Raises :class:`LibraryDamagedError` where it is damaged, :class:`LibraryError` where the try
        is a sample no longer.
        """
        found = self._read([try_id]).get(try_id)
        if isinstance(found, DamagedSample):
            raise LibraryDamagedError(found.sentence)
        if found is None:
            raise LibraryError("That sample is not in a collection any more; refresh the list.")
        return found

    def deleted_tries(self) -> int:
        """Return how many tries of the library were deleted with their hunts (RULES 9)."""
        return int(
            self._database.value(
                "SELECT coalesce(sum(kept + rejected + skipped + passed_over + unjudged + lost), 0)"
                " FROM tombstones"
            )
        )

    def move(self, try_id: int, collection_id: int) -> None:
        """Put a sample into another collection; its place by time stays."""
        with self._database.transaction():
            self._actions.require_collection(collection_id)
            self._actions.place(self._actions.begin("move"), [try_id], collection_id)

    def remove(self, try_id: int) -> None:
        """Take a sample out of its collection; its verdict stands, :meth:`restore` brings it back.

        One that is in none stays as it is.
        """
        with self._database.transaction():
            if self._place(try_id):
                self._actions.place(self._actions.begin("removal"), [try_id], None)

    def restore(self, try_id: int) -> None:
        """Bring a removed sample back to where it was; one that is there stays as it is."""
        with self._database.transaction():
            was = self._database.value(
                "SELECT was FROM placements WHERE try_id = ? AND now IS NULL"
                " ORDER BY id DESC LIMIT 1",
                (try_id,),
            )
            if was is not None and self._place(try_id) is None:
                self._actions.require_collection(was)
                self._actions.place(self._actions.begin("restoring"), [try_id], was)

    def newest_action(self) -> int | None:
        """Return what undo would reverse next, whatever it was; None where there is nothing."""
        return self._actions.next_undo()

    def set_note(self, try_id: int, note: str) -> None:
        """Replace what a person noted beside a sample."""
        with self._database.transaction():
            self._actions.annotate(self._actions.begin("note"), try_id, note)

    def _place(self, try_id: int) -> int | None:
        """Return the collection that a sample is in; None where it is in none."""
        found: int | None = self._database.value(
            "SELECT collection_id FROM samples WHERE try_id = ? AND removed_at IS NULL", (try_id,)
        )
        return found

    def _read(self, try_ids: Sequence[int]) -> dict[int, Sample | DamagedSample]:
        found: dict[int, Sample | DamagedSample] = {}
        hunts: dict[int, Hunt] = {}
        try:
            for row in self._rows(try_ids):
                found[row["sample_id"]] = self._sample(row, hunts)
        except LibraryDamagedError:
            if len(try_ids) == 1:
                return {try_ids[0]: DamagedSample(try_ids[0], UNREADABLE, "", "", "")}
            for try_id in try_ids:  # one row that SQLite does not hand out must not hide the others
                found |= self._read([try_id])
        return found

    def _rows(self, try_ids: Sequence[int]) -> list[Row]:
        return self._database.rows(
            "SELECT tries.*, ends.*, completions.*, samples.try_id AS sample_id, collection_id,"
            " note, added_at, at AS kept_at FROM samples JOIN standing USING (try_id)"
            " LEFT JOIN tries ON tries.id = samples.try_id"
            " LEFT JOIN ends ON ends.try_id = samples.try_id"
            " LEFT JOIN completions ON completions.try_id = samples.try_id"
            " WHERE removed_at IS NULL AND verdict = 'kept'"
            " AND samples.try_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(try_ids)),),
        )

    def _sample(self, row: Row, hunts: dict[int, Hunt]) -> Sample | DamagedSample:
        """Make a sample of a row; ``hunts`` remembers those that were read."""
        read = Fields(row)
        read.whole("id", "its try")
        attempt = try_from_row(row)
        read.blame(attempt.damage)
        if attempt.end is None:
            read.blame("its text is missing from the library")
        hunt, cost = hunts.get(attempt.hunt_id), None
        try:
            if hunt is None:
                hunt = hunts[attempt.hunt_id] = self._ledger.hunt(attempt.hunt_id)
            read.blame(hunt.damage)
            cost = self._hunt_figures.figures(hunt.id).costs.get(row["sample_id"])
        except LibraryDamagedError:
            read.blame("the verdicts of its hunt cannot be read")
        except LibraryError:
            read.blame("its hunt is missing from the library")
        note = read.text("note", "its note")
        added_at = read.text("added_at", "when it was collected")
        kept_at = read.text("kept_at", "when it was kept")
        if read.damage or hunt is None or cost is None:
            read.blame("its verdict cannot be counted")
            prompt = hunt.prompt_text if hunt else ""
            text = attempt.end.text if attempt.end else ""
            return DamagedSample(row["sample_id"], read.damage, prompt, text, note)
        prompt_tries, prompt_kept = self._hunt_figures.on_prompt(hunt.prompt_ids)
        return Sample(
            attempt,
            hunt,
            cost,
            row["collection_id"],
            note,
            added_at,
            kept_at,
            prompt_tries,
            prompt_kept,
        )
