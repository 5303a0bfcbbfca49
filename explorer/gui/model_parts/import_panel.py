"""What a model that is imported shall be called, and whether to switch to it: asked in the page.

The name that would be taken stands there already, so that Enter is enough. What would be refused is
said below the field while it is typed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication, QCheckBox, QFrame, QPushButton, QVBoxLayout, QWidget

from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import UNIT
from explorer.gui.widgets.controls import Line, label
from explorer.gui.widgets.flow import Flow


@guarded
class ImportPanel(QFrame):
    """Hidden until it asks; whoever hears the answer closes it."""

    confirmed = Signal(Path, str, bool)
    """``(source, name, opens)``: import it under this name, and perhaps switch to it then."""

    def __init__(self, after: QWidget) -> None:
        """Make the fields; ``after`` takes the keyboard where nothing else had it before."""
        super().__init__()
        self.setProperty("role", "notice")
        self._after = after
        self._before: QWidget | None = None
        self._source = Path()
        self._check: Callable[[str], str] = lambda name: ""
        self.name = Line()
        self.name.setAccessibleName("Name of the imported model")
        self.name.setPlaceholderText("Name of the model")
        self.words = label("", "label", wrap=True, buddy=self.name)
        self.note = label("", "note", wrap=True)
        self.note.setProperty("tone", "caution")
        self.note.hide()
        self.opens = QCheckBox("Then switch to it")
        self.opens.setAccessibleName("Switch to the model once it is imported")
        self.opens.setToolTip(
            "Ticked, the model is opened once it is imported, and Generate runs on it.\n"
            "Unticked, it stands among the models, and you go on with the one that is open."
        )
        self.cancel = QPushButton("Cancel")
        self.cancel.setProperty("role", "quiet")
        self.cancel.setAccessibleName("Do not import the model")
        self.act = QPushButton("Import")
        self.act.setProperty("role", "primary")
        self.act.setAccessibleName("Import the model under this name")
        answers = Flow()
        answers.addStretch()
        answers.add(self.cancel)
        answers.add(self.act)
        column = QVBoxLayout(self)
        column.setContentsMargins(*[2 * UNIT] * 4)
        column.setSpacing(UNIT)
        for widget in (self.words, self.name, self.note, self.opens):
            column.addWidget(widget)
        column.addLayout(answers)
        self.hide()
        self.name.textChanged.connect(self.check)
        self.name.returnPressed.connect(self._on_act)
        self.act.clicked.connect(self._on_act)
        self.cancel.clicked.connect(self.done)

    def ask(self, source: Path, name: str, opens: bool, check: Callable[[str], str]) -> None:
        """Ask about ``source``, with answers filled in; ``check`` says why a name cannot be."""
        focus = QApplication.focusWidget()
        if self.isHidden():
            self._before = focus
        self._source, self._check = source, check
        self.words.setText(f"Import {source.name} as")
        self.opens.setChecked(opens)
        self.name.setText(name)
        self.check()
        self.show()
        self.name.selectAll()
        self.name.setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot()
    def check(self) -> None:
        """Say at the field what would be refused; an empty one is no problem yet."""
        name = self.name.text()
        problem = self._check(name) if name.strip() else ""
        self.note.setText(problem)
        self.note.setVisible(bool(problem))
        self.name.setAccessibleDescription(problem)
        self.act.setEnabled(bool(name.strip()) and not problem)

    @Slot()
    def done(self) -> None:
        """Go, and give the keyboard back."""
        if self.isHidden():
            return
        focus = QApplication.focusWidget()
        inside = focus is not None and self.isAncestorOf(focus)
        before, self._before = self._before, None
        if inside:  # before it hides: Qt would pass the keyboard on to what is next
            there = before is not None and before.isVisible() and before.isEnabled()
            to = before if before is not None and there else self._after
            to.setFocus(Qt.FocusReason.OtherFocusReason)
        self.hide()

    def event(self, event: QEvent) -> bool:
        """Claim Escape before the window takes it for Stop."""
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.ShortcutOverride
            and event.key() == Qt.Key.Key_Escape
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape imports nothing."""
        if event.key() == Qt.Key.Key_Escape:
            self.done()
        else:
            super().keyPressEvent(event)

    @Slot()
    def _on_act(self) -> None:
        self.check()  # a model of this name may have come meanwhile
        if self.isVisible() and self.act.isEnabled():
            self.confirmed.emit(self._source, self.name.text(), self.opens.isChecked())
