"""The model: choose among installed ones and their builds, import one or drop it.

The picker shows and asks. Importing, and making a build that is not there, is work that somebody
else does; how far it is comes back as one line with a bar, and with Pause and Cancel that work at
once. What else can be done with models is on a page of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QStandardItemModel
from PySide6.QtWidgets import (
    QFrame,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from explorer.core.errors import ExplorerError
from explorer.core.manifest import BUILD_NAMES, Manifest
from explorer.gui.model_parts.import_button import ImportButton
from explorer.gui.model_parts.import_panel import ImportPanel
from explorer.gui.model_parts.model_tasks import Task
from explorer.gui.model_parts.model_words import parameters, precision_words
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import UNIT, set_role
from explorer.gui.widgets.controls import SHORT_WORDS, Choice, label
from explorer.gui.widgets.flow import Flow
from explorer.gui.widgets.labels import Elided
from explorer.weights.formats.untrusted_folder import folder_of

REFUSED = (
    *(".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack", ".gguf", ".ggml"),
    *(".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"),
)
"""Endings of files that people take for a model and that cannot be read as one."""


class InstalledModel(Protocol):
    """What the picker needs to know of an installed model."""

    @property
    def name(self) -> str:
        """The name it is called by."""

    @property
    def manifest(self) -> Manifest | None:
        """What its folder says; None where it was not made yet or cannot be read."""

    @property
    def problem(self) -> str:
        """Why it cannot be used, as a sentence; empty where it can."""


def dropped_path(mime: QMimeData) -> Path | None:
    """Return the one local folder or file that is dragged, if it may be, or pretend to be, a model.

    A file in a format that is refused is welcome too: its refusal says what to do instead.
    """
    urls = mime.urls()
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    path = Path(urls[0].toLocalFile())
    if path.is_dir() or path.suffix.lower() in REFUSED:
        return path
    try:
        folder_of(path)
    except ExplorerError:
        return None
    return path if path.is_file() else None


@guarded
class ModelPicker(QFrame):
    """Model and build, import, progress, and what is wrong where something is."""

    model_chosen = Signal(str, str)
    """``(name, build)``; the build may still have to be made."""
    import_requested = Signal(Path)
    page_requested = Signal()
    """The page with everything else that can be done with models."""
    pause_requested = Signal()
    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make a picker without models."""
        super().__init__(parent)
        self._models: tuple[InstalledModel, ...] = ()
        self._quality: Mapping[str, str] = {}
        self.setAcceptDrops(True)
        self.models = Choice("Model")
        self.builds = Choice("Build")
        self.builds.setToolTip("The model made for one device class and precision")
        self.import_button = ImportButton()
        self.import_button.setProperty("role", "quiet")
        self.naming = ImportPanel(self.models)
        self.more = QPushButton("Models…")
        self.more.setProperty("role", "quiet")
        self.more.setAccessibleName("All models: download, convert, verify, remove")
        self.more.setToolTip("Download, convert, verify, measure and remove models")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.progress = Elided()
        self.progress.setProperty("role", "muted")
        self.words = label("", "muted", wrap=True)
        self.cancel = QPushButton("Cancel")
        self.cancel.setProperty("role", "quiet")
        self.cancel.setAccessibleName("Cancel what is being done to a model")
        self.pause = QPushButton("Pause")
        self.pause.setProperty("role", "quiet")
        self.pause.setAccessibleName("Pause the download")
        self.problem = label("", "label", wrap=True)
        self.problem.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._problem_strip = QFrame()
        self._problem_strip.setProperty("role", "problem")
        self._problem_strip.hide()
        self._arrange()
        self.set_task(None)
        self.models.activated.connect(self._on_model_activated)
        self.builds.activated.connect(self._on_build_activated)
        self.import_button.chosen.connect(self.import_requested)
        self.more.clicked.connect(self.page_requested)
        self.pause.clicked.connect(self.pause_requested)
        self.cancel.clicked.connect(self.cancel_requested)

    def _arrange(self) -> None:
        head = Flow(spacing=UNIT)
        self.heading = label("Model", "title", buddy=self.models)
        head.add(self.heading)
        head.addStretch()
        head.add(self.more)
        head.add(self.import_button)
        row = Flow()
        row.add(self.models, 3)
        row.add(self.builds, 2)
        self._working = QWidget()
        work = Flow(spacing=UNIT)
        work.add(self.progress, 1)
        work.add(self.pause)
        work.add(self.cancel)
        lines = QVBoxLayout(self._working)
        lines.setContentsMargins(0, UNIT, 0, 0)
        lines.setSpacing(0)
        lines.addWidget(self.bar)
        lines.addLayout(work)
        lines.addWidget(self.words)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT)
        column.addLayout(head)
        column.addLayout(row)
        column.addWidget(self.naming)
        column.addWidget(self._working)
        strip = QVBoxLayout(self._problem_strip)
        strip.setContentsMargins(2 * UNIT, 2 * UNIT, 2 * UNIT, 2 * UNIT)
        strip.addWidget(self.problem)
        column.addWidget(self._problem_strip)

    # What the window tells

    def set_models(
        self,
        models: Sequence[InstalledModel],
        current: str = "",
        build: str = "",
        quality: Mapping[str, str] | None = None,
    ) -> None:
        """Show installed models, ``current`` and its ``build`` chosen; broken ones are grey.

        ``quality`` says by build what its precision costs.
        """
        self._models = tuple(models)
        self._quality = quality or {}
        self.models.clear()
        for model in self._models:
            size = f" · {parameters(model.manifest.parameters)}" if model.manifest else ""
            self.models.addItem(model.name + size, model.name)
            if model.problem:
                row = self.models.count() - 1
                self.models.setItemData(row, model.problem, Qt.ItemDataRole.ToolTipRole)
                items = self.models.model()
                if isinstance(items, QStandardItemModel):
                    items.item(row).setEnabled(False)
        self.models.setEnabled(bool(self._models))
        self.models.setPlaceholderText("none installed" if not self._models else "choose one")
        self.models.setCurrentIndex(self.models.findData(current))
        self._show_builds(build)
        chosen = self._model(current)
        if chosen and chosen.problem:
            self.set_problem(chosen.problem)

    def current(self) -> tuple[str, str]:
        """Return the chosen ``(name, build)``; empty texts where there is none."""
        return self.models.currentData() or "", self.builds.currentData() or ""

    def set_task(self, task: Task | None, busy: Task | None = None) -> None:
        """Show how far a task is; nothing may be imported while ``busy`` goes on."""
        running = task is not None
        fraction = task.fraction if task else None
        self._working.setVisible(running)
        self.pause.setVisible(task is not None and task.pausable)
        # Throwing away what was fetched is asked about, which the Models page has the room for.
        self.cancel.setVisible(task is not None and not task.pausable)
        self.import_button.set_busy(busy.title if busy else "")
        self.bar.setRange(0, 0 if running and fraction is None else 1000)
        self.bar.setValue(0 if fraction is None else round(1000 * min(max(fraction, 0), 1)))
        self.bar.setAccessibleDescription(task.line if task else "")
        self.progress.setText(task.title if task else "")
        self.words.setText(task.words if task else "")
        self.words.setVisible(bool(task and task.words))

    def set_problem(self, text: str) -> None:
        """Say what is wrong with the model and what can be done; empty = nothing."""
        self.problem.setText(text)
        self.problem.setToolTip(text)
        self._problem_strip.setVisible(bool(text))

    # What a person does

    def _model(self, name: str) -> InstalledModel | None:
        return next((model for model in self._models if model.name == name), None)

    def _show_builds(self, build: str) -> None:
        model = self._model(self.models.currentData() or "")
        made = model.manifest.builds if model and model.manifest else {}
        self.builds.clear()
        for name in BUILD_NAMES if model else ():
            self.builds.addItem(name if name in made else f"{name}, to be converted", name)
            note = precision_words(name, made.get(name), self._quality.get(name, ""))
            self.builds.setItemData(self.builds.count() - 1, note, Qt.ItemDataRole.ToolTipRole)
            self.builds.setItemData(self.builds.count() - 1, name, SHORT_WORDS)
        first = next((name for name in BUILD_NAMES if name in made), "cpu-int8")
        self.builds.choose(build if build in BUILD_NAMES else first)
        self.builds.setEnabled(model is not None)

    def _on_model_activated(self, _index: int) -> None:
        self._show_builds(self.builds.currentData() or "")
        self.set_problem("")
        self.model_chosen.emit(*self.current())

    def _on_build_activated(self, _index: int) -> None:
        self.model_chosen.emit(*self.current())

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Welcome a folder, or a file of one."""
        if dropped_path(event.mimeData()) is None or not self.import_button.isEnabled():
            event.ignore()
            return
        event.acceptProposedAction()
        self.heading.setText("Drop it to import it")
        set_role(self.heading, "accent")

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Say again what this is."""
        self._calm()
        super().dragLeaveEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        """Ask for the import of what was dropped."""
        path = dropped_path(event.mimeData())
        self._calm()
        if path is not None:
            event.acceptProposedAction()
            self.import_requested.emit(path)

    def _calm(self) -> None:
        self.heading.setText("Model")
        set_role(self.heading, "title")
