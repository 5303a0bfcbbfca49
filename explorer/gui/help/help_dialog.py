"""What the keys do."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QVBoxLayout, QWidget

from explorer.gui.style import theme
from explorer.gui.widgets.controls import label
from explorer.gui.widgets.dialog import Dialog
from explorer.gui.widgets.scroll_column import ScrollColumn

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
    ("Ctrl+C", "Copy the text of the lane, or of the row in a list"),
    ("Ctrl+Shift+C", "Copy it with prompt, caption and settings"),
    ("Ctrl+F, Esc", "Filter the list of the page; empty the filter"),
    ("Ctrl+L", "Edit the prompt"),
    ("Ctrl+T", "All tries of the hunt; the keys that judge work there too"),
    ("Ctrl+O, Ctrl+D", "Import a model, download one"),
    ("Ctrl+E", "Export the collection"),
    ("Alt+1 – Alt+5", "Explore, Collection, History, Models, Settings"),
    ("Ctrl+B", "Show or hide the collection"),
    ("Ctrl++, Ctrl+-, Ctrl+0", "Size of the text"),
)


class HelpDialog(Dialog):
    """One small window; it blocks nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the window; :meth:`show_keys` opens it."""
        super().__init__(parent)
        self.setModal(False)
        self.setWindowTitle("Keys")
        inside = ScrollColumn("background")
        inside.lines.setContentsMargins(*[2 * theme.PADDING] * 4)
        inside.lines.addWidget(self._make_keys())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(inside)

    def show_keys(self) -> None:
        """List the keys."""
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
