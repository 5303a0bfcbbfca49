"""The library in Settings: what is backed up, and what can be done where something is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from explorer.core.wording import day, number_of
from explorer.gui.style.theme import PADDING, UNIT
from explorer.gui.widgets.confirm_strip import ConfirmStrip
from explorer.gui.widgets.controls import Choice, label, noted_button
from explorer.library.storage.backups import MOST, MOST_BYTES, OF_FREE, Backup

RULE = (
    "A backup is made on each day that the program is used, checked, and kept beside the library:"
    f" at most {MOST} of them, together at most {MOST_BYTES // 10**9} GB or {100 // OF_FREE} % of"
    " what is free. Deleting a hunt rewrites them."
)


class LibraryCard(QFrame):
    """Backups and checks; it decides nothing."""

    check_asked = Signal()
    backup_asked = Signal()
    restore_asked = Signal(Path)
    salvage_asked = Signal()
    save_asked = Signal()

    def __init__(self) -> None:
        """Make it; :meth:`show_backups` fills it."""
        super().__init__()
        self.setProperty("role", "card")
        self.made = label("", "muted", wrap=True)
        self.news = label("", "muted", wrap=True)
        self.news.setAccessibleName("Check of the library")
        self.news.hide()
        self.check = noted_button("Check now", "Check the whole library")
        self.back_up = noted_button("Back up now", "Make the backup of today")
        self.salvage = noted_button("Salvage…", "Write what can be read into a new library")
        self.save = noted_button("Save as a new library", "Save everything as a new library")
        self.save.hide()
        self.choice = Choice("Backup to restore")
        self.choice.setMinimumContentsLength(len("30 Sep 2026"))
        self.restore = noted_button("Restore…", "Put this backup in the place of the library")
        self.question = ConfirmStrip("Go on", "Go on", "Leave the library as it is")
        self._asked = ""
        self._backups: Sequence[Backup] = ()
        column = QVBoxLayout(self)
        column.setContentsMargins(PADDING, PADDING, PADDING, PADDING)
        column.setSpacing(2 * UNIT)
        column.addWidget(label("The library", "title"))
        column.addWidget(label(RULE, "muted", wrap=True))
        column.addWidget(self.made)
        for widgets in (
            (self.check, self.back_up, self.salvage, self.save),
            (self.choice, self.restore),
        ):
            row = QHBoxLayout()
            for widget in widgets:
                row.addWidget(widget)
            row.addStretch()
            column.addLayout(row)
        column.addWidget(self.news)
        column.addWidget(self.question)
        self.check.clicked.connect(self.check_asked)
        self.save.clicked.connect(self.save_asked)
        self.back_up.clicked.connect(self.backup_asked)
        self.restore.clicked.connect(self._on_restore)
        self.salvage.clicked.connect(self._on_salvage)
        self.question.confirmed.connect(self._on_confirmed)
        self.show_backups(())

    def show_backups(self, made: Sequence[Backup]) -> None:
        """Show which backups there are, newest first."""
        self._backups = made
        size = f"{sum(each.bytes for each in made) / 1e6:,.1f} MB"
        self.made.setText(
            f"{number_of(len(made), 'backup')}, the newest of {day(made[0].day)}, {size}."
            if made
            else "There is no backup yet."
        )
        self.choice.clear()
        self.choice.addItems([day(each.day) for each in made])
        self.choice.setEnabled(bool(made))
        self.restore.setEnabled(bool(made))

    def set_lost(self, lost: bool) -> None:
        """Offer to save everything anew while the file is not in its place."""
        self.save.setVisible(lost)

    def say(self, words: str) -> None:
        """Say what a check or a backup brought."""
        self.news.setText(words)
        self.news.setVisible(bool(words))

    def set_busy(self, busy: bool) -> None:
        """Let nothing be asked for while something is under way."""
        for button in (self.check, self.back_up, self.salvage):
            button.setEnabled(not busy)
        self.restore.setEnabled(not busy and bool(self._backups))

    @Slot()
    def _on_restore(self) -> None:
        self._asked = "restore"
        self.question.ask(
            f"The library becomes what it was on {self.choice.currentText()}; the present one is"
            " kept aside.",
            self.restore,
        )

    @Slot()
    def _on_salvage(self) -> None:
        self._asked = "salvage"
        self.question.ask(
            "What can be read of the library goes into a new one that takes its place; the present"
            " one is kept aside.",
            self.salvage,
        )

    @Slot()
    def _on_confirmed(self) -> None:
        if self._asked == "salvage":
            self.salvage_asked.emit()
        elif 0 <= self.choice.currentIndex() < len(self._backups):
            self.restore_asked.emit(self._backups[self.choice.currentIndex()].path)
