"""The window ends in order when the system asks: what streams is written before it goes."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from explorer.gui.window.leaving import Leaving
from explorer.library.history import History
from explorer.library.ledger import Ledger
from explorer.library.storage.database import Database

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")


@contextlib.contextmanager
def streaming(data: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a window whose lanes stream."""
    line = [sys.executable, "-m", "tests.gui.streaming_window", str(data), *words]
    with subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline().strip() == str(program.pid)
            yield program
        finally:
            if program.poll() is None:
                program.kill()


def ends(data: Path) -> list[tuple[str, str]]:
    """Return how the tries in a library ended, and with which text."""
    with Database.open(data / "library.sqlite", writable=False) as database:
        found = [t.end for hunt in History(database).ids() for t in Ledger(database).tries(hunt)]
    return [(end.reason, end.text) for end in found if end]


@pytest.mark.parametrize("words", [(), ("--dialog",)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_writes_what_streams_and_then_ends_the_program(tmp_path, number, words):
    with streaming(tmp_path, *words) as program:
        program.send_signal(number)
        _, said = program.communicate(timeout=60)
    assert program.returncode == 128 + number
    assert "Traceback" not in said
    found = ends(tmp_path)
    assert [reason for reason, _ in found] == ["stopped"] * 4
    assert all(text for _, text in found)


def test_a_kill_loses_what_streamed(tmp_path):
    """So that the test above shows something."""
    with streaming(tmp_path) as program:
        program.kill()
        program.wait(60)
    assert ends(tmp_path) == []


def test_a_hang_up_that_is_to_be_ignored_is_ignored(tmp_path):
    """As with nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with streaming(tmp_path) as program:
            program.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                program.wait(1)
            program.send_signal(signal.SIGTERM)
            program.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert program.returncode == 128 + signal.SIGTERM


def test_the_end_of_a_session_writes_what_streams_and_leaves_the_window(desk):
    app = QApplication.instance()
    desk.generate()
    desk.step(3)
    leaving = Leaving(app, desk.window, desk.window.save)
    try:
        # What the platform does; a session manager cannot be made here.
        app.commitDataRequest.emit(None)
    finally:
        leaving.close()
    assert [view.end for view in desk.review.views] == ["stopped"] * 4
    assert desk.window.isVisible()
    assert not desk.engine.closed
    assert [end[0] for end in ends(desk.folder)] == ["stopped"] * 4
    desk.generate("Another day")  # the person stayed, and goes on
    assert desk.review.running


def test_signals_mean_again_what_they_meant_before(desk):
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    leaving = Leaving(QApplication.instance(), desk.window, desk.window.save)
    assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
    leaving.close()
    assert {n: signal.getsignal(n) for n in before} == before
    assert signal.set_wakeup_fd(wakeup) == wakeup
