"""The prompt: the human-written text that primes the model, with what it costs of the context.

The panel shows and reports. Counting tokens needs a tokenizer, so whoever owns one answers
``edited`` with what it found: the count, the special tokens that are named, a space at the end that
the next word wants, and the parts of a text that is too long which would fit. Nothing of that
blocks, and only a person changes the text. Tab leaves the field (no keyboard trap), Ctrl+Enter
generates.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QMimeData, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QKeyEvent,
    QKeySequence,
    QTextBlockFormat,
    QTextCursor,
    QTextOption,
)
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from explorer.engine.text.prompt_text import Named
from explorer.engine.text.tokens import END_OF_TEXT
from explorer.gui.explore.hints import Hint
from explorer.gui.explore.presets import PromptGroup, PromptPreset
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import LINE_HEIGHT, UNIT, set_role
from explorer.gui.widgets.chips import Chip, Chips
from explorer.gui.widgets.controls import Fold, label
from explorer.gui.widgets.flow import Flow

MOST_CHARACTERS = 50_000
"""Many times what a context holds. A field of megabytes takes seconds for every key."""
LONGEST_WORD = 1_000
"""Characters without a space above which lines are broken anywhere: looking for a better place
takes time with the square of that."""


MOST_CHIPS = 6
LONGEST_NAME = 24
"""Characters of a special token that the tick repeats; its chip has all of them."""
LOOSE_MS = 600
"""A space stands at the end of a prompt between any two words while somebody types them."""
LOOSE = "The last space spoils the next word."


def _plain(text: str) -> str:
    """Return Qt's text with line feeds where it has line ends of its own."""
    return text.replace("\u2029", "\n").replace("\u2028", "\n")


@guarded
class PromptEditor(QTextEdit):
    """A plain-text field in the human colour; it keeps every character as it was entered."""

    submitted = Signal()
    refused = Signal(str, str)
    """``(pasted, whole)``: a pasted or dropped text that is too long for the field, and what the
    prompt would have become by it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty editor."""
        super().__init__(parent)
        self.setProperty("role", "human")
        self.setAcceptRichText(False)
        self.setTabChangesFocus(True)
        self.setAccessibleName("Prompt")
        self.setAccessibleDescription("Human-written text that the model continues")
        self.setPlaceholderText("Write how it begins …")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._space_lines(self.textCursor())

    def text(self) -> str:
        """Return the text exactly, no-break spaces included (``toPlainText`` would lose them)."""
        return _plain(self.document().toRawText())

    def begin_with(self, text: str) -> None:
        """Show ``text`` as what was there from the start: Ctrl+Z does not take it away."""
        self.replace(text if len(text) < MOST_CHARACTERS else "")
        self.document().clearUndoRedoStacks()

    def replace(self, text: str) -> None:
        """Put ``text`` in place of everything, as one step that Ctrl+Z takes back."""
        self._break_lines_of(text)
        cursor = self.textCursor()
        cursor.beginEditBlock()
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.insertText(text)
        self._space_lines(cursor)
        cursor.endEditBlock()
        self.setTextCursor(cursor)

    def _space_lines(self, cursor: QTextCursor) -> None:
        form = QTextBlockFormat()
        form.setLineHeight(LINE_HEIGHT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.mergeBlockFormat(form)
        cursor.clearSelection()
        cursor.movePosition(QTextCursor.MoveOperation.End)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Refuse files: a model folder dropped here belongs to the model picker."""
        return source.hasText() and not source.hasUrls()

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Paste or drop a text as it is, unless it makes the prompt too long for the field."""
        text, cursor = source.text(), self.textCursor()
        replaced = cursor.selectionEnd() - cursor.selectionStart()
        if self.document().characterCount() - replaced + len(text) > MOST_CHARACTERS:
            start, end = cursor.selectionStart(), cursor.selectionEnd()
            pasted = text.replace("\r\n", "\n").replace("\r", "\n")
            whole = self._between(0, start) + _plain(pasted) + self._between(end, None)
            self.refused.emit(text, whole)
        else:
            self._break_lines_of(text)
            super().insertFromMimeData(source)

    def remove_last(self, characters: int) -> None:
        """Take characters away from the end, as one step that Ctrl+Z takes back."""
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        units = len(self.text()[-characters:].encode("utf-16-le")) // 2  # as Qt counts
        cursor.setPosition(cursor.position() - units, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()

    def _between(self, start: int, end: int | None) -> str:
        """Return the text between two of Qt's positions; None is the end."""
        cursor = QTextCursor(self.document())
        cursor.setPosition(start)
        if end is None:
            cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        else:
            cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        return _plain(cursor.selectedText())

    def _break_lines_of(self, text: str) -> None:
        long = any(len(word) > LONGEST_WORD for word in text.split())
        if long:
            self.setWordWrapMode(QTextOption.WrapMode.WrapAnywhere)
        elif self.document().isEmpty():  # of what is there a word may be long
            self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Submit on Ctrl+Enter; everything else edits, except an undo where nothing was typed."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.submitted.emit()
            return
        document = self.document()
        untouched = not (document.isUndoAvailable() or document.isRedoAvailable())
        if untouched and event.matches(QKeySequence.StandardKey.Undo):
            event.ignore()  # the window takes a verdict back instead
            return
        super().keyPressEvent(event)

    def sizeHint(self) -> QSize:
        """Ask for no more than the minimum: the field takes what the others leave it."""
        return self.minimumSizeHint()

    def minimumSizeHint(self) -> QSize:
        """Be content with three lines of the usual size, or two of a large one."""
        two = 2 * self.fontMetrics().lineSpacing() * LINE_HEIGHT // 100 + 6 * UNIT
        return QSize(super().minimumSizeHint().width(), max(22 * UNIT, two))


class PromptPanel(QWidget):
    """Editor, token count, presets, and how names of special tokens are read."""

    edited = Signal(str)
    """The text or the tick that says what it means has changed: count its tokens again."""
    generate_requested = Signal()

    def __init__(self, groups: Sequence[PromptGroup] = (), parent: QWidget | None = None) -> None:
        """Make the panel with the prompts of ``groups`` in its menu."""
        super().__init__(parent)
        self._preset: PromptPreset | None = None
        self.editor = PromptEditor()
        self.presets = QToolButton()
        self.presets.setText("Presets ▾")
        self.presets.setProperty("role", "quiet")
        self.presets.setAccessibleName("Prompt presets")
        self.presets.setToolTip("Prompts to start from")
        self.presets.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.presets.setMenu(self._menu(groups))
        self.presets.setVisible(bool(groups))

        self.origin = label("", "muted", wrap=True)
        self.tokens = label("", "muted", name="Tokens of the prompt")
        self.room = label("", "muted", name="Room left in the context")
        self.room.setWordWrap(True)
        self.room.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.hint = Hint("Presets has texts to begin with.", "the prompt")
        self.chips = Chips("How names of special tokens are read")
        self.control = QCheckBox()
        self.control.setToolTip(
            "Ticked, the model gets the special token itself, as in the texts it was trained on.\n"
            "Unticked, the name is ordinary text, as OpenAI's own encoder reads it."
        )
        self.control.setAccessibleName("Read names of special tokens as tokens")
        self.control.hide()
        self._names: tuple[Named, ...] = ()
        self.origin.hide()
        self._make_advice()
        self._arrange()

        self.editor.textChanged.connect(self._on_text_changed)
        self.editor.submitted.connect(self.generate_requested)
        self.control.toggled.connect(self._on_control_toggled)

    def _make_advice(self) -> None:
        """Make what stands below the count where the text could be better."""
        self.loose = label(LOOSE, "muted", wrap=True)
        self.loose.setToolTip(
            "A word carries the space before it in this model's tokens.\n"
            "After a space of its own it begins in a way that the model has hardly seen."
        )
        self.remove = _link("Remove", "Remove the space at the end of the prompt", LOOSE)
        self.remove.clicked.connect(self._on_remove)
        self._loose = 0
        self._loose_timer = QTimer(self, singleShot=True, interval=LOOSE_MS)
        self._loose_timer.timeout.connect(self._show_loose)
        self.loose_line = QWidget()
        row = QHBoxLayout(self.loose_line)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.loose, 1)
        row.addWidget(self.remove, 0, Qt.AlignmentFlag.AlignTop)
        self.loose_line.hide()
        self.offers = [_link("", "Use a part that fits", "") for _ in range(2)]
        self._parts = ["", ""]
        for number, button in enumerate(self.offers):
            button.clicked.connect(lambda _=False, n=number: self._on_offer(n))
            button.hide()
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT)
        for button in self.offers:
            column.addWidget(button, 0, Qt.AlignmentFlag.AlignRight)
        self._below = (*self.offers, self.loose_line, self.chips, self.control, self.origin)
        for part in self._below[len(self.offers) :]:
            column.addWidget(part)
        self._advice = Fold(content, rows=1.6)
        self._advice.hide()

    def _arrange(self) -> None:
        head = Flow()
        head.add(label("Prompt", "title", buddy=self.editor))
        head.addStretch()
        head.add(self.presets)
        foot = QHBoxLayout()
        foot.addWidget(self.tokens)
        foot.addWidget(self.room, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT)
        column.addLayout(head)
        column.addWidget(self.editor, 1)
        column.addLayout(foot)
        column.addWidget(self.hint)
        column.addWidget(self._advice)
        self.setTabOrder(self.editor, self.presets)

    def _menu(self, groups: Sequence[PromptGroup]) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for group in groups:
            heading = menu.addAction(group.title)
            heading.setEnabled(False)
            heading.setToolTip(group.note)
            for preset in group.prompts:
                tries = preset.published.removeprefix("machine-written, ")
                action = menu.addAction(f"{preset.name}\t{tries}" if tries else preset.name)
                action.setToolTip("\n".join(filter(None, (preset.text, preset.note))))
                action.setData(preset)
            if group is not groups[-1]:
                menu.addSeparator()
        menu.triggered.connect(self._on_preset_chosen)
        return menu

    def text(self) -> str:
        """Return the prompt exactly as written; empty = unconditional."""
        return self.editor.text()

    def set_text(self, text: str) -> None:
        """Replace the prompt; Ctrl+Z in the field brings the former one back."""
        if text != self.text():
            self.editor.replace(text)

    def control_tokens(self) -> bool:
        """Whether the names that :meth:`set_names` was told of stand for their tokens."""
        return self.control.isChecked() and bool(self._names)

    def set_control_tokens(self, on: bool) -> None:
        """Tick or untick what :meth:`control_tokens` returns."""
        self.control.setChecked(on)

    def set_count(
        self, tokens: int | None, room: int | None, problem: str = "", start: str = END_OF_TEXT
    ) -> None:
        """Show the tokens of the prompt and how many more fit; ``problem`` replaces the latter.

        ``start`` names the token that a text without a prompt starts from.
        """
        if tokens is None:
            self.tokens.setText("")
        elif tokens == 0:
            self.tokens.setText(f"empty: starts from {start}" if start else "empty")
        else:
            self.tokens.setText("1 token" if tokens == 1 else f"{tokens:,} tokens")
        room_text = "" if room is None or tokens == 0 else f"room for {max(room, 0):,} more"
        self.room.setText(problem or room_text)
        set_role(self.room, "note", "rejected" if problem else "muted")

    def set_names(self, names: Sequence[Named]) -> None:
        """Show how the special tokens that the prompt names are read, and the tick for it."""
        self._names = tuple(names)
        self.control.setVisible(bool(names))
        self._show_chips()
        self._show_advice()
        if not names:
            return
        one = self._names[0].name if len(self._names) == 1 else ""
        many = "Read these names as tokens"
        words = f"Read {one} as a token" if 0 < len(one) <= LONGEST_NAME else many
        self.control.setText(words.replace("&", "&&"))
        spoken = ", ".join(each.name for each in self._names[:MOST_CHIPS])
        self.control.setAccessibleName(words if one in words and one else f"{words}: {spoken}")

    def set_loose_spaces(self, characters: int) -> None:
        """Say that the prompt ends with so many spaces that spoil the next word, after a pause."""
        self._loose = characters
        if not characters:
            self._loose_timer.stop()
            self._show_loose()
        elif self.loose_line.isHidden():
            self._loose_timer.start()

    def set_offers(self, offers: Sequence[tuple[str, str]]) -> None:
        """Offer parts of a text that is too long, as up to two pairs of words and text."""
        for number, button in enumerate(self.offers):
            words, self._parts[number] = offers[number] if number < len(offers) else ("", "")
            button.setVisible(bool(words))
            if words:
                button.setText(words)
                button.setAccessibleName(words)
        self._show_advice()

    def _show_advice(self) -> None:
        """Take no room where there is nothing to say."""
        self._advice.setHidden(all(part.isHidden() for part in self._below))

    def _show_chips(self) -> None:
        as_token = self.control.isChecked()
        tone = "token" if as_token else "letters"
        note = "Read as the special token" if as_token else "Read as letters"
        chips = []
        for each in self._names[:MOST_CHIPS]:
            count = 1 if as_token else each.letters
            words = "1 token" if count == 1 else f"{count} tokens"
            chips.append(Chip(f"{each.name} = {words}", tone, note))
        if more := len(self._names) - len(chips):
            chips.append(Chip(f"{more} more", tone, note))
        self.chips.set_chips(chips)

    def _show_loose(self) -> None:
        self.loose_line.setVisible(self._loose > 0)
        self._show_advice()

    def _on_remove(self) -> None:
        self.editor.remove_last(self._loose)
        self.editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_offer(self, number: int) -> None:
        self.set_text(self._parts[number])
        self.editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_text_changed(self) -> None:
        text = self.text()
        if self._preset is None or text != self._preset.text:
            self._preset = None
            self.origin.hide()
            self._show_advice()
        self.edited.emit(text)

    def _on_control_toggled(self, _checked: bool) -> None:
        self._show_chips()
        self.edited.emit(self.text())

    def _on_preset_chosen(self, action: QAction) -> None:
        preset = action.data()
        self._preset = preset
        self.set_text(preset.text)
        self._preset = preset
        self.origin.setText(preset.note)
        self.origin.setVisible(bool(preset.note))
        self._show_advice()
        self.editor.setFocus(Qt.FocusReason.OtherFocusReason)


def _link(words: str, name: str, description: str) -> QPushButton:
    button = QPushButton(words)
    button.setProperty("role", "link")
    button.setAccessibleName(name)
    button.setAccessibleDescription(description)
    return button
