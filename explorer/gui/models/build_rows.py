"""The builds of a model: what is there and what could be, how large, how good, whether it fits."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from explorer.core.manifest import BUILD_NAMES, Build
from explorer.gui.model_parts.model_words import PRECISIONS, TONES, Need, memory
from explorer.gui.style.theme import GAP, UNIT, set_role
from explorer.gui.widgets.controls import label, noted_button
from explorer.gui.widgets.flow import Flow
from explorer.weights.hub.transfer_rate import size


class _BuildRow:
    """The widgets of one build, in three columns of a grid, or in two with the buttons below."""

    def __init__(self, name: str, number: int, grid: QGridLayout) -> None:
        self.name = name
        self._grid, self._first = grid, 3 * number
        self.title = label(name, "title")
        self.amount = label("", "note")
        self.what = label("", "muted", wrap=True)
        self.need = QLabel()
        self.need.setTextFormat(Qt.TextFormat.PlainText)
        self.need.setWordWrap(True)
        self.need.setProperty("role", "note")
        self.use = _button("Use", f"Use the {name} build")
        self.make = _button("Convert", f"Convert: the {name} build")
        self.remove = _button("Remove…", f"Remove the {name} build")
        line = QFrame()
        line.setProperty("role", "line")
        grid.addWidget(line, self._first, 0, 1, 3)
        left, middle = QVBoxLayout(), QVBoxLayout()
        halves = ((left, (self.title, self.amount)), (middle, (self.what, self.need)))
        for column, widgets in halves:
            column.setContentsMargins(0, UNIT, 0, 0)  # in line with the words of the buttons
            column.setSpacing(UNIT // 2)
            for widget in widgets:
                column.addWidget(widget)
            column.addStretch()
        # Without an alignment: with one, lines that are broken get the height of fewer.
        grid.addLayout(left, self._first + 1, 0)
        grid.addLayout(middle, self._first + 1, 1)
        self._buttons = QWidget()
        buttons = Flow(self._buttons, spacing=UNIT)
        buttons.addStretch()
        for button in (self.use, self.make, self.remove):
            buttons.add(button)
        self.set_narrow(False)

    def set_narrow(self, narrow: bool) -> None:
        """Put the buttons below the words, or beside them."""
        if narrow:
            self._grid.addWidget(self._buttons, self._first + 2, 0, 1, 2)
        else:
            top = Qt.AlignmentFlag.AlignTop
            self._grid.addWidget(self._buttons, self._first + 1, 2, top)

    def show(
        self, build: Build | None, quality: str, need: Need | None, used: bool, damaged: bool
    ) -> None:
        there = build is not None
        words = "✕ damaged" if damaged else size(build.bytes) if build else "not converted"
        self.amount.setText(words)
        set_role(self.amount, "note", "rejected" if damaged else "muted")
        # A figure stays in one line with its name.
        self.what.setText(quality.replace("KL ", "KL\u00a0") or PRECISIONS[self.name])
        self.what.setToolTip(PRECISIONS[self.name])
        self.need.setText(memory(need) if need else "")
        self.need.setVisible(need is not None)
        tone = TONES[need.fit] if need and need.fit else "muted"
        set_role(self.need, "note", tone)
        self.use.setVisible(there and (used or not damaged))
        self.use.setText("In use" if used else "Use")
        self.remove.setVisible(there and not used)
        self.make.setVisible(not there or damaged)
        self.make.setText("Convert again" if damaged else "Convert")
        self.make.setAccessibleName(f"{self.make.text()}: the {self.name} build")


class BuildRows(QWidget):
    """Every build that a model can have, one row each."""

    use_asked = Signal(str)
    make_asked = Signal(str)
    remove_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the rows; what they say comes with :meth:`show_builds`."""
        super().__init__(parent)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(2 * UNIT)
        grid.setColumnStretch(1, 1)
        self.rows = {name: _BuildRow(name, n, grid) for n, name in enumerate(BUILD_NAMES)}
        for name, row in self.rows.items():
            for button, signal in (
                (row.use, self.use_asked),
                (row.make, self.make_asked),
                (row.remove, self.remove_asked),
            ):
                button.clicked.connect(lambda _=False, s=signal, n=name: s.emit(n))

    def set_narrow(self, narrow: bool) -> None:
        """Leave the words more room where there is little width."""
        for row in self.rows.values():
            row.set_narrow(narrow)

    def show_builds(
        self,
        builds: Mapping[str, Build],
        quality: Mapping[str, str],
        needs: Mapping[str, Need | None],
        used: str = "",
        damaged: Collection[str] = (),
    ) -> None:
        """Show what there is of each build; ``used`` names the one that hunts run on."""
        for name, row in self.rows.items():
            said, need = quality.get(name, ""), needs.get(name)
            row.show(builds.get(name), said, need, name == used, name in damaged)

    def allow(self, *, use: bool, make: bool, used: str = "", why_not: str = "") -> None:
        """Allow what can be done just now; the build in use stays. ``why_not`` is for Convert."""
        for name, row in self.rows.items():
            row.use.setEnabled(use and name != used)
            row.make.setEnabled(make)
            row.make.setToolTip("" if make else why_not)


def _button(word: str, name: str) -> QPushButton:
    return noted_button(word, name, role="small")
