"""Where a collection goes as a file, and in which of three forms.

The dialog asks, also before it replaces a file, and shows the outcome; writing the file is somebody
else's. It never blocks: it stays open beside the window until it is closed.
"""

from __future__ import annotations

import os.path
from pathlib import Path

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QFrame,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from explorer.core.wording import number_of
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import GAP, PADDING, UNIT, set_role
from explorer.gui.widgets.confirm_strip import ConfirmStrip
from explorer.gui.widgets.controls import label
from explorer.gui.widgets.dialog import Dialog
from explorer.gui.widgets.flow import Flow
from explorer.gui.widgets.scroll_column import ScrollColumn
from explorer.library.collection import Collection
from explorer.library.export.collection_file import NAMES, SUFFIXES, Format

FORMATS: tuple[tuple[Format, str, str], ...] = (
    ("jsonl", "JSON lines", "One object a sample, beginning with the four fields of OpenAI’s"
     " output data set: for programs"),
    ("markdown", "Markdown", "Prompt, completion and caption as text: for notes and repositories"),
    ("html", "Web page", "One file that needs nothing else: for showing to others"),
)  # fmt: skip
"""(name, what it is called, what it is for)"""
_BY_SUFFIX = {
    f".{name}": number
    for number, (form, _, _) in enumerate(FORMATS)
    for name, meant in NAMES.items()
    if meant == form
}


@guarded
class ExportDialog(Dialog):
    """Format and file of an export."""

    export_chosen = Signal(int, str, Path)
    """(collection, ``jsonl`` | ``markdown`` | ``html``, file)"""
    stop_asked = Signal()
    """The export that is being written is not wanted any more."""

    def __init__(self, folder: Path, parent: QWidget | None = None) -> None:
        """Offer files in ``folder`` until another one is chosen."""
        super().__init__(parent)
        self._folder = folder
        self._collection: Collection | None = None
        self._writing = False
        self._agreed: Path | None = None
        """The file that may be replaced: choosing it, a person was asked and said so."""
        self.setWindowTitle("Export a collection")
        self.setModal(False)
        self.heading = label("", "title", wrap=True)
        self.formats = QButtonGroup(self)
        self.file = QLineEdit()
        self.file.setAccessibleName("File")
        self.browse = QPushButton("Choose…")
        self.browse.setAccessibleName("Choose the file")
        self.browse.setAutoDefault(False)
        self.promise = label(
            "Every sample is labelled as machine-written, with its tries, settings and model.",
            "muted",
            wrap=True,
        )
        self.outcome = label("", "label", wrap=True)
        self.outcome.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._strip = QFrame()
        self.question = ConfirmStrip("Replace", "Replace the file", "Do not replace the file")
        self.close_button = QPushButton("Close")
        self.close_button.setAutoDefault(False)
        self.export = QPushButton("Export")
        self.export.setProperty("role", "primary")
        self.export.setDefault(True)
        for press in (self.close_button, self.export):
            press.setAccessibleName(press.text())
        self._arrange()
        self.formats.idClicked.connect(self._on_format)
        self.file.textEdited.connect(self._on_edited)
        self.browse.clicked.connect(self._on_browse)
        self.close_button.clicked.connect(self.close)
        self.export.clicked.connect(self._on_export)
        self.question.confirmed.connect(self._on_replace)

    def _arrange(self) -> None:
        inside = ScrollColumn("background")
        column = self._lines = inside.lines
        column.setContentsMargins(PADDING, PADDING, PADDING, PADDING)
        column.setSpacing(GAP)
        column.addWidget(self.heading)
        for number, (form, words, purpose) in enumerate(FORMATS):
            button = QRadioButton(f"{words} ({SUFFIXES[form]})")
            button.setAccessibleName(words)
            button.setAccessibleDescription(purpose)
            self.formats.addButton(button, number)
            pair = QVBoxLayout()
            pair.setSpacing(0)
            pair.addWidget(button)
            note = label(purpose, "muted", wrap=True)
            note.setContentsMargins(6 * UNIT, 0, 0, 0)
            pair.addWidget(note)
            column.addLayout(pair)
        self.formats.button(0).setChecked(True)
        row = Flow()
        row.add(self.file, 1)
        row.add(self.browse)
        column.addLayout(row)
        column.addWidget(self.promise)
        strip = QVBoxLayout(self._strip)
        strip.setContentsMargins(GAP, 2 * UNIT, GAP, 2 * UNIT)
        strip.addWidget(self.outcome)
        self._strip.hide()
        column.addWidget(self._strip)
        column.addWidget(self.question)
        column.addStretch()
        buttons = self._buttons = Flow()
        buttons.setContentsMargins(PADDING, 0, PADDING, PADDING)
        buttons.addStretch()
        buttons.add(self.close_button)
        buttons.add(self.export)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(inside, 1)
        whole.addLayout(buttons)

    def ask(self, collection: Collection) -> None:
        """Open for a collection; the answer comes as ``export_chosen``."""
        if self._writing:  # of another one: first things first
            self.show()
            self.activateWindow()
            return
        self._collection, self._agreed = collection, None
        amount = number_of(collection.samples, "sample")
        self.heading.setText(f"{collection.name}: {amount}")
        self.export.setEnabled(collection.samples > 0)
        self._say_nothing()
        self._suggest()
        self.show()
        self.activateWindow()

    def set_progress(self, words: str) -> None:
        """Say how far the export is; until its outcome is set, the one button stops it."""
        self._writing = True
        self._name_button("Stop")
        self.outcome.setText(words)
        set_role(self._strip, "notice")
        self._strip.show()

    def set_outcome(self, text: str, *, failed: bool = False) -> None:
        """Say what became of the export."""
        self._writing = False
        self._name_button("Export")
        self.outcome.setText(text)
        set_role(self._strip, "problem" if failed else "notice")
        self._strip.show()

    def chosen_format(self) -> Format:
        """Return the name of the chosen format."""
        return FORMATS[self.formats.checkedId()][0]

    def event(self, event: QEvent) -> bool:
        """Grow where an outcome or a question needs room."""
        handled = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._grow()
        return handled

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Stay as high as the lines need at another width."""
        super().resizeEvent(event)
        self._grow()

    def _grow(self) -> None:
        screen = self.screen().availableSize()
        self.setMinimumWidth(min(theme.wide(130 * UNIT), screen.width()))
        # Qt gives a window the height of wrapped text only once, when it is first shown.
        lines = self._lines.totalHeightForWidth(self.width())
        wanted = lines + self._buttons.heightForWidth(self.width())
        self.setMinimumHeight(min(wanted, screen.height()))

    def _suggest(self) -> None:
        if self._collection is not None:
            name = _file_name(self._collection.name) + SUFFIXES[self.chosen_format()]
            self.file.setText(str(self._folder / name))

    def _on_format(self, number: int) -> None:
        path = Path(self.file.text())
        if path.suffix.lower() in _BY_SUFFIX:
            self.file.setText(str(path.with_suffix(SUFFIXES[FORMATS[number][0]])))
        if not self._writing:
            self._say_nothing()

    def _on_edited(self, text: str) -> None:
        if self._writing:
            return
        number = _BY_SUFFIX.get(Path(text.strip()).suffix.lower())
        if number is not None:  # the file says what is in it
            self.formats.button(number).setChecked(True)
        some = self._collection is not None and self._collection.samples > 0
        self.export.setEnabled(bool(text.strip()) and some)
        self._say_nothing()

    def _say_nothing(self) -> None:
        self._strip.hide()
        self.question.hide()

    def _on_browse(self) -> None:
        dialog = QFileDialog(self, "Export to", self.file.text())
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.selectFile(self.file.text())
        dialog.fileSelected.connect(self._on_file_selected)
        dialog.open()

    def _on_file_selected(self, file: str) -> None:
        if file:
            self._folder = Path(file).parent
            self._agreed = Path(file) if os.path.isfile(file) else None
            self.file.setText(file)
            self._on_edited(file)

    def _name_button(self, words: str) -> None:
        self.export.setText(words)
        self.export.setAccessibleName(words)

    def _on_export(self) -> None:
        if self._writing:
            self.stop_asked.emit()
            return
        if not self.file.text().strip():
            return
        # A name alone goes where files are offered. Not Path.expanduser and Path.is_file: they
        # raise where there is no such person, or a name is too long.
        path = self._folder / os.path.expanduser(self.file.text().strip())
        self.file.setText(str(path))
        if os.path.isfile(path) and path != self._agreed:
            self._strip.hide()
            self.question.ask(f"There is already a file {path}. Replace it?", self.file)
        else:
            self._write(path)

    def _on_replace(self) -> None:
        self._write(Path(self.file.text()))

    def _write(self, path: Path) -> None:
        self._agreed = None  # to one export
        if self._collection is not None:
            self.export_chosen.emit(self._collection.id, self.chosen_format(), path)


def _file_name(name: str) -> str:
    """Return a collection's name as every file system takes it."""
    kept = "".join(sign if sign.isalnum() or sign in "-_ " else "-" for sign in name)
    return kept.strip(" -")[:80] or "collection"
