"""A label of one line that ends in an ellipsis where it does not fit; the tool tip has it all."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel

from explorer.gui.style.guard import guarded


@guarded
class Elided(QLabel):
    """Never wider than its place; read out in full."""

    def minimumSizeHint(self) -> QSize:
        """Be content with a few letters."""
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), 4 * hint.height()), hint.height())

    def setText(self, text: str) -> None:
        """Show a text, as much of it as fits."""
        super().setText(text)
        self.setToolTip(text)

    def shown(self) -> str:
        """Return what fits."""
        room = self.contentsRect().width()
        return self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint what fits, in the label's own colour."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(self.contentsRect(), self.alignment().value, self.shown())
        painter.end()
