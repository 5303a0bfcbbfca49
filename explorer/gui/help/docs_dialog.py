"""The documentation that ships with the program, to be read in a window of its own.

The pages are the same Markdown files that a checkout has. Their pictures stay behind, and so does
what only a web page could show; a link to another page opens it here, one to the web in a browser.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtCore import QEvent, Qt, QUrl, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QTextBrowser,
    QWidget,
)

from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import GAP, PADDING, UNIT
from explorer.gui.widgets.dialog import Dialog

PAGES: Final = {
    "README.md": "Overview",
    "models.md": "Getting models",
    "memory.md": "Memory",
    "precision.md": "Precision",
    "speed.md": "Speed",
    "conversion.md": "Conversion",
}
"""Names of the files, and what they are called here; packages carry just these."""
_FOR_THE_WEB = ("![", "<details", "</details", "<summary")
_LIST_WIDTH = 40 * UNIT


def page_text(docs: Path, name: str) -> str:
    """Return a page as Markdown without its pictures, or a sentence where it is not there."""
    places = (docs / name, docs.parent / name)  # the overview lies above the others in a checkout
    for place in places:
        try:
            lines = place.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        return "\n".join(line for line in lines if not line.lstrip().startswith(_FOR_THE_WEB))
    return f"This page, {places[0]}, is missing from the installation; install the program again."


@guarded
class DocsDialog(Dialog):
    """Pages on the left, the chosen one on the right; it blocks nothing."""

    def __init__(self, docs: Path, parent: QWidget | None = None) -> None:
        """Make the window on the folder ``docs``; :meth:`show_page` opens it."""
        super().__init__(parent)
        self._docs = docs
        self.setWindowTitle("Documentation")
        self.setModal(False)
        self.resize(220 * UNIT, 160 * UNIT)
        self.pages = QListWidget()
        self.pages.setAccessibleName("Pages")
        self.pages.setFixedWidth(_LIST_WIDTH)
        for name, title in PAGES.items():
            item = QListWidgetItem(title, self.pages)
            item.setData(Qt.ItemDataRole.UserRole, name)
        self.text = QTextBrowser()
        self.text.setProperty("role", "reading")
        self.text.setAccessibleName("Page")
        self.text.setOpenLinks(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(*[PADDING] * 4)
        row.setSpacing(GAP)
        row.addWidget(self.pages)
        row.addWidget(self.text, 1)
        self.pages.currentRowChanged.connect(self._on_row)
        self.text.anchorClicked.connect(self._on_link)

    def show_page(self, name: str = "") -> None:
        """Open the window, on the page of a file if it is named."""
        if name in PAGES or self.pages.currentRow() < 0:
            self.pages.setCurrentRow(list(PAGES).index(name) if name in PAGES else 0)
        self.show()
        self.raise_()
        self.activateWindow()

    def changeEvent(self, event: QEvent) -> None:
        """Write the page anew in the colours and the size of another look."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self.pages.currentRow() >= 0:
            self._on_row(self.pages.currentRow())

    @Slot(int)
    def _on_row(self, row: int) -> None:
        if 0 <= row < len(PAGES):
            self.text.setMarkdown(page_text(self._docs, list(PAGES)[row]))

    @Slot(QUrl)
    def _on_link(self, link: QUrl) -> None:
        name = Path(link.path()).name
        if link.scheme() in ("http", "https"):
            QDesktopServices.openUrl(link)
        elif name in PAGES:
            self.show_page(name)
