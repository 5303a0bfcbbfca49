"""Which samples and hunts contain some words: what the filters above their lists ask.

A filter goes through a list a slice of ids at a time, so a question is always about given ids.
Letters are compared as people read them (``casefold``), which SQLite does for ASCII alone; it
therefore only fetches the texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from explorer.errors import LibraryDamagedError
from explorer.library.database import Database


class Search:
    """Looks into the texts of one library."""

    def __init__(self, database: Database) -> None:
        """Search in ``database``."""
        self._database = database

    def samples(self, try_ids: Sequence[int], words: str) -> list[int]:
        """Return those samples, in their order, that have ``words`` in their text, prompt, note or
        model.
        """
        return self._matching(
            "SELECT try_id, completions.text, prompts.text, note, models.name"
            " FROM samples JOIN completions USING (try_id) JOIN tries ON tries.id = try_id"
            " JOIN hunts ON hunts.id = hunt_id JOIN prompts ON prompts.id = prompt_id"
            " JOIN models ON models.id = model_id"
            " WHERE try_id IN (SELECT value FROM json_each(?))",
            try_ids,
            words,
        )

    def hunts(self, hunt_ids: Sequence[int], words: str) -> list[int]:
        """Return those hunts, in their order, that have ``words`` in their prompt or model."""
        return self._matching(
            "SELECT hunts.id, prompts.text, models.name, models.build FROM hunts"
            " JOIN prompts ON prompts.id = prompt_id JOIN models ON models.id = model_id"
            " WHERE hunts.id IN (SELECT value FROM json_each(?))",
            hunt_ids,
            words,
        )

    def _matching(self, question: str, ids: Sequence[int], words: str) -> list[int]:
        wanted = words.casefold()
        try:
            rows = self._database.rows(question, (json.dumps(list(ids)),))
        except LibraryDamagedError:  # of one row: it is not found, the others are
            if len(ids) == 1:
                return []
            return [key for one in ids for key in self._matching(question, [one], words)]
        found = {row[0] for row in rows if any(wanted in _folded(text) for text in row[1:])}
        return [key for key in ids if key in found]


def _folded(text: object) -> str:
    """Return a text as it is compared; nothing where a damaged row has something else."""
    return text.casefold() if isinstance(text, str) else ""
