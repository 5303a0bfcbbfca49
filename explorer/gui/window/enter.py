"""Enter presses the button that has the focus, in the window and in every dialog of it.

Qt lets Space do so, and Enter only on push buttons, or on the default button of a dialog wherever
the focus is. A key that a button does not take travels up to its window; there it is caught.
"""

from __future__ import annotations

from PySide6.QtCore import QChildEvent, QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractButton, QDialog, QWidget

from explorer.gui.style.guard import guarded

_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_PLAIN = (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)


@guarded
class EnterPresses(QObject):
    """Watches a window, and the dialogs that belong to it, also those that come later."""

    def __init__(self, window: QWidget) -> None:
        """Begin with ``window``."""
        super().__init__(window)
        window.installEventFilter(self)
        for dialog in window.findChildren(QDialog):
            dialog.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Press the button on Enter; look after new dialogs."""
        if (
            isinstance(event, QChildEvent)
            and event.polished()
            and isinstance(event.child(), QDialog)
        ):
            event.child().installEventFilter(self)
        elif (
            event.type() == QEvent.Type.KeyPress
            and isinstance(event, QKeyEvent)
            and event.key() in _ENTER
            and event.modifiers() in _PLAIN
            and isinstance(watched, QWidget)
            and isinstance(button := watched.focusWidget(), QAbstractButton)
            and button.hasFocus()
        ):
            if not event.isAutoRepeat():
                self.press(button)
            return True
        return super().eventFilter(watched, event)

    def press(self, button: QAbstractButton) -> None:
        """Press a button."""
        button.click()
