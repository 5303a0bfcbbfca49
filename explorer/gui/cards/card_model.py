"""A list that may be 100,000 long: all ids in memory, the rows behind them a page at a time.

The model holds ids only, as one query gave them, and reads pages of rows when the view paints
them; what was painted long ago is forgotten. A refresh compares old and new ids and reports only
the stretch that differs, so a new sample on top moves neither the selection nor the view.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import eq
from types import MethodType

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt

from explorer.gui.style.guard import guarded
from explorer.gui.widgets.token_text import lead_in

PAGE = 64
"""Rows that are read together."""
PAGES = 16
"""Pages that are remembered."""
WORDS = 1200
"""Characters at most that a card can show: three lines on a wide screen. Longer ones are cut
before painting."""
SPOKEN = 240
"""Characters of them that a screen reader reads out."""

CARD = Qt.ItemDataRole.UserRole
"""Role of the :class:`Card`."""
ID = Qt.ItemDataRole.UserRole + 1
"""Role of the id, which needs no reading."""

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Card:
    """What one row shows: words, and below them a line that begins in a colour."""

    words: str
    """All of them, in one line."""
    lead: str
    """The figure that matters, such as ``7 tries``."""
    rest: str
    """What stands beside it, such as ``k 40 · T 1.0 · demo``."""
    tone: str = "kept"
    """Colour of ``lead``, by its name in ``theme.Palette``."""
    human: bool = False
    """Whether the words are a person's."""
    before: str = ""
    """The prompt in one line, of which the end stands before the words."""
    named: str = ""
    """The part of ``rest`` that a filter looks at."""
    note: str = ""
    """What else it looks at, shown where it finds nothing but that."""

    @property
    def spoken(self) -> str:
        """All of it in one line, for a screen reader."""
        words = f"{lead_in(self.before)}{self.words}"
        parts = (first_words(words, SPOKEN), self.lead, self.rest)
        return ". ".join(part for part in parts if part)


@guarded
class CardModel(QAbstractListModel):
    """Ids with cards behind them; ``read`` turns a page of ids into cards, absent ones left out.

    A view keeps its model, so a model must not keep who owns the view: where both are garbage, the
    view would let go of the model, with it of its own owner, and be deleted while it still does so.
    A method is therefore held only as long as its object lives.
    """

    def __init__(self, read: Callable[[Sequence[int]], Mapping[int, Card]]) -> None:
        """Make an empty list."""
        super().__init__()
        self._read = _weakly(read) if isinstance(read, MethodType) else read
        self._ids: list[int] = []
        self._cards: OrderedDict[int, Card] = OrderedDict()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  # Qt's own default
        """Return the number of ids."""
        return 0 if parent.isValid() else len(self._ids)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return card, id or a line of text; Qt asks only for rows that it paints or reads out."""
        if not index.isValid() or not 0 <= index.row() < len(self._ids):
            return None
        if role == ID:
            return self._ids[index.row()]
        if role == CARD:
            return self.card(index.row())
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self.card(index.row()).spoken
        return None

    def card(self, row: int) -> Card:
        """Return the card of a row, reading the page around it if it is not at hand."""
        wanted = self._ids[row]
        if wanted not in self._cards:
            start = row - row % PAGE
            page = self._ids[start : start + PAGE]
            found = self._read(page)
            for key in page:
                self._cards[key] = found.get(key, Card("", "", "not in the library any more"))
            while len(self._cards) > PAGE * PAGES:
                self._cards.popitem(last=False)
        self._cards.move_to_end(wanted)
        return self._cards[wanted]

    def ids(self) -> Sequence[int]:
        """Return every id, in order."""
        return self._ids

    def row_of(self, key: int) -> int:
        """Return the row of an id, -1 where it is not in the list."""
        try:
            return self._ids.index(key)
        except ValueError:
            return -1

    def set_ids(self, ids: Sequence[int], *, reread: bool = True) -> None:
        """Show other ids; only the stretch that differs is reported, rows are read again."""
        new, old = list(ids), self._ids
        shortest = min(len(new), len(old))
        head = _common(new, old)
        tail = min(_common(reversed(new), reversed(old)), shortest - head)
        if gone := len(old) - head - tail:
            self.beginRemoveRows(QModelIndex(), head, head + gone - 1)
            self._ids = old[:head] + old[head + gone :]
            self.endRemoveRows()
        if fresh := len(new) - head - tail:
            self.beginInsertRows(QModelIndex(), head, head + fresh - 1)
            self._ids = new
            self.endInsertRows()
        if reread:
            self._cards.clear()
            if self._ids:
                self.dataChanged.emit(self.index(0), self.index(len(self._ids) - 1))


def _weakly(read: MethodType) -> Callable[[Sequence[int]], Mapping[int, Card]]:
    """Return what calls a method without keeping its object; once that is gone nothing is found."""
    method = weakref.WeakMethod(read)

    def found(ids: Sequence[int]) -> Mapping[int, Card]:
        alive = method()
        return {} if alive is None else alive(ids)

    return found


def first_words(text: str, most: int = WORDS) -> str:
    """Return the beginning of a text as one line of at most ``most`` characters, for a card."""
    words = " ".join(text[: 4 * most].split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def _common(one: Iterable[int], other: Iterable[int]) -> int:
    """Count how many ids two lists share from their beginning on."""
    return sum(takewhile(bool, map(eq, one, other)))
