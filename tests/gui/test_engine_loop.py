"""The engine loop: pacing and forwarding, with a clock of the test's own."""

import pytest

from explorer.core.recipe import Recipe
from explorer.gui.engine_loop import FRAME_MS, IDLE_MS, LANES_A_FRAME, EngineLoop
from explorer.library.ledger import Ledger
from explorer.library.storage.database import Database
from explorer.review.review import Review
from tests.gui.conftest import demo
from tests.gui.scripted_engine import ScriptedEngine


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def engine(clock):
    return ScriptedEngine(clock=clock)


@pytest.fixture
def engine_loop(qapp, engine, clock):
    with Database.in_memory() as database:
        review = Review(Ledger(database), lanes=8, clock=clock)
        engine_loop = EngineLoop(engine, review, clock)
        engine_loop.loading.load(demo(), "auto")
        engine_loop.tick()
        yield engine_loop
        engine_loop.shut_down()


def generate(engine_loop, lanes=8):
    return engine_loop.generate("Once", Recipe(), control_tokens=False, lanes=lanes, seed=1)


def painted(engine_loop):
    lanes = []
    engine_loop.lanes_changed.connect(lanes.append)
    return lanes


@pytest.mark.parametrize(("lanes", "least", "most"), [(2, 25, 31), (4, 25, 31), (8, 13, 16)])
def test_a_lane_is_painted_at_most_thirty_times_a_second_and_many_less_often(
    engine_loop, engine, clock, lanes, least, most
):
    generate(engine_loop, lanes)
    seen = painted(engine_loop)
    for _ in range(1000 // FRAME_MS):
        clock.now += FRAME_MS / 1000
        engine.step()
        engine_loop.tick()
    for lane in range(lanes):
        assert least <= sum(lane in due for due in seen) <= most


def test_a_frame_paints_a_few_lanes_and_forgets_none(engine_loop, engine, clock):
    generate(engine_loop)
    clock.now += 1
    engine.step()
    seen = painted(engine_loop)
    for _ in range(2):
        clock.now += FRAME_MS / 1000
        engine_loop.tick()
    assert [len(lanes) for lanes in seen] == 2 * [LANES_A_FRAME]
    assert sorted(lane for lanes in seen for lane in lanes) == list(range(8))
    clock.now += FRAME_MS / 1000
    engine_loop.tick()
    assert len(seen) == 2  # nothing new, nothing painted


def test_the_timer_is_slow_when_nothing_runs(engine_loop, engine):
    assert engine_loop._timer.interval() == IDLE_MS
    running = []
    engine_loop.running_changed.connect(running.append)
    generate(engine_loop)
    assert engine_loop._timer.interval() == FRAME_MS
    engine.finish()
    engine_loop.tick()
    assert engine_loop._timer.interval() == IDLE_MS
    assert running == [True, False]


def test_speed_is_that_of_the_last_second(engine_loop, engine, clock):
    generate(engine_loop, lanes=2)
    said = []
    engine_loop.speed_changed.connect(lambda speed, lanes: said.append((round(speed), lanes)))
    for _ in range(125):
        clock.now += 0.016
        engine.step()
        engine_loop.tick()
    assert said[-1] == (125, 2)
    assert engine_loop.rate(0) == pytest.approx(62.5)
    engine.finish()
    engine_loop.tick()
    assert said[-1] == (0, 0)
    assert engine_loop.rate(0) is None


def test_what_belongs_together_goes_out_as_one_message(engine_loop, engine):
    generate(engine_loop)
    engine.step()
    engine_loop.tick()
    before = len(engine.sent)
    engine_loop.judge(0, "rejected")
    assert len(engine.sent) == before + 1


def test_a_key_pressed_too_early_is_no_lasting_notice(engine_loop):
    said = []
    engine_loop.message.connect(lambda sentence, level: said.append(level))
    generate(engine_loop)
    engine_loop.judge(0, "kept")
    assert said == ["news"]


def test_a_dead_engine_is_noticed_while_nothing_runs(engine_loop, engine):
    ready = []
    engine_loop.loading.engine_ready.connect(ready.append)
    engine.crash("The engine stopped.", restarting=True)
    engine_loop.tick()
    assert ready[0] is None
    assert ready[1] is not None


def test_shutting_down_writes_the_ends_of_what_streams(engine_loop, engine):
    generate(engine_loop)
    engine.step(3)
    engine_loop.tick()
    hunt = engine_loop.review.hunt.id
    engine_loop.shut_down()
    assert engine.closed
    ledger = engine_loop.review._ledger
    assert [row.end.reason for row in ledger.tries(hunt)] == ["stopped"] * 8
