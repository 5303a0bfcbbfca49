"""Download a model: one of the catalogue, or any repository of the hub by its id.

Nothing is fetched before it has been said what, from where, how much and under which licence. Of
the catalogue that is known; of another repository the hub is asked first, and then once more the
person.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from explorer.core.manifest import BUILD_NAMES
from explorer.core.wording import number_of
from explorer.gui.model_parts.model_words import PRECISIONS, parameters
from explorer.gui.models.model_rows import Row, RowList
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import GAP, PADDING, UNIT
from explorer.gui.widgets.controls import Choice, Labelled, Line, label
from explorer.weights.hub.catalogue import CatalogueEntry
from explorer.weights.hub.download_preview import DownloadPreview
from explorer.weights.hub.transfer_rate import size

HUB = "huggingface.co"
LINES = 3
"""Of the words below the fields, so that nothing moves when a download begins."""


def hub_host() -> str:
    """Return the host that downloads come from: the hub, or the mirror that HF_ENDPOINT names."""
    return urlsplit(os.environ.get("HF_ENDPOINT", "")).netloc or HUB


@guarded
class CataloguePanel(QFrame):
    """The catalogue, a field for any repository, and what will be fetched."""

    download_asked = Signal(str, str, str, str)
    """``(repository, revision, name, build)``; an empty name = after the repository."""
    look_asked = Signal(str, str)
    """``(repository, revision)``: what would be fetched?"""
    closed = Signal()

    def __init__(
        self, entries: Sequence[CatalogueEntry], build: str, parent: QWidget | None = None
    ) -> None:
        """Offer ``entries``; ``build`` is the one that suits this machine."""
        super().__init__(parent)
        self.setProperty("role", "card")
        self._entries = {entry.repository: entry for entry in entries}
        self._here: Mapping[tuple[str, str], str] = {}
        self._names: frozenset[str] = frozenset()
        self._filled = ""  # the revision that the program put into its field
        self._busy = ""
        self._found: DownloadPreview | None = None
        self.list = RowList("Catalogue")
        self.repository = Line()
        self.repository.setPlaceholderText("owner/name")
        self.repository.setAccessibleName("Repository on the hub")
        self.repository.setClearButtonEnabled(True)
        self.revision = Line()
        self.revision.setPlaceholderText("main")
        self.revision.setAccessibleName("Revision: a commit, tag or branch")
        self.builds = Choice(
            "Build to make", [(name, name, PRECISIONS[name]) for name in BUILD_NAMES]
        )
        self.builds.choose(build)
        self.summary = label("", "muted", wrap=True, name="What will be fetched")
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.download = QPushButton("Download")
        self.download.setProperty("role", "primary")
        self.download.setAccessibleName("Download the model")
        self.close_button = QPushButton("Close")
        self.close_button.setProperty("role", "quiet")
        self.close_button.setAccessibleName("Close the catalogue")
        self._arrange()
        self.list.rows.set_rows(self._rows())
        self.list.chosen.connect(self._on_chosen)
        self.list.taken.connect(self._on_taken)
        self.repository.textEdited.connect(self._on_typed)
        self.revision.textEdited.connect(self._on_typed)
        self.revision.textChanged.connect(self.revision.setToolTip)
        self.repository.textChanged.connect(self.repository.setToolTip)
        self.repository.returnPressed.connect(self._on_download)
        self.revision.returnPressed.connect(self._on_download)
        self.builds.activated.connect(self._summarise)
        self.download.clicked.connect(self._on_download)
        self.close_button.clicked.connect(self.closed)
        self._summarise()

    def _arrange(self) -> None:
        head = QHBoxLayout()
        head.addWidget(label("Download a model", "title"))
        head.addStretch()
        head.addWidget(self.close_button)
        fields = QHBoxLayout()
        fields.setSpacing(2 * UNIT)
        fields.addWidget(Labelled("Any repository", self.repository), 3)
        fields.addWidget(Labelled("Revision", self.revision), 2)
        fields.addWidget(Labelled("Build", self.builds), 2)
        foot = QHBoxLayout()
        foot.setSpacing(GAP)
        foot.addWidget(self.summary, 1)
        foot.addWidget(self.download, 0, Qt.AlignmentFlag.AlignBottom)
        column = QVBoxLayout(self)
        column.setContentsMargins(PADDING, PADDING, PADDING, PADDING)
        column.setSpacing(GAP)
        column.addLayout(head)
        column.addWidget(self.list, 1)
        column.addLayout(fields)
        column.addLayout(foot)

    # What the page tells

    def set_state(
        self,
        here: Mapping[tuple[str, str], str],
        names: Collection[str] = (),
        busy: str = "",
    ) -> None:
        """Say what is installed, and what goes on that a download must wait for.

        ``here`` has a name for each (repository, revision), ``names`` are those that are taken.
        """
        self._here, self._busy = dict(here), busy
        self._names = frozenset(name.casefold() for name in names)
        self.list.rows.set_rows(self._rows())
        self._summarise()

    def show_found(self, found: DownloadPreview) -> None:
        """Show what the hub answered about a repository: what would be fetched."""
        self._found = found
        self._fill(found.repository, found.revision)
        first = self.download if self.download.isEnabled() else self.repository
        first.setFocus(Qt.FocusReason.OtherFocusReason)

    def begin(self) -> None:
        """Take the keyboard: the chosen row, or the field where no row is there to show it."""
        if not self.list.current() and not self.repository.text() and self._entries:
            self.list.choose(next(iter(self._entries)))
        first = self.list if self.list.current() else self.repository
        first.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape closes."""
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)

    # What is shown

    def _rows(self) -> list[Row]:
        return [
            Row(
                entry.repository,
                entry.name,
                parameters(entry.parameters),
                "installed" if (entry.repository, entry.revision) in self._here else "",
                size(entry.bytes),
                entry.about,
                entry.licence,
            )
            for entry in self._entries.values()
        ]

    def _wanted(self) -> tuple[str, str]:
        return self.repository.text().strip(), self.revision.text().strip()

    def _known(self) -> bool:
        """Whether it is known what a download of what stands in the fields would fetch."""
        repository, revision = self._wanted()
        entry = self._entries.get(repository)
        listed = entry is not None and revision in ("", entry.revision)
        found = self._found
        return listed or (
            found is not None and (found.repository, found.revision) == (repository, revision)
        )

    def _installed(self) -> str:
        """Return what the model is called that a download would fetch once more."""
        repository, revision = self._wanted()
        entry = self._entries.get(repository)
        return self._here.get((repository, revision or (entry.revision if entry else "")), "")

    def _summarise(self) -> None:
        repository, revision = self._wanted()
        entry = self._entries.get(repository)
        listed = entry is not None and revision in ("", entry.revision)
        then = f"Then it is converted into the {self.builds.currentData()} build."
        there = self._installed()
        if not repository:
            words = "Choose a model, or type the id of a repository, such as distilbert/distilgpt2."
        elif there:
            words = f"It is installed, as {there}. Choose that to make another build of it."
        elif entry is not None and listed:
            words = (
                f"Fetches {size(entry.bytes)} from {hub_host()}, revision {entry.revision[:8]}."
                f" Licence: {entry.licence}. {then}"
            )
        elif self._found is not None and self._known():
            found = self._found
            licence = found.licence or "not stated; ask whoever made it"
            words = (
                f"Fetches {number_of(found.files, 'file')}, {size(found.bytes)}, from"
                f" {hub_host()}, revision {found.revision[:8]}. Licence: {licence}. {then}"
            )
        else:
            words = (
                f"First {hub_host()} is asked what is in it, how large it is and under which"
                " licence; nothing is fetched before you have seen that."
            )
        if self._busy:
            words = f"{self._busy} is still going on; one thing at a time. {words}"
        self.summary.setText(words)
        self.summary.setMinimumHeight(LINES * self.summary.fontMetrics().lineSpacing())
        self.download.setText("Download" if self._known() or not repository else "Look it up")
        self.download.setEnabled(bool(repository) and not there and not self._busy)

    # What a person does

    def _on_chosen(self, repository: str) -> None:
        if entry := self._entries.get(repository):
            self._fill(entry.repository, entry.revision)

    def _fill(self, repository: str, revision: str) -> None:
        for field, text in ((self.repository, repository), (self.revision, revision)):
            field.setText(text)
            field.setCursorPosition(0)
        self._filled = revision
        self._summarise()

    def _on_taken(self, _repository: str) -> None:
        self.download.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_typed(self, _text: str) -> None:
        if self.list.current() and self.repository.text().strip() != self.list.current():
            with QSignalBlocker(self.list):
                self.list.clearSelection()
                self.list.setCurrentIndex(self.list.rows.find(""))
        if self.sender() is self.repository and self.revision.text() == self._filled:
            self.revision.clear()  # the commit of another model
        self._summarise()

    def _on_download(self) -> None:
        repository, revision = self._wanted()
        if not self.download.isEnabled():
            return
        if not self._known():
            self.look_asked.emit(repository, revision)
            return
        entry, name = self._entries.get(repository), ""
        if entry is not None:
            revision = revision or entry.revision
            free = entry.name.casefold() not in self._names
            name = entry.name if revision == entry.revision and free else ""
        self.download_asked.emit(repository, revision, name, self.builds.currentData())
