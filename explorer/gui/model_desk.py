"""Finds, makes and imports models for the window, in a child process, with a line of progress."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from explorer.engine.tokens import Tokens
from explorer.errors import ExplorerError
from explorer.gui.controller import Loaded
from explorer.jobs import Done, Failed, Job, Progress
from explorer.manifest import Manifest
from explorer.paths import Paths
from explorer.weights.store import Installed, Store, ensure_build, import_model

POLL_MS = 50

log = logging.getLogger(__name__)


class ModelDesk(QObject):
    """One job at a time: a later request replaces the one that runs."""

    listed = Signal()
    """The installed models have changed."""
    progress = Signal(object, str)
    """(fraction or None = unknown, words); empty words = nothing runs."""
    opened = Signal(object)
    """:class:`Loaded`: a model folder that has the build that was asked for."""
    failed = Signal(str)

    def __init__(
        self, paths: Paths, wanted_build: Callable[[], str], parent: QObject | None = None
    ) -> None:
        """Work below ``paths``; ``wanted_build`` names what this machine's best device runs."""
        super().__init__(parent)
        self._paths = paths
        self._store = Store(paths)
        self._wanted_build = wanted_build
        self._job: Job | None = None
        self._finish: Callable[[Any], None] = lambda _: None
        self._words = ""
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._on_tick)

    def models(self) -> list[Installed]:
        """Return the installed models, broken ones too."""
        try:
            return self._store.list()
        except ExplorerError as error:
            self.failed.emit(str(error))
            return []

    def open(self, model: str, build: str = "") -> None:
        """Bring out a model with a build, the one that suits the device if none is named."""
        build = build or self._wanted_build()
        if (folder := self._made(model, build)) is not None:
            self.cancel()
            self._on_folder(folder, build)
            return
        self._begin(
            f"Preparing {model} ({build})",
            lambda folder: self._on_folder(Path(folder), build),
            ensure_build,
            self._paths,
            model,
            build,
        )

    def import_folder(self, source: Path) -> None:
        """Import a GPT-2 folder, then open it."""
        build = self._wanted_build()
        self._begin(
            f"Importing {source.name}",
            lambda model: self._on_imported(model.name, build),
            import_model,
            self._paths,
            source,
            None,
            build,
        )

    def cancel(self) -> None:
        """End what runs, at once."""
        if self._job is not None:
            self._job.cancel()
            self._end()
            self._say_idle()

    def _made(self, model: str, build: str) -> Path | None:
        """Return the folder of a model whose build is there already."""
        try:
            found = self._store.find(model)
        except ExplorerError:
            return None  # the job says so, in the same words
        return found.folder if found.has(build) else None

    def _begin(self, words: str, finish: Callable[[Any], None], work: Any, *args: Any) -> None:
        self.cancel()
        self._words, self._finish = words, finish
        self.progress.emit(None, words)
        self._job = Job.start(work, *args)
        self._timer.start()

    @Slot()
    def _on_tick(self) -> None:
        job = self._job
        for event in job.poll() if job is not None else []:
            match event:
                case Progress(fraction, text):
                    self.progress.emit(fraction, f"{self._words}: {text}" if text else self._words)
                case Done(result):
                    self._end()
                    # What follows first: until the model is open nobody must think none is coming.
                    self._finish(result)
                    self._say_idle()
                case Failed(message, details):
                    self._end()
                    self._say_idle()
                    if details:
                        log.error("a job failed: %s", details)
                    self.failed.emit(message)
                    self.listed.emit()

    def _end(self) -> None:
        self._job = None
        self._timer.stop()

    def _say_idle(self) -> None:
        if self._job is None:  # what finished may have begun the next
            self.progress.emit(None, "")

    def _on_imported(self, name: str, build: str) -> None:
        self.listed.emit()
        self.open(name, build)

    def _on_folder(self, folder: Path, build: str) -> None:
        try:
            manifest = Manifest.read(folder)
            tokens = Tokens.from_folder(folder, manifest.end_of_text)
            loaded = Loaded(folder, manifest, build, tokens)
        except ExplorerError as error:
            self.failed.emit(str(error))
            return
        self.listed.emit()
        self.opened.emit(loaded)
