"""The main job in the real program: keys in, pictures and files out, nothing replaced.

Import a model, type, stream, reject two, keep one, quit, start again, find it with 6 tries, export
it. A second journey kills the whole program in the middle of a decision, three times.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from explorer.review.review import GLANCE_S
from tests.desktop import ROOT, Desktop, missing_tools, wait_for
from tests.hub_server import HubServer, Serving
from tests.tiny import make_tiny

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(
        bool(missing_tools()) and "CI" not in os.environ,
        reason="needs Xvfb and xdotool, which `make test` installs on Debian and Ubuntu",
    ),
]


@pytest.fixture
def desktop() -> Iterator[Desktop]:
    with Desktop(1280, 800) as desktop:
        yield desktop


def rows(data: Path, question: str) -> list[tuple[Any, ...]]:
    """Ask the library of a running program; [] while there is none yet."""
    path = data / "library.sqlite"
    if not path.exists():
        return []
    with contextlib.closing(
        sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    ) as connection:
        try:
            return connection.execute(question).fetchall()
        except sqlite3.OperationalError:  # the schema is being made
            return []


def count(data: Path, question: str) -> int:
    found = rows(data, question)
    return int(found[0][0]) if found else 0


def clean(log: Path) -> None:
    """Fail on a traceback or a warning of Qt in what the program printed or logged."""
    lines = log.read_text(errors="replace").splitlines()
    # A random model writes in scripts that the machine's fonts may lack; Qt mentions it.
    text = "\n".join(line for line in lines if not line.startswith("qt.text.font.db"))
    for path in (log.parent / "data").glob("logs/*"):
        text += path.read_text(errors="replace")
    for bad in ("Traceback", "qt.", "QObject", "QWidget", "QPainter", "Warning", "CRITICAL"):
        assert bad not in text, text


def quit_program(desktop: Desktop, program: subprocess.Popen[bytes]) -> None:
    desktop.focus()
    desktop.key("ctrl+q")
    wait_for("the program to end", lambda: program.poll() is not None)
    assert program.returncode == 0


def generate(desktop: Desktop, data: Path, prompt: str) -> None:
    """Type a prompt and press Ctrl+Enter, once: a model that is still coming does not lose it."""
    desktop.focus()
    desktop.key("ctrl+l", "ctrl+a")
    desktop.type(prompt)
    desktop.key("ctrl+Return")
    wait_for("four tries", lambda: count(data, "select count(*) from tries") >= 4)


def judge(desktop: Desktop, key: str) -> None:
    """Press a key that judges, not sooner than anybody can have seen what has just come."""
    time.sleep(2 * GLANCE_S)
    desktop.key(key)


def reject(desktop: Desktop, data: Path) -> None:
    """Reject the chosen lane; return when the verdict and the next try in its place are on disk."""
    tries = count(data, "select count(*) from tries")
    rejected = count(data, "select count(*) from verdicts where verdict = 'rejected'")
    judge(desktop, "x")
    wait_for(
        "the verdict and the next try",
        lambda: (
            count(data, "select count(*) from verdicts where verdict = 'rejected'") == rejected + 1
            and count(data, "select count(*) from tries") == tries + 1
        ),
    )


def press_until(desktop: Desktop, key: str, check: Callable[[], bool]) -> None:
    """Press a key until it has done what it should, for what the window does before is unseen."""
    for _ in range(10):
        desktop.key(key)
        with contextlib.suppress(AssertionError):
            wait_for(key, check, 4)
            return
    raise AssertionError(f"{key} did nothing")


def in_use(data: Path, model: str) -> bool:
    """Whether the window has turned to a model, which it remembers; it may still be loading."""
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads((data / "settings.json").read_text())["model"] == model)
    return False


def test_prompt_stream_reject_keep_quit_find_export(desktop: Desktop, tmp_path: Path) -> None:
    data, log, tiny = tmp_path / "data", tmp_path / "out.log", tmp_path / "tiny-gpt2"
    make_tiny(tiny)
    with desktop.program(data, log=log) as program:
        desktop.key("ctrl+o")
        desktop.focus("Import")
        desktop.type(str(tiny))
        desktop.key("Return")  # what is imported ...
        press_until(desktop, "Return", lambda: in_use(data, "tiny-gpt2"))  # ... and its name
        generate(desktop, data, "Once upon a time")
        assert rows(data, "select name from models") == [("tiny-gpt2",)]
        assert rows(data, "select text from prompts") == [("Once upon a time",)]
        reject(desktop, data)
        reject(desktop, data)
        judge(desktop, "a")
        wait_for("the sample", lambda: count(data, "select count(*) from samples") == 1)
        quit_program(desktop, program)
    with desktop.program(data, log=log) as program:
        exported = tmp_path / "kept.jsonl"
        desktop.key("ctrl+e")
        desktop.focus("Export")
        desktop.key("Tab", "ctrl+a")  # from the formats to the file
        desktop.type(str(exported))
        desktop.key("Return")
        wait_for("the export", exported.exists)
        desktop.key("Escape")
        quit_program(desktop, program)
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    assert len(lines) == 1
    assert lines[0]["tries"] == 6  # four lanes, and the two that came for the rejected ones
    assert (lines[0]["rejected"], lines[0]["passed_over"]) == (2, 3)
    assert lines[0]["prompt"] == "Once upon a time"
    assert lines[0]["caption"].startswith("machine-written, 6 tries (2 rejected")
    clean(log)


def test_download_drop_restart_resume_convert_generate(desktop: Desktop, tmp_path: Path) -> None:
    data, log, tiny = tmp_path / "data", tmp_path / "out.log", tmp_path / "tiny"
    make_tiny(tiny)
    weights = "model.safetensors"
    size = (tiny / weights).stat().st_size
    dropped, reached = size // 4, size // 2
    with HubServer() as hub:
        desktop.environment["HF_ENDPOINT"] = hub.url
        revision = hub.add("someone/tiny", tiny).revision
        # The line breaks, is taken up again, and then nothing comes any more.
        servings = Serving(drop_after=dropped), Serving(stall_after=reached - dropped)
        hub.script(f"someone/tiny/{weights}", *servings)
        with desktop.program(data, log=log) as program:
            desktop.key("ctrl+d", "Tab", "ctrl+a")
            desktop.type("someone/tiny")
            desktop.key("Return")  # look it up; then the keyboard is on the button
            wait_for("the question what there is", lambda: hub.seen)
            assert not hub.fetched()
            press_until(desktop, "space", lambda: bool(hub.asked(weights)))
            wait_for("the silence of the server", hub.stalled.is_set)
            part = data / f"downloads/someone--tiny/files/{weights}.part"
            wait_for(
                "what came before it", lambda: part.exists() and part.stat().st_size == reached
            )
            program.kill()
            program.wait(10)
        assert hub.asked(weights) == ["", f"bytes={dropped}-"]
        assert not list(data.glob("models/*"))
        with desktop.program(data, log=log) as program:
            desktop.key("alt+4", "Tab", "space")  # from the list to Resume
            wait_for("the model", lambda: list(data.glob("models/tiny/cpu-*/model.onnx")))
            assert hub.asked(weights)[2:] == [f"bytes={reached}-"]
            wait_for("the page to list it", lambda: not (data / "downloads/someone--tiny").exists())
            # It was not asked for by name in this session: the person turns to it.
            desktop.key("alt+1", "alt+4", "Down")
            press_until(desktop, "Return", lambda: in_use(data, "tiny"))
            generate(desktop, data, "Once upon a time")
            assert rows(data, "select name from models") == [("tiny",)]
            quit_program(desktop, program)
    manifest = json.loads((data / "models/tiny/model.json").read_text())
    assert manifest["source"]["repository"] == "someone/tiny"
    assert manifest["source"]["revision"] == revision
    assert manifest["hashes"][weights] == hashlib.sha256((tiny / weights).read_bytes()).hexdigest()
    clean(log)


@pytest.mark.parametrize("decisions", [1, 2, 3])
def test_a_kill_loses_no_verdict_that_was_shown(
    desktop: Desktop, tmp_path: Path, decisions: int
) -> None:
    data, log = tmp_path / "data", tmp_path / "out.log"
    with desktop.program(data, log=log) as program:
        generate(desktop, data, "The old captain")
        for _ in range(decisions):
            reject(desktop, data)
        desktop.key("x")  # one more, for which nobody waits: the kill comes before, in or after it
        time.sleep(random.Random(decisions).random() * 0.05)
        program.kill()
        program.wait(10)
    # What was shown before the kill is there, and of the last decision all or nothing.
    rejected = count(data, "select count(*) from verdicts where verdict = 'rejected'")
    assert rejected in (decisions, decisions + 1)
    assert count(data, "select count(*) from verdicts join ends using (try_id)") == rejected
    with desktop.program(data, log=log) as program:
        wait_for(
            "the tries that were lost to be closed",
            lambda: count(data, "select count(*) from tries t left join ends e on e.try_id = t.id"
                          " where e.try_id is null") == 0,
        )  # fmt: skip
        assert rows(data, "pragma integrity_check") == [("ok",)]
        quit_program(desktop, program)
    assert count(data, "select count(*) from verdicts where verdict = 'rejected'") == rejected


def test_the_program_without_a_display_says_so(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment["QT_QPA_PLATFORM"] = "xcb"
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "--data-dir", str(tmp_path / "data")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "There is no display" in done.stderr
    assert done.stderr.count("\n") == 1
