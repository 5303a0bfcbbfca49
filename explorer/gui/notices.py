"""Sentences that stay until they are dismissed: what is wrong, and what can be done about it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from explorer.gui import theme

MOST = 3
"""Notices at a time; the oldest gives way."""


class Notices(QWidget):
    """A stack of strips above the lanes; takes no room while it is empty."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty stack."""
        super().__init__(parent)
        self._strips: dict[str, QFrame] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2 * theme.UNIT)
        self.hide()

    def sentences(self) -> list[str]:
        """Return what is shown, oldest first."""
        return list(self._strips)

    def say(self, sentence: str) -> None:
        """Show a sentence; one that is already there is not repeated."""
        if not sentence or sentence in self._strips:
            return
        while len(self._strips) >= MOST:
            self.dismiss(next(iter(self._strips)))
        strip = QFrame()
        strip.setProperty("role", "problem")
        row = QHBoxLayout(strip)
        row.setContentsMargins(14, 8, 8, 8)
        words = QLabel(sentence)
        words.setTextFormat(Qt.TextFormat.PlainText)
        words.setWordWrap(True)
        words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        words.setAccessibleName(sentence)
        close = QToolButton()
        close.setProperty("role", "quiet")
        close.setText("✕")
        close.setAccessibleName("Dismiss")
        close.setToolTip("Dismiss")
        close.clicked.connect(lambda: self.dismiss(sentence))
        row.addWidget(words, 1)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self._strips[sentence] = strip
        self._column.addWidget(strip)
        self.show()

    def dismiss(self, sentence: str) -> None:
        """Take a sentence away, if it is there."""
        strip = self._strips.pop(sentence, None)
        if strip is not None:
            self._column.removeWidget(strip)
            strip.hide()
            strip.deleteLater()
        self.setVisible(bool(self._strips))
