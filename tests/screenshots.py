"""Take pictures of the real window: ``python -m tests.screenshots FOLDER``.

``window-light.png``, ``models-light.png`` and the same in dark stand in the README (docs/images).
The others are for looking: every page and state, small and large. Needs Xvfb, xdotool and
ImageMagick.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.desktop import ROOT, Desktop, wait_for

PROMPT = "The old captain looked out over the sea and"
SEED = 2019
MODELS = {"old-stories": "models/demo", "tiny-checkpoint": "tests/data/openai_tiny"}
"""Models that keep the demonstration company on their page: a name, and what is imported."""
SIZES = ((1440, 900, 4), (1280, 800, 4), (1280, 800, 8), (1920, 1080, 8))
"""Width, height and lanes; the first one is that of the README."""
SETTLE = 1.2
"""Seconds after a key, so that a picture shows where things come to rest."""
PAGES = {
    "collection": "alt+2",
    "history": "alt+3",
    "models": "alt+4",
    "catalogue": "ctrl+d",
    "settings": "alt+5",
}
"""The key that leads to a page; Explore is where the others start from."""


def settings(theme: str, **others: object) -> str:
    """Return a settings file for a fixed seed, so that the pictures can be made again."""
    return json.dumps({"theme": theme, "seed": SEED, "prompt": PROMPT, **others})


def install(data: Path) -> None:
    """Import two tiny models, as a person would on the command line."""
    words = [sys.executable, str(ROOT / "main.py"), "--data-dir", str(data), "models", "import"]
    for name, folder in MODELS.items():
        subprocess.run([*words, str(ROOT / folder), "--name", name], check=True, timeout=120)


def begin(data: Path, text: str) -> None:
    """Make a fresh library in the data folder, with these settings."""
    data.mkdir(parents=True, exist_ok=True)
    for name in ("library.sqlite", "library.sqlite-wal", "library.sqlite-shm"):
        (data / name).unlink(missing_ok=True)
    (data / "settings.json").write_text(text, encoding="utf-8")


def generated(desktop: Desktop, data: Path) -> None:
    """Press Ctrl+Enter until the library is there and tries stream."""
    wait_for("the model", lambda: list(data.glob("**/cpu-int8/model.onnx")), 120)
    time.sleep(4)
    desktop.key("ctrl+Return")


def states(folder: Path, data: Path, theme: str, size: tuple[int, int], lanes: int) -> None:
    """Take one theme at one size through idle, streaming, judged, and the other pages."""
    name = f"{theme}-{size[0]}-{lanes}"
    begin(data, settings(theme, lanes=lanes))
    with (
        Desktop(*size) as desktop,
        desktop.program(data, log=data.parent / "out.log") as program,
    ):

        def shot(state: str) -> None:
            desktop.picture(folder / f"{name}-{state}.png")

        time.sleep(SETTLE)
        shot("start")
        generated(desktop, data)
        time.sleep(0.15)
        shot("streaming")
        time.sleep(SETTLE)
        for key in ("x", "x", "2", "x", "x", "space", "1"):
            desktop.key(key)
            time.sleep(0.4)
        time.sleep(0.3)
        desktop.key("2", "x", "x", "1", "a")
        time.sleep(0.25)
        desktop.picture(folder / f"window-{theme}.png") if size[0] == 1440 else shot("judged")
        time.sleep(SETTLE)
        shot("rest")
        for page, key in PAGES.items():
            desktop.key(key)
            time.sleep(SETTLE)
            readme = page == "models" and size[0] == 1440
            desktop.picture(folder / f"models-{theme}.png") if readme else shot(page)
        desktop.key("alt+1")
        desktop.key("ctrl+t")
        time.sleep(SETTLE)
        shot("tries")
        program.kill()


def error(folder: Path, data: Path, theme: str) -> None:
    """Start with a library that is none."""
    begin(data, settings(theme))
    (data / "library.sqlite").write_bytes(b"not a library" * 100)
    with (
        Desktop(1280, 800) as desktop,
        desktop.program(data, log=data.parent / "out.log") as program,
    ):
        time.sleep(4)
        generated(desktop, data)
        time.sleep(SETTLE)
        desktop.key("x")
        time.sleep(SETTLE)
        desktop.picture(folder / f"{theme}-error.png")
        program.kill()


def main() -> None:
    """Take all pictures, or with ``--readme`` only those at the size of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--readme", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        install(data)
        for theme in ("light", "dark"):
            for width, height, lanes in SIZES[:1] if arguments.readme else SIZES:
                states(arguments.folder, data, theme, (width, height), lanes)
            if not arguments.readme:
                error(arguments.folder, data, theme)


if __name__ == "__main__":
    main()
