"""A question in the page, not in a box in front of it: what would be lost, and two answers.

The harmless answer has the focus, and Escape gives it too.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import GAP
from explorer.gui.widgets.controls import label, noted_button
from explorer.gui.widgets.flow import Flow


@guarded
class ConfirmStrip(QFrame):
    """Asks before something is lost; hidden until it asks, and again once it is answered."""

    confirmed = Signal()
    """Do it."""

    def __init__(self, act: str, act_name: str, spare_name: str) -> None:
        """Make the answers: ``act`` on a button, and for screen readers both names in full."""
        super().__init__()
        self._asked_from: QWidget | None = None
        self.setProperty("role", "problem")
        self.words = label("", "label", wrap=True)
        self.spare_button = noted_button("Leave it", spare_name)
        self.act_button = noted_button(act, act_name, role="rejected")
        answers = Flow()
        answers.addStretch()
        answers.add(self.spare_button)
        answers.add(self.act_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(GAP, GAP, GAP, GAP)
        column.addWidget(self.words)
        column.addLayout(answers)
        self.hide()
        self.act_button.clicked.connect(self._on_act)
        self.spare_button.clicked.connect(self._answer)

    def ask(self, words: str, asked_from: QWidget) -> None:
        """Show ``words`` and the answers; the focus goes back to ``asked_from`` after either."""
        self._asked_from = asked_from
        self.words.setText(words)
        self.show()
        # A second Enter must not do it.
        self.spare_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape leaves it."""
        if event.key() == Qt.Key.Key_Escape:
            self._answer()
        else:
            super().keyPressEvent(event)

    def _answer(self) -> None:
        self.hide()
        if self._asked_from is not None:
            self._asked_from.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_act(self) -> None:
        if not self.isHidden():
            self._answer()
            self.confirmed.emit()
