"""The text of one candidate: the end of the prompt in its own colour, then what the machine wrote.

A real, read-only text widget, so that selecting, copying, scrolling and screen readers work. While
text streams, a caret is painted at its end.

Qt lays out and paints the whole block that a letter is added to. So a paragraph that grows is cut
where lines of it are full, and only its last lines are a block that still changes. The cuts look
like the wrapped lines that they are, and they are gone as soon as the lane stands still, gets
another width, or is copied from.

The view follows what streams and goes back to the beginning when it ends, unless the person has
taken the view into their own hands: then it stays where they read, also when lines break elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from unicodedata import bidirectional

from PySide6.QtCore import QEvent, QMargins, QMimeData, QPoint, QRectF, Qt, Slot
from PySide6.QtGui import (
    QFontMetricsF,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextOption,
)
from PySide6.QtWidgets import QFrame, QTextEdit, QWidget

from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.style.line_width import column_width
from explorer.gui.widgets.shortcuts import copies

PROMPT_END = 40
"""Characters of the prompt that a lane repeats; the whole of it stands in the prompt panel."""

_MOST_LINES, _LINES_LEFT = 4, 2
"""Lines of a growing block at most, and after a cut; what follows may still pull the last ones
about, such as a full stop that its word takes with it into the next line."""
_FAR_TOO_MANY = 12
"""Lines at which a block is cut wherever it can be, though a letter may then look otherwise."""

_RIGHT_TO_LEFT = {"R", "AL", "AN", "RLE", "RLO", "RLI"}

_SCROLL_KEYS = {Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_Home, Qt.Key.Key_End}


def prompt_end(prompt: str) -> str:
    """Return the last words of ``prompt`` in one line, after an ellipsis if any are left out."""
    line = " ".join(prompt.split())
    if len(line) <= PROMPT_END:
        return line
    tail = line[-PROMPT_END:]
    space = tail.find(" ")
    return "…" + (tail[space + 1 :] if 0 <= space < PROMPT_END - 1 else tail)


def lead_in(prompt: str) -> str:
    """Return :func:`prompt_end` with the space, or line end, that a prompt ends with behind it.

    What continues "Title:" in the next line would else seem to be the rest of its last word.
    """
    space = prompt[len(prompt.rstrip()) :]
    return prompt_end(prompt) + ("\n" if "\n" in space else " " if space else "")


def _hangs_together(text: str) -> bool:
    """Return whether the place of a letter on the screen depends on the whole paragraph.

    So it is where text runs both ways; and behind a tab, which Qt measures from the first line.
    """
    return "\t" in text or any(bidirectional(letter) in _RIGHT_TO_LEFT for letter in text)


def _stands_alone(letter: str) -> bool:
    """Return whether a line that begins with ``letter`` looks the same in a block of its own.

    A full stop takes its font from the script before it, and fonts draw a dash higher in front of
    digits and capitals.
    """
    return letter.isalpha() and not letter.isupper()


@guarded
class TokenText(QTextEdit):
    """Read-only, growing text; single letters pass through to whoever handles verdict keys."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty text."""
        super().__init__(parent)
        self._prompt = ""
        self._machine = ""
        self._caret = False
        self._cuts: list[QTextCursor] = []  # where a block goes on with the paragraph before it
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
        # Behind it nothing is painted, and what is scrolled need not be painted again.
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setCursorWidth(0)  # the only caret is the one that says more is coming
        self.setLineWrapMode(QTextEdit.LineWrapMode.FixedPixelWidth)
        self._grows = False
        self._follow = False  # whether the view is at the end of what grows
        self._steered = False  # whether a person has scrolled here
        self._read_at: tuple[int, int] | None = None  # position, pixels below the top of the view
        self._stale = False  # whether the text stands there in an older look
        self._kept: AbstractContextManager[None] | None = None  # the place, while the look changes
        bar = self.verticalScrollBar()
        bar.valueChanged.connect(self._on_scrolled)
        bar.rangeChanged.connect(self._on_range)
        bar.actionTriggered.connect(self._on_steered)

    def machine_text(self) -> str:
        """Return what the machine wrote, as it was given (the document normalises line ends)."""
        return self._machine

    def set_text(self, prompt: str, machine: str, *, follow: bool = False) -> None:
        """Show a candidate: from its beginning, or ``follow`` its end while it grows."""
        self._prompt, self._machine = prompt, machine
        self._grows, self._steered = follow, False
        self._rewrite()
        self._follow = follow
        bar = self.verticalScrollBar()
        bar.setValue(bar.maximum() if follow else 0)

    def finish(self) -> None:
        """Take it that no more comes, and show the beginning where nobody reads somewhere else."""
        if not self._grows:
            return
        self._rejoin()
        followed, self._grows, self._follow = self._follow, False, False
        if followed and not self._steered and not self.textCursor().hasSelection():
            self.verticalScrollBar().setValue(0)

    def append(self, text: str) -> None:
        """Add streamed text; the view follows unless the person has scrolled away."""
        if not text:
            return
        self._machine += text
        if "\t" in text:
            self._rejoin()
        self._end.insertText(text)
        if self._caret and not self.textCursor().hasSelection():
            self._cut()

    def set_caret(self, shown: bool) -> None:
        """Show or hide the caret that says more text is coming."""
        if shown != self._caret:
            self._caret = shown
            self.viewport().update()
            if not shown:
                self._rejoin()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the text, and the caret behind it."""
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), theme.colour("panel"))
        painter.end()
        super().paintEvent(event)
        if not self._caret:
            return
        height = QFontMetricsF(self.font()).height()
        place = self.cursorRect(self._end)
        bar = QRectF(place.left() + 1, place.bottom() - height + 1, 2, height)
        painter = QPainter(self.viewport())
        painter.fillRect(bar, theme.colour("accent"))
        painter.end()

    def showEvent(self, event: QShowEvent) -> None:
        """Stay where the view is: Qt would scroll to the cursor, whose line may be too high."""
        bar = self.verticalScrollBar()
        value = bar.value()
        super().showEvent(event)
        bar.setValue(value)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap the text anew, and show whole lines."""
        if self._put_off(rewrite=False):
            super().resizeEvent(event)
            return
        self._rejoin()
        with self._in_place():
            self._fit()
            super().resizeEvent(event)

    def createMimeDataFromSelection(self) -> QMimeData:
        """Return what is copied or dragged away: as the machine wrote it."""
        self._rejoin()
        return super().createMimeDataFromSelection()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Scroll by page, select and copy what is selected; leave what else there is to others."""
        command = event.modifiers() & (
            Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.MetaModifier
        )
        selecting = event.modifiers() & Qt.KeyboardModifier.ShiftModifier and not event.text()
        bar = self.verticalScrollBar()
        if event.key() in _SCROLL_KEYS and not event.modifiers():
            self._steered = True
            page = bar.pageStep()
            bar.setValue(
                {
                    Qt.Key.Key_PageUp: bar.value() - page,
                    Qt.Key.Key_PageDown: bar.value() + page,
                    Qt.Key.Key_Home: 0,
                    Qt.Key.Key_End: bar.maximum(),
                }[Qt.Key(event.key())]
            )
        elif (
            selecting
            or (command and event.key() == Qt.Key.Key_A)
            or (copies(event) is False and self.textCursor().hasSelection())
        ):
            super().keyPressEvent(event)
        else:
            event.ignore()

    def changeEvent(self, event: QEvent) -> None:
        """Recolour and respace when theme or text size change."""
        looks = (QEvent.Type.PaletteChange, QEvent.Type.FontChange, QEvent.Type.StyleChange)
        if event.type() not in looks:
            super().changeEvent(event)
            return
        if self._put_off(rewrite=True):
            super().changeEvent(event)
            return
        self._rejoin()
        with self._in_place():
            super().changeEvent(event)
            self._fit()
            if self._prompt or self._machine:
                self._rewrite()

    def _put_off(self, rewrite: bool) -> bool:
        """While all of the window changes its look, remember the place and leave the rest.

        The text is to be written anew only in another look, not in another size.
        """
        if not theme.put_off(self._on_restyled):
            return False
        self._stale = self._stale or rewrite
        if self._kept is None:
            self._rejoin()
            self._kept = self._in_place()
            self._kept.__enter__()
        return True

    def _on_restyled(self) -> None:
        stale, self._stale = self._stale, False
        self._fit()  # its sizes are put off in their turn, and must not take the place anew
        if stale and (self._prompt or self._machine):
            self._rewrite()
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.__exit__(None, None, None)

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        self._read_at = None
        self._follow = self._grows and value >= self.verticalScrollBar().maximum() - 2

    @Slot(int)
    def _on_steered(self, _action: int) -> None:
        self._steered = True

    @Slot(int, int)
    def _on_range(self, _low: int, high: int) -> None:
        if self._follow:
            self.verticalScrollBar().setValue(high)

    def _rewrite(self) -> None:
        spacing = QTextBlockFormat()
        # The same for every line: a letter of another font would make all lines of its paragraph
        # higher, and the text would jump when it comes.
        height = self.line_height()
        spacing.setLineHeight(height, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        self._cuts.clear()
        self.document().clear()
        cursor = QTextCursor(self.document())
        cursor.setBlockFormat(spacing)
        cursor.insertText(self._prompt, self._format("human"))
        cursor.insertText(self._machine, self._format("text"))
        cursor.setCharFormat(self._format("text"))  # where no text is yet, the prompt's would go on
        self._end = cursor
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def line_height(self) -> int:
        """Pixels from one line to the next."""
        return round(QFontMetricsF(self.font()).lineSpacing() * theme.LINE_HEIGHT / 100)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """Keep the words at the top of the view there while lines break anew, or follow the end."""
        bar, follow = self.verticalScrollBar(), self._follow
        line, value = self.line_height(), bar.value()
        # Of several sizes in a row, as when a border is dragged, the first decides what is kept:
        # every other would move on to the beginning of the line that it finds.
        at, offset = self._read_at or self._top()
        yield
        self._follow = follow
        if follow or not value:
            bar.setValue(bar.maximum() if follow else 0)
            return
        cursor = QTextCursor(self.document())
        cursor.setPosition(min(at, self.document().characterCount() - 1))
        wanted = bar.value() + self.cursorRect(cursor).top() - offset
        if value % line == 0:  # whole lines, as before
            line = self.line_height()
            wanted = line * round(wanted / line)
        bar.setValue(wanted)
        self._read_at = at, offset

    def _top(self) -> tuple[int, int]:
        """Return the position of what stands at the top of the view, and how far below it."""
        cursor = self.cursorForPosition(QPoint(0, 0))
        return cursor.position(), self.cursorRect(cursor).top()

    def _fit(self) -> None:
        """Leave room below, so that no line is cut in two at the top of what is followed, and
        beside the lines for the scroll bar, so that none is broken anew when it comes.
        """
        area, line, bar = self.contentsRect(), self.line_height(), self.verticalScrollBar()
        margins = QMargins(0, 0, 0, area.height() % line if area.height() > line else 0)
        if self.viewportMargins() != margins:
            self.setViewportMargins(margins)
        bar.setSingleStep(line)
        width = max(1, min(area.width() - bar.sizeHint().width(), column_width(self.font())))
        if width != self.lineWrapColumnOrWidth():
            self.setLineWrapColumnOrWidth(width)

    def _cut(self) -> None:
        """Keep the block that grows short."""
        block = self._end.block()
        layout, document = block.layout(), self.document()
        count = layout.lineCount()
        if count <= _MOST_LINES or _hangs_together(block.text()):
            return
        begins = [
            block.position() + layout.lineAt(number).textStart()
            for number in range(count - _LINES_LEFT, 0, -1)
        ]
        good = [at for at in begins if _stands_alone(document.characterAt(at))]
        if good or count > _FAR_TOO_MANY:
            cursor = QTextCursor(document)
            cursor.setPosition((good or begins)[0])
            cursor.insertBlock()
            self._cuts.append(cursor)

    def _rejoin(self) -> None:
        """Make whole paragraphs again; a selection and the place of the view stay."""
        if self._cuts:
            self._cuts[0].beginEditBlock()
            for cursor in self._cuts:
                cursor.deletePreviousChar()
            self._cuts[0].endEditBlock()
            self._cuts.clear()

    @staticmethod
    def _format(colour: str) -> QTextCharFormat:
        result = QTextCharFormat()
        result.setForeground(theme.colour(colour))
        return result
