"""A number field of Qt that takes every decimal sign and keeps what it cannot read.

Qt drops a key that does not fit: ``0.7`` becomes 07 in a German session. Here every key goes
through; what is no number, or could be two, stays in the field, is marked, and the field says why.
The value is then the one before, and whoever uses it asks for :attr:`TypedNumber.problem` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QAbstractSpinBox, QToolTip

from explorer.gui.fields.number_text import Form, UnreadableNumberError
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import set_role

# At run time a mix-in is no widget, since one object can be only one of Qt's.
if TYPE_CHECKING:
    from PySide6.QtCore import Signal

    class _Mixed(QAbstractSpinBox):
        problem_changed: Signal
        valueChanged: Signal
else:
    _Mixed = object


@guarded
class TypedNumber(_Mixed):
    """Stands before QSpinBox or QDoubleSpinBox among the bases of a field."""

    problem = ""
    """Why the text in the field is no number; empty where it is one."""

    pops_up = True
    """Whether the reason appears beside the field; not where something else shows it at once."""

    _word: tuple[float, str] | None = None
    _unit = ""
    _refused: str | None = None
    """The text that stays in the field although it is no number."""
    _beside = 0.0
    """The value that the field had then."""
    _tip = ""

    def form(self) -> Form:
        """Return which numbers the field takes."""
        raise NotImplementedError

    def watch(self) -> None:
        """Judge what is typed from now on; to be called once, when the field is made."""
        self.restore()  # Qt has written the first value in its own way
        self.lineEdit().textChanged.connect(self._judge)
        # What Qt writes for a value from elsewhere is not told as a change of text.
        self.valueChanged.connect(self._on_value)

    def take(self) -> None:
        """Take over a number that is typed but not left yet; its text stays as it is typed."""
        text = self.lineEdit().text()
        if self.validate(text, 0)[0] == QValidator.State.Acceptable:
            self.set_current(self.valueFromText(text))

    def judge_now(self) -> str:
        """Take over what is typed, also where it is half a number, and return what is wrong."""
        self.interpretText()
        return self.problem

    def restore(self) -> None:
        """Give up what cannot be read and show the value again."""
        self._refused = None
        self.lineEdit().setText(self.textFromValue(self.current()))

    def current(self) -> float:
        """Return the value."""
        raise NotImplementedError

    def set_current(self, value: float) -> None:
        """Change the value where it is another one."""
        raise NotImplementedError

    def valueFromText(self, text: str) -> float:
        """Read a number or the word."""
        if self._word is not None and self._is_word(text):
            return self._word[0]
        return float(self.form().read(self._without_unit(text)))

    def written(self, value: float) -> str:
        """Return how a value is written in the session's language."""
        raise NotImplementedError

    # What Qt asks

    def textFromValue(self, value: float) -> str:
        """Write the word of a value that has one, else the number with its unit."""
        if self._refused is not None and value == self._beside:
            return self._refused
        if self._word is not None and value == self._word[0]:
            return self._word[1]
        return self.written(value) + self._unit

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Let every key through, and take over only what is a number or the word."""
        fits = self._is_word(text) or not self._why_not(text)
        state = QValidator.State.Acceptable if fits else QValidator.State.Intermediate
        return state, text, position

    def fixup(self, text: str) -> str:
        """Keep what cannot be read, where Qt would read something else into it."""
        if text.strip():
            self._refused, self._beside = text, self.current()
            self._judge(text)
        return text

    def stepBy(self, steps: int) -> None:
        """Step from the value, whatever stands in the field."""
        if self.problem:
            self.restore()
        super().stepBy(steps)

    def _is_word(self, text: str) -> bool:
        return self._word is not None and text.strip().casefold() == self._word[1]

    def _without_unit(self, text: str) -> str:
        return text.strip().removesuffix(self._unit.strip())

    def _why_not(self, text: str) -> str:
        try:
            self.form().read(self._without_unit(text))
        except UnreadableNumberError as error:
            return str(error)
        return ""

    # What is shown of it

    def _on_value(self, _value: float) -> None:
        self._judge(self.lineEdit().text())

    def _judge(self, text: str) -> None:
        if text != self._refused:
            self._refused = None
        word = self._word[1] if self._word is not None else ""
        begun = word.startswith(text.strip().casefold()) or self.form().is_begun(
            self._without_unit(text)
        )
        if begun and self._refused is None:
            problem = ""
        else:
            problem = "" if self._is_word(text) else self._why_not(text)
        if problem == self.problem:
            return
        if not self.problem:
            self._tip = self.toolTip()
        self.problem = problem
        set_role(self, "unreadable" if problem else "")
        self.setToolTip(f"{problem}\n{self._tip}".strip() if problem else self._tip)
        if problem and self.pops_up and self.hasFocus():
            QToolTip.showText(self.mapToGlobal(self.rect().bottomLeft()), problem, self)
        self.problem_changed.emit(problem)
