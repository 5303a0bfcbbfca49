"""The rail of pages at the left edge: signs with words, or only signs where there is no room."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QFrame, QToolButton, QVBoxLayout, QWidget

from explorer.gui import theme

PAGES = ("Explore", "Collection", "History", "Settings")
WIDTH, NARROW = 68, 48


class Rail(QFrame):
    """One button a page; exactly one is checked."""

    page_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the buttons with the first page chosen."""
        super().__init__(parent)
        self.setProperty("role", "rail")
        self.buttons: list[QToolButton] = []
        self._group = QButtonGroup(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 14, 6, 10)
        column.setSpacing(4)
        for number, name in enumerate(PAGES):
            button = QToolButton()
            button.setProperty("role", "rail")
            button.setText(name)
            button.setIcon(theme.icon(name.lower(), "muted"))
            button.setIconSize(QSize(20, 20))
            button.setCheckable(True)
            button.setAccessibleName(name)
            button.setToolTip(f"{name}  (Alt+{number + 1})")
            self._group.addButton(button, number)
            self.buttons.append(button)
            column.addWidget(button)
        column.addStretch()
        self._group.idClicked.connect(self.page_chosen)
        self.buttons[0].setChecked(True)
        self.set_narrow(False)

    def choose(self, page: int) -> None:
        """Check the button of a page without telling anybody."""
        self.buttons[page].setChecked(True)

    def set_narrow(self, narrow: bool) -> None:
        """Show signs only, or signs with words."""
        style = (
            Qt.ToolButtonStyle.ToolButtonIconOnly
            if narrow
            else Qt.ToolButtonStyle.ToolButtonTextUnderIcon
        )
        self.setFixedWidth(NARROW if narrow else WIDTH)
        for button in self.buttons:
            button.setToolButtonStyle(style)
            button.setFixedSize(
                QSize(NARROW - 12, NARROW - 12) if narrow else QSize(WIDTH - 12, 54)
            )
