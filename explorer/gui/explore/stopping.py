"""What Stop would stop, in words: on the button, which ends all tries, and in the menu.

Esc and the entry of the menu end the lane that has the focus if it streams, else all of them; the
button shows Esc only while both mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QApplication

from explorer.gui.engine_loop import EngineLoop
from explorer.gui.explore.lanes_view import LanesView
from explorer.gui.widgets.key_button import KeyButton

_NUMBERS = {3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}


def words_for(lanes: Sequence[int]) -> str:
    """Return what stopping these lanes, counted from 0, is called."""
    if len(lanes) == 1:
        return f"Stop lane {lanes[0] + 1}"
    if len(lanes) == 2:
        return "Stop both"
    return f"Stop all {_NUMBERS.get(len(lanes), len(lanes))}" if lanes else "Stop"


class Stopping(QObject):
    """Keeps the words of the button and of the menu true."""

    changed = Signal(str)
    """What Esc stops."""

    def __init__(
        self, engine_loop: EngineLoop, lanes: LanesView, button: KeyButton, parent: QObject
    ) -> None:
        """Follow what streams and where the focus is."""
        super().__init__(parent)
        self._engine_loop, self._lanes, self._button = engine_loop, lanes, button
        for signal in (
            engine_loop.running_changed,
            engine_loop.counts_changed,
            engine_loop.hunt_changed,
            engine_loop.lanes_changed,
            lanes.lane_chosen,
        ):
            signal.connect(self.show_words)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._on_focus)
        self.show_words()

    @Slot()
    def _on_focus(self) -> None:
        # A window that goes passes the focus on from one of its parts to the next; the part that
        # had it is half gone by then, so it is not asked for.
        now = QApplication.focusWidget()
        if now is not None and now.window().isVisible():
            self.show_words()

    @Slot()
    def show_words(self) -> None:
        """Say it anew."""
        lanes, engine_loop = self._lanes, self._engine_loop
        # The review has as many lanes as the hunt began with; the screen may differ until the next.
        streaming = [n for n in range(engine_loop.review.lanes) if engine_loop.streams(n)]
        one = lanes.has_focus() and lanes.chosen in streaming
        everything = words_for(streaming)
        self._button.set_words(everything)
        self._button.show_keys(not one or len(streaming) == 1)
        self.changed.emit(words_for([lanes.chosen]) if one else everything)
