"""Finds, opens, fetches, makes and checks models for the window, in child processes.

Three things can go on side by side: a model on its way to being *opened*, some *work* (an import,
a download, a conversion, a check), and a *removal*. So a download of an hour keeps nobody from
opening another model and generating: a build that is there opens without any process, a missing one
is made beside the work. Only a later request to open replaces an earlier one; work ends when
it is done, paused or cancelled, and a second one is refused meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from explorer.core.errors import ExplorerError
from explorer.core.manifest import Manifest, build_to_open
from explorer.engine.text.tokens import Tokens
from explorer.gui.model_parts.model_tasks import Kind, Place, Task, Works
from explorer.jobs.job import Done, Event, Failed, Job, Progress
from explorer.loading.model_loader import Loaded
from explorer.studies.quality import temporary_builds
from explorer.system.paths import Paths
from explorer.weights.formats.untrusted_folder import without_choice
from explorer.weights.hub.downloads import Unfinished
from explorer.weights.store.store import Installed, Store

POLL_MS = 50
log = logging.getLogger(__name__)

Finish = Callable[[Task, Any], None]


@dataclass(slots=True)
class _Run:
    """A task, its child process, and what follows when it is done."""

    task: Task
    job: Job
    finish: Finish
    heard: float
    """When it said something last."""
    spoken: Task | None = None
    """What it had said before its process stopped answering; None while that answers."""


class ModelJobs(QObject):
    """Carries out what is asked for and tells how far it is; decides nothing about hunts."""

    listed = Signal()
    """The installed models, or what is known of one, have changed."""
    tasks_changed = Signal()
    """What :meth:`tasks` returns has changed."""
    opened = Signal(object)
    """:class:`Loaded`: a model folder that has the build that was asked for."""
    failed = Signal(str)
    """Something could not be done, and why."""
    news = Signal(str)
    """Something was done that would not be seen otherwise."""
    looked = Signal(object)
    """What a download would fetch."""
    verified = Signal(str, object)
    """``(name, outcome)`` of a check."""
    arrived = Signal(str)
    """The name of a model that was imported or downloaded."""
    damaged = Signal(str, str)
    """``(name, sentence)``: a model that could not be opened because of its files."""
    altered = Signal(str, str)
    """``(name, build)``: a build was made or removed, or with an empty build the whole model."""

    def __init__(
        self,
        paths: Paths,
        wanted_build: Callable[[], str],
        works: Works | None = None,
        parent: QObject | None = None,
        release: Callable[[Path, str], str] = lambda folder, build: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Work below ``paths``; ``wanted_build`` names what this machine's best device runs.

        ``release`` lets go of a model folder, or of one build in it, before that is removed, and
        returns why it cannot.
        """
        super().__init__(parent)
        self._paths = paths
        self._store = Store(paths)
        self.wanted_build = wanted_build
        self._works = works or Works()
        self._release = release
        self._clock = clock
        self._runs: dict[Place, _Run] = {}
        self._failures: dict[tuple[Kind, str], Task] = {}
        self._has_opened = False
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._on_tick)

    # What there is

    def models(self) -> list[Installed]:
        """Return the installed models, broken ones too."""
        try:
            return self._store.list()
        except ExplorerError as error:
            self.failed.emit(str(error))
            return []

    def build_to_open(self, model: str, wanted: str = "") -> str:
        """Return which build of a model to open where nobody named one.

        ``wanted`` is what suits the device best, that of this machine by default.
        """
        wanted = wanted or self.wanted_build()
        try:
            return build_to_open(wanted, self._store.find(model).builds)
        except ExplorerError:
            return wanted  # opening it says what is wrong

    def note_used(self, folder: Path) -> None:
        """Note that the model in ``folder`` runs now."""
        self._store.mark_used(folder)
        self.listed.emit()

    def tasks(self) -> tuple[Task, ...]:
        """Return what runs, what is on its way to being opened first, then what failed."""
        running = (self._runs[place].task for place in get_args(Place) if place in self._runs)
        return (*running, *self._failures.values())

    def busy(self, place: Place = "work") -> Task | None:
        """Return the task that runs in a place."""
        run = self._runs.get(place)
        return run.task if run else None

    def unfinished(self) -> list[Unfinished]:
        """Return the downloads that can go on, without the one that runs."""
        running = {run.task.subject for run in self._runs.values()}
        try:
            found = self._works.unfinished(self._paths)
        except ExplorerError as error:
            self.failed.emit(str(error))
            return []
        return [each for each in found if each.repository not in running]

    # What can be asked for

    def open(self, model: str, build: str = "") -> None:
        """Bring out a model with a build, the best one for the device if none is named.

        A build that is there opens at once, whatever else is going on; a missing one is made first.
        """
        build = build or self.build_to_open(model)
        removal = self.busy("remove")
        if removal is not None and removal.kind == "remove" and removal.subject == model:
            self._say_busy(removal)
            return
        self._end("open")
        running = self._runs.get("work")
        if running is not None:  # it must not push the model aside that was asked for later
            running.task = replace(running.task, opens=False)
        if (folder := self._made(model, build)) is not None:
            self._on_folder(folder, build)
            self.tasks_changed.emit()
            return
        task = Task("open", model, f"Preparing {model} ({build})", opens=True)
        self._begin(task, self._on_ensured(build), self._works.open, model, build)

    def name_for(self, source: Path) -> str:
        """Return what an import would name a folder or file; empty, and said why, if it cannot."""
        if (other := self.busy()) is not None:
            self._say_busy(other)
            return ""
        try:
            return self._store.name_for(source)
        except ExplorerError as error:
            self._fail(Task("import", source.name, f"Importing {source.name}"), str(error))
            return ""

    def name_problem(self, name: str) -> str:
        """Return why an import cannot take this name, as a sentence; empty where it can."""
        try:
            return self._store.name_problem(name)
        except ExplorerError as error:
            return str(error)

    def import_folder(self, source: Path, name: str | None = None, opens: bool = True) -> None:
        """Import a GPT-2 from its folder, or from a file that stands for it, then perhaps open it.

        Without a name it is called after its folder.
        """
        build = self.wanted_build()
        task = Task("import", source.name, f"Importing {source.name}", opens=opens)
        try:
            source = without_choice(source)
        except ExplorerError as error:
            self._fail(task, str(error))
            return
        finish = self._on_brought(build)
        self._begin(task, finish, self._works.bring_in, source, name, build)

    def look(self, repository: str, revision: str = "") -> None:
        """Ask the hub what a download of a repository would fetch; comes as :attr:`looked`."""
        task = Task("look", repository, f"Asking about {repository}")
        finish: Finish = lambda _, found: self.looked.emit(found)  # noqa: E731  (a slot of two lines)
        self._begin(task, finish, self._works.look, repository, revision)

    def download(self, repository: str, revision: str, name: str, build: str = "") -> None:
        """Fetch a model, or go on fetching it, and make a build of it.

        No revision: the newest; no name: made from the repository's.
        It is opened at the end only where no model is open yet: nobody who generates meanwhile is
        interrupted.
        """
        build = build or self.wanted_build()
        task = Task(
            "download", repository, f"Downloading {name or repository}", opens=not self._has_opened
        )
        finish = self._on_brought(build)
        whole = (repository, revision or None, name or None, build)
        self._begin(task, finish, self._works.download, *whole)

    def pause(self) -> None:
        """Stop the download; what was fetched stays, and :meth:`resume` goes on from there."""
        task = self.busy()
        if task is not None and task.pausable:
            self._end("work")
            self.tasks_changed.emit()

    def resume(self, repository: str) -> None:
        """Go on with an unfinished download."""
        for each in self.unfinished():
            if each.repository == repository:
                self.download(each.repository, each.revision, each.name, each.build)
                return

    def discard(self, repository: str) -> None:
        """Delete what an unfinished download has fetched."""
        self._failures.pop(("download", repository), None)
        task = Task("discard", repository, f"Discarding {repository}")
        self._begin(task, self._on_tidied(""), self._works.discard, repository)

    def convert(self, name: str, build: str) -> None:
        """Make a build of a model, one that is damaged too, without opening it."""
        task = Task("convert", name, f"Making {build} of {name}")
        finish = self._on_tidied(f"{name} has a {build} build now.", build)
        self._begin(task, finish, self._works.make, name, build)

    def verify(self, name: str) -> None:
        """Check the files of a model and what its builds compute; comes as :attr:`verified`."""
        finish: Finish = lambda _, found: self.verified.emit(name, found)  # noqa: E731
        self._begin(Task("verify", name, f"Verifying {name}"), finish, self._works.verify, name)

    def measure(self, name: str) -> None:
        """Measure what each precision that is there costs in quality; kept with the model."""
        found = next((each for each in self.models() if each.name == name), None)
        builds = [build for build in (found.manifest.builds if found and found.manifest else ())]
        task = Task("measure", name, f"Measuring {name}")
        finish = self._on_tidied(f"The quality of {name} was measured.")
        self._begin(task, finish, self._works.measure, name, builds)

    def remove(self, name: str) -> None:
        """Delete an imported model with all its builds."""
        task = Task("remove", name, f"Removing {name}")
        if self._released(task):
            finish = self._on_tidied(f"{name} was removed.", "")
            self._begin(task, finish, self._works.remove, name)

    def remove_build(self, name: str, build: str) -> None:
        """Delete one build of a model."""
        task = Task("remove", name, f"Removing {build} of {name}")
        finish = self._on_tidied(f"The {build} build of {name} was removed.", build)
        if self._released(task, build):
            self._begin(task, finish, self._works.remove_build, name, build)

    def cancel_task(self, task: Task) -> None:
        """End a task at once; of a download nothing stays."""
        run = self._runs.get(task.place)
        if run is None or run.task.key != task.key:
            return
        self._end(task.place)
        if task.pausable:
            self.discard(task.subject)
        self.tasks_changed.emit()
        self.listed.emit()

    def dismiss(self, task: Task) -> None:
        """Forget a task that failed."""
        if self._failures.pop(task.key, None) is not None:
            self.tasks_changed.emit()

    def cancel(self) -> None:
        """End everything at once; a download can be resumed."""
        if self._runs:
            for place in list(self._runs):
                self._end(place)
            self.tasks_changed.emit()

    # Runs

    def _begin(self, task: Task, finish: Finish, work: Any, *args: Any) -> None:
        if (other := self.busy(task.place)) is not None:
            self._say_busy(other)
            return
        self._forget_failure(task)
        job = self._works.start(work, self._paths, *args)
        self._runs[task.place] = _Run(task, job, finish, self._clock())
        self._timer.start()
        self.tasks_changed.emit()

    def _released(self, task: Task, build: str = "") -> bool:
        """Whether nobody uses the files any more that a removal is to delete; else say who does."""
        name = task.subject
        for other in [run.task for run in self._runs.values()]:
            if other.place == task.place or other.subject == name:
                self._say_busy(other)
                return False
        folder = next((model.folder for model in self.models() if model.name == name), None)
        why_not = self._release(folder, build) if folder is not None else ""
        if why_not:
            self._fail(task, why_not)
        return not why_not

    def _say_busy(self, other: Task) -> None:
        words = f"{other.title} is still going on; wait for it or cancel it, then try again."
        self.failed.emit(words)
        self.news.emit(words)  # seen on every page

    def _end(self, place: Place) -> None:
        run = self._runs.pop(place, None)
        if run is not None:
            run.job.cancel()
            if run.task.kind == "measure":
                temporary_builds.clean(
                    self._paths
                )  # gigabytes, perhaps: builds made for the measurement
        if not self._runs:
            self._timer.stop()

    @Slot()
    def _on_tick(self) -> None:
        for run in list(self._runs.values()):
            for event in run.job.poll():
                if self._runs.get(run.task.place) is run:  # what came before may have ended it
                    self._take(run, event)
            before, run.task = run.task, run.task.unheard(self._clock() - run.heard)
            if run.job.silent and run.spoken is None:
                run.spoken, run.task = run.task, run.task.quiet()
            elif run.spoken is not None and not run.job.silent:
                run.task, run.spoken = replace(run.task, words=run.spoken.words), None
            if run.task != before:
                self.tasks_changed.emit()
        if not self._runs:
            self._timer.stop()

    def _take(self, run: _Run, event: Event) -> None:
        match event:
            case Progress(fraction, text):
                run.task, run.spoken = replace(run.task, fraction=fraction, words=text), None
                run.heard = self._clock()
                self.tasks_changed.emit()
            case Done(result):
                del self._runs[run.task.place]
                # What follows first: until the model is open nobody must think none is coming.
                run.finish(run.task, result)
                self.tasks_changed.emit()
            case Failed(message, details):
                del self._runs[run.task.place]
                if details:
                    log.error("a job failed: %s", details)
                self._fail(run.task, message)
                self.listed.emit()

    def _fail(self, task: Task, message: str) -> None:
        """Keep a task that failed in sight."""
        self._forget_failure(task)
        self._failures[task.key] = replace(task, problem=message, opens=False)
        self.tasks_changed.emit()
        self.failed.emit(message)

    def _forget_failure(self, task: Task) -> None:
        """Forget how this failed before; of the questions to the hub only the last one counts."""
        asked = [key for key in self._failures if key[0] == task.kind == "look"]
        for key in (task.key, *asked):
            self._failures.pop(key, None)

    # What follows

    def _made(self, model: str, build: str) -> Path | None:
        """Return the folder of a model whose build is there already."""
        try:
            found = self._store.find(model)
        except ExplorerError:
            return None  # the job says so, in the same words
        return found.folder if found.has(build) else None

    def _on_ensured(self, build: str) -> Finish:
        return lambda _, folder: self._on_folder(Path(folder), build)

    def _on_brought(self, build: str) -> Finish:
        """Return what follows an import or a download: a model is there that was not."""

        def finish(task: Task, model: Installed) -> None:
            self.listed.emit()
            self.arrived.emit(model.name)
            if task.opens:
                self.open(model.name, build)
            else:
                self.news.emit(f"{model.name} is ready; it stands among the models.")

        return finish

    def _on_tidied(self, words: str, build: str | None = None) -> Finish:
        """Return what follows a change of a model that is not opened by it, or of one build."""

        def finish(task: Task, _: object) -> None:
            if build is not None:
                self.altered.emit(task.subject, build)
            self.listed.emit()
            if words:
                self.news.emit(words)

        return finish

    def _on_folder(self, folder: Path, build: str) -> None:
        try:
            manifest = Manifest.read(folder)
            tokens = Tokens.of_model(folder, manifest)
            loaded = Loaded(folder, manifest, build, tokens)
        except ExplorerError as error:
            there = (model.name for model in self.models() if model.folder == folder)
            name = next(there, folder.name)
            self.damaged.emit(name, str(error))
            self.failed.emit(f"{name} cannot be opened. {error}")
            return
        self._has_opened = True
        self.listed.emit()
        self.opened.emit(loaded)
