"""The whole window on a scripted engine and a temporary library."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PySide6.QtCore import QDir
from PySide6.QtWidgets import QApplication

from explorer import app as window_app
from explorer.core.manifest import Build, Manifest
from explorer.engine.text.tokens import Tokens
from explorer.gui.window.main_window import MainWindow
from explorer.loading.model_loader import Loaded
from explorer.system.paths import Paths
from tests.gui.library_access import LibraryAccess
from tests.gui.scripted_engine import ScriptedEngine

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "models" / "demo"


PATIENCE_MS = 120_000
"""How long a test waits for what must come. On a busy machine seconds say nothing; a test that
waits in vain fails all the same."""


@pytest.fixture
def qtbot(qtbot):
    """Wait for signals and conditions as long as a busy machine needs."""
    for name in ("waitUntil", "waitSignal", "waitSignals", "waitCallback"):
        setattr(qtbot, name, partial(getattr(qtbot, name), timeout=PATIENCE_MS))
    return qtbot


@pytest.fixture(autouse=True)
def _icons(qapp: QApplication) -> None:
    """Let a style that an earlier test left find its drawings; Qt 6.8 complains where it cannot."""
    QDir.setSearchPaths("icons", [str(ROOT / "resources" / "icons")])


def demo(build: str = "cpu-int8") -> Loaded:
    """Return the demonstration model as the window knows it; nothing is converted."""
    made = Build(build, "cuda" if "cuda" in build else "cpu", "int8", build[-1] * 64, 64, 64)
    manifest = Manifest("demo", "a" * 64, 6, 6, 384, 512, 8192, 0, 7_000_000, builds={build: made})
    return Loaded(DEMO, manifest, build, Tokens.from_folder(DEMO))


class Desk:
    """A window, its engine, and what a test does with them."""

    def __init__(self, folder: Path, qtbot) -> None:
        self.folder, self.qtbot = folder, qtbot
        self.paths = Paths.default(folder)
        self.programs: list[window_app.Program] = []
        self.open()

    def open(self, loaded: bool = True, size: tuple[int, int] = (1440, 900)) -> MainWindow:
        """Start the program (again), with a model or before it has found one."""
        app = QApplication.instance()
        self.engine = ScriptedEngine()
        program = window_app.start(self.paths, app, self.engine, itertools.count().__next__)
        self.programs.append(program)
        self.window = program.window
        self.qtbot.addWidget(self.window)
        self.window.resize(*size)
        self.window.show()
        if loaded:
            self.window.engine_loop.loading.load(demo(), "auto")
        self.tick()
        return self.window

    def close(self) -> None:
        """Quit as a person does."""
        self.window.close()
        self.programs[-1].close()

    def tick(self) -> None:
        """Let the window take in what the engine said, and paint all of it."""
        engine_loop = self.window.engine_loop
        engine_loop.tick()
        engine_loop._repaint(engine_loop._clock(), at_once=True)

    def generate(self, prompt: str = "Once upon a time", *candidates: str) -> None:
        """Enqueue candidates, type a prompt and press Generate; nothing streams yet."""
        self.engine.enqueue(*candidates)
        self.window.explore.prompt.set_text(prompt)
        self.window.do("generate")
        self.tick()

    def step(self, times: int = 1, lanes=None) -> None:
        """Stream and show so many tokens."""
        self.engine.step(times, lanes)
        self.tick()

    def finish(self) -> None:
        """Stream everything to its end and show it."""
        self.engine.finish()
        self.tick()

    @property
    def lanes(self):
        return self.window.explore.lanes.lanes

    @property
    def review(self):
        return self.window.engine_loop.review


@pytest.fixture
def library_access(tmp_path: Path) -> Iterator[LibraryAccess]:
    """A library to show, without a window."""
    library_access = LibraryAccess(tmp_path)
    yield library_access
    library_access.close()


@pytest.fixture
def desk(tmp_path: Path, qtbot) -> Iterator[Desk]:
    desk = Desk(tmp_path, qtbot)
    yield desk
    desk.window.close()
    for program in desk.programs:
        program.close()
