"""The view of a :class:`CardModel`: cards, a filter above them, a sentence where there is none.

Filtering reads a slice of rows at a time between two frames, so that typing stays quick over a
hundred thousand rows; matches appear as they are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from PySide6.QtCore import QModelIndex, QPoint, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QPainter, QTextLayout, QTextOption
from PySide6.QtWidgets import (
    QAbstractItemView,
    QLineEdit,
    QListView,
    QStackedLayout,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from explorer.gui.card_model import CARD, ID, WORDS, Card, CardModel, Index
from explorer.gui.controls import label
from explorer.gui.theme import UNIT, colour

SLICE = 256
"""Rows that the filter reads at once."""


class CardDelegate(QStyledItemDelegate):
    """Paints a card: words on some lines, the figures below, a hairline between cards."""

    def __init__(self, lines: int = 2) -> None:
        """Paint words on at most ``lines`` lines."""
        super().__init__()
        self._lines = lines

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return one height for all cards, whatever they say: a long list is laid out at once."""
        metrics = QFontMetrics(option.font)
        notes = QFontMetrics(_note_font(option.font))
        height = self._lines * metrics.lineSpacing() + notes.lineSpacing() + 6 * UNIT
        return QSize(40 * UNIT, height)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one card."""
        card = index.data(CARD)
        if card is None:
            return
        painter.save()
        rect = option.rect
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen:
            painter.fillRect(rect, colour("accent_behind"))
            if option.state & QStyle.StateFlag.State_HasFocus:
                painter.fillRect(QRect(rect.left(), rect.top(), 2, rect.height()), colour("accent"))
        else:
            painter.fillRect(
                QRect(rect.left() + 2 * UNIT, rect.bottom(), rect.width() - 4 * UNIT, 1),
                colour("line"),
            )
        inner = rect.adjusted(2 * UNIT, 2 * UNIT + 2, -2 * UNIT, -2 * UNIT)
        painter.setFont(option.font)
        painter.setPen(colour("human" if card.human else "text"))
        self._paint_words(painter, inner, card.words)
        notes = _note_font(option.font)
        line = QFontMetrics(notes).lineSpacing()
        foot = QRect(inner.left(), inner.bottom() - line, inner.width(), line)
        _paint_foot(painter, foot, notes, card)
        painter.restore()

    def _paint_words(self, painter: QPainter, rect: QRect, words: str) -> None:
        metrics = painter.fontMetrics()
        layout = QTextLayout(words[:WORDS], painter.font())
        layout.setTextOption(QTextOption(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop))
        layout.beginLayout()
        top = rect.top()
        units = words[:WORDS].encode("utf-16-le", "replace")  # Qt counts UTF-16 units
        for number in range(self._lines):
            line = layout.createLine()
            if not line.isValid():
                break
            line.setLineWidth(rect.width())
            last = number == self._lines - 1
            end = None if last else 2 * (line.textStart() + line.textLength())
            text = units[2 * line.textStart() : end].decode("utf-16-le", "replace").rstrip()
            shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
            painter.drawText(rect.left(), top + metrics.ascent(), shown)
            top += metrics.lineSpacing()
        layout.endLayout()


def _note_font(font: QFont) -> QFont:
    note = QFont(font)
    note.setPointSizeF(font.pointSizeF() * 12 / 13)
    return note


def _paint_foot(painter: QPainter, rect: QRect, font: QFont, card: Card) -> None:
    bold = QFont(font)
    bold.setWeight(QFont.Weight.DemiBold)
    painter.setFont(bold)
    painter.setPen(colour(card.tone))
    flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
    painter.drawText(rect, flags, card.lead)
    used = painter.fontMetrics().horizontalAdvance(card.lead)
    painter.setFont(font)
    painter.setPen(colour("muted"))
    rest = f" · {card.rest}" if card.lead and card.rest else card.rest
    room = rect.adjusted(used, 0, 0, 0)
    text = painter.fontMetrics().elidedText(rest, Qt.TextElideMode.ElideRight, room.width())
    painter.drawText(room, flags, text)


class CardList(QWidget):
    """Filter and cards; everything it does can be done by keyboard."""

    opened = Signal(int)
    """Enter or a double click on a row: its id."""
    chosen = Signal(int)
    """The current row has changed: its id, -1 = none."""
    menu_asked = Signal(int, QPoint)
    """The context menu of a row: its id and where, in screen coordinates."""
    delete_asked = Signal(int)
    """The Delete key on a row."""

    def __init__(
        self,
        model: CardModel,
        search: Callable[[Sequence[int], str], Iterable[int]],
        name: str,
        empty: str,
        parent: QWidget | None = None,
    ) -> None:
        """Show ``model``; ``search`` returns which of some ids match a text, ``empty`` is said
        where there is nothing."""
        super().__init__(parent)
        self.model = model
        self._search = search
        self._empty = empty
        self._all: list[int] = []
        self._found: list[int] = []
        self._unread: list[int] = []
        self._delegate = CardDelegate()
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._on_slice)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName(f"Filter {name}")
        self.view = QListView()
        self.view.setAccessibleName(name)
        self.view.setModel(model)
        self.view.setItemDelegate(self._delegate)
        self.view.setUniformItemSizes(True)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.nothing = label(empty, "muted", wrap=True)
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.nothing.setContentsMargins(2 * UNIT, 2 * UNIT, 2 * UNIT, 2 * UNIT)
        pages = QWidget()
        self._pages = QStackedLayout(pages)
        self._pages.addWidget(self.view)
        self._pages.addWidget(self.nothing)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2 * UNIT)
        column.addWidget(self.filter)
        column.addWidget(pages, 1)
        self.filter.textChanged.connect(self._on_filter)
        self.view.activated.connect(self._on_activated)
        self.view.customContextMenuRequested.connect(self._on_menu)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self._show_page()

    def set_ids(self, ids: Sequence[int]) -> None:
        """Show these rows, newest first, or those of them that the filter lets through."""
        self._all = list(ids)
        self._start()

    def set_empty(self, text: str) -> None:
        """Say something else where there is nothing."""
        self._empty = text
        self._show_page()

    def current(self) -> int | None:
        """Return the id of the current row."""
        found = self.view.currentIndex().data(ID)
        return found if isinstance(found, int) else None

    def choose(self, key: int) -> bool:
        """Make the row of an id current; False where it is not shown."""
        row = self.model.row_of(key)
        if row >= 0:
            self.view.setCurrentIndex(self.model.index(row))
        return row >= 0

    def filtering(self) -> bool:
        """Whether rows are still being searched."""
        return self._timer.isActive()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Delete asks for the removal of the current row; Escape empties the filter."""
        key = self.current()
        if event.key() == Qt.Key.Key_Delete and key is not None and self.view.hasFocus():
            self.delete_asked.emit(key)
        elif event.key() == Qt.Key.Key_Escape and self.filter.text():
            self.filter.clear()
        else:
            super().keyPressEvent(event)

    def _start(self) -> None:
        needle = self.filter.text().strip()
        self._timer.stop()
        if needle:
            self._found, self._unread = [], self._all[:]
            self._timer.start()
            self._on_slice()
        else:
            self.model.set_ids(self._all)
            self._show_page()

    def _on_slice(self) -> None:
        needle = self.filter.text().strip()
        part, self._unread = self._unread[:SLICE], self._unread[SLICE:]
        found = list(self._search(part, needle))
        self._found.extend(found)
        if not self._unread:
            self._timer.stop()
        if found or len(self._found) != self.model.rowCount():
            self.model.set_ids(self._found, reread=False)
        self._show_page()

    def _show_page(self) -> None:
        there = self.model.rowCount() > 0
        searching = bool(self.filter.text().strip())
        if searching and self._all:
            words = "Searching …" if self.filtering() else "Nothing here matches the filter."
            self.nothing.setText(words)
        else:
            self.nothing.setText(self._empty)
        self.filter.setVisible(bool(self._all) or searching)
        self._pages.setCurrentWidget(self.view if there else self.nothing)

    def _on_filter(self, _text: str) -> None:
        self._start()

    def _on_activated(self, index: QModelIndex) -> None:
        self.opened.emit(index.data(ID))

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        key = index.data(ID)
        self.chosen.emit(-1 if key is None else key)

    def _on_menu(self, place: QPoint) -> None:
        index = self.view.indexAt(place)
        if index.isValid():
            self.view.setCurrentIndex(index)
            self.menu_asked.emit(index.data(ID), self.view.viewport().mapToGlobal(place))
