"""Memory, devices and idle time in the window: warnings with ways out, loads that are cancelled."""

import re
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QPushButton

from explorer.engine.hardware.device import Option
from explorer.engine.messages import CancelLoad, Crashed, Displaced, Load, Refused, Unload
from explorer.gui.explore.explore_page import NO_MODEL
from explorer.gui.window.main_window import MODELS
from explorer.gui.window.status_bar import ASLEEP
from explorer.loading.memory_advice import memory_warning, shortage
from tests.gui.conftest import demo

GIGABYTE = 10**9


def large(build="cpu-int8", size=3 * GIGABYTE):
    """Return a model of some gigabytes."""
    loaded = demo(build)
    made = replace(loaded.manifest.builds[build], bytes=size, fingerprint="9" * 64)
    manifest = replace(loaded.manifest, name="large", builds={build: made}, parameters=3 * 10**9)
    return replace(loaded, manifest=manifest, folder=loaded.folder.parent / "large")


@pytest.fixture
def free(desk):
    """What the machine says is free; the model in use is too small to matter."""
    bytes_free = [100 * GIGABYTE]
    desk.window.engine_loop.loading.free = lambda device: bytes_free[0]
    return bytes_free


def loads(desk):
    return [c for message in desk.engine.sent for c in message if isinstance(c, Load)]


def buttons(desk):
    notices = desk.window.explore.notices
    return {b.text(): b for b in notices.findChildren(QPushButton) if b.isVisibleTo(notices)}


def sentences(desk):
    return desk.window.explore.notices.sentences()


def test_what_fits_is_loaded_without_a_word(desk, free):
    desk.window.engine_loop.loading.load(large(), "auto")
    desk.tick()
    assert sentences(desk) == []
    assert desk.window.engine_loop.loaded.manifest.name == "large"


def test_what_is_tight_is_loaded_and_said(desk, free):
    free[0] = int(3.5 * GIGABYTE)
    desk.window.engine_loop.loading.load(large(), "auto")
    desk.tick()
    (sentence,) = sentences(desk)
    assert sentence.startswith("large (cpu-int8) with 4 lanes needs about 3.")
    assert "3.6 GB is free: other programs may become slow." in sentence
    assert "Load anyway" not in buttons(desk)
    assert desk.window.engine_loop.loaded.manifest.name == "large"


def test_what_is_too_large_waits_for_an_answer(desk, free):
    free[0] = GIGABYTE
    count = len(loads(desk))
    desk.window.engine_loop.loading.load(large(), "auto")
    desk.tick()
    assert "may end for lack of memory" in sentences(desk)[0]
    assert len(loads(desk)) == count
    # The model before goes on meanwhile.
    desk.generate("Hello")
    desk.finish()
    assert desk.review.counts.unjudged == 4
    buttons(desk)["Load anyway"].click()
    desk.tick()
    assert loads(desk)[-1].build == "cpu-int8"
    assert desk.window.engine_loop.loaded.manifest.name == "large"
    assert sentences(desk) == []


def test_fewer_lanes_may_be_the_answer(desk, free):
    cache = 6 * 384 * 512 * 2 * 4  # of a lane of the demonstration model
    wide = large(size=10**8)
    manifest = replace(wide.manifest, context=512 * 400)
    wide = replace(wide, manifest=manifest)
    free[0] = int(2.2 * 400 * cache + 0.3 * GIGABYTE)
    desk.window.engine_loop.loading.load(wide, "auto")
    found = memory_warning(manifest, "cpu-int8", 4, free[0])
    assert found.fit == "too large"
    offered = [way for way in found.ways if way.kind == "lanes"]
    assert offered == [] or 1 <= offered[0].value < 4
    for words, button in buttons(desk).items():
        if "lane" in words:
            button.click()
            assert desk.window.explore.recipe.lanes() < 4
            break


def test_a_smaller_build_is_asked_for(desk, free):
    free[0] = 4 * GIGABYTE
    asked = []
    desk.window.explore.models.model_chosen.connect(lambda *chosen: asked.append(chosen))
    desk.window.engine_loop.loading.load(large("cpu-fp32", 12 * GIGABYTE), "auto")
    words = next(words for words in buttons(desk) if words.startswith("Use "))
    desk.window.models.model_jobs.open = lambda *chosen: None
    buttons(desk)[words].click()
    assert asked == [("large", f"cpu-{words[4:]}")]


def test_the_model_before_goes_on_until_the_next_is_there(desk):
    engine_loop = desk.window.engine_loop
    desk.generate("Hello")
    desk.step(1)
    desk.engine.ready = False
    engine_loop.loading.load(large(), "auto")
    desk.step(2)
    assert engine_loop.loading.coming.manifest.name == "large"
    assert engine_loop.loaded.manifest.name == "demo"
    assert [view.tokens for view in desk.review.views] == [3] * 4
    # A Generate is meant for the model that was chosen.
    desk.window.do("new_hunt")
    assert [view.tokens for view in desk.review.views] == [3] * 4
    desk.engine.say_ready()
    desk.tick()
    assert engine_loop.loaded.manifest.name == "large"
    assert engine_loop.loading.coming is None
    assert desk.review.hunt.model.name == "large"
    assert desk.review.running


def test_a_load_is_cancelled_from_the_picker(desk):
    desk.engine.ready = False
    engine_loop, picker = desk.window.engine_loop, desk.window.explore.models
    engine_loop.loading.load(large(), "auto")
    assert picker.progress.text() == "Loading large (cpu-int8)"
    desk.window.do("generate")
    picker.cancel.click()
    assert desk.engine.sent[-1] == (CancelLoad(),)
    assert engine_loop.loading.coming is None
    assert engine_loop.loaded.manifest.name == "demo"
    assert not picker.progress.isVisible()
    assert desk.review.hunt is None
    desk.generate("Hello")
    desk.finish()
    assert desk.review.counts.unjudged == 4


def test_a_model_that_had_to_make_room_comes_back(desk):
    desk.engine.ready = False
    engine_loop = desk.window.engine_loop
    before = engine_loop.loaded
    desk.generate("Hello")
    desk.step(2)
    engine_loop.loading.load(large(), "auto")
    desk.engine._events.append(Displaced())
    desk.tick()
    assert engine_loop.loaded.manifest.name == "large"
    assert engine_loop.ready is None
    assert not desk.review.running
    desk.engine.refuse(None, "There is not enough memory.")
    desk.tick()
    assert engine_loop.loaded == before
    desk.engine._load = Load(before.folder, before.build)
    desk.engine.say_ready()
    desk.tick()
    assert engine_loop.ready is not None


def test_an_idle_model_is_unloaded_and_comes_back_with_generate(desk):
    engine_loop, status = desk.window.engine_loop, desk.window.status
    now = [1000.0]
    engine_loop._clock = lambda: now[0]
    engine_loop.loading.touch(1000.0)
    desk.window.settings.unload.setValue(2)
    assert desk.window.settings_store.settings.unload_minutes == 2
    desk.generate("Hello")
    now[0] += 500
    desk.tick()
    assert (Unload(),) not in desk.engine.sent  # it streams
    desk.finish()
    desk.tick()
    now[0] += 119
    desk.tick()
    assert (Unload(),) not in desk.engine.sent
    now[0] += 1
    desk.tick()
    desk.tick()
    assert desk.engine.sent.count((Unload(),)) == 1
    assert status.device.toolTip() == ASLEEP or ASLEEP in status.device.text()
    desk.generate("Hello")
    assert desk.review.running
    desk.engine.say_ready()
    desk.tick()
    assert ASLEEP not in status.device.text()


def test_never_means_never(desk):
    engine_loop = desk.window.engine_loop
    desk.window.settings.unload.setValue(0)
    engine_loop._clock = lambda: 10.0**9
    desk.tick()
    assert (Unload(),) not in desk.engine.sent


def test_the_settings_page_lists_what_there_is(desk):
    page = desk.window.settings
    page.set_options(
        [
            Option("cpu", "CPU, 2 cores", True, libraries="onnxruntime 1.31.1"),
            Option("cuda:0", "Old", False, "It is too old.", "580.1"),
            Option("cuda:1", "H200", True, "", "580.1", "cuBLAS 13", 150 * 10**9, 149 * 10**9),
        ]
    )
    texts = [button.text() for button in page.devices.buttons()]
    assert texts[1:] == ["CPU, 2 cores", "Old", "H200"]
    assert [b.isEnabled() for b in page.devices.buttons()] == [True, True, False, True]
    assert page.devices.button(2).accessibleDescription() == "It is too old. (driver 580.1)"
    said = page.devices.button(3).accessibleDescription()
    assert said == "driver 580.1 · cuBLAS 13 · 149 GB free of 150 GB"
    page.set_device("cuda")
    assert page.devices.checkedButton().text() == "H200"
    page.set_device("cuda:1")
    assert page.devices.checkedButton().text() == "H200"


def crash(
    desk, message="The engine ran out of memory: demo needs much; it is being started again."
):
    desk.engine._events.append(Crashed(message, restarting=True, shortage=True))
    desk.tick()
    return message


def test_memory_that_runs_out_while_tries_stream_offers_ways_out(desk, free):
    desk.window.explore.recipe.set_lanes(8)
    desk.window.explore.recipe.lanes_changed.emit(8)
    desk.generate("Hello")
    desk.step(2)
    desk.window.do("keep")
    message = crash(desk)
    assert sentences(desk) == [message]
    assert list(buttons(desk)) == ["4 lanes", "Use int4"]
    desk.engine.say_ready()
    desk.tick()
    (said,) = sentences(desk)
    assert said.endswith("it was started again.")
    buttons(desk)["4 lanes"].click()
    assert sentences(desk) == []
    assert desk.window.explore.recipe.lanes() == 4
    assert desk.review.counts.kept == 1
    desk.generate("Hello")
    assert len([view for view in desk.review.views if view.state == "waiting"]) == 4


def test_a_smaller_precision_is_opened_where_memory_ran_out(desk, free):
    asked = []
    desk.window.models.model_jobs.open = lambda *chosen: asked.append(chosen)
    desk.generate("Hello")
    desk.step(1)
    crash(desk)
    buttons(desk)["Use int4"].click()
    assert asked == [("demo", "cpu-int4")]
    assert sentences(desk) == []


@pytest.mark.parametrize(("wish", "offered"), [("auto", []), ("cuda", ["Use the CPU"])])
def test_a_gpu_that_is_full_offers_the_cpu_unless_that_is_taken_anyway(desk, free, wish, offered):
    opened = []
    desk.window.models.model_jobs.open = lambda *chosen: opened.append(chosen)
    desk.window.settings_store.change(device=wish)
    desk.engine.ready = False
    desk.window.engine_loop.loading.load(large("cuda-fp16"), wish)
    message = "The model could not be loaded: large needs about 9.9 GB, 1.0 GB is free."
    desk.engine._events.append(Refused(None, message, shortage=True))
    desk.tick()
    assert list(buttons(desk)) == offered
    assert desk.window.explore.models.problem.text() == ""
    assert opened == ([("large", "cpu-int8")] if wish == "auto" else [])
    if offered:
        buttons(desk)["Use the CPU"].click()
        assert opened == [("large", "cpu-int8")]


def test_on_a_gpu_fewer_lanes_are_no_way_out():
    found = shortage(large("cuda-fp16").manifest, "cuda-fp16", 8, 1, "It is full.")
    assert [way.label for way in found.ways] == ["Use the CPU"]
    found = shortage(large("cpu-int4").manifest, "cpu-int4", 8, 1, "It is full.")
    assert [way.kind for way in found.ways] == ["lanes"]


def test_what_has_no_way_out_is_said_all_the_same(desk, free):
    desk.engine.ready = False
    desk.window.engine_loop.loading.load(large("cpu-int4"), "auto")
    message = "The model could not be loaded: large needs about 9.9 GB, 1.0 GB is free."
    desk.engine._events.append(Refused(None, message, shortage=True))
    desk.tick()
    assert desk.window.explore.models.problem.text() == message
    assert buttons(desk) == {}


def test_a_model_that_is_refused_is_not_loading_for_ever_nor_in_use(desk):
    desk.close()
    window = desk.open(loaded=False)
    desk.engine.ready = False
    window.engine_loop.loading.load(demo(), "auto")
    assert window.explore.models.progress.isVisible()
    desk.engine.refuse(None, "Its model.onnx cannot be opened.")
    desk.tick()
    assert window.engine_loop.loaded is None
    assert not window.explore.models.progress.isVisible()
    problem = "demo (cpu-int8) cannot be opened. Its model.onnx cannot be opened."
    assert window.explore.models.problem.text() == problem
    assert window.status.model.text() == "no model loaded"
    assert window.explore.recipe.note.text() == NO_MODEL
    window.show_page(MODELS)
    assert window.models_page.list.rows.rows()[0].mark == ""
    desk.engine.ready = True
    window.engine_loop.loading.load(demo(), "auto")
    desk.tick()
    assert window.engine_loop.ready is not None


def test_the_ways_out_are_before_the_lanes_for_the_tab_key(desk, free, qtbot):
    desk.generate("Hello")
    desk.step(1)
    crash(desk)
    desk.lanes[0].text.setFocus()
    met = []
    for _ in range(3):
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Backtab)
        met.append(QApplication.focusWidget().accessibleName())
    assert met == ["Dismiss", "Use int4", "2 lanes"]


def test_fewer_lanes_start_an_engine_again_that_was_given_up(desk, free):
    asked = []
    desk.window.models.model_jobs.open = lambda *chosen: asked.append(chosen)
    desk.generate("Hello")
    desk.step(1)
    message = "The engine stopped 3 times within a minute (demo needs much)."
    desk.engine._events.append(Crashed(message, restarting=False, shortage=True))
    desk.tick()
    assert not desk.window.explore.models.progress.isVisible()  # nothing is being loaded
    assert desk.window.explore.recipe.note.text() == NO_MODEL
    buttons(desk)["2 lanes"].click()
    assert asked == [("demo", "cpu-int8")]
    assert desk.window.explore.recipe.lanes() == 2


def test_small_numbers_are_told_apart(desk):
    """0.2 GB of 0.2 GB would say nothing."""
    found = memory_warning(demo().manifest, "cpu-int8", 4, 110_000_000)
    numbers = re.search(r"needs about (\d+) MB and 110 MB is free", found.sentence)
    assert numbers, found.sentence
    assert int(numbers[1]) > 88
