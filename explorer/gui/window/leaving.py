"""Leaving in order when the system asks: a signal, or the end of the desktop session.

What streams then is text that somebody may want: its ends are written before the window goes. A
signal comes at any moment, so Python only notes it; Qt is woken through a socket and closes the
window between two events. The second signal ends the program at once.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType

from PySide6.QtCore import QObject, QSocketNotifier, Slot
from PySide6.QtWidgets import QApplication, QWidget

from explorer.system import interrupt


class Leaving(QObject):
    """Closes the window for the system; ``code`` is what the program ends with then, else 0."""

    def __init__(self, app: QApplication, window: QWidget, save: Callable[[], object]) -> None:
        """Listen until :meth:`close`.

        ``save`` puts on disk what would be lost with the process; the person may still stay, so it
        closes nothing.
        """
        super().__init__(window)
        self._app, self._window, self._save = app, window, save
        self.code = 0
        self._woken, self._waking = socket.socketpair()
        for end in (self._woken, self._waking):
            end.setblocking(False)
        self._notifier = QSocketNotifier(self._woken.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._on_woken)
        self._before_fd = signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, self._on_signal) for number in interrupt.ending_signals()
        }
        app.commitDataRequest.connect(self._on_session_ends)

    def close(self) -> None:
        """Listen no longer; Ctrl+C ends what is left at once."""
        self._app.commitDataRequest.disconnect(self._on_session_ends)
        self._notifier.setEnabled(False)
        signal.set_wakeup_fd(self._before_fd)
        for number, before in self._before.items():
            signal.signal(number, before)
        self._woken.close()
        self._waking.close()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.code = interrupt.code_after(number)
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)

    @Slot()
    def _on_woken(self) -> None:
        self._woken.recv(64)  # and with that Python has called _on_signal
        if self.code:
            try:
                self._window.close()
            finally:
                self._app.exit(self.code)  # also out of a dialog that waits for an answer

    @Slot()
    def _on_session_ends(self) -> None:
        self._save()
