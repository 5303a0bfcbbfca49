"""The fields for numbers: whole ones and decimals, typed, stepped, and read by one rule."""

from __future__ import annotations

from decimal import Decimal as Exact

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QSpinBox, QWidget

from explorer.gui.fields.number_text import Form
from explorer.gui.fields.quiet_fields import TEXT_MARGIN, Fitted
from explorer.gui.fields.typed_number import TypedNumber
from explorer.gui.style.guard import guarded


@guarded
class Number(TypedNumber, Fitted, QSpinBox):
    """A whole number that is typed or stepped by arrow keys; one value may have a word."""

    problem_changed = Signal(str)

    def __init__(
        self,
        name: str,
        low: int,
        high: int,
        word: tuple[int, str] | None = None,
        unit: str = "",
        parent: QWidget | None = None,
    ) -> None:
        """Make a field for ``low`` to ``high`` that a screen reader calls ``name``.

        ``word`` is (value, what it is called), ``unit`` what stands behind all other values.
        """
        self._word, self._unit = word, unit  # before super().__init__, which asks for texts
        super().__init__(parent)
        self.setRange(low, high)
        self.lineEdit().setTextMargins(TEXT_MARGIN, 0, 0, 0)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)
        self.watch()

    def form(self) -> Form:
        """Return which numbers the field takes."""
        return Form(Exact(self.minimum()), Exact(self.maximum()))

    def written(self, value: float) -> str:
        """Write a number without signs between the thousands."""
        return QSpinBox.textFromValue(self, int(value))

    def valueFromText(self, text: str) -> int:
        """Read a number or the word."""
        return int(super().valueFromText(text))

    def current(self) -> float:
        """Return the value."""
        return self.value()

    def set_current(self, value: float) -> None:
        """Change the value where it is another one."""
        if value != self.value():
            self.setValue(int(value))


@guarded
class Decimal(TypedNumber, Fitted, QDoubleSpinBox):
    """A number of up to three decimals; one value may have a word, such as 1 = ``off``."""

    problem_changed = Signal(str)

    def __init__(
        self,
        name: str,
        low: float,
        high: float,
        step: float,
        word: tuple[float, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        """Make a field for ``low`` to ``high``; ``word`` is (value, what it is called)."""
        self._word = word  # before super().__init__, which asks for texts
        super().__init__(parent)
        self.setDecimals(3)
        self.setRange(low, high)
        self.lineEdit().setTextMargins(TEXT_MARGIN, 0, 0, 0)
        self.setSingleStep(step)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)
        self.watch()

    def form(self) -> Form:
        """Return which numbers the field takes."""
        low, high = Exact(str(self.minimum())), Exact(str(self.maximum()))
        return Form(low, high, self.decimals(), self.locale().decimalPoint())

    def written(self, value: float) -> str:
        """Write two decimals, or three where needed."""
        text = self.locale().toString(value, "f", 3)
        return text[:-1] if text.endswith(self.locale().toString(0)) else text

    def current(self) -> float:
        """Return the value."""
        return self.value()

    def set_current(self, value: float) -> None:
        """Change the value where it is another one."""
        if value != self.value():
            self.setValue(value)
