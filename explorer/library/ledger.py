"""Tries and verdicts: the record that makes a count honest.

Everything here only adds rows (RULES 3-7); what stands, what is unjudged and how many tries a keep
took are derived from them by :mod:`explorer.core.counting`. Every method is one transaction,
or joins the caller's: several ends and a verdict written inside ``with ledger.transaction():`` are
on disk together or not at all.

The ledger knows how to write a decision down, not whether it should be made: that is
:mod:`explorer.review.review`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from explorer.core.counting import Figures, Removal, ShownTry, figures
from explorer.core.errors import LibraryDamagedError, LibraryError, RecipeError
from explorer.core.recipe import Recipe
from explorer.library.actions import VERDICT_COLUMNS, Actions, Reversal
from explorer.library.damage import UNREADABLE, require_types
from explorer.library.families import family
from explorer.library.rows import (
    HUNT_COLUMNS,
    SEED_LIMIT,
    WHOLE_HUNTS,
    WHOLE_TRIES,
    End,
    Hunt,
    ModelRef,
    Policy,
    Try,
    TryEnd,
    Verdict,
    VerdictName,
    hunt_from_row,
    pack_ids,
    pack_logprobs,
    try_from_row,
    unreadable_hunt,
    verdict_from_row,
)
from explorer.library.storage.database import Database, clean, utc_now

__all__ = [
    "SEED_LIMIT",
    "End",
    "Hunt",
    "Ledger",
    "ModelRef",
    "Policy",
    "Try",
    "TryEnd",
    "Verdict",
    "VerdictName",
]


_SAME_PROMPT = "text_sha256 IN (SELECT text_sha256 FROM prompts WHERE ids_sha256 = ?)"
_ON_PROMPT = (
    "prompts JOIN hunts ON prompt_id = prompts.id JOIN tries ON hunt_id = hunts.id"
    f" WHERE {_SAME_PROMPT}"
)


class Ledger:
    """Writes tries, ends, verdicts and policies of one library, and reads them back."""

    def __init__(self, database: Database, now: Callable[[], str] = utc_now) -> None:
        """Work on ``database``; ``now`` gives the times that are written."""
        self._database = database
        self._now = now
        self.actions = Actions(database, now)
        """What was done, and how it is reversed."""

    @property
    def reason(self) -> str:
        """Why nothing can be written, as a sentence; empty where it can."""
        return self._database.reason

    @property
    def written_elsewhere(self) -> bool:
        """Whether another window or command may still stream what has no end here."""
        return self._database.written_elsewhere

    def transaction(self) -> AbstractContextManager[None]:
        """Bind several calls into one commit; see :meth:`Database.transaction`."""
        return self._database.transaction()

    # Hunts

    def open_hunt(
        self,
        prompt_text: str,
        prompt_ids: Sequence[int],
        model: ModelRef,
        recipe: Recipe,
        *,
        seed: int | None = None,
        new: bool = False,
    ) -> Hunt:
        """Return the hunt with this key, the newest if there are several, or begin one (RULES 1).

        The ids of the prompt belong to the key; its text stays as it was when the hunt began.
        A given ``seed`` (fixed by the person) looks for the hunt that has it, since going on there
        is the only way not to draw the same candidates again; None takes the newest, or draws a
        seed for a new hunt. ``new`` begins one in any case. Raises :class:`RecipeError` for a seed
        outside 0 .. 2**64 - 1.
        """
        if seed is not None and not 0 <= seed < SEED_LIMIT:
            raise RecipeError(f"The seed must be a whole number from 0 to {SEED_LIMIT - 1}.")
        with self.transaction():
            packed, recipe_json = pack_ids(prompt_ids), recipe.to_json()
            model_id = self._model_id(model)
            hunt_id = self._database.value(
                "SELECT max(id) FROM hunts WHERE model_id = ? AND recipe = ?"
                " AND prompt_id IN (SELECT id FROM prompts WHERE ids_sha256 = ?)"
                " AND steered_from_try IS NULL AND seed = coalesce(?, seed)",
                (model_id, recipe_json, _sha256(packed), None if seed is None else str(seed)),
            )
            if hunt_id is not None and not self._is_whole(hunt_id):
                self._prompt_id(clean(prompt_text), packed)  # may be all that it lacks
                hunt_id = hunt_id if self._is_whole(hunt_id) else None
            if hunt_id is None or new:
                prompt_id = self._prompt_id(clean(prompt_text), packed)
                drawn = secrets.randbelow(2**53) if seed is None else seed
                hunt_id = self._database.execute(
                    "INSERT INTO hunts"
                    " (prompt_id, model_id, recipe, seed, seed_fixed, deliberate, created_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        prompt_id,
                        model_id,
                        recipe_json,
                        str(drawn),
                        seed is not None,
                        new,
                        self._now(),
                    ),
                )
            return self.hunt(hunt_id)

    def hunt(self, hunt_id: int) -> Hunt:
        """Return one hunt, a damaged one too. Raises :class:`LibraryError` where it was deleted."""
        try:
            row = self._database.row(
                f"SELECT {HUNT_COLUMNS} FROM {WHOLE_HUNTS} WHERE hunts.id = ?", (hunt_id,)
            )
        except LibraryDamagedError:
            return unreadable_hunt(hunt_id)
        if row is None:
            raise LibraryError(f"Hunt {hunt_id} is not in the library any more; it was deleted.")
        return hunt_from_row(row)

    def _is_whole(self, hunt_id: int) -> bool:
        """Say whether a hunt can be gone on with: nothing of it is damaged that counts."""
        try:
            self.verdicts(hunt_id)
        except LibraryDamagedError:
            return False
        return not self.hunt(hunt_id).damage

    def tries_on_prompt(self, prompt_ids: Sequence[int]) -> int:
        """Count the plain tries on this prompt over all hunts, whatever model and settings.

        The same text in the ids of another model's vocabulary is the same prompt to the person who
        wrote it.
        """
        return int(
            self._database.value(
                f"SELECT count(*) FROM {_ON_PROMPT} AND steered_from_try IS NULL",
                (_sha256(pack_ids(prompt_ids)),),
            )
        )

    def hunts_on_prompt(self, prompt_ids: Sequence[int]) -> list[int]:
        """Return the plain hunts on this prompt, the oldest first, as :meth:`tries_on_prompt`."""
        return [
            row[0]
            for row in self._database.rows(
                "SELECT hunts.id FROM prompts JOIN hunts ON prompt_id = prompts.id"
                f" WHERE {_SAME_PROMPT} AND steered_from_try IS NULL ORDER BY hunts.id",
                (_sha256(pack_ids(prompt_ids)),),
            )
        ]

    def kept_on_prompt(self, prompt_ids: Sequence[int]) -> int:
        """Count those of them that are kept."""
        return int(
            self._database.value(
                f"SELECT count(*) FROM {_ON_PROMPT} AND steered_from_try IS NULL"
                " AND EXISTS (SELECT 1 FROM standing"
                " WHERE try_id = tries.id AND standing.verdict = 'kept')",
                (_sha256(pack_ids(prompt_ids)),),
            )
        )

    def policies(self, hunt_id: int) -> list[Policy]:
        """Return how refill was switched during the hunt, oldest first."""
        return [
            Policy(r["id"], r["hunt_id"], bool(r["until_keep"]), bool(r["hold"]), r["at"])
            for r in self._database.rows(
                "SELECT * FROM policies WHERE hunt_id = ? ORDER BY id", (hunt_id,)
            )
        ]

    def set_policy(self, hunt_id: int, until_keep: bool, hold: bool) -> None:
        """Record how refill is switched from now on; the same as before adds no row."""
        with self.transaction():
            policies = self.policies(hunt_id)
            if policies and (policies[-1].until_keep, policies[-1].hold) == (until_keep, hold):
                return
            self._database.execute(
                "INSERT INTO policies (hunt_id, until_keep, hold, at) VALUES (?, ?, ?, ?)",
                (hunt_id, until_keep, hold, self._now()),
            )

    # Tries

    def reserve_index(self, hunt_id: int) -> int:
        """Return the next unused number of the hunt, from 0; it is never given again (RULES 2)."""
        with self.transaction():
            index: int = self._database.value(
                # Also where next_index is damaged, no number is given twice.
                "SELECT max(next_index, 1 + coalesce("
                "(SELECT max(idx) FROM tries WHERE hunt_id = hunts.id), -1))"
                " FROM hunts WHERE id = ?",
                (hunt_id,),
            )
            self._database.execute(
                "UPDATE hunts SET next_index = ? WHERE id = ?", (index + 1, hunt_id)
            )
        return index

    def begin_try(
        self, hunt_id: int, index: int, lane: int, device: str, versions: Mapping[str, str]
    ) -> int:
        """Record that the first token of a candidate was shown; return the id of the try."""
        with self.transaction():
            return self._database.execute(
                "INSERT INTO tries (hunt_id, idx, lane, device, versions_json, started_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (hunt_id, index, lane, device, _json(versions), self._now()),
            )

    def end_try(self, try_id: int, end: TryEnd, action: int | None = None) -> None:
        """Record what there was of a try when it ended; once. ``action`` is the verdict's, if that
        ended it.
        """
        with self.transaction():
            self._database.execute(
                "INSERT INTO ends (try_id, reason, seconds, ended_at, tokens, action)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (try_id, end.reason, end.seconds, self._now(), len(end.ids), action),
            )
            self._database.execute(
                "INSERT INTO completions (try_id, text, ids, logprobs) VALUES (?, ?, ?, ?)",
                (try_id, clean(end.text), pack_ids(end.ids), pack_logprobs(end.logprobs)),
            )

    def tries(self, hunt_id: int) -> list[Try]:
        """Return every try of the hunt in order of index."""
        whole = f"SELECT * FROM {WHOLE_TRIES} WHERE"
        try:
            rows = self._database.rows(f"{whole} hunt_id = ? ORDER BY idx", (hunt_id,))
        except LibraryDamagedError:  # of one row: the others are read one by one
            ids = self._database.rows(
                "SELECT id, idx FROM tries WHERE hunt_id = ? ORDER BY idx", (hunt_id,)
            )
            return [self._try_alone(whole, hunt_id, *row) for row in ids]
        return [try_from_row(row) for row in rows]

    def _try_alone(self, whole: str, hunt_id: int, try_id: int, index: int) -> Try:
        try:
            (row,) = self._database.rows(f"{whole} tries.id = ?", (try_id,))
        except LibraryDamagedError:
            return Try(try_id, hunt_id, index, 0, "", {}, "", None, UNREADABLE)
        return try_from_row(row)

    def close_crashed(self) -> int:
        """End every try that an earlier run left open as lost to a crash; return their number.

        To be called once at start, before anything streams. A library that cannot be written stays
        as it is.
        """
        if self._database.read_only:
            return 0
        with self.transaction():
            # One that was judged had ended; its end is missing, which is another matter.
            open_tries = self._database.rows(
                "SELECT id FROM tries LEFT JOIN ends ON try_id = id WHERE try_id IS NULL"
                " AND id NOT IN (SELECT try_id FROM completions UNION SELECT try_id FROM verdicts)"
            )
            for row in open_tries:
                self.end_try(row["id"], TryEnd("crash", (), "", (), 0.0))
        return len(open_tries)

    # Verdicts

    def decide(
        self,
        verdicts: Sequence[tuple[int, VerdictName]],
        ends: Mapping[int, TryEnd] | None = None,
        collection: int | None = None,
    ) -> int:
        """Write one key press down: (try id, verdict) pairs and the ends of tries it cut short.

        Kept tries go into ``collection`` if it is given. All tries must be of one hunt. Returns the
        number of the action. Raises :class:`LibraryError` where the collection is gone.
        """
        if not verdicts:
            raise ValueError("a decision has at least one verdict")
        with self.transaction():
            hunts = self._database.value(
                "SELECT count(DISTINCT hunt_id) FROM tries"
                " WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps([try_id for try_id, _ in verdicts]),),
            )
            if hunts != 1:
                raise ValueError("the tries of a decision are of one hunt")
            action = self.actions.begin("decision")
            for try_id, end in (ends or {}).items():
                self.end_try(try_id, end, action)
            self.actions.judge(action, ((try_id, name, None, None) for try_id, name in verdicts))
            kept = [try_id for try_id, name in verdicts if name == "kept"]
            if kept and collection is not None:
                self.actions.place(action, kept, collection, anew=True)
        return action

    def take_back(self, try_id: int) -> list[Verdict]:
        """Take the verdict of one try back, whatever else was decided with it; return the row.

        What it had overruled stands again. A try without a verdict stays as it is.
        """
        with self.transaction():
            row: int | None = self._database.value(
                "SELECT id FROM standing WHERE try_id = ?", (try_id,)
            )
            if row is None:
                return []
            action = self.actions.begin("taken_back")
            return self.actions.judge(action, [(try_id, "undone", row, None)])

    def undo(self) -> Reversal | None:
        """Reverse the newest action of the library that is not reversed, whatever it was."""
        with self.transaction():
            return self.actions.undo()

    def redo(self) -> Reversal | None:
        """Do again what was undone last, unless something was done since."""
        with self.transaction():
            return self.actions.redo()

    def verdicts(self, hunt_id: int, *, after: int = 0) -> list[Verdict]:
        """Return every verdict row of the hunt, oldest first, undone ones and undoings too.

        Only those written ``after`` a row, if it is given.
        """
        # The rows that are asked for first: after one that is known there are few.
        tables = "verdicts CROSS JOIN tries" if after else "tries JOIN verdicts"
        return [
            verdict_from_row(row)
            for row in self._database.rows(
                f"SELECT {VERDICT_COLUMNS} FROM {tables} ON try_id = tries.id"
                " WHERE hunt_id = ? AND verdicts.id > ? ORDER BY verdicts.id",
                (hunt_id, after),
            )
        ]

    # Counting

    def removals(self, hunt_id: int, *, after: int = 0) -> list[Removal]:
        """Return when samples of the hunt were taken out of their collections or brought back.

        Only what was done ``after`` an action, if it is given.
        """
        tables = "placements CROSS JOIN tries" if after else "tries JOIN placements"
        return [
            Removal(*require_types(row, ((int,), (int,), (int,), (int,)), "A removal"))
            for row in self._database.rows(
                "SELECT action, try_id, mark, now IS NOT NULL AS back"
                f" FROM {tables} ON try_id = tries.id WHERE hunt_id = ? AND action > ?"
                " AND (now IS NULL OR was IS NULL) ORDER BY placements.id",
                (hunt_id, after),
            )
        ]

    def shown_tries(self, hunt_id: int) -> list[ShownTry]:
        """Return the tries of the hunt, as far as counting goes."""
        return [
            ShownTry(*require_types(row, ((int,), (str, type(None))), "A try"))
            for row in self._database.rows(
                "SELECT id, reason FROM tries LEFT JOIN ends ON try_id = id WHERE hunt_id = ?",
                (hunt_id,),
            )
        ]

    def figures(self, hunt_id: int, live: Sequence[ShownTry] | None = None) -> Figures:
        """Count one hunt; ``live`` are its tries where somebody knows them better than the rows.

        Of a steered hunt the spans run over its whole family, and the counts are its own.
        """
        kin = family(self._database, hunt_id)
        own = self.shown_tries(hunt_id) if live is None else live
        others = [other for other in kin.hunts if other != hunt_id]
        found = figures(
            [*own, *(each for other in others for each in self.shown_tries(other))],
            [row for each in kin.hunts for row in self.verdicts(each)],
            [row for each in kin.hunts for row in self.removals(each)],
            [row.until_keep for each in kin.hunts for row in self.policies(each)],
            own={each.try_id for each in own} if others else None,
        )
        if kin.plain is None:
            return found
        offset = self._database.value("SELECT steered_offset FROM hunts WHERE id = ?", (hunt_id,))
        plain = len(self.shown_tries(kin.plain))
        costs = {key: cost.steered(offset or 0, plain) for key, cost in found.costs.items()}
        return replace(found, costs=costs)

    # What hunts share

    def _prompt_id(self, text: str, packed: bytes) -> int:
        digests = (_sha256(packed), _sha256(text.encode()))
        found = self._database.row(
            "SELECT id, text = ? AND ids = ? AS sound FROM prompts"
            " WHERE ids_sha256 = ? AND text_sha256 = ?",
            (text, packed, *digests),
        )
        if found is None:
            return self._database.execute(
                "INSERT INTO prompts (ids_sha256, text_sha256, text, ids) VALUES (?, ?, ?, ?)",
                (*digests, text, packed),
            )
        if not found["sound"]:  # its digests say what stood there
            self._database.execute(
                "UPDATE prompts SET text = ?, ids = ? WHERE id = ?", (text, packed, found["id"])
            )
        return int(found["id"])

    def _model_id(self, model: ModelRef) -> int:
        facts = (model.name, model.build, model.manifest_json)
        found = self._database.row(
            "SELECT id, typeof(name) || typeof(build) || typeof(manifest_json) = 'texttexttext'"
            " AS sound FROM models WHERE fingerprint = ?",
            (model.fingerprint,),
        )
        if found is None:
            return self._database.execute(
                "INSERT INTO models (name, build, manifest_json, fingerprint) VALUES (?, ?, ?, ?)",
                (*facts, model.fingerprint),
            )
        if not found["sound"]:
            self._database.execute(
                "UPDATE models SET name = ?, build = ?, manifest_json = ? WHERE id = ?",
                (*facts, found["id"]),
            )
        return int(found["id"])


def _json(values: Mapping[str, str]) -> str:
    return json.dumps(dict(values), sort_keys=True, separators=(",", ":"))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
