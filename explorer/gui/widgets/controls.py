"""Small fields that recipe and settings share, quiet under the mouse wheel.

A wheel turned over a field that has no focus scrolls the panel: it must not change a setting in
passing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QHelpEvent, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFrame,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from explorer.gui.fields.number_fields import Number as Number
from explorer.gui.fields.quiet_fields import Quiet, field_size
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import UNIT

_LONG_WORD = re.compile(r"\S{25,}")
_BREAK = "\u200b"  # a space without width
SHORT_WORDS = Qt.ItemDataRole.UserRole + 1
"""Role of what stands in a closed :class:`Choice` where the words of the list are long."""


@guarded
class Choice(Quiet, QComboBox):
    """One of a few values, each with the words that say what it does."""

    def __init__(
        self,
        name: str,
        options: Sequence[tuple[str, object, str]] = (),
        parent: QWidget | None = None,
    ) -> None:
        """Make a field of ``(words, value, explanation)`` options."""
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)
        self.setMinimumContentsLength(6)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        for words, value, note in options:
            self.addItem(words, value)
            self.setItemData(self.count() - 1, note, Qt.ItemDataRole.ToolTipRole)

    def choose(self, value: object) -> None:
        """Select the option of this value; an unknown one changes nothing."""
        index = self.findData(value)
        if index >= 0:
            self.setCurrentIndex(index)

    def sizeHint(self) -> QSize:
        """Ask for the height that all fields share."""
        return field_size(self, super().sizeHint())

    def shown(self) -> str:
        """Return what stands in the closed field: the short words of the option, if need be cut."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        room = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        end = Qt.TextElideMode.ElideRight
        return self.fontMetrics().elidedText(self._words(), end, room.width())

    def _words(self) -> str:
        return self.currentData(SHORT_WORDS) or self.currentText()

    def event(self, event: QEvent) -> bool:
        """Let the tip begin with the words that are cut."""
        if isinstance(event, QHelpEvent) and self.shown() != self._words():
            tip = "\n".join(filter(None, (self._words(), self.toolTip())))
            QToolTip.showText(event.globalPos(), tip, self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the field; Qt would cut its words without a sign that more follows."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.shown()
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


@guarded
class Line(QLineEdit):
    """A line of text as high as the fields beside it."""

    def sizeHint(self) -> QSize:
        """Ask for the height that all fields share."""
        return field_size(self, super().sizeHint())


class Slider(Quiet, QSlider):
    """A horizontal slider with positions 0..last."""

    def __init__(self, name: str, last: int, parent: QWidget | None = None) -> None:
        """Make a slider at 0."""
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setRange(0, last)
        self.setPageStep(max(last // 5, 1))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)


class Labelled(QWidget):
    """A muted label above a control; a click on the label goes to the control."""

    def __init__(
        self, text: str, control: QWidget, tip: str = "", parent: QWidget | None = None
    ) -> None:
        """Put ``text`` above ``control``; ``tip`` says what it does, unless the control does."""
        super().__init__(parent)
        if tip:
            self.setToolTip(tip)
            control.setAccessibleDescription(control.accessibleDescription() or tip)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT // 2)
        column.addWidget(label(text, "muted", buddy=control))
        column.addWidget(control)


@guarded
class Fold(QScrollArea):
    """A column of controls that scrolls when, and only when, there is no room for all of it."""

    def __init__(self, content: QWidget, rows: float = 0, parent: QWidget | None = None) -> None:
        """Wrap ``content``; at least so many rows of text stay in sight, by default a few."""
        super().__init__(parent)
        self._rows = rows
        self._whole = False
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._content = content
        content.setProperty("role", "panel")
        self.setWidget(content)
        self._goes_on = QFrame(self)
        self._goes_on.setProperty("role", "line")
        bar = self.verticalScrollBar()
        bar.valueChanged.connect(self._mark_end)
        bar.rangeChanged.connect(self._mark_end)
        self._mark_end()

    def set_whole(self, whole: bool) -> None:
        """Insist on the height of everything, because what this lies in scrolls."""
        if whole != self._whole:
            self._whole = whole
            self.updateGeometry()

    def high(self, width: int) -> int:
        """Return the height of everything at a width."""
        content = self._content
        if content.hasHeightForWidth():
            return content.heightForWidth(width)
        return content.sizeHint().height()

    def least(self, width: int) -> int:
        """Return the height at a width that it is content with unless it is to be whole."""
        rows = round(self._rows * self.fontMetrics().height()) or 30 * UNIT
        return min(rows, self.high(width))

    def sizeHint(self) -> QSize:
        """Ask for the height of everything at the present width."""
        # The width is its own one, at which notes may have more lines.
        return QSize(self._content.sizeHint().width(), self.high(self.width()))

    def minimumSizeHint(self) -> QSize:
        """Be content with a few rows, and with room for the scroll bar beside them."""
        bar = self.verticalScrollBar().sizeHint().width()
        width = self._content.minimumSizeHint().width() + bar
        high = self.high if self._whole else self.least
        return QSize(width, high(self.width()))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask again when what is inside needs more or less room."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
            self._allow_bar()
        return super().eventFilter(watched, event)

    def event(self, event: QEvent) -> bool:
        """Ask again when the width, and with it the height of wrapped notes, has changed.

        ``resizeEvent`` hears of the viewport only, which may stay as it was where a bar goes.
        """
        done = super().event(event)
        if isinstance(event, QResizeEvent):
            self._allow_bar()
            self._goes_on.setGeometry(0, self.height() - 1, self.width(), 1)
            if event.oldSize().width() != event.size().width():
                self.updateGeometry()
        return done

    def _allow_bar(self) -> None:
        """Take a bar away that there is only because lines are broken beside it."""
        enough = self.height() >= self.high(self.width())
        policies = Qt.ScrollBarPolicy
        policy = policies.ScrollBarAlwaysOff if enough else policies.ScrollBarAsNeeded
        if policy != self.verticalScrollBarPolicy():
            self.setVerticalScrollBarPolicy(policy)

    def _mark_end(self) -> None:
        """Draw a line where the column goes on below."""
        bar = self.verticalScrollBar()
        self._goes_on.setVisible(bar.value() < bar.maximum())


class Titled(QLabel):
    """A label that is read out with what it is the value of: "Tokens of the prompt: 12 tokens"."""

    title = ""

    def setText(self, text: str) -> None:
        """Show a text, and let it be read out behind the title."""
        super().setText(text)
        self._speak(text)

    def _speak(self, text: str) -> None:
        if self.title:
            self.setAccessibleName(f"{self.title}: {text}" if text else self.title)


class Wrapped(Titled):
    """Text in lines; a word that is longer than most names is broken anywhere.

    A label breaks only between words, so that one long name would widen the whole window.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty label."""
        super().__init__(parent)
        self._text = ""
        self.setWordWrap(True)

    def text(self) -> str:
        """Return the text without the places where it may be broken."""
        return self._text

    def setText(self, text: str) -> None:
        """Show a text."""
        self._text = text
        super().setText(_LONG_WORD.sub(lambda word: _BREAK.join(word[0]), text))
        self._speak(text)


def tab_to_checked(group: QButtonGroup) -> None:
    """Let the Tab key come to the checked button of a group; the arrow keys go on from there.

    Qt does so only where the choice was made by keyboard.
    """

    def follow() -> None:
        for button in group.buttons():
            policy, tab = button.focusPolicy(), Qt.FocusPolicy.TabFocus
            button.setFocusPolicy(policy | tab if button.isChecked() else policy & ~tab)

    group.buttonToggled.connect(follow)
    follow()


def label(
    text: str, role: str, *, wrap: bool = False, buddy: QWidget | None = None, name: str = ""
) -> QLabel:
    """Return a plain-text label of a role; text of models and people is never read as markup.

    ``name`` is what the text is the value of: a screen reader says both.
    """
    made = Wrapped() if wrap else Titled()
    made.title = name
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setText(text)
    made.setProperty("role", role)
    if buddy is not None:
        made.setBuddy(buddy)
    return made


def noted_button(word: str, name: str, note: str = "", role: str = "") -> QPushButton:
    """Return a button with its name for screen readers and a note, which is its tool tip.

    The note is kept as a property too, for a button whose tip says why it cannot be used.
    """
    button = QPushButton(word)
    if role:
        button.setProperty("role", role)
    button.setAccessibleName(name)
    button.setProperty("note", note)
    button.setToolTip(note)
    return button
