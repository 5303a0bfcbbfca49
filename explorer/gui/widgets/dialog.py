"""A dialog that wears the look of the application, and in which undo is the window's undo."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QDialog, QWidget

from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.widgets.shortcuts import command_for, is_plain


@guarded
class Dialog(QDialog):
    """What every dialog of the program derives from."""

    command_asked = Signal(str)
    """``undo`` or ``redo``, which mean the same everywhere (RULES 7)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty dialog."""
        super().__init__(parent)
        theme.dress(self)

    def setVisible(self, visible: bool) -> None:
        """Take up the present look first: the dialog's size follows from it."""
        if visible:
            theme.freshen(self)
        super().setVisible(visible)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Hand on undo and redo that no field wanted for itself."""
        command = command_for(event)
        if command in ("undo", "redo") and not is_plain(event):
            if not event.isAutoRepeat():
                self.command_asked.emit(command)
        else:
            super().keyPressEvent(event)
