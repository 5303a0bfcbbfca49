"""The engine's side of the boundary, without a process: answers, joining and pacing of messages."""

import pickle
import threading
from dataclasses import fields

import numpy as np
import pytest

from explorer.core.errors import OutOfMemoryError
from explorer.core.recipe import Recipe
from explorer.engine.messages import Drop, Ended, Load, Quit, Ready, Refused, Start, Steps, Stop
from explorer.engine.process import engine_main
from explorer.engine.process.engine_main import Engine, Inbox, Outbox, joined
from explorer.jobs.heartbeat import Pulse
from tests.engine.fake_session import open_fake

RECIPE = Recipe(max_tokens=20, end_of_text="never")


def start(index, lane=0, prompt=(1, 2, 3), recipe=RECIPE):
    return Start((1, index), lane, 9, prompt, recipe)


def steps(*indices, columns=10):
    n = len(indices)
    return Steps(
        tuple((1, i) for i in indices),
        tuple(indices),
        np.array(indices, np.int32),
        tuple(f"t{i}" for i in indices),
        np.zeros(n, np.float32),
        np.zeros(n, np.int32),
        np.zeros((n, columns), np.int32),
        np.zeros((n, columns), np.float32),
    )


def ended(index):
    return Ended((1, index), 0, "max_tokens", "", 1, 0.0)


@pytest.fixture
def engine():
    return Engine(open_fake, tuple)


def load(tmp_path, build="cpu-fp32"):
    return Load(tmp_path, build)


def test_neighbouring_steps_become_one_and_the_order_stays():
    events = [steps(0, 1), steps(0, 1), ended(0), steps(1), Refused(None, "x"), steps(1), steps(2)]
    result = joined(events)
    assert [type(e) for e in result] == [Steps, Ended, Steps, Refused, Steps]
    assert result[0].keys == ((1, 0), (1, 1), (1, 0), (1, 1))
    assert result[0].lanes == (0, 1, 0, 1)
    assert result[0].texts == ("t0", "t1", "t0", "t1")
    assert result[0].tokens.tolist() == [0, 1, 0, 1]
    assert result[0].top_ids.shape == result[0].top_logprobs.shape == (4, 10)
    assert result[2] is events[3]
    assert result[4].tokens.tolist() == [1, 2]
    assert joined([]) == []


def test_messages_go_at_most_sixty_times_a_second():
    now, sent = [0.0], []
    outbox = Outbox(lambda message: sent.append((now[0], message)), lambda: now[0])
    assert outbox.pause() is None
    for _ in range(2000):
        outbox.add([steps(1)])
        if outbox.pause() == 0.0:
            outbox.flush()
        now[0] += 0.001
    outbox.flush()
    gaps = np.diff([at for at, _ in sent[:-1]])
    assert gaps.min() >= 1 / 60
    assert 100 <= len(sent) <= 121
    assert sum(len(message[0].keys) for _, message in sent) == 2000
    assert all(len(message) == 1 for _, message in sent)
    outbox.flush()
    assert outbox.pause() is None


def test_a_model_is_loaded_used_and_replaced(engine, tmp_path):
    (ready,) = engine.carry_out(load(tmp_path))
    assert isinstance(ready, Ready)
    assert (ready.build, ready.device, ready.device_name) == ("cpu-fp32", "cpu", "a table")
    assert ready.reason == "There is no GPU in a table."
    assert {"sample-explorer", "onnxruntime", "tokenizers", "numpy", "python"} <= set(
        ready.versions
    )
    assert not engine.running
    assert engine.carry_out(start(0)) == []
    assert engine.running
    (first,) = engine.step()
    assert set(first.keys) == {(1, 0)}
    session = engine._session
    (gone,) = engine.unload()
    assert (gone.key, gone.reason, gone.tokens) == ((1, 0), "dropped", 2)
    assert session.closed
    assert engine.unload() == []
    assert isinstance(engine.carry_out(load(tmp_path))[0], Ready)


def test_commands_without_a_model(engine):
    assert engine.carry_out(start(4)) == [Refused((1, 4), "No model is loaded; choose one first.")]
    assert engine.carry_out(Drop((1, 4))) == engine.carry_out(Stop()) == []
    assert engine.step() == []


def test_what_cannot_be_loaded_is_refused_with_its_sentence(engine, tmp_path, caplog):
    (refused,) = engine.carry_out(load(tmp_path, "missing"))
    assert refused == Refused(None, f"{tmp_path} has no build 'missing'.", damaged=True)
    assert not caplog.records
    (refused,) = engine.carry_out(load(tmp_path, "bug"))
    assert refused.key is None
    assert not refused.shortage
    assert "KeyError" in refused.message
    assert caplog.records[0].exc_info  # a bug is never silent
    assert engine.carry_out(start(0))[0].message.startswith("No model")


def test_a_candidate_that_cannot_start_is_refused(engine, tmp_path):
    engine.carry_out(load(tmp_path))
    (refused,) = engine.carry_out(start(0, prompt=(1,) * 600))
    assert refused.key == (1, 0)
    assert "600" in refused.message
    assert "512" in refused.message


def test_a_refusal_says_that_memory_was_missing(tmp_path):
    def full(_load):
        raise OutOfMemoryError("There is not enough memory: tiny needs about 0.1 GB.")

    (refused,) = Engine(full, tuple).carry_out(load(tmp_path))
    assert refused.shortage
    assert not refused.damaged


def test_drop_and_stop_reach_the_lanes(engine, tmp_path):
    engine.carry_out(load(tmp_path))
    for n in range(3):
        engine.carry_out(start(n, n))
    engine.step()
    engine.carry_out(Drop((1, 0)))
    engine.carry_out(Stop((1, 1)))
    events = engine.step()
    assert [(e.key, e.reason) for e in events[1:]] == [((1, 0), "dropped"), ((1, 1), "stopped")]
    engine.carry_out(Stop())
    assert [(e.key, e.reason) for e in engine.step()] == [((1, 2), "stopped")]


def test_one_message_is_carried_out_between_the_same_two_steps(tmp_path):
    """A loop over a scripted inbox: a drop and its refill are in one message, then quit."""
    inbox, sent = Inbox(), []
    engine = Engine(open_fake, inbox.coming)
    inbox.put((load(tmp_path), start(0), start(1, 1)))
    inbox.put((Drop((1, 0)), start(2, 0)))
    loop = threading.Thread(
        target=engine_main._serve, args=(inbox, Outbox(sent.append), engine, Pulse())
    )
    loop.start()
    while not {(1, 1), (1, 2)} <= {e.key for m in sent for e in m if isinstance(e, Ended)}:
        assert loop.is_alive()
    inbox.put((Quit(),))
    loop.join(10)
    assert not loop.is_alive()
    events = [event for message in sent for event in message]
    assert isinstance(events[0], Ready)
    assert next(e.key for e in events if isinstance(e, Ended)) == (1, 0)
    order = [key for e in events if isinstance(e, Steps) for key in e.keys]
    assert order.count((1, 1)) == order.count((1, 2)) == 20


def test_commands_are_seen_before_they_are_taken_and_taken_once():
    inbox = Inbox()
    assert inbox.take(0.0) == []
    inbox.put((Drop((1, 0)), Stop()))
    inbox.put((Quit(),))
    assert inbox.coming() == inbox.coming() == (Drop((1, 0)), Stop(), Quit())
    assert inbox.take(None) == [Drop((1, 0)), Stop(), Quit()]
    assert inbox.coming() == ()
    assert inbox.take(0.01) == []


def test_whoever_waits_for_a_command_is_woken_by_it():
    inbox, taken = Inbox(), []
    waiting = threading.Thread(target=lambda: taken.extend(inbox.take(None)))
    waiting.start()
    inbox.put((Quit(),))
    waiting.join(10)
    assert taken == [Quit()]


def test_steps_come_out_of_the_pipe_as_they_went_in():
    for n, alternatives in ((1, 10), (3, 10), (2, 4)):
        numbers = np.arange(n * alternatives).reshape(n, alternatives)
        steps = Steps(
            tuple((1, at) for at in range(n)),
            tuple(range(n)),
            np.arange(n, dtype=np.int32) + 5,
            tuple("aé🦄"[:n]),
            -np.arange(n, dtype=np.float32) / 3,
            np.arange(n, dtype=np.int32) + 7,
            numbers.astype(np.int32),
            (-numbers / 7).astype(np.float32),
        )
        again = pickle.loads(pickle.dumps(steps))
        for field in fields(Steps):
            here, there = getattr(steps, field.name), getattr(again, field.name)
            assert type(here) is type(there)
            if isinstance(here, np.ndarray):
                assert here.dtype == there.dtype
                assert np.array_equal(here, there)
            else:
                assert here == there


def test_a_log_that_has_grown_large_makes_room(tmp_path):
    log, before = tmp_path / "engine.log", tmp_path / "engine.log.1"
    engine_main.keep_small(log)
    log.write_text("small")
    engine_main.keep_small(log)
    assert log.read_text() == "small"
    before.write_text("the one before")
    log.write_text("x" * (engine_main.LOG_BYTES + 1))
    engine_main.keep_small(log)
    assert not log.exists()
    assert before.stat().st_size == engine_main.LOG_BYTES + 1
