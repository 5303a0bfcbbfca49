"""The model: choose among installed ones and their builds, import a folder or drop it.

The picker shows and asks. Importing is a long job that somebody else runs; its progress comes back
as one line with a bar and a Cancel that works at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QStandardItemModel
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from explorer.gui.controls import Choice, label
from explorer.gui.theme import UNIT, set_role
from explorer.manifest import BUILD_NAMES, Manifest


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


def parameters(count: int) -> str:
    """Write a number of parameters as people say it: ``7 M``, ``124 M``, ``1.6 B``."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            decimals = 1 if letter == "B" and count < 9.95e9 else 0
            return f"{count / size:.{decimals}f} {letter}"
    return str(count)


def dropped_folder(mime: QMimeData) -> Path | None:
    """Return the local folder that is dragged, or that of a dragged config.json or weights."""
    urls = mime.urls()
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    path = Path(urls[0].toLocalFile())
    folder = path if path.is_dir() else path.parent
    return folder if path.is_dir() or path.name in ("config.json", "model.safetensors") else None


class ModelPicker(QFrame):
    """Model and build, import, progress, and what is wrong where something is."""

    model_chosen = Signal(str, str)
    """``(name, build)``; the build may still have to be made."""
    import_requested = Signal(Path)
    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make a picker without models."""
        super().__init__(parent)
        self._models: tuple[InstalledModel, ...] = ()
        self.setAcceptDrops(True)
        self.models = Choice("Model")
        self.builds = Choice("Build")
        self.builds.setToolTip("The model made for one device class and precision")
        self.import_button = QPushButton("Import…")
        self.import_button.setProperty("role", "quiet")
        self.import_button.setAccessibleName("Import a model folder")
        self.import_button.setToolTip(
            "A GPT-2 folder in Hugging Face layout:\nconfig.json, model.safetensors, tokenizer.\n"
            "You can also drop it here."
        )
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.progress = label("", "muted")
        self.progress.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.cancel = QPushButton("Cancel")
        self.cancel.setProperty("role", "quiet")
        self.cancel.setAccessibleName("Cancel the import")
        self.problem = label("", "label", wrap=True)
        self.problem.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._problem_strip = QFrame()
        self._problem_strip.setProperty("role", "problem")
        self._problem_strip.hide()
        self._arrange()
        self.set_progress(None, "")
        self.models.activated.connect(self._on_model_activated)
        self.builds.activated.connect(self._on_build_activated)
        self.import_button.clicked.connect(self.ask_for_folder)
        self.cancel.clicked.connect(self.cancel_requested)

    def _arrange(self) -> None:
        head = QHBoxLayout()
        self.heading = label("Model", "title", buddy=self.models)
        head.addWidget(self.heading)
        head.addStretch()
        head.addWidget(self.import_button)
        row = QHBoxLayout()
        row.setSpacing(2 * UNIT)
        row.addWidget(self.models, 3)
        row.addWidget(self.builds, 2)
        self._working = QWidget()
        work = QHBoxLayout()
        work.addWidget(self.progress, 1)
        work.addWidget(self.cancel)
        lines = QVBoxLayout(self._working)
        lines.setContentsMargins(0, UNIT, 0, 0)
        lines.setSpacing(0)
        lines.addWidget(self.bar)
        lines.addLayout(work)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT)
        column.addLayout(head)
        column.addLayout(row)
        column.addWidget(self._working)
        strip = QVBoxLayout(self._problem_strip)
        strip.setContentsMargins(2 * UNIT, 2 * UNIT, 2 * UNIT, 2 * UNIT)
        strip.addWidget(self.problem)
        column.addWidget(self._problem_strip)

    # What the window tells

    def set_models(
        self, models: Sequence[InstalledModel], current: str = "", build: str = ""
    ) -> None:
        """Show installed models, ``current`` and its ``build`` chosen; broken ones are grey."""
        self._models = tuple(models)
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

    def set_progress(self, fraction: float | None, text: str) -> None:
        """Show how far a job is (0 to 1, None = unknown) and what it does; no text = no job."""
        running = bool(text)
        self._working.setVisible(running)
        self.import_button.setEnabled(not running)
        self.bar.setRange(0, 0 if running and fraction is None else 1000)
        self.bar.setValue(0 if fraction is None else round(1000 * min(max(fraction, 0), 1)))
        self.bar.setAccessibleDescription(text)
        self.progress.setText(text)
        self.progress.setToolTip(text)

    def set_problem(self, text: str) -> None:
        """Say what is wrong with the model and what can be done; empty = nothing."""
        self.problem.setText(text)
        self._problem_strip.setVisible(bool(text))

    def ask_for_folder(self) -> None:
        """Open the folder dialog; its answer comes as ``import_requested``."""
        dialog = QFileDialog(self, "Import a GPT-2 folder")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_folder_selected)
        dialog.open()

    # What a person does

    def _model(self, name: str) -> InstalledModel | None:
        return next((model for model in self._models if model.name == name), None)

    def _show_builds(self, build: str) -> None:
        model = self._model(self.models.currentData() or "")
        made = model.manifest.builds if model and model.manifest else {}
        self.builds.clear()
        for name in BUILD_NAMES if model else ():
            self.builds.addItem(name if name in made else f"{name}, to be made", name)
        first = next((name for name in BUILD_NAMES if name in made), "cpu-int8")
        self.builds.choose(build if build in BUILD_NAMES else first)
        self.builds.setEnabled(model is not None)

    def _on_model_activated(self, _index: int) -> None:
        self._show_builds(self.builds.currentData() or "")
        self.set_problem("")
        self.model_chosen.emit(*self.current())

    def _on_build_activated(self, _index: int) -> None:
        self.model_chosen.emit(*self.current())

    def _on_folder_selected(self, folder: str) -> None:
        if folder:
            self.import_requested.emit(Path(folder))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Welcome a folder."""
        if dropped_folder(event.mimeData()) is None or not self.import_button.isEnabled():
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
        folder = dropped_folder(event.mimeData())
        self._calm()
        if folder is not None:
            event.acceptProposedAction()
            self.import_requested.emit(folder)

    def _calm(self) -> None:
        self.heading.setText("Model")
        set_role(self.heading, "title")
