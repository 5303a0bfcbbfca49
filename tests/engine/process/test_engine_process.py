"""The engine in a real process: streaming, stopping, crashes, and the death of its owner."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from explorer.core.recipe import Recipe
from explorer.engine.messages import (
    Crashed,
    Drop,
    Ended,
    Load,
    Quit,
    Ready,
    Refused,
    Start,
    Steps,
    Stop,
)
from explorer.engine.process.engine_process import CRASHES, EngineProcess
from tests.engine.fake_session import open_fake
from tests.engine.test_memory_estimate import manifest

PATIENCE = 60
ROOT = Path(__file__).parents[3]
LONG = Recipe(max_tokens=500, end_of_text="never")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def open_starving(load):
    """Open a session that asks for more, in its steps, than the system gives to this process."""
    import resource

    session, tokens = open_fake(Load(load.folder, "slow"))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, used + 10**9))
    step = session.step

    def hungry(*arguments):
        np.ones(10**9)
        return step(*arguments)

    session.step = hungry
    return session, tokens


def open_for_ever(load):
    """Never finish loading."""
    time.sleep(PATIENCE)
    return open_fake(Load(load.folder, "slow"))


def open_int8(load):
    """Open a slow session whatever the build."""
    return open_fake(Load(load.folder, "slow"))


def start(index, lane=0, recipe=LONG, prompt=(1, 2, 3)):
    return Start((1, index), lane, 9, prompt, recipe)


def until(engine, done, events=None):
    """Poll until ``done`` says so of all events; return them."""
    events = [] if events is None else events
    deadline = time.monotonic() + PATIENCE
    while not done(events):
        assert time.monotonic() < deadline, f"nothing came but {events[-5:]}"
        events += engine.poll(0.1)
    return events


def has(kind):
    return lambda events: any(isinstance(event, kind) for event in events)


def ends(events):
    return {event.key: event for event in events if isinstance(event, Ended)}


def gone(pid):
    """Whether a process has ended, also where nobody has fetched its exit code yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def engine(tmp_path):
    engine = EngineProcess(open_fake, tmp_path / "engine.log")
    yield engine
    engine.close()


def test_candidates_stream_and_the_engine_knows_when_it_is_busy(engine, tmp_path):
    assert not engine.busy
    assert engine.poll() == []
    engine.send(Load(tmp_path, "cpu-fp32"), *[start(n, n) for n in range(8)])
    assert engine.busy
    events = until(engine, lambda events: len(ends(events)) == 8)
    assert not engine.busy
    assert isinstance(events[0], Ready)
    counts = {(1, n): 0 for n in range(8)}
    for event in events:
        if isinstance(event, Steps):
            for key in event.keys:
                counts[key] += 1
    assert set(counts.values()) == {500}
    assert {e.tokens for e in ends(events).values()} == {500}
    # Some thousand tokens came in a few messages.
    assert sum(isinstance(event, Steps) for event in events) < 500
    engine.close()
    engine.close()
    assert engine.pid is None


def test_stop_takes_effect_within_a_step(engine, tmp_path):
    engine.send(Load(tmp_path, "slow"), start(0), start(1, 1))
    events = until(engine, has(Steps))
    engine.send(Stop())
    until(engine, lambda events: len(ends(events)) == 2, events)
    assert {e.reason for e in ends(events).values()} == {"stopped"}
    assert all(e.tokens < 400 for e in ends(events).values())


def test_stop_reaches_a_prompt_that_is_being_read(engine, tmp_path):
    engine.send(Load(tmp_path, "slow"), start(0, prompt=tuple(range(1, 290)) + (1,) * 200))
    until(engine, has(Ready))
    engine.send(Stop((1, 0)))
    events = until(engine, lambda events: bool(ends(events)))
    assert (ends(events)[1, 0].reason, ends(events)[1, 0].tokens) == ("stopped", 0)


def test_refusals_are_answers_not_crashes(engine, tmp_path):
    engine.send(Load(tmp_path, "missing"), start(0))
    events = until(engine, lambda events: len(events) == 2)
    assert [event.key for event in events] == [None, (1, 0)]
    assert "no build 'missing'" in events[0].message
    assert not engine.busy
    engine.send(Load(tmp_path, "broken"), start(1))
    events = until(engine, has(Refused))
    assert Refused((1, 1), "The model could not run.") in events
    assert not engine.busy


@needs_proc
def test_a_killed_engine_is_noticed_said_restarted_and_loaded_again(engine, tmp_path):
    engine.send(Load(tmp_path, "slow"), start(0))
    until(engine, has(Steps))
    pid = engine.pid
    os.kill(pid, signal.SIGKILL)
    while not gone(pid):
        time.sleep(0.01)
    engine.send(start(1, 1))  # to a dead process: lost with the others
    events = until(engine, has(Crashed))
    (crashed,) = [event for event in events if isinstance(event, Crashed)]
    assert crashed.restarting
    assert "SIGKILL" in crashed.message
    assert engine.pid not in (None, pid)
    until(engine, has(Ready), events)
    assert not engine.busy
    engine.send(start(2), Drop((1, 7)))
    after = until(engine, has(Steps))
    assert {key for event in after if isinstance(event, Steps) for key in event.keys} == {(1, 2)}
    assert not ends(events)


@pytest.fixture
def described(tmp_path):
    """A folder with a description of a model that a load can name."""
    manifest().write(tmp_path)
    return tmp_path


@needs_proc
def test_a_process_that_gets_no_memory_says_so_with_the_numbers(described):
    engine = EngineProcess(open_starving)
    try:
        engine.send(Load(described, "cpu-int8"), start(0), start(1, 1))
        events = until(engine, has(Crashed))
        (crashed,) = [event for event in events if isinstance(event, Crashed)]
        assert crashed.restarting
        assert crashed.shortage
        assert crashed.message.startswith(
            "The engine ran out of memory: tiny (cpu-int8) needs about 0.1 GB with 2 lanes, "
        )
        assert crashed.message.endswith(
            "is free; choose fewer lanes or a smaller precision; it is being started again."
        )
        until(engine, lambda events: sum(isinstance(e, Ready) for e in events) == 2, events)
    finally:
        engine.close()


@needs_proc
@pytest.mark.parametrize(("free", "short"), [(50_000_000, True), (10**12, False), (None, False)])
def test_a_kill_is_a_lack_of_memory_where_little_is_free(described, monkeypatch, free, short):
    monkeypatch.setattr("explorer.engine.memory_estimate.free_memory", lambda device: free)
    engine = EngineProcess(open_int8)
    try:
        engine.send(Load(described, "cpu-int8"), start(0))
        until(engine, has(Steps))
        os.kill(engine.pid, signal.SIGKILL)
        events = until(engine, has(Crashed))
        (crashed,) = [event for event in events if isinstance(event, Crashed)]
        assert ("ran out of memory" in crashed.message) is short
        assert ("SIGKILL" in crashed.message) is not short
        assert crashed.shortage is short
    finally:
        engine.close()


@needs_proc
def test_a_load_that_was_killed_for_memory_is_not_tried_again(described, monkeypatch):
    monkeypatch.setattr("explorer.engine.memory_estimate.free_memory", lambda device: 1_000_000)
    engine = EngineProcess(open_for_ever)
    try:
        engine.send(Load(described, "cpu-int8"))
        os.kill(engine.pid, signal.SIGKILL)
        (refused,) = until(engine, has(Refused))
        assert refused.key is None
        assert refused.shortage
        assert refused.message == (
            "The model could not be loaded: tiny (cpu-int8) needs about 0.1 GB with 1 lane, 0.0 GB"
            " is free; choose a smaller precision."
        )
        assert not engine.busy
        assert engine.pid is not None
    finally:
        engine.close()


def test_a_bug_is_said_and_logged(engine, tmp_path):
    engine.send(Load(tmp_path, "poisoned"), start(0))
    events = until(engine, has(Crashed))
    (crashed,) = [event for event in events if isinstance(event, Crashed)]
    assert "not finite" in crashed.message
    assert crashed.restarting
    assert "EngineError" in (tmp_path / "engine.log").read_text()
    until(engine, lambda events: sum(isinstance(e, Ready) for e in events) == 2, events)


def test_an_engine_that_keeps_crashing_is_left_alone_until_a_model_is_chosen(tmp_path):
    engine = EngineProcess(open_fake, clock=lambda: 0.0)
    try:
        crashes = []
        for _ in range(CRASHES):
            engine._worker._process.kill()
            events = until(engine, has(Crashed))
            crashes += [event.restarting for event in events if isinstance(event, Crashed)]
        assert crashes == [True] * (CRASHES - 1) + [False]
        assert engine.pid is None
        assert engine.poll() == []
        engine.send(start(0), Stop())
        assert [event.key for event in engine.poll()] == [(1, 0)]
        assert not engine.busy
        engine.send(Load(tmp_path, "cpu-fp32"))
        until(engine, has(Ready))
    finally:
        engine.close()


def test_an_engine_that_cannot_be_started_again_says_so_and_can_be_tried_later(
    tmp_path, monkeypatch
):
    engine = EngineProcess(open_fake)
    try:
        start = multiprocessing.context.SpawnProcess.start

        def no_more(_process):
            raise OSError(errno.EAGAIN, "no more processes")

        monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", no_more)
        engine._worker._process.kill()
        events = until(engine, has(Crashed))
        assert [(each.restarting, "no more processes" in each.message) for each in events] == [
            (False, True)
        ]
        assert engine.pid is None
        assert engine.poll() == []
        monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", start)
        engine.send(Load(tmp_path, "cpu-fp32"))
        until(engine, has(Ready))
    finally:
        engine.close()


def test_an_engine_starts_again_where_the_working_folder_is_gone(tmp_path, monkeypatch):
    engine = EngineProcess(open_fake)
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    try:
        engine.send(Load(tmp_path, "cpu-fp32"))
        until(engine, has(Ready))
        engine._worker._process.kill()
        events = until(engine, lambda events: sum(isinstance(e, Ready) for e in events) == 1)
        assert [each.restarting for each in events if isinstance(each, Crashed)] == [True]
    finally:
        engine.close()


def test_crashes_that_are_far_apart_do_not_count_together():
    now = [0.0]
    engine = EngineProcess(open_fake, clock=lambda: now[0])
    try:
        for _ in range(CRASHES + 1):
            engine._worker._process.kill()
            events = until(engine, has(Crashed))
            assert events[-1].restarting
            now[0] += 40
    finally:
        engine.close()


def test_quit_ends_it_without_a_crash(engine, tmp_path):
    engine.send(Load(tmp_path, "cpu-fp32"))
    until(engine, has(Ready))
    engine.send(Quit())
    deadline = time.monotonic() + PATIENCE
    while engine.pid is not None:
        assert time.monotonic() < deadline
        assert engine.poll(0.1) == []


@needs_proc
@pytest.mark.parametrize("busy", [True, False])
def test_the_engine_goes_with_its_owner(tmp_path, busy):
    script = tmp_path / "owner.py"
    script.write_text(
        textwrap.dedent("""
            import sys, time
            from pathlib import Path
            from explorer.engine.messages import Load, Ready, Start, Steps
            from explorer.engine.process.engine_process import EngineProcess
            from explorer.core.recipe import Recipe
            from tests.engine.fake_session import open_fake

            if __name__ == "__main__":
                engine = EngineProcess(open_fake)
                engine.send(Load(Path(sys.argv[1]), "slow"))
                wanted = Ready
                if sys.argv[2] == "True":
                    recipe = Recipe(max_tokens=500, end_of_text="never")
                    engine.send(Start((1, 0), 0, 1, (1,), recipe))
                    wanted = Steps
                while not any(isinstance(event, wanted) for event in engine.poll(1)):
                    pass
                print(engine.pid, flush=True)
                time.sleep(60)
        """)
    )
    owner = subprocess.Popen(
        [sys.executable, script, tmp_path, str(busy)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        pid = int(owner.stdout.readline())
        assert not gone(pid)
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
    end = time.monotonic() + PATIENCE
    while not gone(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert gone(pid)
