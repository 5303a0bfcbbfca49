"""Named sets of samples. Deleting one hides it with its samples; undo brings both back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from explorer.core.errors import InputError
from explorer.library.actions import Actions
from explorer.library.storage.database import Database, clean, utc_now

FIRST_NAME: Final = "Kept samples"
MAX_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of samples."""

    id: int
    name: str
    created_at: str
    samples: int
    """Samples in it: their keep stands and they were not removed."""


class Collections:
    """Create, rename and delete collections. Names are unique among those that exist."""

    def __init__(self, database: Database, now: Callable[[], str] = utc_now) -> None:
        """Work on ``database``; ``now`` gives the times that are written."""
        self._database = database
        self._now = now
        self._actions = Actions(database, now)

    def list(self) -> Sequence[Collection]:
        """Return the collections, oldest first."""
        return [self._with_count(*row) for row in self._rows("ORDER BY id")]

    def get(self, collection_id: int) -> Collection:
        """Return one collection. Raises :class:`InputError` where there is none, or no longer."""
        for row in self._rows("AND id = ?", collection_id):
            return self._with_count(*row)
        raise InputError("That collection is not there any more; choose another one.")

    def find(self, name: str) -> Collection:
        """Return the collection called ``name``; :class:`InputError` names those there are."""
        for row in self._rows("AND name = ?", clean(name).strip()):
            return self._with_count(*row)
        names = ", ".join(repr(row[1]) for row in self._rows("ORDER BY id"))
        raise InputError(f"There is no collection {name!r}; there are: {names or 'none'}.")

    def default(self) -> Collection:
        """Return the oldest collection; where all were deleted, make a new one."""
        for row in self._rows("ORDER BY id LIMIT 1"):
            return self._with_count(*row)
        created = self._now()  # nobody did this, so nobody undoes it
        new = self._database.execute(
            "INSERT INTO collections (name, created_at) VALUES (?, ?)", (FIRST_NAME, created)
        )
        return Collection(new, FIRST_NAME, created, 0)

    def create(self, name: str) -> Collection:
        """Add an empty collection. Raises :class:`InputError` for a name that cannot be used."""
        with self._database.transaction():
            name = self._free(name)
            created = self._now()
            new = self._database.execute(
                "INSERT INTO collections (name, created_at) VALUES (?, ?)", (name, created)
            )
            self._actions.created(self._actions.begin("collection_created"), new, name)
        return Collection(new, name, created, 0)

    def rename(self, collection_id: int, name: str) -> None:
        """Give a collection another name; :class:`InputError` for one that cannot be used."""
        with self._database.transaction():
            if self.get(collection_id).name != clean(name).strip():
                action = self._actions.begin("collection_renamed")
                self._actions.rename(action, collection_id, self._free(name))

    def problem(self, name: str, of: int | None = None) -> str:
        """Return why a collection, ``of`` for the one that has it now, cannot have a name.

        Empty where it can; a name that is still empty is no problem yet.
        """
        name = clean(name).strip()
        try:
            if name and (of is None or self.get(of).name != name):
                self._free(name)
        except InputError as error:
            return str(error)
        return ""

    def delete(self, collection_id: int) -> None:
        """Take a collection and its samples away until that is undone; tries and verdicts stand."""
        with self._database.transaction():
            if not self._rows("AND id = ?", collection_id):
                return
            action = self._actions.begin("collection_deleted")
            inside = self._database.rows(
                "SELECT try_id FROM samples WHERE collection_id = ? AND removed_at IS NULL",
                (collection_id,),
            )
            self._actions.place(action, [row[0] for row in inside], None)
            self._actions.rename(action, collection_id, None)

    def _free(self, name: str) -> str:
        """Return the name as it is stored, if a collection may have it."""
        name = clean(name).strip()
        if not name or len(name) > MAX_NAME:
            raise InputError(f"A collection needs a name of 1 to {MAX_NAME} characters.")
        if self._rows("AND name = ?", name):
            raise InputError(f"There is already a collection {name!r}; choose another name.")
        return name

    def _rows(self, condition: str, *parameters: str | int) -> Sequence[tuple[int, str, str]]:
        # As bytes, whatever a damaged library holds there: one name must not hide the others.
        return [
            (row[0], _text(row[1]), _text(row[2]))
            for row in self._database.rows(
                "SELECT id, CAST(name AS BLOB), CAST(created_at AS BLOB) FROM collections"
                f" WHERE deleted_at IS NULL {condition}",
                parameters,
            )
        ]

    def _with_count(self, collection_id: int, name: str, created_at: str) -> Collection:
        samples: int = self._database.value(
            "SELECT count(*) FROM samples JOIN standing USING (try_id)"
            " WHERE collection_id = ? AND removed_at IS NULL AND verdict = 'kept'",
            (collection_id,),
        )
        return Collection(collection_id, name, created_at, samples)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
