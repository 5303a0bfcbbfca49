"""The rail of pages at the left edge: signs with words, or only signs where there is no room."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import QButtonGroup, QFrame, QToolButton, QVBoxLayout, QWidget

from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.widgets.controls import tab_to_checked

PAGES = ("Explore", "Collection", "History", "Models", "Settings")
WIDTH, NARROW = 68, 48


@guarded
class Navigation(QFrame):
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
        tab_to_checked(self._group)
        self._narrow = False
        self._fit_later = QTimer(self)  # when the buttons have taken a new style up as well
        self._fit_later.setSingleShot(True)
        self._fit_later.timeout.connect(self._fit)
        self._fit()

    def choose(self, page: int) -> None:
        """Check the button of a page without telling anybody."""
        self.buttons[page].setChecked(True)

    def set_narrow(self, narrow: bool) -> None:
        """Show signs only, or signs with words."""
        if narrow != self._narrow:
            self._narrow = narrow
            self._fit()

    def changeEvent(self, event: QEvent) -> None:
        """Make room for the words in another size of text."""
        super().changeEvent(event)
        looks = (QEvent.Type.FontChange, QEvent.Type.StyleChange)
        if event.type() in looks and not theme.put_off(self._fit):
            self._fit_later.start()

    def _fit(self) -> None:
        style, size = Qt.ToolButtonStyle.ToolButtonIconOnly, QSize(NARROW - 12, NARROW - 12)
        if not self._narrow:
            style = Qt.ToolButtonStyle.ToolButtonTextUnderIcon
            metrics = self.buttons[0].fontMetrics()
            words = max(map(metrics.horizontalAdvance, PAGES)) + 8
            size = QSize(max(WIDTH - 12, words), max(54, 40 + metrics.height()))
        self.setFixedWidth(size.width() + 12)
        for button in self.buttons:
            button.setToolButtonStyle(style)
            button.setFixedSize(size)
