"""Harm a library in many small ways, one at a time, and see that each ends in a sentence.

    QT_QPA_PLATFORM=offscreen python -m tests.benchmarks.damaged_libraries --count 240 --seed 7

Each harm is read as the program reads, checked, salvaged, read by the command line, and opened in a
window. Prints how many were noticed by what, and ends with 1 where one was met by anything but a
sentence.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

from explorer import app as window_app
from explorer import cli
from explorer.core.errors import LibraryDamagedError
from explorer.library.storage.salvage import salvage
from explorer.system.paths import Paths
from tests.gui.scripted_engine import ScriptedEngine
from tests.library.reading import full_check, read_all
from tests.library.storage.mutations import Mutation, mutations, sample_library


def main() -> int:
    """Harm, look, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--windows", type=int, default=None, help="open so many (default: all)")
    args = parser.parse_args()
    logging.getLogger("explorer").addHandler(logging.NullHandler())  # the window says it
    application = QApplication([])
    found: Counter[str] = Counter()
    bugs = 0
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.sqlite"
        sample_library(sound)
        windows = args.count if args.windows is None else args.windows
        for number, mutation in enumerate(mutations(args.seed, args.count, sound)):
            place = Path(folder) / str(number)
            try:
                found.update(look(sound, place, mutation, window=number < windows))
            except Exception:  # what is looked for
                bugs += 1
                print(f"{mutation.name}:\n{traceback.format_exc()}", file=sys.stderr)
            application.processEvents()
            shutil.rmtree(place, ignore_errors=True)
    for what, number in sorted(found.items()):
        print(f"{what:<40} {number:5}")
    print(f"{'met by anything but a sentence':<40} {bugs:5}")
    return 1 if bugs else 0


def look(sound: Path, folder: Path, mutation: Mutation, *, window: bool) -> Counter[str]:
    """Return what noticed one harm."""
    found: Counter[str] = Counter(harms=1)
    library = harmed(sound, folder / "read", mutation)
    problems = full_check(library)
    said, writable = read_all(library)
    found["found by the full check"] = bool(problems)
    found["said when it was opened or read"] = bool(said)
    found["written on"] = writable
    if mutation.loses_rows and not (problems or said):
        raise AssertionError("rows are gone and nobody said so")
    library = harmed(sound, folder / "salvage", mutation)
    try:
        salvaged = salvage(library, library.with_name("new.sqlite"))
        found["salvaged whole"], found["salvaged in part"] = salvaged.whole, not salvaged.whole
    except LibraryDamagedError:
        found["not to be salvaged"] = 1
    for words in (
        ("library", "check"),
        ("export", "Kept samples", "--format", "jsonl", "--output", "-"),
    ):
        data = harmed(sound, folder / words[0], mutation).parent
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()) as err,
        ):
            cli.guarded(cli.parse(["--data-dir", str(data), *words]), cli.run)
        if "unexpected" in err.getvalue() or "Traceback" in err.getvalue():
            raise AssertionError(err.getvalue())
    if window:
        paths = Paths.default(harmed(sound, folder / "window", mutation).parent)
        program = window_app.start(
            replace(paths, bundled_models=folder / "none"),
            QApplication.instance(),
            ScriptedEngine(),
        )
        program.window.show()
        for page in range(program.window.pages.count()):
            program.window.show_page(page)
            QApplication.processEvents()
        found["said by the window"] = bool(program.window.explore.notices.sentences())
        program.window.close()
        program.close()
        program.window.deleteLater()  # the stylesheet of the next one would visit them all
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return found


def harmed(sound: Path, folder: Path, mutation: Mutation) -> Path:
    """Return a copy of the sound library with the harm done to it."""
    folder.mkdir(parents=True)
    path = folder / "library.sqlite"
    shutil.copyfile(sound, path)
    mutation.harm(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
