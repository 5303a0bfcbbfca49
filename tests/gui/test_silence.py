"""An engine that does not answer: what the window says, and what a person can do meanwhile."""

import contextlib
import os
import signal
import sys
import time

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QPushButton

from explorer import app as window_app
from explorer.engine.messages import Drop, Restart, Stop
from explorer.engine.process.engine_pool import EnginePool
from explorer.gui import engine_loop as controllers
from explorer.gui.window.engine_wiring import RESTART, SILENT
from explorer.system.paths import Paths
from tests.engine.fake_session import open_fake
from tests.engine.process.test_engine_process import gone
from tests.gui.conftest import demo


def button(window):
    """Return the button of the notice."""
    found = window.explore.notices.findChildren(QPushButton)
    return next(each for each in found if each.text() == RESTART)


def texts(desk):
    return [view.text for view in desk.review.views]


def test_silence_is_said_and_unsaid_by_itself(desk):
    desk.engine.silent = "engine"
    desk.tick()
    desk.tick()
    assert desk.window.explore.notices.sentences() == [SILENT["engine"]]
    desk.engine.silent = ""
    desk.tick()
    assert desk.window.explore.notices.sentences() == []


def test_no_lane_shows_a_speed_that_it_had(desk, monkeypatch):
    desk.generate()
    desk.step(3)
    desk.tick()
    painted = []
    desk.window.engine_loop.lanes_changed.connect(painted.append)
    desk.engine.silent = "engine"
    desk.tick()
    assert {lane for lanes in painted for lane in lanes} == {0, 1, 2, 3}


def test_the_restart_keeps_the_texts_as_stopped_and_the_model(desk):
    desk.generate()
    desk.step(3)
    before = texts(desk)
    desk.engine.silent = "engine"
    desk.tick()
    button(desk.window).click()
    desk.tick()
    assert (Restart(),) in desk.engine.sent
    assert texts(desk) == before
    assert [view.end for view in desk.review.views] == ["stopped"] * 4
    assert desk.window.explore.notices.sentences() == []
    assert desk.window.engine_loop.ready is not None
    desk.window.do("keep")
    assert desk.review.counts.kept == 1
    desk.generate()
    desk.step()
    assert desk.review.running


def test_until_the_model_is_there_again_it_is_being_loaded(desk):
    desk.engine.silent, desk.engine.ready = "engine", False
    desk.tick()
    desk.engine.say_ready = lambda: None
    button(desk.window).click()
    desk.tick()
    assert desk.window.engine_loop.loading.under_way
    assert desk.window.engine_loop.ready is None


def test_a_load_that_does_not_answer_leaves_what_streams_alone(desk):
    desk.generate()
    desk.step(2)
    desk.engine.silent = "load"
    desk.tick()
    assert desk.window.explore.notices.sentences() == [SILENT["load"]]
    button(desk.window).click()
    assert desk.window.engine_loop.ready is not None
    assert desk.review.running


def escape(desk):
    desk.qtbot.keyClick(desk.window.explore.lanes, Qt.Key.Key_Escape)


@pytest.mark.parametrize("silent", ["engine", ""])
def test_a_stop_ends_the_lanes_whatever_the_engine_does(desk, monkeypatch, silent):
    """Known to be silent, at once; otherwise a moment later."""
    desk.generate()
    desk.step(3)
    before = texts(desk)
    monkeypatch.setattr(desk.engine, "_end", lambda *_: None)  # it does not see to it
    monkeypatch.setattr(controllers, "STOP_S", 3600)
    desk.engine.silent = silent
    desk.tick()
    desk.window.explore.stop_all()
    desk.tick()
    assert desk.review.running == (not silent)
    monkeypatch.setattr(controllers, "STOP_S", 0)
    desk.tick()
    assert not desk.review.running
    assert texts(desk) == before
    assert [view.end for view in desk.review.views] == ["stopped"] * 4
    drops = [c for sent in desk.engine.sent for c in sent if isinstance(c, Drop)]
    assert len(drops) == 4


def test_one_lane_is_stopped_alone(desk):
    desk.generate()
    desk.step(3)
    desk.engine.silent = "engine"
    desk.tick()
    desk.window.engine_loop.stop(2)
    assert [view.end for view in desk.review.views] == [None, None, "stopped", None]


def test_a_lane_that_was_filled_again_is_not_stopped_late(desk, monkeypatch):
    monkeypatch.setattr(controllers, "STOP_S", 0.0)
    desk.generate()
    desk.step(3)
    clock = desk.window.engine_loop._clock
    monkeypatch.setattr(desk.window.engine_loop, "_clock", lambda: 0.0)
    desk.window.engine_loop._stopping[0] = clock() + 3600
    desk.window.do("reject")
    desk.step()
    monkeypatch.setattr(desk.window.engine_loop, "_clock", lambda: clock() + 7200)
    desk.tick()
    assert desk.review.view(0).state == "streaming"


def test_escape_always_says_something(desk):
    said = []
    desk.window.engine_loop.message.connect(lambda sentence, _level: said.append(sentence))
    escape(desk)
    assert "nothing to stop" in said.pop()
    assert desk.window.status.news.text() == "Nothing streams, so there is nothing to stop."
    desk.engine.silent = "engine"
    desk.tick()
    escape(desk)
    assert "does not answer" in said.pop()
    desk.engine.silent = ""
    desk.engine.ready = False
    desk.tick()
    desk.window.engine_loop.loading.load(demo("cpu-fp32"), "auto")
    escape(desk)
    assert "demo is being loaded" in said.pop()
    desk.window.show_page(3)
    desk.qtbot.keyClick(desk.window.models_page, Qt.Key.Key_Escape)
    assert said


def test_escape_stops_what_streams(desk):
    desk.generate()
    desk.step()
    desk.window.actions_.by_name["stop"].trigger()
    assert (Stop((1, 0)),) in desk.engine.sent  # the lane that has the keyboard


# A real process that is really stopped


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP there")
def test_a_stopped_engine_in_a_real_window(tmp_path, qtbot):
    paths = Paths.default(tmp_path)
    pool = EnginePool(open_fake)
    program = window_app.start(paths, QApplication.instance(), pool)
    window = program.window
    qtbot.addWidget(window)
    window.show()
    engine_loop = window.engine_loop
    notices = window.explore.notices
    stopped = []
    try:
        engine_loop.loading.load(demo(), "auto")
        qtbot.waitUntil(lambda: engine_loop.ready is not None)
        window.explore.prompt.set_text("Once")
        # The stand-in has another vocabulary than the demonstration model.
        ids = type(engine_loop.loaded).prompt
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(engine_loop.loaded), "prompt", lambda *_: [1, 2, 3])
            assert ids is not None
            window.do("generate")
        qtbot.waitUntil(lambda: all(s.text for s in engine_loop.review.views))
        stopped.append(pool.pid)
        os.kill(stopped[-1], signal.SIGSTOP)
        began = time.monotonic()
        qtbot.waitUntil(lambda: notices.sentences() == [SILENT["engine"]])
        assert time.monotonic() - began > 3
        # It goes on: the notice goes.
        os.kill(stopped[-1], signal.SIGCONT)
        qtbot.waitUntil(lambda: notices.sentences() == [])
        # Again, and now it is started anew.
        os.kill(stopped[-1], signal.SIGSTOP)
        qtbot.waitUntil(lambda: notices.sentences() == [SILENT["engine"]])
        button(window).click()
        qtbot.waitUntil(lambda: engine_loop.ready is not None)
        assert gone(stopped[-1])
        assert notices.sentences() == []
        # Stopped once more: leaving takes no time.
        stopped.append(pool.pid)
        os.kill(stopped[-1], signal.SIGSTOP)
        began = time.monotonic()
        window.close()
        assert time.monotonic() - began < 3
        assert gone(stopped[-1])
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        window.close()
        program.close()
