"""What takes long in a large library: exporting a collection, deleting a hunt for good.

Both run in a child process with a connection of its own, so the window goes on streaming. An export
reads, and may be stopped. A deletion writes, which only one process may do at a time: until it is
over, a sheet in front of the window takes every key and click, and says what is going on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Slot
from PySide6.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from explorer.core.errors import ExplorerError
from explorer.core.wording import number_of
from explorer.gui.collection.export_dialog import ExportDialog
from explorer.gui.history.history_page import HistoryPage
from explorer.gui.library_access import LibraryAccess
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import GAP, PADDING, UNIT
from explorer.gui.widgets.controls import label
from explorer.gui.widgets.dialog import Dialog
from explorer.jobs.job import Done, Failed, Job, Progress
from explorer.library.export.collection_file import export_library
from explorer.library.history import delete_hunt
from explorer.system.output_file import is_written_through, part_of

QUICK_SAMPLES = 500
"""Up to so many are written in less time than a process needs to start."""
POLL_MS = 50


class LibraryWork(QObject):
    """Exports and deletes for the window."""

    def __init__(
        self,
        library_access: LibraryAccess,
        export: ExportDialog,
        history: HistoryPage,
        say: Callable[[str], None],
        parent: QWidget,
    ) -> None:
        """Do what the export dialog and the history page ask for; ``say`` shows a sentence."""
        super().__init__(parent)
        self._library_access, self._export, self._history, self._say = (
            library_access,
            export,
            history,
            say,
        )
        self.sheet = Sheet(
            parent,
            "Deleting for good",
            "Taking its text out of the library",
            "The whole file is written anew, and every backup of it. Nothing can be kept or"
            " rejected until that is done.",
            "Finish at the next start",
        )
        self.exporting: LibraryJob | None = None
        self.deleting: LibraryJob | None = None
        export.export_chosen.connect(self._on_export_chosen)
        export.stop_asked.connect(self._on_export_stopped)
        history.long_deletion.connect(self._on_long_deletion)
        self.sheet.put_off.clicked.connect(self._on_put_off)

    def cancel(self) -> None:
        """Stop everything, before the window goes; a deletion is finished at the next start."""
        self._on_export_stopped()
        if self.deleting is not None:
            self.deleting.cancel()

    # Exporting

    @Slot(int, str, Path)
    def _on_export_chosen(self, collection: int, form: str, file: Path) -> None:
        library = self._library_access.samples.library
        try:
            many = self._library_access.collections.get(collection).samples > QUICK_SAMPLES
            if many or is_written_through(file):  # a pipe may have to be waited for
                self._export.set_progress("Reading the collection …")
                work = (export_library, library, collection, form, file)
                self.exporting = LibraryJob(self, work, self._on_export_progress, self._on_exported)
                self._file = file
                return
            self._on_exported(self._library_access.export(collection, form, file), "", file)
        except ExplorerError as error:
            self._on_exported(None, str(error), file)

    def _on_export_progress(self, fraction: float, words: str) -> None:
        self._export.set_progress(f"{fraction:.0%}: {words}")

    def _on_exported(self, counts: Any, problem: str, file: Path | None = None) -> None:
        self.exporting = None
        words = problem
        if not problem:
            count, damaged = counts
            words = f"Wrote {number_of(count, 'sample')} to {file or self._file}."
            if damaged:
                words += f" {number_of(damaged, 'damaged sample')} left out."
        self._export.set_outcome(words, failed=bool(problem))
        if not self._export.isVisible():
            self._say(words)

    @Slot()
    def _on_export_stopped(self) -> None:
        if self.exporting is not None:
            self.exporting.cancel()
            self.exporting = None
            if not is_written_through(self._file):
                with contextlib.suppress(OSError):
                    part_of(self._file).unlink(missing_ok=True)
            self._export.set_outcome("Stopped; nothing was written.")

    # Deleting

    @Slot(int, str)
    def _on_long_deletion(self, hunt: int, prompt: str) -> None:
        def over(_result: Any, problem: str) -> None:
            self.deleting = None
            self.sheet.hide()
            self._history.on_deleted(hunt, prompt, problem)

        self._over = over
        self.sheet.open()
        work = (delete_hunt, self._library_access.samples.library, hunt)
        self.deleting = LibraryJob(self, work, lambda _fraction, _words: None, over)

    @Slot()
    def _on_put_off(self) -> None:
        if self.deleting is not None:
            self.deleting.cancel()
            self._over(None, "Stopped. What is deleted by now leaves the file at the next start.")


class LibraryJob(QObject):
    """A job that is looked after until it ends."""

    def __init__(
        self,
        parent: QObject,
        work: tuple[Any, ...],
        on_progress: Callable[[float, str], None],
        on_end: Callable[[Any, str], None],
    ) -> None:
        """Start ``work``, (function, *arguments); ``on_end`` gets its result, or why not."""
        super().__init__(parent)
        self._job = Job.start(*work)
        self._on_progress, self._on_end = on_progress, on_end
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def cancel(self) -> None:
        """Kill the job; nobody hears of it again."""
        self._timer.stop()
        self._job.cancel()
        self.deleteLater()

    @Slot()
    def _look(self) -> None:
        for event in self._job.poll():
            match event:
                case Progress():
                    self._on_progress(event.fraction, event.text)
                case Done():
                    self._end(event.result, "")
                case Failed():
                    self._end(None, event.message)

    def _end(self, result: Any, problem: str) -> None:
        self._timer.stop()
        self.deleteLater()
        self._on_end(result, problem)


@guarded
class Sheet(Dialog):
    """Stands in front of the window while nothing else may write to the library."""

    def __init__(self, parent: QWidget, name: str, title: str, words: str, stop: str) -> None:
        """Make it; show it with ``open()``. ``stop`` stands on its only button."""
        super().__init__(parent)
        self.setWindowTitle(name)
        self.setWindowModality(Qt.WindowModality.ApplicationModal)
        self.setMinimumWidth(100 * UNIT)
        bar = QProgressBar()
        bar.setRange(0, 0)
        bar.setTextVisible(False)
        bar.setAccessibleName(name)
        self.put_off = QPushButton(stop)
        self.put_off.setAccessibleName(self.put_off.text())
        self.put_off.setAutoDefault(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(PADDING, PADDING, PADDING, PADDING)
        column.setSpacing(GAP)
        column.addWidget(label(title, "title"))
        column.addWidget(label(words, "muted", wrap=True))
        column.addWidget(bar)
        column.addWidget(self.put_off, alignment=Qt.AlignmentFlag.AlignRight)

    def reject(self) -> None:
        """Stay: Escape must not leave the window to itself while the library is taken."""
