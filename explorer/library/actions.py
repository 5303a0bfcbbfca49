"""Everything that a person did, one row each, and how each is reversed (RULES 7).

An action is a row and the rows that belong to it: verdicts, where samples lie, what collections are
called, notes. All of them only add up: each says what was and what is, so that the opposite can be
written as further rows. Undo reverses the newest action of the library that is not reversed yet,
whatever it was and wherever; redo takes the newest undo back, unless something was done since.

Taking the verdict of one try back, or bringing one sample back, is an action of its own, which undo
reverses like any other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from explorer.core.errors import LibraryError
from explorer.library.families import family
from explorer.library.rows import Verdict, VerdictName
from explorer.library.storage.connection import Row
from explorer.library.storage.database import Database, clean, utc_now

Kind = Literal[
    "decision",
    "taken_back",
    "removal",
    "restoring",
    "move",
    "collection_created",
    "collection_renamed",
    "collection_deleted",
    "note",
    "undo",
    "redo",
]

VERDICT_COLUMNS: Final = "verdicts.id, action, try_id, verdict, undoes, redoes, mark, verdicts.at"
"""The columns of a verdict row in the order of :class:`Verdict`."""

_IS_DONE: Final = "kind NOT IN ('undo', 'redo')"


@dataclass(frozen=True, slots=True)
class Reversal:
    """An action that was reversed or done again."""

    action: int
    kind: Kind
    again: bool
    """Whether it was done again."""
    verdicts: tuple[Verdict, ...]
    """The verdict rows that this wrote."""
    what: str
    """What had been done: ``kept try 3``, ``deleted the collection “Dragons”``."""
    hunts: frozenset[int]
    """The hunts of the tries that it was about."""
    prompt: str
    """The prompt of the first of these."""


class Actions:
    """Writes what is done in one library, and reverses it. Every method joins a transaction."""

    def __init__(self, database: Database, now: Callable[[], str] = utc_now) -> None:
        """Work on ``database``; ``now`` gives the times that are written."""
        self._database = database
        self._now = now

    def begin(self, kind: Kind, target: int | None = None) -> int:
        """Add the row of something that is being done; return its number."""
        return self._database.execute(
            "INSERT INTO actions (kind, target, at) VALUES (?, ?, ?)", (kind, target, self._now())
        )

    # What belongs to an action

    def judge(
        self, action: int, rows: Iterable[tuple[int, VerdictName, int | None, int | None]]
    ) -> list[Verdict]:
        """Add verdict rows (try id, verdict, undoes, redoes), each with its mark."""
        marks: dict[int, int] = {}
        at = self._now()
        written = []
        for try_id, verdict, undoes, redoes in rows:
            mark = self._mark(try_id, marks)
            row = self._database.execute(
                "INSERT INTO verdicts (action, try_id, verdict, undoes, redoes, mark, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (action, try_id, verdict, undoes, redoes, mark, at),
            )
            written.append(Verdict(row, action, try_id, verdict, undoes, redoes, mark, at))
        return written

    def place(
        self, action: int, try_ids: Sequence[int], collection: int | None, *, anew: bool = False
    ) -> None:
        """Put samples into a collection, or out of the one in which they are.

        Their place in its order stays, unless they are kept ``anew``. Raises :class:`LibraryError`
        where the collection was deleted.
        """
        if collection is not None:
            self.require_collection(collection)
        marks: dict[int, int] = {}
        there = {
            row["try_id"]: row["collection_id"] if row["removed_at"] is None else None
            for row in self._database.rows(
                "SELECT * FROM samples WHERE try_id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(try_ids)),),
            )
        }
        moves = [
            (try_id, there.get(try_id), self._mark(try_id, marks))
            for try_id in try_ids
            if there.get(try_id) != collection
        ]
        self._database.execute(
            "INSERT INTO placements (action, try_id, was, now, mark)"
            " SELECT ?, json_extract(value, '$[0]'), json_extract(value, '$[1]'), ?,"
            " json_extract(value, '$[2]') FROM json_each(?)"
            " WHERE json_extract(value, '$[0]') IN (SELECT id FROM tries)",  # it may be damaged
            (action, collection, json.dumps(moves)),
        )
        moving = json.dumps([move[0] for move in moves])
        if collection is None:
            self._database.execute(
                "UPDATE samples SET removed_at = ?"
                " WHERE try_id IN (SELECT value FROM json_each(?))",
                (self._now(), moving),
            )
        else:
            self._database.execute(
                "INSERT INTO samples (try_id, collection_id, added_at)"
                " SELECT value, ?, ? FROM json_each(?) WHERE true"
                " ON CONFLICT (try_id) DO UPDATE"
                " SET collection_id = excluded.collection_id, removed_at = NULL,"
                " added_at = iif(?, excluded.added_at, added_at)",
                (collection, self._now(), json.dumps(list(try_ids)) if anew else moving, anew),
            )

    def rename(self, action: int, collection: int, name: str | None) -> None:
        """Give a collection a name; None deletes it, and a name brings it back.

        A name that another collection has meanwhile becomes ``name (2)``.
        """
        row = self._database.row("SELECT * FROM collections WHERE id = ?", (collection,))
        if row is None:
            raise LibraryError("That collection is not in the library any more.")
        was = row["name"] if row["deleted_at"] is None else None
        if name is None:
            self._database.execute(
                "UPDATE collections SET deleted_at = ? WHERE id = ?", (self._now(), collection)
            )
        else:
            # One that was made in its place by itself, and is empty, goes.
            self._database.execute(
                "UPDATE collections SET deleted_at = ? WHERE name = ? AND deleted_at IS NULL"
                " AND id <> ? AND id NOT IN (SELECT collection_id FROM samples)"
                " AND id NOT IN (SELECT collection_id FROM renamings)",
                (self._now(), name, collection),
            )
            name = self._free(name, collection)
            self._database.execute(
                "UPDATE collections SET deleted_at = NULL, name = ? WHERE id = ?",
                (name, collection),
            )
        self._database.execute(
            "INSERT INTO renamings (action, collection_id, was, now) VALUES (?, ?, ?, ?)",
            (action, collection, was, name),
        )

    def created(self, action: int, collection: int, name: str) -> None:
        """Note that a collection was made, which had no name before."""
        self._database.execute(
            "INSERT INTO renamings (action, collection_id, was, now) VALUES (?, ?, NULL, ?)",
            (action, collection, name),
        )

    def annotate(self, action: int, try_id: int, note: str) -> None:
        """Replace the note on a sample."""
        was = self._database.value("SELECT note FROM samples WHERE try_id = ?", (try_id,)) or ""
        note = clean(note)
        self._database.execute(
            "INSERT INTO annotations (action, try_id, was, now) VALUES (?, ?, ?, ?)",
            (action, try_id, was, note),
        )
        self._database.execute("UPDATE samples SET note = ? WHERE try_id = ?", (note, try_id))

    def require_collection(self, collection: int) -> None:
        """Raise :class:`LibraryError` unless the collection is there to take a sample."""
        if not self._database.value(
            "SELECT count(*) FROM collections WHERE id = ? AND deleted_at IS NULL", (collection,)
        ):
            raise LibraryError("That collection was deleted; choose another one and try again.")

    # Undo and redo

    def next_undo(self) -> int | None:
        """Return the newest action that is not reversed; None without one."""
        found: int | None = self._database.value(
            f"SELECT id FROM actions AS done WHERE {_IS_DONE} AND coalesce("
            "(SELECT kind FROM actions AS later WHERE later.target = done.id"
            " ORDER BY later.id DESC LIMIT 1), 'redo') = 'redo' ORDER BY id DESC LIMIT 1"
        )
        return found

    def next_redo(self) -> int | None:
        """Return the action that was undone last, unless something was done since."""
        found: int | None = self._database.value(
            "SELECT target FROM actions AS undo WHERE kind = 'undo'"
            f" AND id > (SELECT max(id) FROM actions WHERE {_IS_DONE})"
            " AND id = (SELECT max(id) FROM actions WHERE target = undo.target)"
            " ORDER BY id DESC LIMIT 1"
        )
        return found

    def tries_of(self, action: int | None) -> set[int]:
        """Return the tries whose verdicts an action gave or took back."""
        return {
            row[0]
            for row in self._database.rows(
                "SELECT try_id FROM verdicts WHERE action = ?", (action or 0,)
            )
        }

    def undo(self) -> Reversal | None:
        """Reverse the newest action that is not reversed yet; None where there is none."""
        return self._reverse(self.next_undo(), again=False)

    def redo(self) -> Reversal | None:
        """Do again what was undone last; None where there is nothing, or something came since."""
        return self._reverse(self.next_redo(), again=True)

    def _reverse(self, target: int | None, *, again: bool) -> Reversal | None:
        """Write the opposite of what the newest row about an action wrote."""
        if target is None:
            return None
        database = self._database
        newest: int = database.value(
            "SELECT max(id) FROM actions WHERE id = :action OR target = :action", {"action": target}
        )
        kind: Kind = database.value("SELECT kind FROM actions WHERE id = ?", (target,))
        what, hunts, prompt = self._described(target, kind)
        action = self.begin("redo" if again else "undo", target)
        rows = database.rows("SELECT * FROM verdicts WHERE action = ? ORDER BY id", (newest,))
        verdicts = self.judge(action, filter(None, map(self._opposite, rows)))
        # The names first: a sample can lie in a collection only while that is there.
        renamings = database.rows("SELECT * FROM renamings WHERE action = ?", (newest,))
        for row in renamings:
            if row["was"] is not None:
                self.rename(action, row["collection_id"], row["was"])
        places: dict[int | None, list[int]] = {}
        for row in database.rows("SELECT * FROM placements WHERE action = ?", (newest,)):
            places.setdefault(row["was"], []).append(row["try_id"])
        for collection, try_ids in places.items():
            self.place(action, try_ids, collection)
        for row in renamings:
            if row["was"] is None:
                self.rename(action, row["collection_id"], None)
        for row in database.rows("SELECT * FROM annotations WHERE action = ?", (newest,)):
            self.annotate(action, row["try_id"], row["was"])
        return Reversal(target, kind, again, tuple(verdicts), what, hunts, prompt)

    def _opposite(self, row: Row) -> tuple[int, VerdictName, int | None, int | None] | None:
        """Return the row that reverses a verdict row; None where it is reversed already.

        A verdict that was taken back and given again goes on as a new row.
        """
        taken_back = row["verdict"] == "undone"
        verdict = row["undoes"] if taken_back else row["id"]
        while (
            later := self._database.value("SELECT id FROM verdicts WHERE redoes = ?", (verdict,))
        ) is not None:
            verdict = later
        undone = self._database.value("SELECT 1 FROM verdicts WHERE undoes = ?", (verdict,))
        if bool(undone) != taken_back:
            return None
        if not taken_back:
            return row["try_id"], "undone", verdict, None
        name = self._database.value("SELECT verdict FROM verdicts WHERE id = ?", (verdict,))
        return row["try_id"], name, None, verdict

    def _described(self, action: int, kind: Kind) -> tuple[str, frozenset[int], str]:
        """Return what an action did in words, and of which hunts and prompt."""
        database = self._database
        tries = database.rows(
            "SELECT DISTINCT tries.id, idx, hunt_id, verdict FROM ("
            "SELECT try_id, CASE verdict WHEN 'undone' THEN"
            " (SELECT verdict FROM verdicts AS other WHERE other.id = verdicts.undoes)"
            " ELSE verdict END AS verdict FROM verdicts WHERE action = :action"
            " UNION ALL SELECT try_id, '' FROM annotations WHERE action = :action"
            " UNION ALL SELECT try_id, '' FROM placements WHERE action = :action"
            " AND NOT EXISTS (SELECT 1 FROM verdicts WHERE action = :action)"
            ") JOIN tries ON tries.id = try_id ORDER BY verdict = 'kept' DESC, tries.id",
            {"action": action},
        )
        named = database.row(
            "SELECT coalesce(was, now) AS old, coalesce(now, was) AS new FROM renamings"
            " WHERE action = ?",
            (action,),
        )
        place = database.value(
            "SELECT name FROM placements JOIN collections"
            " ON collections.id = coalesce(placements.now, was) WHERE action = ? LIMIT 1",
            (action,),
        )
        one = f"try {tries[0]['idx'] + 1}" if len(tries) == 1 else f"{len(tries)} tries"
        match kind:
            case "decision" | "taken_back":
                groups: dict[str, list[int]] = {}
                for row in tries:
                    groups.setdefault(row["verdict"], []).append(row["idx"] + 1)
                words = ", ".join(
                    f"{verdict} try {numbers[0]}"
                    if len(numbers) == 1
                    else f"{verdict} {len(numbers)} tries"
                    for verdict, numbers in groups.items()
                )
                what = f"took back: {words}" if kind == "taken_back" else words
            case "removal":
                what = f"removed {one} from “{place}”"
            case "restoring":
                what = f"brought {one} back to “{place}”"
            case "move":
                what = f"moved {one} to “{place}”"
            case "note":
                what = f"noted on {one}"
            case _:
                assert named is not None
                what = {
                    "collection_created": f"made the collection “{named['new']}”",
                    "collection_renamed": f"renamed “{named['old']}” to “{named['new']}”",
                }.get(kind, f"deleted the collection “{named['old']}”")
                tries = []
        hunts = frozenset(row["hunt_id"] for row in tries)
        prompt = ""
        if tries:
            prompt = database.value(
                "SELECT text FROM hunts JOIN prompts ON prompts.id = prompt_id WHERE hunts.id = ?",
                (tries[0]["hunt_id"],),
            )
        return what, hunts, prompt

    # Deleting

    def forget(self, actions: Collection[int]) -> None:
        """Remove those of ``actions`` of which no row is left: their hunt was deleted for good."""
        database = self._database
        empty = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM {table} WHERE {table}.action = actions.id)"
            for table in ("verdicts", "placements", "renamings", "annotations")
        )
        for condition in (
            "target IS NOT NULL",
            "id NOT IN (SELECT target FROM actions WHERE target IS NOT NULL)",
        ):
            database.execute(
                f"DELETE FROM actions WHERE {condition} AND {empty}"
                " AND id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(actions)),),
            )

    # Beneath

    def _mark(self, try_id: int, marks: dict[int, int]) -> int:
        """Return the newest try of the hunt of ``try_id`` (RULES 5); ``marks`` remembers it."""
        hunt: int = self._database.value("SELECT hunt_id FROM tries WHERE id = ?", (try_id,))
        if hunt not in marks:
            marks[hunt] = max(
                self._database.value("SELECT max(id) FROM tries WHERE hunt_id = ?", (member,)) or 0
                for member in family(self._database, hunt).hunts
            )
        return marks[hunt]

    def _free(self, name: str, collection: int) -> str:
        """Return a name that no other collection has: itself, or ``name (2)``."""
        taken = {
            row[0]
            for row in self._database.rows(
                "SELECT name FROM collections WHERE deleted_at IS NULL AND id <> ?", (collection,)
            )
        }
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name} ({number})"
        return free
