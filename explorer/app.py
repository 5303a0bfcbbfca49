"""The window's composition root: makes every part, hands each what it needs, and nothing else.

Whatever is wrong at the start ends in a window that says so: a library that is damaged, too new, in
use or on a read-only disk; a model that cannot be loaded; an engine that does not start. Errors of
the program itself reach one excepthook, which logs them with versions and says where the log lies.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import logging.handlers
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import cast

from PySide6.QtCore import QLibraryInfo, QTimer, qVersion
from PySide6.QtWidgets import QApplication

from explorer.core.errors import ExplorerError
from explorer.core.manifest import BUILD_NAMES, Manifest
from explorer.engine.hardware import device
from explorer.engine.memory_estimate import fit, free_memory, home
from explorer.engine.process.engine_pool import EnginePool
from explorer.gui.engine_loop import EngineLoop
from explorer.gui.explore.presets import PromptGroup, read_prompts
from explorer.gui.library_access import LibraryAccess
from explorer.gui.model_parts.model_jobs import ModelJobs
from explorer.gui.model_parts.model_words import ModelAdvice, Need
from explorer.gui.settings_store import SettingsStore
from explorer.gui.style import guard, theme
from explorer.gui.window.engine_wiring import EngineWiring
from explorer.gui.window.leaving import Leaving
from explorer.gui.window.library_care import LibraryCare
from explorer.gui.window.main_window import MainWindow
from explorer.library.collection import Collections
from explorer.library.export.collection_file import Format, export
from explorer.library.history import History
from explorer.library.ledger import Ledger
from explorer.library.samples import Samples
from explorer.library.search import Search
from explorer.library.storage.access import Opened, open_or_stand_in, stand_in
from explorer.library.storage.database import MEMORY, Database
from explorer.loading.model_loader import Engine
from explorer.review.review import Review
from explorer.studies.quality import measure
from explorer.studies.quality import temporary_builds as study_builds
from explorer.studies.speed.expected_build import needed
from explorer.system import crash, display
from explorer.system.paths import APP_NAME, Paths
from explorer.system.version import version
from explorer.weights.hub.catalogue import FILE_NAME as CATALOGUE_FILE
from explorer.weights.hub.catalogue import CatalogueEntry, read_catalogue
from explorer.weights.store.store import Store

LOG_BYTES = 1_000_000

log = logging.getLogger("explorer")


def run(paths: Paths, debug: bool = False) -> int:
    """Open the window on ``paths`` and return the exit code when it is closed."""
    plugins = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath))
    with display.reachable(os.environ, plugins):
        log_file = start_log(paths, debug)
        app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    app.setApplicationName(APP_NAME)
    app.setApplicationDisplayName("Sample Explorer")
    app.setApplicationVersion(version())
    app.setDesktopFileName(APP_NAME)
    program = start(paths, app, EnginePool(log=log_file and log_file.with_name("engine.log")))
    sys.excepthook = functools.partial(_on_bug, program, log_file)
    with crash.watched(paths.logs) as last_time:
        if last_time:
            program.window.explore.notices.say(last_time)
        program.window.show()
        # After the first picture: what takes long must not delay it.
        QTimer.singleShot(0, program.begin)
        leaving = Leaving(app, program.window, program.window.save)
        code = app.exec()
        program.close()
        leaving.close()
    sys.excepthook = sys.__excepthook__
    return leaving.code or code


@dataclass
class Program:
    """What runs while the window is open."""

    window: MainWindow
    paths: Paths
    databases: tuple[Database, ...]
    borrowed: tempfile.TemporaryDirectory[str] | None = None
    """A cache for this run only, where the real one cannot be written."""
    care: LibraryCare | None = None

    def begin(self) -> Thread:
        """Bring out a model, and tidy up in the thread that is returned; nobody has to wait."""
        self.window.models.start()
        if self.care is not None:
            self.care.begin()
        # What a killed program left may be gigabytes; a thread that is killed too harms nothing.
        tidying = Thread(target=tidy, args=(self.paths,), name="tidy", daemon=True)
        tidying.start()
        return tidying

    def close(self) -> None:
        """Close the library after the window."""
        if self.care is not None:
            self.care.end()
        for database in self.databases:
            database.close()
        if self.borrowed is not None:
            self.borrowed.cleanup()


def start(
    paths: Paths, app: QApplication, engine: Engine, clock: Callable[[], float] = time.monotonic
) -> Program:
    """Make the window and everything behind it; nothing of it raises for what a person can mend.

    ``clock`` gives seconds by which verdicts that follow too soon are told.
    """
    settings_store = SettingsStore(paths.settings)
    look = theme.theme_for(settings_store.settings.theme, settings_store.settings.text_px)
    theme.prepare(app, look, paths.resources / "icons")
    paths, borrowed = with_cache(paths)
    opened = open_or_stand_in(paths.library)
    if opened.trouble:
        log.warning("library: %s", opened.trouble)
    assemble = functools.partial(_assemble, paths, borrowed, app, engine, clock, settings_store)
    try:
        return assemble(opened)
    except Exception as error:  # no row, whatever is wrong with it, may keep the window shut
        if opened.database.path == MEMORY:
            raise
        log.exception("library: it was opened and could not be read")
        opened.database.close()
        again = stand_in(paths.library, error)
        return assemble(again)


def _assemble(
    paths: Paths,
    borrowed: tempfile.TemporaryDirectory[str] | None,
    app: QApplication,
    engine: Engine,
    clock: Callable[[], float],
    settings_store: SettingsStore,
    opened: Opened,
) -> Program:
    troubles = [settings_store.problem]
    database = opened.database
    scratch = Database.in_memory() if database.read_only else None
    review = Review(
        Ledger(database),
        scratch=Ledger(scratch) if scratch else None,
        lanes=settings_store.settings.lanes,
        clock=clock,
    )
    samples = Samples(database)
    library_access = LibraryAccess(
        samples,
        Collections(database),
        History(database),
        Search(database),
        functools.partial(_export, samples, database),
    )
    engine_loop = EngineLoop(engine, review)
    release = engine_loop.loading.release
    model_jobs = ModelJobs(paths, lambda: wanted_build(settings_store), release=release)
    insight = ModelAdvice(functools.partial(memory_need, settings_store), quality_words)
    window = MainWindow(
        engine_loop,
        model_jobs,
        settings_store,
        library_access,
        prompts=_prompts(paths, troubles),
        places=(
            ("Library: tries, verdicts, samples", paths.library),
            ("Imported models", paths.models),
            ("Builds that can be made again", paths.model_cache),
            ("Settings", paths.settings),
            ("Log", paths.logs),
        ),
        catalogue=_catalogue(paths, troubles),
        insight=insight,
        resources=paths.resources,
    )
    page = window.explore
    EngineWiring(
        engine_loop,
        settings_store,
        page.notices,
        page.models,
        page.recipe,
        window.status,
        window.settings,
    )
    for trouble in troubles:
        page.notices.say(trouble)
    care = LibraryCare(window, library_access.history, opened, paths.library)
    try:
        care.reopen_newest()
    except BaseException:
        care.end()
        raise
    databases = (database, scratch) if scratch else (database,)
    return Program(window, paths, databases, borrowed, care)


def with_cache(paths: Paths) -> tuple[Paths, tempfile.TemporaryDirectory[str] | None]:
    """Return paths whose cache can be written, if need be one for this run only.

    On a read-only disk the demonstration model can then still be made and streamed. A cache that
    already holds builds is used as it is.
    """
    cache = paths.model_cache
    try:
        cache.mkdir(parents=True, exist_ok=True)
        usable = os.access(cache, os.W_OK) or any(cache.iterdir())
    except OSError:
        usable = False
    if usable:
        return paths, None
    borrowed = tempfile.TemporaryDirectory(prefix="sample-explorer-", ignore_cleanup_errors=True)
    return replace(paths, cache=Path(borrowed.name)), borrowed


def tidy(paths: Paths) -> None:
    """Clear away what killed conversions and studies left, unless others are running.

    What cannot be deleted stays until the next time.
    """
    Store(paths).clean()
    with contextlib.suppress(ExplorerError):
        study_builds.clean(paths)


def wanted_build(settings_store: SettingsStore) -> str:
    """Return the build that suits the device which the settings ask for."""
    return device.suitable_build(settings_store.settings.device)


def memory_need(remembered: SettingsStore, manifest: Manifest, build: str) -> Need | None:
    """Return what a build, made or not, would take with the present lanes, and what is free."""
    lanes = remembered.settings.lanes
    place = home(build, remembered.settings.device)
    free = free_memory(place)
    estimate = needed(manifest, build, lanes)
    # On a machine without such a device there is nothing that it could fit into.
    verdict = fit(estimate, free) if free is not None else None
    why = device.decide(place, device.probe(provider=True)).reason if device.is_gpu(place) else ""
    return Need(estimate.total, free, verdict, lanes, why.partition(";")[0].rstrip("."))


def quality_words(folder: Path) -> dict[str, str]:
    """Return by build what its precision costs, as measured on the model or on the demo."""
    # Without the sizes: they stand beside these words.
    found = {name: replace(each, bytes=0) for name, each in measure.read_quality(folder).items()}
    words = {}
    for name in BUILD_NAMES:
        with contextlib.suppress(OSError, ExplorerError):  # a hint is not worth a window
            said = measure.describe(name, found).partition(": ")[2]
            words[name] = said[:1].upper() + said[1:]
    return words


def start_log(paths: Paths, debug: bool) -> Path | None:
    """Log to a file, and with ``debug`` to the terminal; return the file.

    No text of a prompt or a sample is ever logged. Returns None where the file cannot be written.
    """
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    form = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    if debug:
        terminal = logging.StreamHandler()
        terminal.setFormatter(form)
        log.addHandler(terminal)
    path = paths.logs / "explorer.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            return None  # opening a pipe would wait for somebody to read it
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8"
        )
    except OSError:
        return None
    handler.setFormatter(form)
    log.addHandler(handler)
    system = (version(), qVersion(), platform.python_version(), platform.platform())
    log.info("Sample Explorer %s, Qt %s, Python %s, %s", *system)
    return path


def _prompts(paths: Paths, troubles: list[str]) -> tuple[PromptGroup, ...]:
    try:
        return read_prompts(paths.resources / "prompts.json")
    except ExplorerError as error:
        troubles.append(str(error))
        return ()


def _catalogue(paths: Paths, troubles: list[str]) -> tuple[CatalogueEntry, ...]:
    try:
        return read_catalogue(paths.resources / CATALOGUE_FILE)
    except ExplorerError as error:
        troubles.append(str(error))
        return ()


def _export(
    samples: Samples, database: Database, collection: int, form: str, file: Path
) -> tuple[int, int]:
    chosen, damaged = Collections(database).get(collection), list[int]()
    count = export(samples, chosen, cast(Format, form), file, left_out=damaged.append)
    return count, sum(damaged)


def _on_bug(
    program: Program,
    log_file: Path | None,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """Show what the program can explain; log the rest and say where."""
    if isinstance(error, ExplorerError):
        _say(program, str(error))
        return
    log.error("unexpected error", exc_info=(kind, error, trace))
    if log_file is None:
        traceback.print_exception(kind, error, trace)
    where = f" Please report it with {log_file}." if log_file else ""
    _say(program, f"Something unexpected happened ({kind.__name__}: {error}).{where}")


def _say(program: Program, sentence: str) -> None:
    """Show a sentence, once Qt is through with what it does: it may be painting just now."""
    notices = program.window.explore.notices
    if guard.inside_qt():
        QTimer.singleShot(0, notices, lambda: notices.say(sentence))
    else:
        notices.say(sentence)
