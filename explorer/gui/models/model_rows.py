"""Models as rows of two lines: name and size, and below them what else there is to know.

The same rows show what is installed and what can be fetched. A change of one row repaints that row;
a row that comes or goes leaves the choice of the others alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import eq

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import UNIT, colour

ROW = Qt.ItemDataRole.UserRole
"""Role of the :class:`Row`."""

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Row:
    """What one row says."""

    key: str
    """What it is found by."""
    name: str
    beside: str = ""
    """Beside the name, such as ``124 M``."""
    mark: str = ""
    """What is special about it just now, such as ``in use``."""
    figure: str = ""
    """At the end of the first line, such as ``548 MB``."""
    notes: str = ""
    end: str = ""
    """At the end of the second line."""
    problem: str = ""
    """Why it cannot be used; stands in the place of the notes."""

    @property
    def spoken(self) -> str:
        """All of it in one line, for a screen reader."""
        broken = f"broken: {self.problem}" if self.problem else ""
        parts = (self.name, self.mark, self.beside, self.figure, broken or self.notes, self.end)
        return ". ".join(filter(None, parts))


@guarded
class RowModel(QAbstractListModel):
    """The rows, by their keys."""

    def __init__(self) -> None:
        """Make an empty list."""
        super().__init__()
        self._rows: list[Row] = []

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  # Qt's own default
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return the row itself or a line of text."""
        if not index.isValid() or not 0 <= index.row() < len(self._rows):
            return None
        row = self._rows[index.row()]
        if role == ROW:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return row.spoken
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.problem or " · ".join(filter(None, (row.notes, row.end))) or None
        return None

    def rows(self) -> Sequence[Row]:
        """Return every row, in order."""
        return self._rows

    def find(self, key: str) -> QModelIndex:
        """Return the index of a row, an invalid one where it is not in the list."""
        for number, row in enumerate(self._rows):
            if row.key == key:
                return self.index(number)
        return QModelIndex()

    def set_rows(self, rows: Iterable[Row]) -> None:
        """Show other rows; only the stretch whose keys differ is reported as new."""
        new, old = list(rows), self._rows
        keys, before = [row.key for row in new], [row.key for row in old]
        head = _common(keys, before)
        tail = min(_common(reversed(keys), reversed(before)), min(len(new), len(old)) - head)
        if gone := len(old) - head - tail:
            self.beginRemoveRows(QModelIndex(), head, head + gone - 1)
            self._rows = old[:head] + old[head + gone :]
            self.endRemoveRows()
        if fresh := len(new) - head - tail:
            self.beginInsertRows(QModelIndex(), head, head + fresh - 1)
            self._rows = new
            self.endInsertRows()
        changed = self._rows != new or old != new
        self._rows = new
        if new and changed:
            self.dataChanged.emit(self.index(0), self.index(len(new) - 1))


@guarded
class RowDelegate(QStyledItemDelegate):
    """Paints a row, with a hairline between rows."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return one height for all rows."""
        height = QFontMetrics(option.font).lineSpacing()
        notes = QFontMetrics(_scaled(option.font, 12 / 13)).lineSpacing()
        return QSize(50 * UNIT, height + notes + 6 * UNIT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one row."""
        row = index.data(ROW)
        if row is None:
            return
        painter.save()
        rect = option.rect
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, colour("accent_behind"))
        else:
            line = QRect(rect.left() + 2 * UNIT, rect.bottom(), rect.width() - 4 * UNIT, 1)
            painter.fillRect(line, colour("line"))
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.fillRect(QRect(rect.left(), rect.top(), 2, rect.height()), colour("accent"))
        inner = rect.adjusted(3 * UNIT, 2 * UNIT + 2, -3 * UNIT, -2 * UNIT)
        font, notes = QFont(option.font), _scaled(option.font, 12 / 13)
        bold = QFont(font)
        bold.setWeight(QFont.Weight.DemiBold)
        first = QRect(inner.left(), inner.top(), inner.width(), QFontMetrics(font).lineSpacing())
        below = QFontMetrics(notes).lineSpacing()
        second = QRect(inner.left(), inner.bottom() - below + 1, inner.width(), below)
        _ends(painter, first, font, "text", row.figure)
        room = first.adjusted(0, 0, -_width(font, row.figure), 0)
        room = _begins(painter, room, bold, "text", row.name)
        room = _begins(painter, room, font, "muted", row.beside)
        _begins(painter, room, notes, "accent", row.mark)
        _ends(painter, second, notes, "muted", row.end)
        room = second.adjusted(0, 0, -_width(notes, row.end), 0)
        if row.problem:
            _begins(painter, room, notes, "rejected", f"✕ Broken: {row.problem}")
        else:
            _begins(painter, room, notes, "muted", row.notes)
        painter.restore()


@guarded
class RowList(QListView):
    """The view of rows; everything it does can be done by keyboard."""

    chosen = Signal(str)
    """Another row is current: its key, empty = none."""
    taken = Signal(str)
    """Enter or a double click on a row."""
    delete_asked = Signal(str)
    """The Delete key on a row."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """Make an empty list that a screen reader calls ``name``."""
        super().__init__(parent)
        self.rows = RowModel()
        self._delegate = RowDelegate()
        self.setAccessibleName(name)
        self.setModel(self.rows)
        self.setItemDelegate(self._delegate)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.selectionModel().currentChanged.connect(self._on_current)
        self.activated.connect(self._on_activated)

    def current(self) -> str:
        """Return the key of the current row, empty where there is none."""
        row = self.currentIndex().data(ROW)
        return row.key if isinstance(row, Row) else ""

    def choose(self, key: str) -> bool:
        """Make a row current; False where it is not shown."""
        index = self.rows.find(key)
        if index.isValid():
            self.setCurrentIndex(index)
        return index.isValid()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Delete asks to remove the current row."""
        if event.key() == Qt.Key.Key_Delete and self.current():
            self.delete_asked.emit(self.current())
        else:
            super().keyPressEvent(event)

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        row = index.data(ROW)
        self.chosen.emit(row.key if isinstance(row, Row) else "")

    def _on_activated(self, index: QModelIndex) -> None:
        row = index.data(ROW)
        if isinstance(row, Row):
            self.taken.emit(row.key)


_MIDDLE = Qt.AlignmentFlag.AlignVCenter


def _begins(painter: QPainter, rect: QRect, font: QFont, tone: str, text: str) -> QRect:
    """Draw text at the beginning of ``rect``; return what is left of it."""
    if not text:
        return rect
    painter.setFont(font)
    painter.setPen(colour(tone))
    shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
    painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | _MIDDLE, shown)
    return rect.adjusted(_width(font, shown), 0, 0, 0)


def _ends(painter: QPainter, rect: QRect, font: QFont, tone: str, text: str) -> None:
    painter.setFont(font)
    painter.setPen(colour(tone))
    painter.drawText(rect, Qt.AlignmentFlag.AlignRight | _MIDDLE, text)


def _width(font: QFont, text: str) -> int:
    """Return the width of a text with the gap that follows or precedes it."""
    return QFontMetrics(font).horizontalAdvance(text) + 2 * UNIT if text else 0


def _scaled(font: QFont, factor: float) -> QFont:
    scaled = QFont(font)
    scaled.setPointSizeF(font.pointSizeF() * factor)
    return scaled


def _common(one: Iterable[str], other: Iterable[str]) -> int:
    """Count how many keys two lists share from their beginning on."""
    return sum(takewhile(bool, map(eq, one, other)))
