"""Sentences that stay until they are dismissed: what is wrong, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from explorer.gui.style import theme
from explorer.gui.widgets.controls import Fold
from explorer.gui.widgets.flow import Flow

MOST = 3
"""Notices at a time; the oldest gives way."""
ROWS = 3
"""Rows of text that stay in sight of them; the rest is scrolled to where there is no room."""


class Notices(QWidget):
    """A stack of strips above the lanes; takes no room while it is empty."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty stack."""
        super().__init__(parent)
        self._strips: dict[str, QFrame] = {}
        content = QFrame()
        self._column = QVBoxLayout(content)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2 * theme.UNIT)
        # Large text in a small window must leave room for the lanes.
        self._fold = Fold(content, rows=ROWS)
        content.setProperty("role", "background")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._fold)
        self.hide()

    def high(self, width: int) -> int:
        """Return the height of all of them at a width."""
        return self._fold.high(width)

    def sentences(self) -> list[str]:
        """Return what is shown, oldest first."""
        return list(self._strips)

    def say(
        self,
        sentence: str,
        actions: Sequence[tuple[str, Callable[[], object]]] = (),
        role: str = "problem",
        kind: str = "",
    ) -> None:
        """Show a sentence; one that is already there is not repeated.

        ``kind`` names what it is about, for :meth:`settle` when that is over.

        ``actions`` are (words, what happens): buttons below it. One that is pressed ends it.
        ``role`` colours it: "problem", or "notice" for what is as it should be.
        """
        if not sentence or sentence in self._strips:
            return
        while len(self._strips) >= MOST:
            self.dismiss(next(iter(self._strips)))
        strip = QFrame()
        strip.setProperty("role", role)
        strip.setProperty("kind", kind)
        rows = QVBoxLayout(strip)
        rows.setContentsMargins(14, 8, 8, 8)
        rows.setSpacing(theme.UNIT)
        row = QHBoxLayout()
        rows.addLayout(row)
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
        close.clicked.connect(lambda: self._end(strip))
        row.addWidget(words, 1)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        if actions:
            rows.addLayout(self._buttons(strip, sentence, actions))
        self._strips[sentence] = strip
        self._column.addWidget(strip)
        self.show()
        for one, other in pairwise((self._stop_before(), *strip.findChildren(QPushButton), close)):
            QWidget.setTabOrder(one, other)

    def replace(self, sentence: str, by: str) -> None:
        """Let another sentence stand where one stood; nothing happens where that is gone."""
        strip = self._strips.get(sentence)
        if strip is None or by == sentence:
            return
        words = strip.findChild(QLabel)
        if words is None:
            return
        words.setText(by)
        words.setAccessibleName(by)
        self._strips = {by if said == sentence else said: at for said, at in self._strips.items()}

    def _buttons(
        self, strip: QFrame, sentence: str, actions: Sequence[tuple[str, Callable[[], object]]]
    ) -> Flow:
        row = Flow(spacing=theme.UNIT)
        for words, act in actions:
            button = QPushButton(words)
            button.setAccessibleName(words)
            button.setAccessibleDescription(sentence)

            def press(_checked: bool = False, act: Callable[[], object] = act) -> None:
                self._end(strip)
                act()

            button.clicked.connect(press)
            row.add(button)
        return row

    def _stop_before(self) -> QWidget:
        """Return where the Tab key is before it comes here.

        New widgets would come last, after all of the window, and Qt orders only what takes focus.
        """
        widget = self.previousInFocusChain()
        while widget not in (None, self) and widget.focusPolicy() == Qt.FocusPolicy.NoFocus:
            widget = widget.previousInFocusChain()
        return widget or self

    def _end(self, strip: QFrame) -> None:
        """Take a strip away, whatever it says by now."""
        for sentence in [said for said, at in self._strips.items() if at is strip]:
            self.dismiss(sentence)

    def settle(self, kind: str) -> None:
        """Take away what was said of this kind: its cause is gone."""
        for sentence in [said for said, at in self._strips.items() if at.property("kind") == kind]:
            self.dismiss(sentence)

    def dismiss(self, sentence: str) -> None:
        """Take a sentence away, if it is there."""
        strip = self._strips.pop(sentence, None)
        if strip is not None:
            self._column.removeWidget(strip)
            strip.hide()
            strip.deleteLater()
        self.setVisible(bool(self._strips))
