"""Three short hints for whoever starts the program for the first time, each shown until it is done.

A hint is a quiet line where it is needed. It takes no focus. Its room stays free for as long as the
window is open, or belongs to what stands beside it, so that nothing moves when it goes.
"""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from explorer.gui.settings_store import SettingsStore
from explorer.gui.style.theme import UNIT
from explorer.gui.widgets.controls import label
from explorer.system.settings import HintName


class Hint(QWidget):
    """A line that can be closed; hidden until it is shown."""

    closed = Signal()

    def __init__(self, words: str, about: str, keeps_room: bool = True) -> None:
        """Say ``words``; the button that closes them is named after what they are ``about``.

        ``keeps_room`` leaves its room free when it has gone.
        """
        super().__init__()
        self._keeps_room = keeps_room
        self.words = label(words, "muted", wrap=True)
        self.close_button = QPushButton("✕")
        self.close_button.setProperty("role", "link")  # no higher than the line
        self.close_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves it where it is
        self.close_button.setAccessibleName(f"Close the hint about {about}")
        self.close_button.setToolTip("Close the hint")
        self.close_button.clicked.connect(self.closed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(UNIT)
        row.addWidget(self.words, 1)
        row.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def put_away(self) -> None:
        """Go, and leave the room free where nothing else takes it."""
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(self._keeps_room)
        self.setSizePolicy(policy)
        self.hide()


class Hints(QObject):
    """Shows the hints that the settings name, and forgets each once it is done or closed."""

    def __init__(
        self, settings_store: SettingsStore, hints: Mapping[HintName, Hint], parent: QObject
    ) -> None:
        """Show those of ``hints`` that are still to be shown."""
        super().__init__(parent)
        self._settings_store, self._hints = settings_store, hints
        for name, hint in hints.items():
            if name in settings_store.settings.hints:
                hint.closed.connect(lambda name=name: self.done(name))
                hint.show()

    def done(self, name: HintName) -> None:
        """Put a hint away for good: what it says was done, or it was closed."""
        shown = self._settings_store.settings.hints
        if name in shown:
            self._settings_store.change(hints=tuple(each for each in shown if each != name))
            self._hints[name].put_away()
