"""Looks after the library while the window is open: is it there, is it sound, is it backed up.

What is wrong stands above the lanes with buttons for what can be done. Whatever takes another
library in the place of this one goes the same way: what streams is ended, the library is closed, a
process of its own does the work behind a sheet, and the window goes on with what is there then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtWidgets import QFileDialog

from explorer.core.errors import ExplorerError
from explorer.core.wording import day
from explorer.gui.settings.library_card import LibraryCard
from explorer.gui.window.library_work import LibraryJob, Sheet
from explorer.gui.window.main_window import MainWindow
from explorer.library.history import History
from explorer.library.storage import backups, care_jobs
from explorer.library.storage.access import Opened, open_or_stand_in
from explorer.library.storage.database import Database
from explorer.library.storage.integrity import as_sentence

LOOK_MS: Final = 1000
DUE_MS: Final = 3_600_000
NOT_RECORDED: Final = "You can generate and read; nothing is recorded."

PLACE, OPENING, DAMAGE, BACKUP = "place", "opening", "damage", "backup"
"""What a notice is about; it goes when that is over."""

Action = tuple[str, Callable[[], object]]


class LibraryCare(QObject):
    """Watches one library for a window."""

    def __init__(
        self,
        window: MainWindow,
        history: History,
        opened: Opened,
        library: Path,
        ask: Callable[[Path], Path | None] | None = None,
    ) -> None:
        """Look after ``opened``, which lies at ``library``; ``ask`` gives the name of a new one."""
        super().__init__(window)
        self._window, self._history, self._library = window, history, library
        self._database: Database = opened.database
        self._ask = ask or self._ask_for_file
        self._lost = ""
        self.job: LibraryJob | None = None
        self.card = LibraryCard()
        self.sheet = Sheet(
            window,
            "The library",
            "Putting another library in its place",
            "The present one is kept aside. Nothing can be kept or rejected until that is done.",
            "Stop",
        )
        window.settings.add_card(self.card)
        self.card.check_asked.connect(self.check)
        self.card.backup_asked.connect(self.back_up)
        self.card.restore_asked.connect(self.restore)
        self.card.salvage_asked.connect(self.salvage)
        self.card.save_asked.connect(self.save_as)
        self.sheet.put_off.clicked.connect(self._on_stopped)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()
        self._due = QTimer(self)
        self._due.setInterval(DUE_MS)
        self._due.timeout.connect(self.back_up_if_due)
        self._show_backups()
        self._say_opened(opened)

    def begin(self) -> None:
        """Make the backup of today, now and whenever another day has begun."""
        self._due.start()
        self.back_up_if_due()

    def end(self) -> None:
        """Stop looking, and whatever is under way."""
        self._timer.stop()
        self._due.stop()
        if self.job is not None:
            self.job.cancel()
            self.job = None

    def reopen_newest(self) -> None:
        """Show where the person left off: the last hunt with its tries, and undo as ever."""
        if hunts := self._history.ids():
            self._window.engine_loop.reopen(hunts[0])

    # Is it there

    @Slot()
    def look(self) -> None:
        """See whether the file is still in its place, and say so where it is not."""
        lost = self._database.check_place()
        if lost == self._lost:
            return
        self._window.explore.notices.settle(PLACE)
        self._lost = lost
        self.card.set_lost(bool(lost))
        if lost:
            self._say(lost, [("Save as a new library", self.save_as)], PLACE)
        self._window.engine_loop.take_up_library()

    @Slot()
    def save_as(self) -> None:
        """Write everything into a new file that the person names, and go on with it."""
        free = not self._library.exists()
        target = self._ask(self._library if free else _other(self._library))
        said, saved = "", False
        if target is not None:
            try:
                said = self._database.save_as(target)
                saved = True
            except ExplorerError as error:
                self._window.explore.notices.say(str(error), kind=PLACE)
        if self._database.check_place():
            self._say(self._lost, [("Save as a new library", self.save_as)], PLACE)
            return
        if not saved:  # it is in its place again
            self.look()
            return
        self._window.explore.notices.settle(PLACE)
        self._lost = ""
        self.card.set_lost(False)
        where = "" if target == self._library else f" The next start opens {self._library} again."
        self._window.explore.notices.say(
            " ".join(
                filter(None, (f"Saved as {target}; the window goes on with it.{where}", said))
            ),
            role="notice",
        )
        self._window.engine_loop.take_up_library()

    # Is it sound

    @Slot()
    def check(self) -> None:
        """Read every row, in a process of its own, and say what was found."""

        def checked(problems: Any, trouble: str) -> None:
            said = trouble or as_sentence(self._library, problems)
            self.card.say(said or "Every row of the library was read; all is sound.")
            self._window.explore.notices.settle(DAMAGE)
            if said:
                self._say(said, self._ways_out(), DAMAGE)

        self._run("Reading every row …", checked, care_jobs.check, self._library)

    # Is it backed up

    @Slot()
    def back_up_if_due(self) -> None:
        """Make a backup where this day has none."""
        if not self._database.read_only and backups.is_due(self._library):
            self.back_up()

    @Slot()
    def back_up(self) -> None:
        """Make the backup of today, in a process of its own."""

        def made(path: Any, trouble: str) -> None:
            self._show_backups()
            self.card.say(trouble or f"{path} was made and checked.")
            self._window.explore.notices.settle(BACKUP)
            if trouble:
                self._say(trouble, self._ways_out(), BACKUP)

        self._run("Making a backup …", made, backups.back_up, self._library)

    # Another one in its place

    @Slot(Path)
    def restore(self, backup: Path) -> None:
        """Take a backup; the present library is kept aside."""
        self._replace(care_jobs.restore, self._library, backup)

    @Slot()
    def salvage(self) -> None:
        """Take what can be read; the present library is kept aside."""
        self._replace(care_jobs.salvage, self._library)

    def start_anew(self) -> None:
        """Begin an empty library; the present one is kept aside."""
        self._replace(care_jobs.start_anew, self._library)

    def try_again(self) -> None:
        """Open it as at the start: what held it may have let go."""
        self._leave()
        self._take(open_or_stand_in(self._library))

    def _replace(self, *work: Any) -> None:
        if self.job is not None:
            self.job.cancel()
            self.job = None
        self._leave()
        self.sheet.open()
        self._run("", self._replaced, *work)

    def _replaced(self, said: Any, trouble: str) -> None:
        self.sheet.hide()
        self._take(open_or_stand_in(self._library))
        self._window.explore.notices.say(trouble or said, role="problem" if trouble else "notice")

    @Slot()
    def _on_stopped(self) -> None:
        if self.job is not None:
            self.job.cancel()
            self.job = None
            self.card.set_busy(False)
            self._replaced("Stopped; the library is as it was.", "")

    def _leave(self) -> None:
        """Let go of the library: end what streams in it, and close it."""
        self._window.engine_loop.leave()
        self._database.become(Database.in_memory("Another library is being put in its place."))
        self._window.engine_loop.take_up_library()

    def _take(self, opened: Opened) -> None:
        self._database.become(opened.database)
        notices = self._window.explore.notices
        for kind in (PLACE, OPENING, DAMAGE, BACKUP):  # they were about the one before
            notices.settle(kind)
        self._lost = ""
        self._window.engine_loop.take_up_library()
        self._window.engine_loop.keep_into(self._window.panel.collection())
        self.reopen_newest()
        self._show_backups()
        self._say_opened(opened)

    # Saying

    def _say_opened(self, opened: Opened) -> None:
        if opened.kind in ("in use", "busy", "unwritable", "unusable"):
            actions: Sequence[Action] = [("Try again", self.try_again)]
        else:
            actions = self._ways_out()
        if opened.trouble:
            read_only = opened.database.read_only
            said = f"{opened.trouble} {NOT_RECORDED}" if read_only else opened.trouble
            self._say(said, actions, OPENING)
        self._window.explore.notices.say(opened.database.remark, role="notice", kind=OPENING)

    def _ways_out(self) -> list[Action]:
        """Return what can be done about a damaged library."""
        ways: list[Action] = []
        if made := backups.backups(self._library):
            newest = made[0]
            words = f"Restore the backup of {day(newest.day)}"
            ways.append((words, lambda: self.restore(newest.path)))
        if self._library.exists():
            ways.append(("Salvage what can be read", self.salvage))
            ways.append(("Start a new library", self.start_anew))
        return ways

    def _say(self, sentence: str, actions: Sequence[Action], kind: str) -> None:
        notices = self._window.explore.notices
        notices.dismiss(sentence)  # the same without buttons may stand there already
        notices.say(sentence, actions, kind=kind)

    def _show_backups(self) -> None:
        self.card.show_backups(backups.backups(self._library))

    # Work

    def _run(self, words: str, on_end: Callable[[Any, str], None], *work: Any) -> None:
        if self.job is not None:
            self.card.say("Something else is being done with the library; wait until that is over.")
            return

        def ended(result: Any, trouble: str) -> None:
            self.job = None
            self.card.set_busy(False)
            on_end(result, trouble)

        self.card.say(words)
        self.card.set_busy(True)
        self.job = LibraryJob(self, work, lambda _fraction, _words: None, ended)

    def _ask_for_file(self, proposed: Path) -> Path | None:
        name, _ = QFileDialog.getSaveFileName(
            self.card,
            "Save as a new library",
            str(proposed),
            "Libraries (*.sqlite)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        return Path(name) if name else None


def _other(library: Path) -> Path:
    """Return a free name beside a library."""
    number = 2
    while (path := library.with_name(f"{library.stem}-{number}{library.suffix}")).exists():
        number += 1
    return path
