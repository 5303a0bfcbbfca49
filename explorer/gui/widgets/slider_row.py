"""A setting as slider and number, with one line that says what the present value does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from explorer.gui.fields.number_fields import Decimal, Number
from explorer.gui.style.theme import set_role
from explorer.gui.widgets.controls import Slider, label

TOP_K_STOPS = (
    1,
    2,
    3,
    4,
    5,
    7,
    10,
    15,
    20,
    30,
    40,
    50,
    60,
    80,
    100,
    150,
    200,
    300,
    500,
    1000,
    2000,
    5000,
    0,
)
"""Where the slider rests: more candidates to the right, all of them (0) at its end."""
TEMPERATURE_STOPS = tuple(step / 20 for step in range(41))
"""From 0 to 2 in steps of 0.05; larger ones can be typed."""


def explain_top_k(k: int, vocabulary: int | None = None) -> str:
    """Say in one line what this top-k does with a model of so many tokens, if that is known."""
    if k == 0:
        return "Draw among all tokens, however unlikely."
    if vocabulary is not None and k >= vocabulary:
        return f"Draw among all tokens: this model has {vocabulary:,}."
    if k == 1:
        return "Always the likeliest: every try is the same."
    return f"Draw among the {k:,} likeliest tokens. 0 = all."


def explain_temperature(temperature: float) -> str:
    """Say in one line what this temperature does."""
    if temperature == 0:
        return "Always the likeliest: every try is the same."
    if temperature == 1:
        return "1 = the model’s own odds. 0 = the likeliest."
    if temperature < 1:
        return f"{temperature:g}: likely tokens gain; safer, duller."
    return f"{temperature:g}: unlikely tokens gain; bolder, wilder."


class SliderRow(QWidget):
    """Title and number on one line, the slider below, the explanation under it.

    The slider goes through ``stops``; the number takes everything in its range, and the slider then
    rests at the nearest stop.
    """

    changed = Signal(float)

    def __init__(
        self,
        title: str,
        number: Number | Decimal,
        stops: Sequence[float],
        explain: Callable[[float], str],
        tip: str = "",
        parent: QWidget | None = None,
    ) -> None:
        """Make a row around ``number``; ``explain`` gives the line for a value."""
        super().__init__(parent)
        self._stops = tuple(stops)
        self._explain = explain
        self.number = number
        self.number.pops_up = False  # the line below says it
        self.number.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.number.fit("0.000")
        self.slider = Slider(f"{title}, slider", len(self._stops) - 1)
        self.note = label("", "muted", wrap=True)
        words = label(title, "label", buddy=number)
        for part in (words, self.number, self.slider):
            part.setToolTip(tip)
        head = QHBoxLayout()
        head.addWidget(words)
        head.addStretch()
        head.addWidget(number)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self.slider)
        column.addWidget(self.note)
        self._show(number.value())
        self.number.valueChanged.connect(self._on_number)
        self.number.problem_changed.connect(self._say)
        self.slider.valueChanged.connect(self._on_slider)

    def value(self) -> float:
        """Return the number."""
        return self.number.value()

    def set_value(self, value: float) -> None:
        """Show a value without telling anybody."""
        blocked = self.number.blockSignals(True)
        self._set_number(value)
        self.number.blockSignals(blocked)
        self._show(value)

    def explain_again(self) -> None:
        """Say anew what the present value does."""
        self._show(self.value())

    def position(self, value: float) -> int:
        """Return where the slider rests for ``value``: at its stop, else at the nearest but 0."""
        if value in self._stops:
            return self._stops.index(value)
        ordinary = [index for index, stop in enumerate(self._stops) if stop]
        return min(ordinary, key=lambda index: abs(self._stops[index] - value))

    def _set_number(self, value: float) -> None:
        if self.number.problem:
            self.number.restore()
        if isinstance(self.number, Number):
            self.number.setValue(int(value))
        else:
            self.number.setValue(value)

    def _show(self, value: float) -> None:
        blocked = self.slider.blockSignals(True)
        self.slider.setValue(self.position(value))
        self.slider.blockSignals(blocked)
        self._say(self.number.problem)
        self.slider.setAccessibleDescription(self.note.text())
        self.number.setAccessibleDescription(self.note.text())

    def _say(self, problem: str) -> None:
        """Say below what the value does, or why what was typed is none."""
        self.note.setText(problem or self._explain(self.value()))
        set_role(self.note, "note", "rejected" if problem else "muted")

    def _on_number(self, value: float) -> None:
        self._show(value)
        self.changed.emit(value)

    def _on_slider(self, position: int) -> None:
        stop = self._stops[position]
        if stop != self.number.value() or self.number.problem:
            self._set_number(stop)
