"""A row of buttons and words that goes on below where it has no room.

How wide words are is known only when there is a font. A row that must show all of them, whatever
the font, its size and the window, is laid out by this; what stands behind :meth:`Flow.addStretch`
keeps to the right side of its line.
"""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem, QWidget

from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import UNIT


@guarded
class Flow(QLayout):
    """Lays its widgets out in lines, as words of a text are."""

    def __init__(self, parent: QWidget | None = None, spacing: int = 2 * UNIT) -> None:
        """Make an empty row with so much room between widgets, and half of it between lines."""
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._stretch: dict[int, int] = {}
        """By the identity of a widget: its share of what is left in its line."""
        self._right: int | None = None
        """The number of the first item that keeps to the right side."""
        self.setContentsMargins(0, 0, 0, 0)
        self.setSpacing(spacing)

    def add(self, widget: QWidget, stretch: int = 0) -> None:
        """Add a widget; one with a stretch may be as narrow as it can be and takes what is left."""
        self._stretch[len(self._items)] = stretch
        self.addWidget(widget)

    def addStretch(self) -> None:
        """Let what follows keep to the right side."""
        self._right = len(self._items)

    def addItem(self, item: QLayoutItem) -> None:
        """Take what Qt made of a widget."""
        self._items.append(item)

    def count(self) -> int:
        """Return the number of widgets."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        """Return one of them."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        """Give one of them up."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        """Take no height that is not needed."""
        return Qt.Orientation.Horizontal

    def hasHeightForWidth(self) -> bool:
        """Say that fewer pixels of width need more of height."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return the height of all lines."""
        return self._lay_out(QRect(0, 0, width, 0), move=False)

    def sizeHint(self) -> QSize:
        """Return the size of one line with all of them."""
        shown = self._shown()
        widths = [item.sizeHint().width() for _, item in shown]
        heights = [item.sizeHint().height() for _, item in shown]
        return self._framed(sum(widths) + self.spacing() * max(len(shown) - 1, 0), heights)

    def minimumSize(self) -> QSize:
        """Return the size of the widest alone: the others can stand below."""
        shown = self._shown()
        widths = [self._width(number, item) for number, item in shown]
        heights = [item.minimumSize().height() for _, item in shown]
        return self._framed(max(widths, default=0), heights)

    def setGeometry(self, place: QRect) -> None:
        """Put every widget into its line."""
        super().setGeometry(place)
        self._lay_out(place, move=True)

    def _framed(self, width: int, heights: list[int]) -> QSize:
        margins = self.contentsMargins()
        return QSize(
            width + margins.left() + margins.right(),
            max(heights, default=0) + margins.top() + margins.bottom(),
        )

    def _shown(self) -> list[tuple[int, QLayoutItem]]:
        return [(number, item) for number, item in enumerate(self._items) if not item.isEmpty()]

    def _width(self, number: int, item: QLayoutItem) -> int:
        """Return what a widget needs: all of its words, or what it says that it can do with."""
        least = item.minimumSize().width()
        return least if self._stretch.get(number) else max(least, item.sizeHint().width())

    def _lay_out(self, place: QRect, *, move: bool) -> int:
        inner = place.marginsRemoved(self.contentsMargins())
        line: list[tuple[int, QLayoutItem, int]] = []
        top, room, used = inner.top(), inner.width(), 0
        for number, item in self._shown():
            width = min(self._width(number, item), max(room, 1))
            if line and used + self.spacing() + width > room:
                top += self._lay_line(line, inner, top, move=move) + self.spacing() // 2
                line, used = [], 0
            used += width + (self.spacing() if line else 0)
            line.append((number, item, width))
        if line:
            top += self._lay_line(line, inner, top, move=move)
        return top - inner.top() + place.height() - inner.height()

    def _lay_line(
        self, line: list[tuple[int, QLayoutItem, int]], inner: QRect, top: int, *, move: bool
    ) -> int:
        """Place one line of ``(number, item, width)``; return its height."""
        left = inner.width() - sum(width for _, _, width in line) - self.spacing() * (len(line) - 1)
        shares = sum(self._stretch.get(number, 0) for number, _, _ in line)
        if shares:
            given = [left * self._stretch.get(number, 0) // shares for number, _, _ in line]
            line = [
                (number, item, width + more)
                for (number, item, width), more in zip(line, given, strict=True)
            ]
        heights = [
            item.heightForWidth(width) if item.hasHeightForWidth() else item.sizeHint().height()
            for _, item, width in line
        ]
        high = max(heights)
        if move:
            x = inner.left()
            aside = not shares and self._right is not None
            for (number, item, width), height in zip(line, heights, strict=True):
                if aside and self._right is not None and number >= self._right:
                    x, aside = x + left, False
                item.setGeometry(QRect(x, top + (high - height) // 2, width, height))
                x += width + self.spacing()
        return high
