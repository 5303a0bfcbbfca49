"""Sixty small harms to a library: no crash, no traceback, and nothing is lost without a word.

``python -m tests.benchmarks.damaged_libraries`` does the same with as many as one likes.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from explorer import app as window_app
from explorer import cli
from explorer.core.errors import ExplorerError, LibraryDamagedError
from explorer.library.storage.access import open_or_stand_in
from explorer.library.storage.salvage import salvage
from explorer.system.paths import Paths
from tests.gui.scripted_engine import ScriptedEngine
from tests.library.desk import Desk
from tests.library.reading import full_check, read_all
from tests.library.storage.mutations import Mutation, mutations, sample_library

SEED, COUNT, WINDOWS = 12, 60, 6
COMMANDS = (
    ("library", "check"),
    ("export", "Kept samples", "--format", "jsonl", "--output", "-"),
    ("library", "backup"),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "library.sqlite"
    sample_library(path)
    return path


def harmed(sound: Path, folder: Path, mutation: Mutation) -> Path:
    path = folder / "library.sqlite"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(sound, path)
    mutation.harm(path)
    return path


def content(path: Path) -> dict[str, int]:
    """Return how many rows of each kind a reader finds."""
    try:
        with open_or_stand_in(path).database as database:
            desk = Desk(database)
            hunts = desk.history.ids()
            return {
                "hunts": len(hunts),
                "tries": sum(len(desk.ledger.tries(hunt)) for hunt in hunts),
                "texts": database.value("SELECT count(*) FROM completions"),
            }
    except ExplorerError:
        return {}


def test_sixty_harms_end_in_sentences(sound: Path, tmp_path: Path) -> None:
    whole = content(sound)
    for number, mutation in enumerate(mutations(SEED, COUNT, sound)):
        path = harmed(sound, tmp_path / str(number), mutation)
        problems = full_check(path)  # raises nothing but bugs
        there = content(path)
        said, _ = read_all(path)
        for sentence in said:
            assert "\n" not in sentence, mutation
        if mutation.loses_rows or there != whole:
            assert problems or said, f"{mutation.name} went unnoticed"
        shutil.copyfile(sound, path)
        mutation.harm(path)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        new = path.with_name("new.sqlite")
        try:
            salvaged = salvage(path, new)
        except LibraryDamagedError:
            assert problems, f"{mutation.name}: nothing was salvaged of a sound library"
            continue
        assert full_check(new) == [], f"{mutation.name}: what was salvaged is unsound"
        if not problems and not mutation.name.startswith("DELETE"):
            assert salvaged.whole or said, mutation.name


def test_the_command_line_says_one_sentence_of_each(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, mutation in enumerate(mutations(SEED + 1, COUNT, sound)):
        folder = tmp_path / str(number)
        harmed(sound, folder, mutation)
        for words in COMMANDS:
            args = cli.parse(["--data-dir", str(folder), *words])
            code = cli.guarded(args, cli.run)
            said = capsys.readouterr().err
            assert code in (0, 1, 2), mutation.name
            assert "unexpected" not in said, f"{mutation.name}, {words}: {said}"
            assert "Traceback" not in said, mutation.name
            assert said.count("\n") <= 1, said


@pytest.mark.parametrize("number", range(WINDOWS))
def test_a_window_opens_on_each(sound: Path, tmp_path: Path, qtbot, number: int) -> None:
    # Every tenth, another ten at each run of the parameter.
    mutation = list(mutations(SEED + 2, WINDOWS * 10, sound))[number * 10 + number]
    harmed(sound, tmp_path / "data", mutation)
    start_window(tmp_path / "data", qtbot)


def start_window(folder: Path, qtbot) -> list[str]:
    """Open a window on a data folder, look at its pages, close it; return what it said."""
    paths = replace(Paths.default(folder), bundled_models=folder / "bundled")
    program = window_app.start(paths, QApplication.instance(), ScriptedEngine())
    window = program.window
    qtbot.addWidget(window)
    window.show()
    for page in range(window.pages.count()):
        window.show_page(page)
        QApplication.processEvents()
    said = window.explore.notices.sentences()
    window.close()
    program.close()
    return said
