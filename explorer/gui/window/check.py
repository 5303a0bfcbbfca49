"""Whether Qt can be started here: the window's part of the self-test."""

from __future__ import annotations

import os
from pathlib import Path

from PySide6.QtCore import QLibraryInfo, qVersion
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QLabel

from explorer.core.errors import ExplorerError
from explorer.gui.style import theme
from explorer.system import display


def check_qt(icons: Path) -> str:
    """Draw text and an icon without a screen, and return what did it, such as ``Qt 6.11.3``.

    Raises :class:`ExplorerError` where nothing was drawn: a font, a plugin or an icon is missing.
    """
    # A machine without a screen can be tested too; where one is wanted, the caller names it.
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    plugins = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath))
    with display.reachable(os.environ, plugins):
        app = QApplication.instance() or QApplication(["self-test"])
    assert isinstance(app, QApplication)
    look = theme.theme_for("light")
    theme.apply(app, look, icons)
    label = QLabel("machine-written")
    if _blank(label.grab().toImage()):
        raise ExplorerError("Qt drew no text; install a font.")
    if _blank(theme.icon("app").pixmap(32, 32).toImage()):
        raise ExplorerError(f"Qt drew no icon from {icons}; its SVG plugin is missing.")
    return f"Qt {qVersion()} ({app.platformName()})"


def _blank(image: QImage) -> bool:
    first = image.pixel(0, 0)
    return all(
        image.pixel(x, y) == first for x in range(image.width()) for y in range(image.height())
    )
