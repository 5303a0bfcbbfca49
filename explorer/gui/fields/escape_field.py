"""A field for which Escape means something of its own, before it means Stop to the window."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QLineEdit

from explorer.gui.style.guard import guarded


@guarded
class EscapeField(QLineEdit):
    """Says when Escape is pressed in it."""

    escaped = Signal()

    def takes_escape(self) -> bool:
        """Say whether the key means anything here just now."""
        return True

    def event(self, event: QEvent) -> bool:
        """Claim the key before a shortcut of the window gets it."""
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.ShortcutOverride
            and event.key() == Qt.Key.Key_Escape
            and self.takes_escape()
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Say that the key was pressed; others are typed."""
        if event.key() == Qt.Key.Key_Escape and self.takes_escape():
            self.escaped.emit()
        else:
            super().keyPressEvent(event)


class FilterField(EscapeField):
    """What a list is filtered by; Escape empties it."""

    def __init__(self) -> None:
        """Make an empty one."""
        super().__init__()
        self.setPlaceholderText("Filter")
        self.setClearButtonEnabled(True)
        self.escaped.connect(self.clear)

    def takes_escape(self) -> bool:
        """Take the key while there is something to empty."""
        return bool(self.text())
