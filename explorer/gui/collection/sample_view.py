"""One kept sample in full: prompt and completion, told apart, and everything that made it.

The window stays open beside the lanes; the arrows go through the collection. The note is saved when
it is left.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, Qt, Slot
from PySide6.QtGui import (
    QCloseEvent,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
)
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from explorer.core.errors import ExplorerError
from explorer.core.wording import ending, local_time, number_of
from explorer.gui.cards.card_delegate import found_format, units
from explorer.gui.cards.card_model import first_words
from explorer.gui.collection.collection_panel import CollectionPanel
from explorer.gui.style.guard import guarded
from explorer.gui.style.line_width import window_size
from explorer.gui.style.theme import (
    GAP,
    LINE_HEIGHT,
    PADDING,
    UNIT,
    colour,
    freshen,
    set_role,
)
from explorer.gui.widgets.clipboard import copy
from explorer.gui.widgets.controls import Fold, label
from explorer.gui.widgets.dialog import Dialog
from explorer.gui.widgets.flow import Flow
from explorer.gui.widgets.reading_text import ReadingText
from explorer.gui.widgets.token_text import lead_in
from explorer.library.samples import DamagedSample, Sample, Samples
from explorer.library.search import Needle

FINGERPRINT = "Build fingerprint"
"""The Models page names another one, that of the model, which is the same for all its builds."""
LEAST_LINES = 6
"""Of the text, where the window is low."""
TITLE = 120
"""Characters of a sample in the title of its window."""


@guarded
class SampleView(Dialog):
    """Reads one sample; what it changes, it changes through the panel it came from."""

    def __init__(
        self, samples: Samples, panel: CollectionPanel, parent: QWidget | None = None
    ) -> None:
        """Make the view of the samples that ``panel`` lists; it opens when the panel says so."""
        super().__init__(parent)
        self._samples = samples
        self._panel = panel
        self._sample: Sample | DamagedSample | None = None
        self._sized = False
        self.setModal(False)
        self.caption = label("", "kept", wrap=True, name="Caption")
        self.place = label("", "muted")
        self.text = ReadingText()
        self.text.setAccessibleName("Prompt and completion")
        self._prompt, self._completion = (0, 0), 0  # where they stand in the text
        self.note = QLineEdit()
        self.note.setPlaceholderText("Your note on this sample")
        self.note.setAccessibleName("Note")
        self._facts = QGridLayout()
        self._arrange()
        self.note.editingFinished.connect(self._on_note)
        self.text.copy_asked.connect(self._on_copy_asked)
        panel.opened.connect(self.open_sample)

    def _arrange(self) -> None:
        self.previous = self._button("‹", "Newer sample", self._on_previous)
        self.following = self._button("›", "Older sample", self._on_following)
        self.copy = self._button("Copy text", "Copy the completion alone", self._on_copy)
        self.copy_caption = self._button(
            "Copy with caption", "Copy prompt, completion, caption and settings", self._on_caption
        )
        self.move_button = self._button("Move to ▾", "Move to another collection")
        self.moves = QMenu(self)
        self.moves.aboutToShow.connect(self._fill_moves)
        self.move_button.setMenu(self.moves)
        self.remove = self._button("Remove", "Remove from the collection", self._on_remove)
        head = Flow()
        head.add(self.caption, 1)
        for widget in (self.place, self.previous, self.following):
            head.add(widget)
        card = QFrame()
        card.setProperty("role", "card")
        inside = QVBoxLayout(card)
        inside.setContentsMargins(PADDING, PADDING, UNIT, PADDING)
        inside.addWidget(self.text)
        self._facts.setHorizontalSpacing(GAP)
        self._facts.setVerticalSpacing(UNIT)
        self._facts.setColumnStretch(1, 1)
        self._facts.setColumnStretch(3, 1)
        self._facts.setContentsMargins(0, 0, 0, 0)
        facts = QWidget()
        facts.setLayout(self._facts)
        fold = Fold(facts)  # large text in a small window must leave room to read the sample
        facts.setProperty("role", "background")
        foot = Flow()
        for button in (self.copy, self.copy_caption, self.move_button):
            foot.add(button)
        foot.addStretch()
        foot.add(self.remove)
        column = QVBoxLayout(self)
        column.setContentsMargins(PADDING, PADDING, PADDING, PADDING)
        column.setSpacing(GAP)
        column.addLayout(head)
        column.addWidget(card, 1)
        column.addWidget(self.note)
        column.addWidget(fold)
        column.addLayout(foot)

    def _button(
        self, words: str, name: str, action: Callable[[], None] | None = None
    ) -> QPushButton:
        button = QPushButton(words)
        button.setAccessibleName(name)
        button.setToolTip(name)
        button.setAutoDefault(False)
        if action is not None:
            button.clicked.connect(action)
        return button

    # Showing

    def open_sample(self, try_id: int) -> None:
        """Show a sample and come to the front."""
        self._save_note()
        try:
            self._sample = self._read(try_id)
        except ExplorerError as error:
            self._panel.message.emit(str(error))
            return
        self._panel.list.choose(try_id)
        freshen(self)  # room is made for the text in the size that it will have
        self._show_sample()
        self.text.setMinimumHeight(LEAST_LINES * self.text.fontMetrics().lineSpacing())
        if not self._sized:  # after that it is the person's
            self._sized = True
            self.resize(window_size(self, 110, 40))
        self.show()
        self._show_place()
        self.activateWindow()
        self.text.setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot()
    def refresh(self) -> None:
        """Read the sample that is shown again: its cost may be another figure by now, and what was
        done to it may have been undone. One that is gone takes its window along.
        """
        before = self._sample
        if before is None or not self.isVisible():
            return
        try:
            self._sample = self._read(before.id)
        except ExplorerError:
            self._sample = None
            self.close()
            return
        if self._sample == before:  # nothing of it changed: no selection is lost
            return
        typed = self.note.text() if self.note.text() != before.note else None
        place = self.text.verticalScrollBar().value()
        self._show_sample()
        self.text.verticalScrollBar().setValue(place)
        if typed is not None:  # and not saved yet
            self.note.setText(typed)

    def _read(self, try_id: int) -> Sample | DamagedSample:
        for damaged in self._samples.damaged([try_id]):
            return damaged
        return self._samples.get(try_id)

    def _show_sample(self) -> None:
        sample = self._sample
        if sample is None:
            return
        whole = isinstance(sample, Sample)
        words = sample.caption if isinstance(sample, Sample) else sample.sentence
        self.caption.setText(words[:1].upper() + words[1:])
        set_role(self.caption, "kept" if whole else "caution")
        words = lead_in(_prompt_of(sample)) + sample.text
        self.setWindowTitle(first_words(words, TITLE) or "Sample")
        self.copy.setEnabled(bool(sample.text) or whole)
        self.copy_caption.setEnabled(whole)
        row, rows = self._panel.list.model.row_of(sample.id), self._panel.list.model.rowCount()
        self.place.setText(f"{row + 1:,} of {rows:,}" if row >= 0 else "")
        self.previous.setEnabled(row > 0)
        self.following.setEnabled(0 <= row < rows - 1)
        self.note.setText(sample.note)
        self._write_text(sample)
        self._write_facts(sample)

    def _write_text(self, sample: Sample | DamagedSample) -> None:
        whole = isinstance(sample, Sample)
        prompt = _prompt_of(sample)
        self.text.clear()
        cursor = self.text.textCursor()
        spaced = QTextBlockFormat()
        spaced.setLineHeight(LINE_HEIGHT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        cursor.setBlockFormat(spaced)
        muted, human, machine = (_format(name) for name in ("muted", "human", "text"))
        muted.setFontPointSize(self.note.font().pointSizeF())
        cursor.insertText("Prompt, human-written\n", muted)
        begun = cursor.position()
        self._prompt = begun, begun
        if prompt:
            cursor.insertText(prompt, human)
            self._prompt = begun, cursor.position()
        else:
            none = "None: the model started on its own."
            cursor.insertText(none if whole else "Nothing of it is left.", muted)
        cursor.insertText("\n\n", human)
        cursor.insertText("Completion, machine-written\n", muted)
        self._completion = cursor.position()
        if sample.text or whole:
            cursor.insertText(sample.text, machine)
        else:
            cursor.insertText("Nothing of it is left.", muted)
        cursor.movePosition(QTextCursor.MoveOperation.Start)
        self.text.setTextCursor(cursor)
        self.text.setExtraSelections([_mark(each) for each in self._found()])

    def _found(self) -> list[QTextCursor]:
        """Return what the filter of the list finds in completion and prompt, as selections."""
        document, needle = self.text.document(), self._panel.list.needle
        spans = (self._completion, document.characterCount() - 1), self._prompt
        return [each for span in spans for each in _selections(document, *span, needle)]

    def _show_place(self) -> None:
        """Scroll to what the filter found, or behind a long prompt to its end, where the machine
        goes on.
        """
        marks = self.text.extraSelections()
        view, bar = self.text.viewport().height(), self.text.verticalScrollBar()
        place = QTextCursor(self.text.document())
        place.setPosition(marks[0].cursor.selectionStart() if marks else self._completion)
        top = self.text.cursorRect(place).top()
        if top > view // 2:
            bar.setValue(bar.value() + top - view // 3)

    def _write_facts(self, sample: Sample | DamagedSample) -> None:
        while (item := self._facts.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        if isinstance(sample, DamagedSample):
            return
        hunt, attempt = sample.hunt, sample.attempt
        recipe = hunt.recipe
        how = "fixed" if hunt.seed_fixed else "drawn"
        end = attempt.end
        ended = ending(end.reason, end.cut) if end else "still streaming"
        facts = (
            ("Recipe", f"{recipe.describe()} · max tokens {recipe.max_tokens:,}"),
            ("Model", f"{hunt.model.name}, {hunt.model.build}"),
            ("Seed", f"{hunt.seed} ({how}), try {attempt.index + 1} of its hunt"),
            (FINGERPRINT, hunt.model.fingerprint[:16]),
            ("Length", f"{number_of(len(sample.tokens), 'token')}; {ended}"),
            ("Device", attempt.device),
            ("Kept", local_time(sample.kept_at)),
            ("Streamed", local_time(attempt.started_at)),
        )
        for number, (name, value) in enumerate(facts):
            row, column = number // 2, 2 * (number % 2)
            shown = label(value, "label", wrap=True, name=name)
            shown.setAlignment(Qt.AlignmentFlag.AlignTop)
            shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._facts.addWidget(label(name, "muted"), row, column, Qt.AlignmentFlag.AlignTop)
            self._facts.addWidget(shown, row, column + 1)
            if name == FINGERPRINT:
                shown.setToolTip(f"{hunt.model.fingerprint}\n{_versions(sample)}")

    def changeEvent(self, event: QEvent) -> None:
        """Write the text again in the colours of another theme, and stay where it was read."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._sample is not None:
            place = self.text.verticalScrollBar().value()
            self._write_text(self._sample)
            self.text.verticalScrollBar().setValue(place)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Save the note."""
        self._save_note()
        super().closeEvent(event)

    # What a person does

    def _on_previous(self) -> None:
        self._panel.step(-1)

    def _on_following(self) -> None:
        self._panel.step(1)

    def _on_copy(self) -> None:
        self._on_copy_asked(False)

    def _on_caption(self) -> None:
        self._on_copy_asked(True)

    @Slot(bool)
    def _on_copy_asked(self, captioned: bool) -> None:
        sample = self._sample
        if isinstance(sample, Sample):
            text = sample.captioned_text if captioned else sample.text
            self._panel.message.emit(copy(text, captioned))
        elif sample is not None and sample.text and not captioned:
            self._panel.message.emit(copy(sample.text, captioned))

    def _on_remove(self) -> None:
        if self._sample is not None:
            self._save_note()
            self._panel.remove_sample(self._sample.id)
            self._sample = None
            self.close()

    def _fill_moves(self) -> None:
        if self._sample is not None:
            self._panel.fill_moves(self.moves, self._sample.id)

    def _on_note(self) -> None:
        self._save_note()

    def _save_note(self) -> None:
        sample = self._sample
        if sample is None or self.note.text() == sample.note:
            return
        try:
            self._samples.set_note(sample.id, self.note.text())
            self._sample = self._read(sample.id)
        except ExplorerError as error:
            self._panel.message.emit(str(error))
            return
        self._panel.refresh()
        self._panel.changed.emit()


def _prompt_of(sample: Sample | DamagedSample) -> str:
    return sample.hunt.prompt_text if isinstance(sample, Sample) else sample.prompt


def _format(name: str) -> QTextCharFormat:
    form = QTextCharFormat()
    form.setForeground(colour(name))
    return form


def _selections(document: QTextDocument, begin: int, end: int, needle: Needle) -> list[QTextCursor]:
    """Return the places of a stretch of the document that have what is looked for."""
    whole = QTextCursor(document)
    whole.setPosition(begin)
    whole.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
    text, found = whole.selectedText(), []
    for low, high in needle.places(text):
        cursor = QTextCursor(document)
        cursor.setPosition(begin + units(text[:low]))
        cursor.setPosition(begin + units(text[:high]), QTextCursor.MoveMode.KeepAnchor)
        found.append(cursor)
    return found


def _mark(cursor: QTextCursor) -> QTextEdit.ExtraSelection:
    mark = QTextEdit.ExtraSelection()
    mark.cursor = cursor
    mark.format = found_format(colour("accent_behind"))
    return mark


def _versions(sample: Sample) -> str:
    return ", ".join(f"{name} {version}" for name, version in sample.attempt.versions.items())
