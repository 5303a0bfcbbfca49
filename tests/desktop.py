"""A virtual display and the real program on it, driven as a person drives it: keys and pictures.

Used by the journey test and by ``tests/screenshots.py``. Needs Xvfb and xdotool; pictures need
ImageMagick's ``import``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeVar

ROOT = Path(__file__).resolve().parent.parent
TITLE = "Sample Explorer"
T = TypeVar("T")


def missing_tools() -> list[str]:
    """Return the programs that a virtual desktop needs and this machine lacks."""
    return [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]


def wait_for(what: str, check: Callable[[], T | None], seconds: float = 60) -> T:
    """Call ``check`` until it returns something true and return that; fail, saying ``what``."""
    deadline = time.monotonic() + seconds
    while True:
        if found := check():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.05)


class Desktop:
    """An X server of its own; ends with the ``with`` block and takes its programs with it."""

    def __init__(self, width: int = 1440, height: int = 900) -> None:
        read, write = os.pipe()
        self.server = subprocess.Popen(
            # Without -noreset it starts anew when the last program leaves, and one that comes just
            # then cannot connect.
            ["Xvfb", "-displayfd", str(write), "-noreset", "-screen", "0", f"{width}x{height}x24"],
            pass_fds=(write,),
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise RuntimeError("Xvfb did not start")
        self.environment = {
            **os.environ,
            "DISPLAY": f":{number}",
            "QT_QPA_PLATFORM": "xcb",
            "QT_LOGGING_TO_CONSOLE": "1",
        }
        self.size = (width, height)

    def __enter__(self) -> Self:
        """Return the desktop itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the X server."""
        self.server.terminate()
        self.server.wait(10)

    def tool(self, *words: str) -> str:
        """Run xdotool and return what it printed."""
        done = subprocess.run(
            ["xdotool", *words], env=self.environment, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise AssertionError(f"xdotool {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def key(self, *keys: str) -> None:
        """Press keys one after the other, in xdotool's names (``ctrl+Return``)."""
        self.tool("key", "--delay", "60", *keys)

    def type(self, text: str) -> None:
        """Type text into whatever has the focus."""
        self.tool("type", "--delay", "12", text)

    def click(self, x: int, y: int) -> None:
        """Click with the left button at a point of the screen."""
        self.tool("mousemove", "--sync", str(x), str(y), "click", "1")

    def picture(self, path: Path) -> None:
        """Save what the screen shows as a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["import", "-window", "root", str(path)],
            env=self.environment,
            check=True,
            capture_output=True,
            timeout=60,
        )

    def window(self, title: str) -> str | None:
        """Return the newest visible window whose title contains ``title``."""
        done = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--name", title],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout.split()[-1] if done.stdout.split() else None

    def focus(self, title: str = TITLE) -> None:
        """Wait for a window and give it the keyboard."""
        found = wait_for(f"a window called {title!r}", lambda: self.window(title))
        self.tool("windowfocus", "--sync", found)

    def _window_of(self, running: subprocess.Popen[bytes]) -> str | None:
        if running.poll() is not None:
            raise AssertionError(f"the program ended with {running.returncode} before its window")
        return self.window(TITLE)

    @contextlib.contextmanager
    def program(self, data: Path, *words: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Start ``main.py --data-dir data`` full screen; kill it if the block leaves it running."""
        command = [sys.executable, str(ROOT / "main.py"), "--data-dir", str(data), *words]
        with self.running(command, log, cwd=data.parent) as running:
            yield running

    @contextlib.contextmanager
    def running(
        self, command: Sequence[str], log: Path, cwd: Path | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a program full screen; kill it if the block leaves it running."""
        with log.open("ab") as output:
            running = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=subprocess.STDOUT, cwd=cwd
            )
        try:
            found = wait_for("the window of the program", lambda: self._window_of(running))
            self.tool("windowfocus", "--sync", found)
            self.tool("windowmove", found, "0", "0")
            self.tool("windowsize", "--sync", found, *map(str, self.size))
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGKILL)
                running.wait(10)
