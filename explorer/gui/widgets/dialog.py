"""A dialog that wears the look of the application whenever it is shown."""

from __future__ import annotations

from PySide6.QtWidgets import QDialog, QWidget

from explorer.gui.style import theme
from explorer.gui.style.guard import guarded


@guarded
class Dialog(QDialog):
    """What every dialog of the program derives from."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty dialog."""
        super().__init__(parent)
        theme.dress(self)

    def setVisible(self, visible: bool) -> None:
        """Take up the present look first: the dialog's size follows from it."""
        if visible:
            theme.freshen(self)
        super().setVisible(visible)
