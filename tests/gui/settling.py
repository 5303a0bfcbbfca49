"""Wait until a window has come to rest, however long that takes on this machine."""

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication, QLabel, QWidget

_ROUNDS = 3
"""How often in a row nothing may have moved; what one round moves, the next may answer."""
_MOST = 200
"""Rounds after which something goes round in circles, which is a defect of its own."""


def settle(window: QWidget) -> None:
    """Let layouts, styles and timers without an interval do their work until nothing moves."""
    still = 0
    before: dict[int, tuple[object, ...]] = {}
    moved: set[tuple[int, tuple[object, ...]]] = set()
    for _ in range(_MOST):
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
        QApplication.processEvents()
        now = _looks(window)
        moved = set(now.items()) ^ set(before.items())
        still = 0 if moved else still + 1
        if still == _ROUNDS:
            return
        before = now
    kinds = ", ".join(sorted({type_name for _, (type_name, *_) in moved}))
    raise AssertionError(f"{type(window).__name__} does not come to rest, in {kinds}")


def _looks(window: QWidget) -> dict[int, tuple[object, ...]]:
    """Return what can be seen of every widget, by its identity."""
    return {
        id(each): (
            type(each).__name__,
            each.isVisible(),
            each.geometry().getRect(),
            each.text() if isinstance(each, QLabel) else "",
        )
        for each in [window, *window.findChildren(QWidget)]
    }
