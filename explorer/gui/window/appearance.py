"""Light or dark, and the size of the text, as the person wants them and remembered."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from explorer.gui.settings_store import SettingsStore
from explorer.gui.style import theme
from explorer.system.settings import TEXT_PX, Settings


class Appearance(QObject):
    """Applies the theme of the settings to the application, and again when the desktop changes.

    All that is asked for before the window is free again is one change: a key that is held down
    must not queue up.
    """

    def __init__(self, settings_store: SettingsStore, parent: QObject | None = None) -> None:
        """Follow ``memory``; the present look is somebody else's first act."""
        super().__init__(parent)
        self._settings_store = settings_store
        self._later = QTimer(self)  # of keys that repeat, and of clicks in a row, the last counts
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self._apply)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._apply)

    def set_mode(self, mode: theme.Mode) -> None:
        """Follow the system, or be light or dark whatever it says."""
        self._settings_store.change(theme=mode)
        self._later.start()

    def resize_text(self, step: int) -> float:
        """Make the text larger (1), smaller (-1) or as in the beginning (0); return its size."""
        before = self._settings_store.settings.text_px
        px = min(max(before + step, TEXT_PX[0]), TEXT_PX[1]) if step else Settings().text_px
        if px != before:
            self._settings_store.change(text_px=px)
            self._later.start()
        return px

    @Slot()
    def _apply(self) -> None:
        settings = self._settings_store.settings
        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme.apply(app, theme.theme_for(settings.theme, settings.text_px))
