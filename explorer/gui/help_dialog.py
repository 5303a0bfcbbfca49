"""What the keys do, and what this program is."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QFrame, QGridLayout, QLabel, QVBoxLayout, QWidget

from explorer.gui import theme
from explorer.gui.controls import label
from explorer.version import version

_KEYS = (
    ("Ctrl+Enter", "Generate: go on with the hunt, or begin one"),
    ("Esc", "Stop the lane that has the focus, or all of them"),
    ("1 – 8, arrows", "Choose a lane"),
    ("A", "Keep"),
    ("X", "Reject; the next try starts at once"),
    ("Space", "Skip"),
    ("Shift+A", "Keep this one, reject the rest"),
    ("Ctrl+Z, Z", "Undo a verdict, as far back as you like"),
    ("Ctrl+Shift+Z, Ctrl+Y", "Redo"),
    ("Page Up, Page Down", "Scroll in the chosen lane"),
    ("Ctrl+L", "Edit the prompt"),
    ("Ctrl+T", "All tries of the hunt"),
    ("Ctrl+O, Ctrl+D", "Import a model, download one"),
    ("Ctrl+E", "Export the collection"),
    ("Alt+1 – Alt+5", "Explore, Collection, History, Models, Settings"),
    ("Ctrl+B", "Show or hide the collection"),
    ("Ctrl++, Ctrl+-, Ctrl+0", "Size of the text"),
)
_ABOUT = (
    "Sample Explorer {version}\n\n"
    "See what GPT-2 really writes. Every kept sample says what it cost: machine-written, so many"
    " tries. Nothing that was tried is forgotten.\n\n"
    "The program opens a network connection only for a download that you ask for, and sends no"
    " statistics. Licence: MIT."
)


class HelpDialog(QDialog):
    """One small window for both; it blocks nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the window; the ``show_`` methods fill it."""
        super().__init__(parent)
        self.setModal(False)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(*[2 * theme.PADDING] * 4)
        self._keys = self._make_keys()
        self._about = label(_ABOUT.format(version=version()), "label", wrap=True)
        self._about.setMinimumWidth(100 * theme.UNIT)
        self._column.addWidget(self._keys)
        self._column.addWidget(self._about)

    def show_keys(self) -> None:
        """List the keys."""
        self._show(self._keys, "Keys")

    def show_about(self) -> None:
        """Say what this is."""
        self._show(self._about, "About Sample Explorer")

    def _show(self, content: QWidget, title: str) -> None:
        for widget in (self._keys, self._about):
            widget.setVisible(widget is content)
        self.setWindowTitle(title)
        self.adjustSize()
        self.show()
        self.raise_()

    @staticmethod
    def _make_keys() -> QFrame:
        frame = QFrame()
        grid = QGridLayout(frame)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.PADDING)
        grid.setVerticalSpacing(2 * theme.UNIT)
        note = label("Keys of the lanes are silent while you type.", "muted")
        for row, (keys, what) in enumerate(_KEYS):
            cap: QLabel = label(keys, "key")
            grid.addWidget(cap, row, 0, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(label(what, "label"), row, 1)
        grid.addWidget(note, len(_KEYS), 1)
        return frame
