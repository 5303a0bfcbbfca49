"""Small framed words side by side, in as many rows as the width makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import UNIT
from explorer.gui.widgets.controls import label


class Chip(NamedTuple):
    """One of them: its words, a property for the stylesheet, and what its tool tip says."""

    words: str
    tone: str = ""
    note: str = ""


@guarded
class Chips(QWidget):
    """Any number of chips; it is hidden while there are none."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """Make it without chips; a screen reader calls it ``name``."""
        super().__init__(parent)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName(name)
        self._chips: list[QLabel] = []
        self._shown: tuple[Chip, ...] = ()
        self.hide()

    def words(self) -> list[str]:
        """Return what stands on the chips."""
        return [chip.words for chip in self._shown]

    def set_chips(self, chips: Sequence[Chip]) -> None:
        """Show these instead."""
        if tuple(chips) == self._shown:
            return
        for chip in self._chips:
            chip.hide()
            chip.deleteLater()
        self._shown = tuple(chips)
        self._chips = []
        for words, tone, note in chips:
            chip = label(words, "chip")
            chip.setProperty("tone", tone)
            chip.setToolTip(note)
            chip.setParent(self)
            chip.show()
            self._chips.append(chip)
        spoken = [f"{chip.words}, {chip.note}" if chip.note else chip.words for chip in chips]
        self.setAccessibleDescription("; ".join(spoken))
        self._place(self.width())
        self.updateGeometry()
        self.setVisible(bool(chips))

    def hasHeightForWidth(self) -> bool:
        """Say that fewer chips in a row need more rows."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return the height of all rows."""
        return self._place(width, move=False)

    def sizeHint(self) -> QSize:
        """Ask for the width of the widest chip and the height of the rows as they are."""
        widest = max((chip.sizeHint().width() for chip in self._chips), default=0)
        return QSize(widest, self._place(max(self.width(), widest), move=False))

    def minimumSizeHint(self) -> QSize:
        """Be content with less than a chip's width, where its end is cut, and with one row."""
        return QSize(0, max((chip.sizeHint().height() for chip in self._chips), default=0))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Set the rows anew."""
        super().resizeEvent(event)
        self._place(self.width())
        if event.oldSize().width() != event.size().width():
            self.updateGeometry()

    def _place(self, width: int, move: bool = True) -> int:
        """Set chips in rows of ``width``, from the side where reading begins; return the height."""
        at, top, row = 0, 0, 0
        right_to_left = self.layoutDirection() == Qt.LayoutDirection.RightToLeft
        for chip in self._chips:
            size = chip.sizeHint()
            wide = min(size.width(), width)
            if at and at + wide > width:
                at, top, row = 0, top + row + UNIT, 0
            if move:
                left = width - at - wide if right_to_left else at
                chip.setGeometry(left, top, wide, size.height())
            at += wide + UNIT
            row = max(row, size.height())
        return top + row
