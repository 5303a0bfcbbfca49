"""The text of one candidate: the end of the prompt in its own colour, then what the machine wrote.

A real, read-only text widget, so that selecting, copying, scrolling and screen readers work. New
text is appended to the document and never laid out twice; while it streams, a caret is painted at
its end.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, Qt, Slot
from PySide6.QtGui import (
    QFontMetricsF,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextOption,
)
from PySide6.QtWidgets import QFrame, QTextEdit, QWidget

from explorer.gui import theme

PROMPT_END = 40
"""Characters of the prompt that a lane repeats; the whole of it stands in the prompt panel."""

_SCROLL_KEYS = {Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_Home, Qt.Key.Key_End}


def prompt_end(prompt: str) -> str:
    """Return the last words of ``prompt`` in one line, after an ellipsis if any are left out."""
    line = " ".join(prompt.split())
    if len(line) <= PROMPT_END:
        return line
    tail = line[-PROMPT_END:]
    space = tail.find(" ")
    return "…" + (tail[space + 1 :] if 0 <= space < PROMPT_END - 1 else tail)


class LaneText(QTextEdit):
    """Read-only, growing text; single letters pass through to whoever handles verdict keys."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty text."""
        super().__init__(parent)
        self._prompt = ""
        self._machine = ""
        self._caret = False
        self._end = QTextCursor(self.document())  # stays behind what it inserts
        self.setProperty("role", "machine")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setUndoRedoEnabled(False)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.document().setDocumentMargin(0)
        self.setCursorWidth(0)  # the only caret is the one that says more is coming
        self._follow = True
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self.verticalScrollBar().rangeChanged.connect(self._on_range)

    def machine_text(self) -> str:
        """Return what the machine wrote, as it was given (the document normalises line ends)."""
        return self._machine

    def set_text(self, prompt: str, machine: str, *, follow: bool = False) -> None:
        """Show a candidate: from its beginning, or ``follow`` its end while it grows."""
        self._prompt, self._machine = prompt, machine
        self._rewrite()
        self._follow = follow
        bar = self.verticalScrollBar()
        bar.setValue(bar.maximum() if follow else 0)

    def append(self, text: str) -> None:
        """Add streamed text; the view follows unless the person has scrolled away."""
        if not text:
            return
        self._machine += text
        self._end.insertText(text)

    def set_caret(self, shown: bool) -> None:
        """Show or hide the caret that says more text is coming."""
        if shown != self._caret:
            self._caret = shown
            self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the text, and the caret behind it."""
        super().paintEvent(event)
        if not self._caret:
            return
        height = QFontMetricsF(self.font()).height()
        place = self.cursorRect(self._end)
        bar = QRectF(place.left() + 1, place.bottom() - height + 1, 2, height)
        painter = QPainter(self.viewport())
        painter.fillRect(bar, theme.colour("accent"))
        painter.end()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Scroll by page, select and copy here; leave arrows, letters and space to the lanes."""
        command = event.modifiers() & (
            Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.MetaModifier
        )
        selecting = event.modifiers() & Qt.KeyboardModifier.ShiftModifier and not event.text()
        bar = self.verticalScrollBar()
        if event.key() in _SCROLL_KEYS and not event.modifiers():
            page = bar.pageStep()
            bar.setValue(
                {
                    Qt.Key.Key_PageUp: bar.value() - page,
                    Qt.Key.Key_PageDown: bar.value() + page,
                    Qt.Key.Key_Home: 0,
                    Qt.Key.Key_End: bar.maximum(),
                }[Qt.Key(event.key())]
            )
        elif selecting or (command and event.key() in (Qt.Key.Key_C, Qt.Key.Key_A)):
            super().keyPressEvent(event)
        else:
            event.ignore()

    def changeEvent(self, event: QEvent) -> None:
        """Recolour and respace when theme or text size change."""
        super().changeEvent(event)
        looks = (QEvent.Type.PaletteChange, QEvent.Type.FontChange, QEvent.Type.StyleChange)
        if event.type() in looks and (self._prompt or self._machine):
            self._rewrite()

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        self._follow = value >= self.verticalScrollBar().maximum() - 2

    @Slot(int, int)
    def _on_range(self, _low: int, high: int) -> None:
        if self._follow:
            self.verticalScrollBar().setValue(high)

    def _rewrite(self) -> None:
        spacing = QTextBlockFormat()
        spacing.setLineHeight(
            theme.LINE_HEIGHT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value
        )
        self.document().clear()
        cursor = QTextCursor(self.document())
        cursor.setBlockFormat(spacing)
        cursor.insertText(self._prompt, self._format("human"))
        cursor.insertText(self._machine, self._format("text"))
        cursor.setCharFormat(self._format("text"))  # where no text is yet, the prompt's would go on
        self._end = cursor
        self.moveCursor(QTextCursor.MoveOperation.Start)

    @staticmethod
    def _format(colour: str) -> QTextCharFormat:
        result = QTextCharFormat()
        result.setForeground(theme.colour(colour))
        return result
