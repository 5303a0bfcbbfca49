"""Keeps the settings on disk a moment after they change, so that a crash costs next to nothing."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from explorer.system.settings import HintName, Settings

DELAY_MS = 400


class SettingsStore(QObject):
    """The present settings; :meth:`change` them and they will be saved."""

    failed = Signal(str)
    """Settings cannot be saved, said once."""

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        """Read the settings at ``path``; where there are none, it is the first start."""
        super().__init__(parent)
        self._path = path
        self._said = ""
        first = not os.path.lexists(path)
        self.settings, self.problem = Settings.read(path)
        """The present settings, and a sentence about what of the file could not be read."""
        if first:
            self.settings = replace(self.settings, hints=get_args(HintName))
        if self.problem:
            self._put_aside()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.timeout.connect(self.flush)

    def change(self, **values: Any) -> None:
        """Replace some settings; what is the same as before is not written again."""
        changed = replace(self.settings, **values)
        if changed != self.settings:
            self.settings = changed
            # Not restarted while it runs: somebody who types without a pause is saved as well.
            if not self._timer.isActive():
                self._timer.start()

    def _put_aside(self) -> None:
        """Keep what somebody wrote by hand, or a disk damaged, out of the way of what is saved."""
        aside = self._path.with_name(f"{self._path.stem}-unread{self._path.suffix}")
        with contextlib.suppress(OSError):
            if self._path.is_file():
                self._path.replace(aside)
                self.problem += f" The file as it was is {aside.name} now."
                self.settings.save(self._path)

    @Slot()
    def flush(self) -> None:
        """Write now."""
        self._timer.stop()
        problem = self.settings.save(self._path)
        if problem and problem != self._said:
            self.failed.emit(problem)
        self._said = problem
