"""The view of a :class:`CardModel`: cards, a filter above them, a sentence where there is none.

Both filtering and reading the ids of a long list go a slice at a time between two frames, so that
nothing stalls over a hundred thousand rows: newest rows and first matches are there at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from explorer.gui.cards.card_delegate import CardDelegate
from explorer.gui.cards.card_model import ID, CardModel
from explorer.gui.fields.escape_field import FilterField
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import UNIT
from explorer.gui.widgets.controls import label
from explorer.gui.widgets.shortcuts import copies
from explorer.library.search import Needle

SLICE = 64
"""Rows that the filter reads at once."""
BUSY_SECONDS = 0.008
"""How long it goes on with that before the window gets its turn."""
HEAD, SWEEP = 512, 4096
"""Ids that are read before a list is shown, and then between two frames."""

ReadIds = Callable[[int, int | None], Sequence[int]]
"""Reads at most so many ids that stand behind one id, or from the top."""


@guarded
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
    copy_asked = Signal(int, bool)
    """The text of a row is to be copied: its id, and whether with its caption."""
    amount_changed = Signal(int)
    """How many rows there are, the filter aside."""

    def __init__(
        self,
        model: CardModel,
        search: Callable[[Sequence[int], str], Iterable[int]],
        name: str,
        empty: str,
        parent: QWidget | None = None,
        lines: int = 2,
        several: bool = False,
    ) -> None:
        """Show ``model``; ``search`` returns which of some ids match a text, ``empty`` is said
        where there is nothing. A card has at most ``lines`` lines of words;
        ``several`` rows can be chosen together."""
        super().__init__(parent)
        self.model = model
        self._search = search
        self._empty = empty
        self._all: list[int] = []
        self._found: list[int] = []
        self._read_to = 0
        self._delegate = CardDelegate(lines)
        self._swept: list[int] = []
        self._read_ids: ReadIds | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._on_slice)
        self._sweep = QTimer(self)
        self._sweep.setInterval(0)
        self._sweep.timeout.connect(self._on_sweep)
        self.filter = FilterField()
        self.filter.setAccessibleName(f"Filter {name}")
        self.view = QListView()
        self.view.setAccessibleName(name)
        self.view.setModel(model)
        self.view.setItemDelegate(self._delegate)
        self.view.setUniformItemSizes(True)
        if several:
            self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
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
        self.view.installEventFilter(self)
        self._show_page()

    def set_ids(self, ids: Sequence[int]) -> None:
        """Show these rows, newest first, or those of them that the filter lets through."""
        self._sweep.stop()
        self._show_ids(list(ids))

    def set_source(self, read: ReadIds) -> None:
        """Show what ``read`` finds: its newest rows at once, the others soon after."""
        head = list(read(HEAD, None))
        if len(head) < HEAD:
            self.set_ids(head)
            return
        self._read_ids, self._swept = read, head
        known = set(head)
        # Until the sweep is through, what stood below stays below: a new row moves nothing.
        self._show_ids(head + [key for key in self._all if key not in known])
        self._sweep.start()

    def set_empty(self, text: str) -> None:
        """Say something else where there is nothing."""
        self._empty = text
        self._show_page()

    @property
    def needle(self) -> Needle:
        """What the filter looks for."""
        return self._delegate.needle

    def current(self) -> int | None:
        """Return the id of the current row."""
        found = self.view.currentIndex().data(ID)
        return found if isinstance(found, int) else None

    def selected(self) -> list[int]:
        """Return the ids of the chosen rows, from the top; of the current one if none is."""
        rows = sorted(index.row() for index in self.view.selectionModel().selectedIndexes())
        current = self.current()
        return [self.model.ids()[row] for row in rows] or ([] if current is None else [current])

    def take_focus(self) -> None:
        """Take the keyboard: the rows, or the filter where there are none."""
        rows = not self.view.isHidden()
        (self.view if rows else self.filter).setFocus(Qt.FocusReason.OtherFocusReason)

    def seek(self) -> bool:
        """Take the keyboard to the filter; False where there is nothing to filter."""
        if self.filter.isHidden():
            return False
        self.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.filter.selectAll()
        return True

    def copy(self, *, captioned: bool) -> None:
        """Ask for the text of the current row, if there is one, to be copied."""
        if (key := self.current()) is not None:
            self.copy_asked.emit(key, captioned)

    def choose(self, key: int) -> bool:
        """Make the row of an id current; False where it is not shown."""
        row = self.model.row_of(key)
        if row >= 0:
            self.view.setCurrentIndex(self.model.index(row))
        return row >= 0

    def filtering(self) -> bool:
        """Whether rows are still being searched."""
        return self._timer.isActive()

    def sweeping(self) -> bool:
        """Whether ids are still being read."""
        return self._sweep.isActive()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay the cards out for another width."""
        super().resizeEvent(event)
        if self._delegate.fit(self.width(), self.view.font()):
            self.view.scheduleDelayedItemsLayout()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Copy a row's text, where Qt would copy what a screen reader says."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            captioned = copies(event)
            if captioned is not None:
                self.copy(captioned=captioned)
                return True
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Delete asks to remove the current row; Escape empties the filter, Down leaves it."""
        key = self.current()
        if event.key() == Qt.Key.Key_Delete and key is not None and self.view.hasFocus():
            self.delete_asked.emit(key)
        elif event.key() == Qt.Key.Key_Escape and self.filter.text():
            self.filter.clear()
        elif event.key() == Qt.Key.Key_Down and self.filter.hasFocus() and self.model.rowCount():
            self.view.setFocus(Qt.FocusReason.OtherFocusReason)
            if not self.view.currentIndex().isValid():
                self.view.setCurrentIndex(self.model.index(0))
        else:
            super().keyPressEvent(event)

    def _show_ids(self, ids: list[int]) -> None:
        self._all = ids
        self._start()
        self.amount_changed.emit(len(ids))

    def _on_sweep(self) -> None:
        part = self._read_ids(SWEEP, self._swept[-1]) if self._read_ids is not None else []
        self._swept.extend(part)
        if len(part) < SWEEP:
            self._sweep.stop()
            self._show_ids(self._swept)

    def _start(self) -> None:
        needle = self.filter.text().strip()
        self._delegate.needle = Needle(needle)
        self.view.viewport().update()  # rows that stay have other marks
        self._timer.stop()
        if needle:
            self._found, self._read_to = [], 0
            self._timer.start()
            self._on_slice()
        else:
            self.model.set_ids(self._all)
            self._show_page()

    def _on_slice(self) -> None:
        needle = self.filter.text().strip()
        started = time.perf_counter()
        busy = True
        while busy:
            part = self._all[self._read_to : self._read_to + SLICE]
            self._read_to += SLICE
            self._found.extend(self._search(part, needle))
            if self._read_to >= len(self._all):
                self._timer.stop()
            busy = self.filtering() and time.perf_counter() - started < BUSY_SECONDS
        if len(self._found) != self.model.rowCount() or not self.filtering():
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
