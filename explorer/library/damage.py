"""Rows that are not as they were written: read as far as they go, and said in words.

SQLite stores any type in any column and knows nothing of the JSON, the token ids and the rows of
other tables that ours hold, so a library that it finds sound may still lack a text. One such row
must not hide the others. :class:`Fields` reads a row value by value: what is not there, or not what
it should be, is replaced by an empty value, and the first such value is blamed in a few words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from explorer.core.errors import LibraryDamagedError, RecipeError
from explorer.core.recipe import Recipe
from explorer.library.storage.connection import Row

UNREADABLE: Final = "its row in the library cannot be read"
"""The damage of a row that SQLite itself does not hand out."""

_Item = TypeVar("_Item")
_ITEM_BYTES: Final = 4


class Fields:
    """The values of one row, each checked as it is read."""

    def __init__(self, row: Row) -> None:
        """Read from ``row``."""
        self._row = row
        self.damage = ""
        """What was wrong first, as ``its text is missing from the library``."""

    def blame(self, damage: str) -> None:
        """Say what is wrong, unless something was before."""
        self.damage = self.damage or damage

    def text(self, column: str, what: str) -> str:
        """Return a text."""
        found = self._row[column]
        return found if isinstance(found, str) else self._without(found, what, "")

    def whole(self, column: str, what: str) -> int:
        """Return a whole number."""
        found = self._row[column]
        return found if isinstance(found, int) else self._without(found, what, 0)

    def number(self, column: str, what: str) -> float:
        """Return a number."""
        found = self._row[column]
        return found if isinstance(found, int | float) else self._without(found, what, 0.0)

    def word(self, column: str, what: str, known: Iterable[str], instead: str) -> str:
        """Return one of the ``known`` words."""
        found = self._row[column]
        return str(found) if found in known else self._without(found, what, instead)

    def packed(
        self, column: str, what: str, unpack: Callable[[bytes], tuple[_Item, ...]]
    ) -> tuple[_Item, ...]:
        """Return what ``unpack`` makes of bytes that hold four to an item."""
        found = self._row[column]
        if isinstance(found, bytes) and not len(found) % _ITEM_BYTES:
            return unpack(found)
        return self._without(found, what, ())

    def words(self, column: str, what: str) -> dict[str, str]:
        """Return a JSON object of texts."""
        found = self._row[column]
        try:
            values = json.loads(found) if isinstance(found, str) else None
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict) and all(isinstance(each, str) for each in values.values()):
            return values
        return self._without(found, what, {})

    def recipe(self, column: str) -> Recipe:
        """Return a recipe."""
        found = self._row[column]
        try:
            if isinstance(found, str):
                return Recipe.from_json(found)
        except RecipeError:
            pass
        return self._without(found, "its recipe", Recipe())

    def seed(self, column: str) -> int:
        """Return a seed, which is written in decimal digits."""
        found = self._row[column]
        sound = isinstance(found, str) and found.isascii() and found.isdigit() and len(found) <= 20
        return int(found) if sound else self._without(found, "its seed", 0)

    def _without(self, found: object, what: str, instead: _Item) -> _Item:
        self.blame(f"{what} {'is missing from the library' if found is None else 'cannot be read'}")
        return instead


def require_types(row: Row, allowed: Iterable[tuple[type, ...]], what: str) -> Row:
    """Return the row if each value is of a type allowed in its place.

    Raises :class:`LibraryDamagedError` where one is not.
    """
    for value, types in zip(row, allowed, strict=True):
        if type(value) not in types:
            raise LibraryDamagedError(
                f"{what} in the library cannot be counted, because a value of it is damaged."
            )
    return row
