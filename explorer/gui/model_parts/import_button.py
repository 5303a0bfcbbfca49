"""Import…: a button that asks whether the model is a folder or a file, then for which one."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QMenu, QPushButton, QWidget

FILES = (
    "Models (*.safetensors *.onnx *.onnx_data *.index *.meta *.data-* *.json checkpoint);;"
    "All files (*)"
)
_NOTE = (
    "A GPT-2 as a folder or one of its files: Hugging Face (config.json,\n"
    "model.safetensors, tokenizer), OpenAI's release (model.ckpt, hparams.json)\n"
    "or an ONNX export. You can also drop it on the window."
)


class ImportButton(QPushButton):
    """Opens a menu, then a dialog that blocks nothing."""

    chosen = Signal(Path)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the button with its menu."""
        super().__init__("Import…", parent)
        self.setAccessibleName("Import a model")
        self.setToolTip(_NOTE)
        menu = QMenu(self)
        menu.addAction("From a &folder…", lambda: self.ask(folder=True))
        menu.addAction("From a f&ile…", lambda: self.ask(folder=False))
        self.setMenu(menu)

    def set_busy(self, title: str) -> None:
        """Be silent while something else goes on, and say what; empty = ready."""
        self.setEnabled(not title)
        self.setToolTip(f"{title} is still going on." if title else _NOTE)

    def ask(self, *, folder: bool) -> None:
        """Open the dialog; its answer comes as :attr:`chosen`."""
        if not self.isEnabled():
            return
        dialog = QFileDialog(self, "Import a GPT-2 folder" if folder else "Import a GPT-2 file")
        if folder:
            dialog.setFileMode(QFileDialog.FileMode.Directory)
            dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        else:
            dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
            dialog.setNameFilters(FILES.split(";;"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_selected)
        dialog.open()

    def _on_selected(self, path: str) -> None:
        if path:
            self.chosen.emit(Path(path))
