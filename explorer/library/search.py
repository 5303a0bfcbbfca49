"""Which samples and hunts contain some words: what the filters above their lists ask.

A filter goes through a list a slice of ids at a time, so a question is always about given ids.
Letters are compared as people read them (``casefold``), which SQLite does for ASCII alone; it
therefore only fetches the texts. What was found is also shown: :class:`Needle` says whether and
where, so that a list marks exactly what its filter looked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from explorer.core.errors import LibraryDamagedError
from explorer.library.storage.database import Database


@dataclass(frozen=True, slots=True)
class Needle:
    """Words to look for: letters as people read them, any white space between them alike."""

    words: str = ""

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.words.strip())

    def is_in(self, text: str) -> bool:
        """Say whether ``text`` has the words; nothing is in everything."""
        return _pattern(self.words).search(text.casefold()) is not None

    def places(self, text: str) -> list[tuple[int, int]]:
        """Return (begin, end) of every place in ``text`` that has them; none where there are none.

        A letter that folds into several ("ß") is found as a whole.
        """
        if not self:
            return []
        folded = text.casefold()
        spans = [found.span() for found in _pattern(self.words).finditer(folded)]
        if len(folded) == len(text) or not spans:
            return spans
        letter = [at for at, one in enumerate(text) for _ in one.casefold()]
        return [(letter[begin], letter[end - 1] + 1) for begin, end in spans]


@lru_cache(maxsize=16)
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(map(re.escape, words.casefold().split())))


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
        needle = Needle(words)
        try:
            rows = self._database.rows(question, (json.dumps(list(ids)),))
        except LibraryDamagedError:  # of one row: it is not found, the others are
            if len(ids) == 1:
                return []
            return [key for one in ids for key in self._matching(question, [one], words)]
        # A damaged row may have something else than text.
        found = {
            row[0]
            for row in rows
            if any(isinstance(text, str) and needle.is_in(text) for text in row[1:])
        }
        return [key for key in ids if key in found]
