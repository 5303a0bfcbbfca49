"""Wait until a window has come to rest, however long that takes on this machine."""

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication, QLabel, QWidget

_ROUNDS = 3
"""How often in a row nothing may have moved; what one round moves, the next may answer."""
_MOST = 200
"""Rounds after which something goes round in circles, which is a defect of its own."""


def settle(window: QWidget) -> None:
    """Let layouts, styles and timers without an interval do their work until nothing moves."""
    still, before = 0, None
    for _ in range(_MOST):
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
        QApplication.processEvents()
        now = _looks(window)
        still = still + 1 if now == before else 0
        if still == _ROUNDS:
            return
        before = now
    raise AssertionError(f"{type(window).__name__} does not come to rest")


def _looks(window: QWidget) -> list[tuple[object, ...]]:
    widgets = [window, *window.findChildren(QWidget)]
    return [
        (
            id(each),
            each.isVisible(),
            each.geometry().getRect(),
            each.text() if isinstance(each, QLabel) else "",
        )
        for each in widgets
    ]
