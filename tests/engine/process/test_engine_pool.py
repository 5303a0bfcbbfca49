"""Two models in two processes: switching, cancelling, making room, unloading."""

import os
import signal
import time
from pathlib import Path

import pytest

from explorer.core.recipe import Recipe
from explorer.engine.messages import (
    CancelLoad,
    Crashed,
    Ended,
    Load,
    Ready,
    Refused,
    Start,
    Steps,
    Unload,
)
from explorer.engine.process import engine_pool as pool_module
from explorer.engine.process.engine_pool import EnginePool, both_fit
from tests.engine.fake_session import open_fake
from tests.engine.process.test_engine_process import PATIENCE, ends, gone, has, needs_proc, until

LONG = Recipe(max_tokens=500, end_of_text="never")


def open_slowly(load):
    """Take half a second for the build ``late``."""
    if load.build == "late":
        time.sleep(0.5)
    if load.build == "dies":
        os._exit(3)
    return open_fake(load)


def start(index, lane=0):
    return Start((1, index), lane, 9, (1, 2, 3), LONG)


def streams(pool, index):
    """Start a candidate and see it stream."""
    pool.send(start(index))
    return until(pool, lambda events: any((1, index) in e.keys for e in events if is_steps(e)))


def is_steps(event):
    return isinstance(event, Steps)


def ready_of(build):
    return lambda events: any(isinstance(e, Ready) and e.build == build for e in events)


@pytest.fixture
def room():
    return [True]


@pytest.fixture
def pool(tmp_path, room):
    pool = EnginePool(open_slowly, tmp_path / "engine.log", lambda load: room[0])
    yield pool
    pids = pool.pids
    pool.close()
    pool.close()
    assert all(gone(pid) for pid in pids)


@pytest.fixture
def first(pool, tmp_path):
    """A pool with one model in use."""
    pool.send(Load(tmp_path, "paced"))
    until(pool, ready_of("paced"))
    return pool


def test_the_model_in_use_goes_on_until_the_next_is_ready(first, tmp_path):
    streams(first, 0)
    before = first.pid
    first.send(Load(tmp_path, "late"))
    assert first.busy
    events = until(first, ready_of("late"))
    # It streamed while the other loaded, and nothing of it comes after the switch.
    assert next(is_steps(e) for e in events if isinstance(e, Steps | Ready))
    assert isinstance(events[-1], Ready)
    assert first.pid != before
    assert len(first.pids) == 2
    streams(first, 1)


def test_switching_back_is_at_once(first, tmp_path):
    before = first.pid
    first.send(Load(tmp_path, "late"))
    until(first, ready_of("late"))
    first.send(Load(tmp_path, "paced"))
    assert [event.build for event in first.poll() if isinstance(event, Ready)] == ["paced"]
    assert first.pid == before
    streams(first, 2)


def test_a_parked_model_whose_files_changed_is_loaded_anew(first, tmp_path):
    first.send(Load(tmp_path, "late"))
    until(first, ready_of("late"))
    (tmp_path / "model.json").write_text("{}")
    first.send(Load(tmp_path, "paced"))
    assert first.poll() == []
    until(first, ready_of("paced"))


def test_a_third_model_ends_the_one_used_longest_ago(first, tmp_path):
    oldest = first.pid
    for build in ("cpu-fp32", "cpu-int8"):
        first.send(Load(tmp_path, build))
        until(first, ready_of(build))
    assert len(first.pids) == 2
    assert gone(oldest)


def test_a_load_can_be_cancelled(first, tmp_path):
    before = first.pid
    first.send(Load(tmp_path, "late"))
    (coming,) = set(first.pids) - {before}
    first.send(CancelLoad())
    assert gone(coming)
    assert (first.pid, first.pids) == (before, [before])
    events = streams(first, 3)
    assert not has(Ready)(events)
    first.send(CancelLoad())  # nothing is under way: nothing happens
    streams(first, 4)


def test_the_first_load_can_be_cancelled(pool, tmp_path):
    pool.send(Load(tmp_path, "late"))
    pool.send(CancelLoad())
    assert not pool.busy
    assert pool.pids == []
    pool.send(Load(tmp_path, "paced"))
    until(pool, ready_of("paced"))


def test_what_does_not_fit_beside_the_other_takes_its_place(first, room, tmp_path):
    before, room[0] = first.pid, False
    first.send(Load(tmp_path, "late"))
    assert gone(before)
    assert len(first.pids) == 1
    until(first, ready_of("late"))
    # Cancelled, the former has to be loaded again, and is.
    first.send(Load(tmp_path, "paced"))
    first.send(CancelLoad())
    until(first, ready_of("late"))
    streams(first, 5)


@pytest.mark.parametrize("fits", [True, False])
@pytest.mark.parametrize("build", ["missing", "dies"])
def test_a_model_that_does_not_load_leaves_the_former(first, room, tmp_path, fits, build):
    room[0] = fits
    first.send(Load(tmp_path, build))
    events = until(first, lambda events: has(Refused)(events) or has(Crashed)(events))
    if fits:
        (refused,) = events
        assert refused.key is None
        died = "The model could not be loaded: the engine stopped (exit code 3)."
        assert (refused.message == died) is (build == "dies")
    streams(first, 6) if fits or build == "missing" else None


def test_an_unloaded_model_comes_back_with_the_next_start(first):
    first.send(Unload())
    assert first.pids == []
    assert first.poll() == []
    first.send(start(7))
    events = until(first, has(Steps))
    assert isinstance(events[0], Ready)
    first.send(Unload())
    first.send(Unload())
    streams(first, 8)


def test_another_model_can_be_loaded_after_an_unload(first, tmp_path):
    first.send(Unload())
    first.send(Load(tmp_path, "cpu-fp32"), start(9))
    events = until(first, lambda events: bool(ends(events)))
    assert [e.build for e in events if isinstance(e, Ready)] == ["cpu-fp32"]


def test_a_parked_model_lets_go_of_its_files(first, tmp_path):
    parked = first.pid
    first.send(Load(tmp_path, "cpu-fp32"))
    until(first, ready_of("cpu-fp32"))
    first.send(Unload(tmp_path, "cpu-int8"), Unload(tmp_path / "other"))
    assert parked in first.pids  # others go on
    first.send(Unload(tmp_path, "paced"))
    assert gone(parked)
    assert parked not in first.pids
    streams(first, 20)


@pytest.mark.parametrize("fits", [True, False])
def test_a_model_that_loads_lets_go_of_its_files(first, room, tmp_path, fits):
    room[0] = fits
    first.send(Load(tmp_path, "late"))
    loading = first.pids[-1]
    first.send(Unload(tmp_path, "late"))
    assert gone(loading)
    if not fits:  # the one that had to make room comes back
        until(first, ready_of("paced"))
    assert not has(Ready)(streams(first, 21))


def test_a_model_that_made_room_is_not_loaded_again_once_its_files_go(first, room, tmp_path):
    room[0] = False
    first.send(Load(tmp_path, "late"))
    first.send(Unload(tmp_path, "paced"), CancelLoad())
    assert (first.pids, first.busy) == ([], True)
    assert not has(Ready)(first.poll())
    assert not first.busy


@pytest.mark.parametrize("asleep", [True, False])
def test_the_model_in_use_does_not_come_back_once_its_files_go(first, tmp_path, asleep):
    used = first.pid
    if asleep:
        first.send(Unload())
    first.send(Unload(tmp_path))
    assert gone(used)
    first.send(start(22))
    (refused,) = first.poll()
    assert refused.key == (1, 22)
    assert "choose a model" in refused.message


@needs_proc
def test_a_parked_engine_that_dies_is_no_crash(first, tmp_path):
    before = first.pid
    first.send(Load(tmp_path, "cpu-fp32"))
    until(first, ready_of("cpu-fp32"))
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while len(first.pids) == 2:
        assert time.monotonic() < deadline
        assert not has(Crashed)(first.poll(0.05))
    streams(first, 10)


@needs_proc
def test_a_crash_of_the_model_in_use_is_said_and_mended(first):
    streams(first, 11)
    os.kill(first.pid, signal.SIGKILL)
    events = until(first, lambda events: has(Crashed)(events) and has(Ready)(events))
    assert not any(isinstance(event, Ended) for event in events)
    streams(first, 12)


@needs_proc
def test_a_parked_engine_takes_no_processor_time(first, tmp_path):
    def ticks(pid):
        return sum(
            map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])
        )

    streams(first, 13)
    parked = first.pid
    first.send(Load(tmp_path, "cpu-fp32"))
    until(first, ready_of("cpu-fp32"))
    streams(first, 14)  # by now it has heard that it must stop
    before = ticks(parked)
    until(first, lambda events: bool(ends(events)))
    assert ticks(parked) - before <= 1  # of 10 ms


def test_whether_both_fit_is_asked_of_the_estimate(monkeypatch, tmp_path):
    from tests.engine.test_memory_estimate import manifest

    manifest().write(tmp_path)
    needed = pool_module.memory_estimate.estimate(manifest(), "cpu-int8", pool_module.LANES).total
    for free, fits in ((2 * needed, True), (needed, False), (None, True)):
        own = pool_module.memory_estimate
        monkeypatch.setattr(own, "free_memory", lambda device, free=free: free)
        assert both_fit(Load(tmp_path, "cpu-int8")) is fits
    assert both_fit(Load(tmp_path / "nowhere", "cpu-int8"))
