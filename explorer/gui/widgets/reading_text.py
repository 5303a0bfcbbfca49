"""A text to be read at leisure: a column that is not too wide, and keys that copy all of it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QTextEdit, QWidget

from explorer.gui.style.guard import guarded
from explorer.gui.style.line_width import column_width
from explorer.gui.widgets.shortcuts import copies


@guarded
class ReadingText(QTextEdit):
    """Read-only text."""

    copy_asked = Signal(bool)
    """Ctrl+C without a selection, or with the caption (True)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty text."""
        super().__init__(parent)
        self.setReadOnly(True)
        self.setProperty("role", "reading")
        self.setTabChangesFocus(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setLineWrapMode(QTextEdit.LineWrapMode.FixedPixelWidth)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Break the lines anew."""
        self._fit()
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Break the lines anew in another font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave it to others to copy what is not selected."""
        captioned = copies(event)
        if captioned is None or (not captioned and self.textCursor().hasSelection()):
            super().keyPressEvent(event)
        else:
            self.copy_asked.emit(captioned)

    def _fit(self) -> None:
        room = self.contentsRect().width() - self.verticalScrollBar().sizeHint().width()
        margins = 2 * round(self.document().documentMargin())
        width = max(1, min(room, column_width(self.font()) + margins))
        if width != self.lineWrapColumnOrWidth():
            self.setLineWrapColumnOrWidth(width)
