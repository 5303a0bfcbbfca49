"""The prompt: the human-written text that primes the model, with what it costs of the context.

The panel shows and reports. Counting tokens needs a tokenizer, so whoever owns one answers
``edited`` with ``set_count``. Tab leaves the field (no keyboard trap), Ctrl+Enter generates.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QMimeData, QSize, Qt, Signal
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
    QSizePolicy,
    QTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from explorer.gui.controls import label
from explorer.gui.guard import guarded
from explorer.gui.presets import PromptGroup, PromptPreset
from explorer.gui.theme import LINE_HEIGHT, UNIT, set_role

END_OF_TEXT = "<|endoftext|>"
MOST_CHARACTERS = 50_000
"""Many times what a context holds. A field of megabytes takes seconds for every key."""
LONGEST_WORD = 1_000
"""Characters without a space above which lines are broken anywhere: looking for a better place
takes time with the square of that."""


@guarded
class PromptEditor(QTextEdit):
    """A plain-text field in the human colour; it keeps every character as it was entered."""

    submitted = Signal()
    refused = Signal(str)
    """A text that was pasted or dropped and is too long to be a prompt."""

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
        raw = self.document().toRawText()
        return raw.replace("\u2029", "\n").replace("\u2028", "\n")

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
            self.refused.emit(text)
        else:
            self._break_lines_of(text)
            super().insertFromMimeData(source)

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
        """Be content with three lines."""
        return QSize(super().minimumSizeHint().width(), 22 * UNIT)


class PromptPanel(QWidget):
    """Editor, token count, presets and the rule for a typed ``<|endoftext|>``."""

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
        self.control = QCheckBox(f"{END_OF_TEXT} is the control token")
        self.control.setToolTip(
            "Ticked, it starts a new document, as between the texts the model was trained on.\n"
            "Unticked, it is ordinary text, as OpenAI's own encoder reads it."
        )
        self.control.setAccessibleName(f"{END_OF_TEXT} is the control token")
        self.control.hide()
        self.origin.hide()
        self._arrange()

        self.editor.textChanged.connect(self._on_text_changed)
        self.editor.submitted.connect(self.generate_requested)
        self.control.toggled.connect(self._on_control_toggled)

    def _arrange(self) -> None:
        head = QHBoxLayout()
        head.addWidget(label("Prompt", "title", buddy=self.editor))
        head.addStretch()
        head.addWidget(self.presets)
        foot = QHBoxLayout()
        foot.addWidget(self.tokens)
        foot.addWidget(self.room, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT)
        column.addLayout(head)
        column.addWidget(self.editor, 1)
        column.addLayout(foot)
        column.addWidget(self.control)
        column.addWidget(self.origin)
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
        """Whether a typed ``<|endoftext|>`` stands for the control token."""
        return self.control.isChecked() and END_OF_TEXT in self.text()

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
            self.tokens.setText(f"empty: starts from {start}")
        else:
            self.tokens.setText("1 token" if tokens == 1 else f"{tokens:,} tokens")
        room_text = "" if room is None or tokens == 0 else f"room for {max(room, 0):,} more"
        self.room.setText(problem or room_text)
        set_role(self.room, "rejected" if problem else "muted")

    def _on_text_changed(self) -> None:
        text = self.text()
        self.control.setVisible(END_OF_TEXT in text)
        if self._preset is None or text != self._preset.text:
            self._preset = None
            self.origin.hide()
        self.edited.emit(text)

    def _on_control_toggled(self, _checked: bool) -> None:
        self.edited.emit(self.text())

    def _on_preset_chosen(self, action: QAction) -> None:
        preset = action.data()
        self._preset = preset
        self.set_text(preset.text)
        self._preset = preset
        self.origin.setText(preset.note)
        self.origin.setVisible(bool(preset.note))
        self.editor.setFocus(Qt.FocusReason.OtherFocusReason)
