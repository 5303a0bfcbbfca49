"""What this program is: version, device, libraries, whose work is inside, where data lives."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from explorer.gui.style import theme
from explorer.gui.style.line_width import window_size
from explorer.gui.widgets.controls import Choice, label
from explorer.gui.widgets.dialog import Dialog
from explorer.gui.widgets.flow import Flow
from explorer.gui.widgets.scroll_column import ScrollColumn
from explorer.system.licences import Licence, licences
from explorer.system.version import Build, build, version

_PURPOSE = (
    "See what GPT-2 really writes. Every kept sample says what it cost: machine-written, so many"
    " tries. Nothing is fetched unless you ask for a download, and nothing is sent."
)
_KINDS = {
    "source": "from source",
    "cpu": "packaged for the CPU",
    "cuda": "packaged for NVIDIA GPUs",
}
_MAIN = ("onnxruntime", "onnxruntime-gpu", "numpy", "tokenizers", "onnx", "huggingface_hub")
"""The libraries that are named; all of them stand in the list of licences."""
_ELSEWHERE = "a folder of your choice"


class AboutDialog(Dialog):
    """One window beside the main one; it blocks nothing."""

    def __init__(
        self,
        resources: Path,
        places: Sequence[tuple[str, Path]],
        device: Callable[[], str],
        parent: QWidget | None = None,
    ) -> None:
        """Make the window; ``device`` says what runs the model at the moment, empty for nothing."""
        super().__init__(parent)
        self.setModal(False)
        self.setWindowTitle("About Sample Explorer")
        self._places, self._device = places, device
        self._build = build(resources)
        self.licences = licences(resources)
        self.device = _fact("Device")
        self.texts = QPlainTextEdit()
        self.texts.setReadOnly(True)
        self.texts.setTabChangesFocus(True)
        self.texts.setAccessibleName("Text of the licence")
        self.inside = Choice("Licences of everything inside")
        for number, each in enumerate(self.licences):
            self.inside.addItem(" ".join(filter(None, (each.name, each.version))), number)
        self.inside.currentIndexChanged.connect(self._show_licence)
        self.copy = QPushButton("Copy diagnostics")
        self.copy.setToolTip(
            "Versions, device and system, to send with a question; no text of yours"
        )
        self.copy.setAutoDefault(False)  # Enter closes the window
        self.copy.clicked.connect(self._on_copy)
        self.copied = label("", "muted")
        self._sized = False
        self._arrange()
        self._show_licence()

    def show_now(self) -> None:
        """Open the window, or bring it to the front, with the device of this moment."""
        self.device.setText(self._device() or "no model is loaded")
        self.copied.setText("")
        if not self._sized:  # after that it is the person's
            self._sized = True
            self.resize(window_size(self, 105, 42))
        self.show()
        self.raise_()
        self.activateWindow()

    def diagnostics(self) -> str:
        """Return what helps to answer a question: no text, no name of a model or a person."""
        lines = [
            described(self._build),
            f"System: {platform.platform()}",
            f"Window: Qt {qVersion()} ({QGuiApplication.platformName()})",
            f"Device: {self._device() or 'no model is loaded'}",
            *(f"{what}: {unnamed(path)}" for what, path in self._places),
            "Inside: " + ", ".join(f"{each.name} {each.version}".strip() for each in self.licences),
        ]
        return "\n".join(lines) + "\n"

    def _arrange(self) -> None:
        inside = ScrollColumn("background")
        column = inside.lines
        margin = 2 * theme.PADDING
        column.setContentsMargins(margin, margin, margin, 0)
        column.setSpacing(theme.PADDING)
        head = QHBoxLayout()
        head.setSpacing(theme.PADDING)
        mark = QLabel()
        mark.setPixmap(theme.icon("app").pixmap(QSize(56, 56), self.devicePixelRatio()))
        mark.setAlignment(Qt.AlignmentFlag.AlignTop)
        head.addWidget(mark)
        words = QVBoxLayout()
        words.setSpacing(theme.UNIT)
        words.addWidget(label("Sample Explorer", "figure"))
        made = described(self._build).partition(" ")[2].partition(" ")[2]
        said = label(made, "muted", wrap=True)
        said.setTextInteractionFlags(_SELECTABLE)
        words.addWidget(said)
        words.addWidget(label(_PURPOSE, "label", wrap=True))
        head.addLayout(words, 1)
        column.addLayout(head)
        column.addLayout(self._facts())
        whose = label("Whose work is inside, and its licence", "title", wrap=True)
        whose.setBuddy(self.inside)
        column.addWidget(whose)
        column.addWidget(self.inside)
        column.addWidget(self.texts, 1)
        foot = Flow()
        foot.setContentsMargins(margin, theme.PADDING, margin, margin)
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        for widget in (self.copy, self.copied):
            foot.add(widget)
        foot.addStretch()
        foot.add(close)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(inside, 1)
        whole.addLayout(foot)

    def _facts(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.PADDING)
        grid.setVerticalSpacing(theme.UNIT)
        grid.setColumnStretch(1, 1)
        libraries = _fact("Libraries")
        named = [each for each in self.licences if each.name in _MAIN]
        versions = [f"Python {platform.python_version()}", f"Qt {qVersion()}"]
        versions += [f"{each.name} {each.version}" for each in named]
        libraries.setText(", ".join(versions))
        rows = [("Device", self.device), ("Libraries", libraries)]
        for what, path in self._places:
            where = _fact(what)
            where.setText(str(path))
            rows.append((what.partition(":")[0], where))
        for row, (what, widget) in enumerate(rows):
            grid.addWidget(label(what, "label"), row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(widget, row, 1)
        return grid

    def _show_licence(self) -> None:
        each = self.licences[self.inside.currentIndex()]
        self.texts.setPlainText(shown(each))

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self.diagnostics())
        self.copied.setText("Copied.")


_SELECTABLE = (
    Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
)


def described(made: Build) -> str:
    """Return what runs in one line: version, how it was made, and from which commit."""
    commit = f", commit {made.commit}" if made.commit else ""
    return f"Sample Explorer {version()}, {_KINDS[made.kind]}{commit}"


def shown(each: Licence) -> str:
    """Return what is read of a licence: its name, then its text."""
    terms = each.terms or "The terms are not named."
    return f"{terms}\n\n{each.text}" if each.text else terms


def unnamed(path: Path) -> str:
    """Return a path without the name of a person: below the home from ``~``, else none."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return _ELSEWHERE


def _fact(name: str) -> QLabel:
    fact = label("", "muted", wrap=True, name=name)
    fact.setTextInteractionFlags(_SELECTABLE)
    return fact
