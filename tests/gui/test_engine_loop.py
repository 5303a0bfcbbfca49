"""The controller: pacing and forwarding, with a clock of the test's own."""

import pytest

from explorer.core.recipe import Recipe
from explorer.gui.engine_loop import FRAME_MS, IDLE_MS, LANES_A_FRAME, Controller
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
def controller(qapp, engine, clock):
    with Database.in_memory() as database:
        review = Review(Ledger(database), lanes=8, clock=clock)
        controller = Controller(engine, review, clock)
        controller.loading.load(demo(), "auto")
        controller.tick()
        yield controller
        controller.shut_down()


def generate(controller, lanes=8):
    return controller.generate("Once", Recipe(), control_tokens=False, lanes=lanes, seed=1)


def painted(controller):
    lanes = []
    controller.lanes_changed.connect(lanes.append)
    return lanes


@pytest.mark.parametrize(("lanes", "least", "most"), [(2, 25, 31), (4, 25, 31), (8, 13, 16)])
def test_a_lane_is_painted_at_most_thirty_times_a_second_and_many_less_often(
    controller, engine, clock, lanes, least, most
):
    generate(controller, lanes)
    seen = painted(controller)
    for _ in range(1000 // FRAME_MS):
        clock.now += FRAME_MS / 1000
        engine.step()
        controller.tick()
    for lane in range(lanes):
        assert least <= sum(lane in due for due in seen) <= most


def test_a_frame_paints_a_few_lanes_and_forgets_none(controller, engine, clock):
    generate(controller)
    clock.now += 1
    engine.step()
    seen = painted(controller)
    for _ in range(2):
        clock.now += FRAME_MS / 1000
        controller.tick()
    assert [len(lanes) for lanes in seen] == 2 * [LANES_A_FRAME]
    assert sorted(lane for lanes in seen for lane in lanes) == list(range(8))
    clock.now += FRAME_MS / 1000
    controller.tick()
    assert len(seen) == 2  # nothing new, nothing painted


def test_the_timer_is_slow_when_nothing_runs(controller, engine):
    assert controller._timer.interval() == IDLE_MS
    running = []
    controller.running_changed.connect(running.append)
    generate(controller)
    assert controller._timer.interval() == FRAME_MS
    engine.finish()
    controller.tick()
    assert controller._timer.interval() == IDLE_MS
    assert running == [True, False]


def test_speed_is_that_of_the_last_second(controller, engine, clock):
    generate(controller, lanes=2)
    said = []
    controller.speed_changed.connect(lambda speed, lanes: said.append((round(speed), lanes)))
    for _ in range(125):
        clock.now += 0.016
        engine.step()
        controller.tick()
    assert said[-1] == (125, 2)
    assert controller.rate(0) == pytest.approx(62.5)
    engine.finish()
    controller.tick()
    assert said[-1] == (0, 0)
    assert controller.rate(0) is None


def test_what_belongs_together_goes_out_as_one_message(controller, engine):
    generate(controller)
    engine.step()
    controller.tick()
    before = len(engine.sent)
    controller.judge(0, "rejected")
    assert len(engine.sent) == before + 1


def test_a_key_pressed_too_early_is_no_lasting_notice(controller):
    said = []
    controller.message.connect(lambda sentence, level: said.append(level))
    generate(controller)
    controller.judge(0, "kept")
    assert said == ["news"]


def test_a_dead_engine_is_noticed_while_nothing_runs(controller, engine):
    ready = []
    controller.loading.engine_ready.connect(ready.append)
    engine.crash("The engine stopped.", restarting=True)
    controller.tick()
    assert ready[0] is None
    assert ready[1] is not None


def test_shutting_down_writes_the_ends_of_what_streams(controller, engine):
    generate(controller)
    engine.step(3)
    controller.tick()
    hunt = controller.review.hunt.id
    controller.shut_down()
    assert engine.closed
    ledger = controller.review._ledger
    assert [row.end.reason for row in ledger.tries(hunt)] == ["stopped"] * 8
