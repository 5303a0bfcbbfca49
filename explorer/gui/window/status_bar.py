"""The status bar: what runs, where it really runs and why there, how fast, and passing news."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QLabel, QProgressBar, QStatusBar, QWidget

from explorer.engine.messages import Ready
from explorer.gui.widgets.labels import Elided

ASLEEP = "unloaded to free memory; loads again with the next Generate"
NEWS_MS = 6000
"""How long a passing sentence stays."""


class StatusBar(QStatusBar):
    """Model and build | device and reason | news | tokens/s now and a lane."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make a bar that says that nothing is loaded."""
        super().__init__(parent)
        self.setSizeGripEnabled(False)
        self.setContentsMargins(8, 0, 8, 0)
        self.model, self.device, self.news = Elided(), Elided(), Elided()
        self.speed = QLabel()
        self.progress = QProgressBar()
        self.progress.setFixedWidth(120)
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName("Progress")
        for label in (self.model, self.device, self.news, self.speed):
            label.setContentsMargins(4, 0, 8, 0)
        for label, name in ((self.model, "Model"), (self.device, "Device"), (self.news, "News")):
            label.setAccessibleDescription(name)
        self.addWidget(self.model)
        self.addWidget(self.device)
        self.addWidget(self.news, 1)
        self.addPermanentWidget(self.progress)
        self.addPermanentWidget(self.speed)
        self._forget = QTimer(self)
        self._forget.setSingleShot(True)
        self._forget.timeout.connect(self.news.clear)
        self.progress.hide()
        self.show_model("", None)

    def show_model(self, words: str, ready: Ready | None) -> None:
        """Say what is loaded (``demo · 7 M · cpu-int8``) and which device really runs it.

        The tool tip has its full name, and why it is not the GPU.
        """
        self.model.setText(words or "no model loaded")
        if ready is None:
            self.device.setText("")
            return
        brand = ready.device_name or ready.device.upper()
        self.device.setText("CPU" if ready.device == "cpu" else brand)
        self.device.setToolTip(". ".join(filter(None, (brand, ready.reason))))

    def show_asleep(self, asleep: bool) -> None:
        """Say that the model was unloaded, or that it is being loaded again."""
        self.device.setText(ASLEEP if asleep else "loading again…")

    def show_speed(self, tokens_per_second: float, lanes: int) -> None:
        """Say the tokens/s of all streaming lanes together and of one; nothing while none runs."""
        if not lanes or tokens_per_second <= 0:
            self.speed.setText("")
            return
        each = tokens_per_second / lanes
        self.speed.setText(f"{tokens_per_second:,.0f} tok/s, {each:,.0f} a lane")

    def say(self, sentence: str) -> None:
        """Show a passing sentence; a later one replaces it."""
        self.news.setText(sentence)
        self._forget.start(NEWS_MS)

    def show_progress(self, fraction: float | None, words: str = "") -> None:
        """Show how far a long job is (0 to 1; below 0 = unknown), or hide the bar with None."""
        self.progress.setVisible(fraction is not None)
        if fraction is None:
            if self.news.property("progress"):
                self.news.clear()
            self.news.setProperty("progress", False)
            return
        self.progress.setRange(0, 0 if fraction < 0 else 1000)
        self.progress.setValue(round(1000 * max(fraction, 0)))
        self._forget.stop()
        self.news.setProperty("progress", True)
        self.news.setText(words)
