"""Whether an engine that is stopped, or hangs, is told from one that has much to do."""

import os
import signal
import sys
import time

import pytest

from explorer.core.recipe import Recipe
from explorer.engine.messages import CancelLoad, Load, Ready, Restart, Start, Steps
from explorer.engine.process.engine_pool import EnginePool
from explorer.engine.process.engine_process import EngineProcess
from explorer.jobs import heartbeat
from explorer.jobs.heartbeat import (
    BEAT_SECONDS,
    IDLE_SECONDS,
    SILENT_SECONDS,
    START_SECONDS,
    STEP_SECONDS,
    Listener,
    Pulse,
)
from tests.engine.fake_session import open_fake
from tests.engine.process.test_engine_process import gone, has, needs_proc, start, until

PATIENCE = 60.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP there")


class Machine:
    """A clock, and how much the process has worked."""

    def __init__(self):
        self.now = self.work = 100.0
        self.pulse = Pulse(lambda: self.now, lambda: self.work)

    def beats(self, seconds, share=0.0):
        """Let time pass, a part of it as work; return whether each second had its beat."""
        found = []
        for _ in range(round(seconds / BEAT_SECONDS)):
            self.now += BEAT_SECONDS
            self.work += share * BEAT_SECONDS
            found.append(self.pulse.beats())
        return found


@pytest.fixture
def machine():
    return Machine()


def test_whoever_waits_for_commands_beats_for_ever(machine):
    assert all(machine.beats(10_000))
    machine.pulse.begin(1.0)
    machine.pulse.rest()
    assert all(machine.beats(10_000))


def test_a_long_piece_that_works_beats_and_one_that_only_waits_does_not(machine):
    machine.pulse.begin(STEP_SECONDS)
    assert all(machine.beats(STEP_SECONDS, share=0.02))
    machine.pulse.begin(STEP_SECONDS)
    found = machine.beats(20)
    assert found == [True] * found.count(True) + [False] * found.count(False)
    assert found.count(True) < IDLE_SECONDS
    machine.pulse.begin(STEP_SECONDS)  # it came back after all
    assert machine.pulse.beats()


def test_what_stops_working_in_the_middle_is_noticed_there(machine):
    machine.pulse.begin(STEP_SECONDS)
    assert all(machine.beats(30, share=1.0))
    assert not machine.beats(IDLE_SECONDS)[-1]


def test_what_turns_in_circles_is_noticed_when_its_time_is_over(machine):
    machine.pulse.begin(10.0)
    found = machine.beats(20, share=2.0)
    assert found == [True] * 10 + [False] * 10


def test_many_short_steps_beat_without_any_measured_work(machine):
    for _ in range(1000):
        machine.pulse.begin(STEP_SECONDS)
        machine.now += 0.05
    assert machine.pulse.beats()


def test_work_is_counted_on_this_machine():
    before = heartbeat.work_done()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert heartbeat.work_done() - before >= 0.1


def test_silence_is_counted_from_the_last_beat():
    now = [0.0]
    listener = Listener(lambda: now[0])
    listener.hear()
    assert not listener.look()
    looks = []
    while not (looks and looks[-1]):
        now[0] += 0.4
        looks.append(listener.look())
    assert SILENT_SECONDS - 0.01 <= now[0] <= SILENT_SECONDS + 0.5
    listener.hear()
    assert not listener.look()


def test_before_the_first_beat_there_is_more_time():
    now = [0.0]
    listener = Listener(lambda: now[0])
    for _ in range(round(START_SECONDS) - 1):
        now[0] += 1.0
        assert not listener.look()
    now[0] += 1.0
    assert listener.look()


def test_whoever_slept_himself_accuses_nobody():
    now = [0.0]
    listener = Listener(lambda: now[0])
    listener.hear()
    listener.look()
    now[0] += 8 * 3600
    assert not listener.look()


# Real processes


@pytest.fixture
def quick(monkeypatch):
    """Notice silence after half of its usual time, which only shortens the tests."""
    monkeypatch.setattr(heartbeat, "SILENT_SECONDS", 2.5)


def open_hanging(load):
    """Open a session whose third step never returns and does nothing."""
    session, tokens = open_fake(Load(load.folder, "slow"))
    step = session.step

    def hang(*arguments):
        if len(session.steps) > 2:
            time.sleep(3600)
        return step(*arguments)

    session.step = hang
    return session, tokens


def open_late(load):
    """Load for longer than a silence lasts, and work while doing so; the build ``hangs`` idles."""
    end = time.monotonic() + 9
    while time.monotonic() < end:
        if load.build == "hangs":
            time.sleep(3600)
        sum(range(1000))
    return open_fake(Load(load.folder, "slow"))


def open_busy(load):
    """Open a session whose pieces of a prompt take longer than a silence lasts."""
    session, tokens = open_fake(Load(load.folder, "slow"))
    prefill = session.prefill

    def slow(*arguments, **options):
        end = time.monotonic() + 9
        while time.monotonic() < end:
            sum(range(1000))
        return prefill(*arguments, **options)

    session.prefill = slow
    return session, tokens


def until_silent(engine, silent=True):
    """Poll until the engine is silent, or answers again; return the events."""
    events = []
    deadline = time.monotonic() + PATIENCE
    while engine.silent != silent:
        assert time.monotonic() < deadline
        events += engine.poll(0.05)
    return events


@posix
def test_a_stopped_engine_is_noticed_and_so_is_that_it_goes_on(quick, tmp_path):
    engine = EngineProcess(open_fake)
    try:
        engine.send(Load(tmp_path, "slow"), start(0))
        until(engine, has(Steps))
        os.kill(engine.pid, signal.SIGSTOP)
        until_silent(engine)
        os.kill(engine.pid, signal.SIGCONT)
        assert has(Steps)(until_silent(engine, silent=False) + until(engine, has(Steps)))
    finally:
        engine.close()


@posix
@needs_proc
def test_a_stopped_engine_is_started_again_or_closed_at_once(quick, tmp_path):
    engine = EngineProcess(open_fake)
    try:
        engine.send(Load(tmp_path, "slow"), start(0))
        until(engine, has(Steps))
        stopped = engine.pid
        os.kill(stopped, signal.SIGSTOP)
        until_silent(engine)
        engine.restart()
        assert gone(stopped)
        assert not engine.silent
        events = until(engine, has(Ready))
        assert not any(getattr(event, "keys", ()) for event in events)  # nothing streams by itself
        engine.send(start(1))
        until(engine, has(Steps))
        stopped = engine.pid
        os.kill(stopped, signal.SIGSTOP)
        began = time.monotonic()
    finally:
        engine.close()
    assert time.monotonic() - began < 2
    assert gone(stopped)
    assert not engine.silent


def test_a_call_that_never_returns_is_noticed(quick, tmp_path):
    engine = EngineProcess(open_hanging)
    try:
        engine.send(Load(tmp_path, "slow"), start(0))
        until_silent(engine)
    finally:
        engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("opener", [open_late, open_busy])
def test_a_long_load_and_a_long_piece_of_a_prompt_are_no_silence(quick, tmp_path, opener):
    engine = EngineProcess(opener)
    try:
        engine.send(Load(tmp_path, "slow"), start(0))
        events = []
        while not has(Steps)(events):
            events += engine.poll(0.05)
            assert not engine.silent
    finally:
        engine.close()


@posix
def test_a_process_that_cannot_be_ended_holds_nobody_up(tmp_path, monkeypatch):
    """As one in a driver's call: here nobody kills it."""
    engine = EngineProcess(open_fake)
    engine.send(Load(tmp_path, "slow"), start(0))
    until(engine, has(Steps))
    pid, process = engine.pid, engine._worker._process
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(process, "kill", lambda: None)
    began = time.monotonic()
    engine.close()
    assert time.monotonic() - began < 10
    assert engine.pid is None
    import multiprocessing

    assert process not in multiprocessing.active_children()
    os.kill(pid, signal.SIGKILL)


@posix
def test_the_pool_says_which_process_is_silent_and_restarts_it(quick, tmp_path):
    pool = EnginePool(open_late_second, fits=lambda load: True)
    one = Load(tmp_path, "slow")
    try:
        pool.send(one)
        until(pool, has(Ready))
        pool.send(Load(tmp_path, "hangs"))
        deadline = time.monotonic() + PATIENCE
        while pool.silent != "load":
            assert time.monotonic() < deadline
            pool.poll(0.05)
        used, coming = pool.pids
        pool.send(Restart())
        assert pool.silent == ""
        assert pool.pids[0] == used
        assert pool.pids[1] != coming
        pool.send(CancelLoad(), Start((1, 0), 0, 1, (1,), Recipe(max_tokens=5)))
        until(pool, has(Steps))
        os.kill(pool.pid, signal.SIGSTOP)
        while pool.silent != "engine":
            assert time.monotonic() < deadline + PATIENCE
            pool.poll(0.05)
        pool.send(Restart())
        until(pool, has(Ready))
        assert pool.silent == ""
    finally:
        pool.close()


def open_late_second(load):
    """Open at once, but a build called ``hangs`` never."""
    if load.build == "hangs":
        time.sleep(3600)
    return open_fake(load)
