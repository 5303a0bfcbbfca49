"""A column that scrolls as a whole where even the least of its parts has no room.

Its parts shrink first, those that scroll by themselves among them. Where that is not enough they do
not scroll by themselves any more: there is one bar for everything, and no part is ever squeezed
below the height of its words.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from explorer.gui.style.guard import guarded
from explorer.gui.widgets.controls import Fold


@guarded
class Column(QFrame):
    """What a :class:`ScrollColumn` shows; add widgets to ``lines``."""

    def __init__(self, role: str) -> None:
        """Make an empty column."""
        super().__init__()
        self.setProperty("role", role)
        self.lines = QVBoxLayout(self)

    def hasHeightForWidth(self) -> bool:
        """Say that lines which break need more height in less width."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return the least height: a scroll area would ask for what all would like to have."""
        return self.lines.totalMinimumHeightForWidth(width)


@guarded
class ScrollColumn(QScrollArea):
    """A column on the colour of panels, or of another role, no wider than its place."""

    def __init__(self, role: str = "panel", parent: QWidget | None = None) -> None:
        """Make an empty one; add widgets to ``lines``."""
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setProperty("role", role)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._column = Column(role)
        self.lines = self._column.lines
        self.setWidget(self._column)

    def sizeHint(self) -> QSize:
        """Ask for what the column would like."""
        return self._column.sizeHint()

    def minimumSizeHint(self) -> QSize:
        """Insist on the width of the words beside a bar; any height will do.

        Whether the bar is there depends on the width, so the width must not depend on the bar:
        lines below the column that break in less width would make it come and go without an end.
        """
        beside = self.verticalScrollBar().sizeHint().width()
        return QSize(self._column.minimumSizeHint().width() + beside, 0)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask again when what is inside needs another width or height."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
            self._unfold()
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Let parts scroll by themselves where that is enough in the new room."""
        super().resizeEvent(event)
        self._unfold()

    def _unfold(self) -> None:
        """Let this be all that scrolls where its parts at their least have no room.

        What they need then is asked beside a bar, so that it does not depend on the answer.
        """
        column = self._column
        folds = [each for each in column.findChildren(Fold) if each.isVisibleTo(column)]
        width = self.width() - self.verticalScrollBar().sizeHint().width()
        breaks = self.lines.hasHeightForWidth()
        least = (
            self.lines.totalMinimumHeightForWidth(width)
            if breaks
            else self.lines.totalMinimumSize().height()
        )
        for fold in folds:
            inside = width - (column.width() - fold.width())
            least += fold.least(inside) - fold.minimumSizeHint().height()
        for fold in folds:
            fold.set_whole(least > self.height())
