"""The seed: drawn by the program and remembered, or fixed by a person who typed a number.

Empty means drawn; the drawn number then stands in the empty field as ``drawn: 90412``. The field's
menu fixes the number that was drawn, and the cross empties the field again. What is typed and is no
seed stays there, marked, until it is mended.
"""

from __future__ import annotations

from decimal import Decimal

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QAction, QContextMenuEvent, QValidator
from PySide6.QtWidgets import QLineEdit, QWidget

from explorer.gui.explore.recipe_tips import tip
from explorer.gui.fields.number_text import Form, UnreadableNumberError
from explorer.gui.fields.quiet_fields import field_size
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import set_role
from explorer.library.rows import SEED_LIMIT

_SEEDS = Form(Decimal(0), Decimal(SEED_LIMIT - 1))


@guarded
class SeedValidator(QValidator):
    """Accepts nothing, or a whole number below ``SEED_LIMIT`` in the digits of any script."""

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Judge a text without spaces around it."""
        fits = text == "" or (text == text.strip() and not self.why_not(text))
        return (QValidator.State.Acceptable if fits else QValidator.State.Invalid), text, position

    def why_not(self, text: str) -> str:
        """Return why a text is no seed; empty where it is one."""
        try:
            _SEEDS.read(text)
        except UnreadableNumberError as error:
            return str(error)
        return ""


@guarded
class SeedField(QLineEdit):
    """Empty = a drawn seed; a number = that seed for the next hunt."""

    seed_changed = Signal()
    problem_changed = Signal(str)
    problem = ""
    """Why the text in the field is no seed; empty where it is one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty field."""
        super().__init__(parent)
        self._drawn: int | None = None
        # It judges and does not stand in the way: a key that it kept out would make 15 of 1.5.
        self._validator = SeedValidator(self)
        self.setClearButtonEnabled(True)
        self.setAccessibleName("Seed")
        self.setAccessibleDescription("Empty: a seed is drawn for every new hunt")
        self.fix = QAction("Fix the drawn seed", self)
        self.fix.triggered.connect(self._on_fix)
        self.textChanged.connect(self._on_text_changed)
        self.set_drawn(None)

    def seed(self) -> int | None:
        """Return the fixed seed, None where one is to be drawn or the text is none."""
        text = self.text().strip()
        return int(_SEEDS.read(text)) if text and not self.problem else None

    def set_seed(self, seed: int | None) -> None:
        """Fix a seed, or go back to drawing with None."""
        self.setText("" if seed is None else str(seed))

    def set_drawn(self, seed: int | None) -> None:
        """Show which seed the present hunt has drawn."""
        self._drawn = seed
        self.setPlaceholderText("drawn" if seed is None else f"drawn: {seed}")
        self._explain()

    def sizeHint(self) -> QSize:
        """Ask for the height that all fields share."""
        return field_size(self, super().sizeHint())

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer to fix the drawn seed, above what every field offers."""
        menu = self.createStandardContextMenu()
        menu.insertAction(menu.actions()[0], self.fix)
        menu.insertSeparator(menu.actions()[1])
        menu.popup(event.globalPos())

    def _explain(self) -> None:
        self.fix.setEnabled(self._drawn is not None and not self.text())
        if self.text():
            words = "Fixed: the next hunt uses this seed. Empty the field to draw one."
        elif self._drawn is not None:
            words = f"Drawn for this hunt: {self._drawn}. Type a number to fix the next one."
        else:
            words = "Drawn for every new hunt and remembered. Type a number to fix it."
        self.setToolTip(f"{tip('Seed')}\n{self.problem or words}")

    def _on_fix(self) -> None:
        self.set_seed(self._drawn)

    def _on_text_changed(self, text: str) -> None:
        state, *_ = self._validator.validate(text.strip(), 0)
        fits = state == QValidator.State.Acceptable
        before, self.problem = self.problem, "" if fits else self._validator.why_not(text)
        set_role(self, "unreadable" if self.problem else "")
        if self.problem != before:
            self.problem_changed.emit(self.problem)
        self._explain()
        self.seed_changed.emit()
