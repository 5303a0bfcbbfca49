"""Work in a child process: what comes out of it, how it stops, and that it never outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.core.errors import ModelError
from explorer.jobs.job import Done, Event, Failed, Job, Progress, Report

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


def add(report: Report, left: int, right: int) -> int:
    report(0.0, "Adding")
    report(2.0, "Added")  # out of range is brought back into it
    return left + right


def refuse(report: Report) -> None:
    raise ModelError("This model is in use.")


def stumble(report: Report) -> None:
    raise ZeroDivisionError("a bug")


def give_what_cannot_travel(report: Report) -> object:
    return lambda: None


def give_much(report: Report) -> bytes:
    return bytes(5_000_000)


def die(report: Report) -> None:
    os._exit(3)


def use_all_memory(report: Report) -> None:
    raise MemoryError


def chatter(report: Report) -> int:
    calls = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        report(0.5, "Working")
        calls += 1
    return calls


def sleep(report: Report) -> None:
    report(0.0, str(os.getpid()))
    time.sleep(600)


def events_of(job: Job, *, until_progress: bool = False) -> list[Event]:
    """Poll until the job is over, or until it has said something."""
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE
    while job.running and not (until_progress and events):
        assert time.monotonic() < deadline, "the job does not end"
        events += job.poll()
        time.sleep(0.005)
    return events


@pytest.fixture
def sleeper() -> Iterator[Job]:
    job = Job.start(sleep)
    yield job
    job.cancel()


def may_still_act(pid: int) -> bool:
    """Return whether a signal was sent that the process has not taken and does not block."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    masks = {line.split(":")[0]: int(line.split()[1], 16) for line in lines if line[:6] in _MASKS}
    waiting = masks.get("SigPnd", 0) | masks.get("ShdPnd", 0)
    return bool(waiting & ~masks.get("SigBlk", 0))


_MASKS = ("SigPnd", "ShdPnd", "SigBlk")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child that nobody waited for is still listed; it does nothing any more.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_progress_comes_first_and_the_result_last() -> None:
    job = Job.start(add, 2, right=3)
    assert events_of(job) == [Progress(0.0, "Adding"), Progress(1.0, "Added"), Done(5)]
    assert not job.running
    assert job.poll() == []
    job.cancel()


def test_a_refusal_arrives_as_its_sentence() -> None:
    assert events_of(Job.start(refuse)) == [Failed("This model is in use.")]


def test_a_bug_arrives_with_its_traceback() -> None:
    (event,) = events_of(Job.start(stumble))
    assert isinstance(event, Failed)
    assert "ZeroDivisionError: a bug" in event.message
    assert "in stumble" in event.details


def test_a_result_that_cannot_travel_is_a_failure() -> None:
    (event,) = events_of(Job.start(give_what_cannot_travel))
    assert isinstance(event, Failed)


def test_a_large_result_arrives() -> None:
    assert events_of(Job.start(give_much)) == [Done(bytes(5_000_000))]


def test_a_child_that_dies_is_noticed() -> None:
    (event,) = events_of(Job.start(die))
    assert isinstance(event, Failed)
    assert "exit code 3" in event.message


def test_too_little_memory_is_said() -> None:
    (event,) = events_of(Job.start(use_all_memory))
    assert isinstance(event, Failed)
    assert "memory" in event.message


def test_progress_is_not_more_than_a_screen_can_show() -> None:
    events = events_of(Job.start(chatter))
    assert isinstance(events[-1], Done)
    assert events[-1].result > 1000
    assert 2 <= len(events) - 1 <= 0.5 * 30 + 2


def test_cancel_ends_the_child_at_once(sleeper: Job) -> None:
    pid = sleeper.pid
    events_of(sleeper, until_progress=True)
    started = time.monotonic()
    sleeper.cancel()
    assert time.monotonic() - started < 5
    assert not sleeper.running
    assert sleeper.poll() == []
    assert not is_alive(pid)


def test_cancel_before_anything_happened() -> None:
    job = Job.start(sleep)
    job.cancel()
    assert job.poll() == []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
def test_ctrl_c_in_the_terminal_is_left_to_the_parent(sleeper: Job) -> None:
    events_of(sleeper, until_progress=True)
    os.kill(sleeper.pid, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    while may_still_act(sleeper.pid):
        assert time.monotonic() < deadline
    assert sleeper.poll() == []
    assert is_alive(sleeper.pid)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
def test_a_stopped_child_is_noticed_and_cancelled_at_once(
    sleeper: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.jobs.heartbeat.SILENT_SECONDS", 2.5)
    events_of(sleeper, until_progress=True)
    assert not sleeper.silent

    def poll_until(silent: bool) -> None:
        deadline = time.monotonic() + PATIENCE
        while sleeper.silent != silent:
            assert time.monotonic() < deadline
            assert sleeper.poll() == []
            time.sleep(0.02)

    os.kill(sleeper.pid, signal.SIGSTOP)
    poll_until(True)
    os.kill(sleeper.pid, signal.SIGCONT)
    poll_until(False)
    os.kill(sleeper.pid, signal.SIGSTOP)
    began = time.monotonic()
    sleeper.cancel()
    assert time.monotonic() - began < 2


def test_a_child_that_waits_for_something_is_not_called_silent(
    sleeper: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.jobs.heartbeat.SILENT_SECONDS", 2.5)
    events_of(sleeper, until_progress=True)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        assert sleeper.poll() == []
        assert not sleeper.silent
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
def test_the_child_ends_when_its_parent_is_killed() -> None:
    script = (
        "import time\nfrom explorer.jobs.job import Job\n"
        "from tests.jobs.test_job import events_of, sleep\n"
        "if __name__ == '__main__':\n"
        "    job = Job.start(sleep)\n"
        "    print(events_of(job, until_progress=True)[0].text, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + PATIENCE
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)
