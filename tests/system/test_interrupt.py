"""Ctrl+C at any moment of a start: the program, and the engine that it has started, end quietly."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from explorer.jobs.child_process import sheltered

ROOT = Path(__file__).resolve().parents[2]
OURS = (str(ROOT / "main.py"), str(ROOT / "explorer"), "multiprocessing", "engine")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no groups of processes there")


def interrupted(words: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Start a program of its own group and press Ctrl+C so many seconds later."""
    line = [sys.executable, *words]
    with subprocess.Popen(
        line,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGINT)
            out, err = program.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline:  # the engine goes a moment after the window
                    os.killpg(program.pid, 0)
                    time.sleep(0.01)
                os.killpg(program.pid, signal.SIGKILL)
                pytest.fail(f"an orphan was left after {seconds} s")
    return subprocess.CompletedProcess(line, program.returncode, out, err)


@pytest.mark.slow
@pytest.mark.parametrize("command", [[], ["models", "list"], ["--version"]])
def test_ctrl_c_ends_a_start_quietly_whenever_it_comes(tmp_path, command):
    for milliseconds in range(0, 401, 40):
        words = ["main.py", "--data-dir", str(tmp_path), *command]
        done = interrupted(words, milliseconds / 1000)
        if done.returncode == 1 and not any(each in done.stderr for each in OURS):
            continue  # Python itself was still starting, and had not read the first line of ours
        # Ended by the signal itself before Python listens; 0 where it had already done its work.
        allowed = (130, -signal.SIGINT, 0) if command else (130, -signal.SIGINT)
        assert done.returncode in allowed, (milliseconds, done.stderr)
        assert done.stderr == "", milliseconds


@pytest.mark.slow
def test_ctrl_c_in_an_open_window_ends_the_engine_too(tmp_path):
    for seconds in (0.8, 1.5, 3.0):
        done = interrupted(["main.py", "--data-dir", str(tmp_path)], seconds)
        assert (done.returncode, done.stderr) == (130, "")


def test_the_packaged_program_is_prepared_before_anything_else():
    hook = ROOT / "resources" / "install" / "quiet_start.py"
    assert f'"{hook.name}"' in (ROOT / "build.spec").read_text()
    program = (
        "import os, runpy, signal, sys\nrunpy.run_path(sys.argv[1])\n"
        "os.kill(os.getpid(), signal.SIGINT)\nprint('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(hook)], cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_child_hears_nothing_from_its_very_start(number):
    with sheltered():
        child = subprocess.Popen([sys.executable, "-c", "print('whole')"], stdout=subprocess.PIPE)
    with child:
        child.send_signal(getattr(signal, number))
        out, _ = child.communicate(timeout=60)
    assert (child.returncode, out.strip()) == (0, b"whole")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_a_child_grants_a_request_that_its_parent_does_not_see_to():
    program = (
        "import time\nfrom explorer.jobs import child_process\n"
        "child_process.heed_requests()\nprint('ready', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    with sheltered():
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 128 + signal.SIGTERM
