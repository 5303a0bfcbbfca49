"""Removing a model that a process of the engine still holds: it lets go first, or says why not."""

from dataclasses import replace

import pytest

from explorer.engine.messages import CancelLoad, Load, Unload
from tests.gui.conftest import demo
from tests.gui.scripted_works import ScriptedWorks


@pytest.fixture
def told(desk):
    """What engine and jobs were told, in order; the jobs do nothing by themselves."""
    works, told = ScriptedWorks(), desk.engine.sent
    starts = works.works.start

    def start(work, paths, *arguments):
        told.append((work.__name__, *arguments))
        return starts(work, paths, *arguments)

    desk.works = works
    desk.window.models.model_jobs._works = replace(works.works, start=start)
    return told


def installed(desk, name, *builds):
    """Return a model whose folder lies among the imported ones, with its builds."""
    folder = desk.paths.models / name
    made = {build: demo(build).manifest.builds[build] for build in builds}
    for build in builds:
        (folder / build).mkdir(parents=True, exist_ok=True)
        for file in ("model.onnx", "weights.bin"):
            (folder / build / file).touch()
    manifest = replace(demo().manifest, name=name, builds=made)
    manifest.write(folder)
    return [replace(demo(build), folder=folder, manifest=manifest, build=build) for build in builds]


def switch(desk, *models):
    for loaded in models:
        desk.window.engine_loop.loading.load(loaded, "auto")
        desk.tick()


def problem(desk):
    return desk.window.explore.models.problem.text()


def finish(desk):
    desk.works.last.finish()
    desk.window.models.model_jobs._on_tick()


def test_the_engine_lets_go_before_the_folder_is_removed(desk, told):
    (old,) = installed(desk, "old", "cpu-int8")
    switch(desk, old, demo())  # now it is parked
    del told[:]
    desk.window.models.model_jobs.remove("old")
    assert told == [(Unload(old.folder),), ("remove", "old")]
    finish(desk)
    assert problem(desk) == ""


def test_one_build_is_let_go_of_while_the_other_runs(desk, told):
    small, large = installed(desk, "both", "cpu-int4", "cpu-fp32")
    switch(desk, large, small)
    desk.generate("Hello")
    desk.step(2)
    del told[:]
    desk.window.models.model_jobs.remove_build("both", "cpu-fp32")
    assert told == [(Unload(small.folder, "cpu-fp32"),), ("remove_build", "both", "cpu-fp32")]
    desk.step()
    assert [view.tokens for view in desk.review.views] == [3] * 4


@pytest.mark.parametrize("build", ["", "cpu-int8"])
@pytest.mark.parametrize("asleep", [False, True])
def test_what_is_in_use_stays_and_that_is_said(desk, told, build, asleep):
    (used,) = installed(desk, "used", "cpu-int8")
    switch(desk, used)
    desk.generate("Hello")
    desk.step(2)
    if asleep:
        desk.finish()
        desk.window.engine_loop.loading.unload_seconds = 1
        desk.window.engine_loop._clock = lambda: 1e9
        desk.tick()
        assert told[-1] == (Unload(),)
    del told[:]
    models = desk.window.models.model_jobs
    models.remove_build("used", build) if build else models.remove("used")
    assert told == []
    what = f"The {build} build of used" if build else "used"
    assert problem(desk) == f"{what} is in use; open another one first, then remove it."
    (card,) = desk.window.models_page.tasks.cards.values()
    assert "is in use" in card.words.text()
    if not asleep:  # the hunt goes on as if nothing had been asked
        desk.step()
        assert [view.tokens for view in desk.review.views] == [3] * 4


def test_the_model_in_use_stays_while_another_one_is_coming(desk, told):
    (used,) = installed(desk, "used", "cpu-int8")
    switch(desk, used)
    desk.engine.ready = False
    switch(desk, demo())
    del told[:]
    desk.window.models.model_jobs.remove("used")
    assert told == []
    assert "is in use" in problem(desk)


def test_a_model_that_is_coming_is_given_up(desk, told):
    (coming,) = installed(desk, "coming", "cpu-int8")
    desk.engine.ready = False
    switch(desk, coming)
    del told[:]
    desk.window.models.model_jobs.remove("coming")
    assert told == [(CancelLoad(),), (Unload(coming.folder),), ("remove", "coming")]
    assert desk.window.engine_loop.loading.coming is None
    assert desk.window.engine_loop.loaded.manifest.name == "demo"
    desk.generate("Hello")
    assert desk.review.running


def test_a_model_that_waits_for_an_answer_is_not_loaded_any_more(desk, told):
    (held,) = installed(desk, "held", "cpu-int8")
    loading = desk.window.engine_loop.loading
    loading.free = lambda device: 1
    switch(desk, held)
    assert loading.held == held
    desk.window.models.model_jobs.remove("held")
    assert loading.held is None
    assert desk.window.explore.notices.sentences() == []
    loading.load_anyway()
    assert not any(isinstance(c, Load) and c.folder == held.folder for m in told for c in m)


def test_a_model_that_is_being_removed_cannot_be_opened(desk, told):
    installed(desk, "old", "cpu-int8")
    desk.window.models.model_jobs.remove("old")
    count = len(told)
    desk.window.models.choose("old", "cpu-int8")
    assert len(told) == count
    assert problem(desk).startswith("Removing old is still going on")
    desk.window.models.model_jobs.remove("old")
    assert len(told) == count


def test_a_model_that_is_being_checked_cannot_be_removed(desk, told):
    installed(desk, "old", "cpu-int8")
    desk.window.models.model_jobs.verify("old")
    del told[:]
    desk.window.models.model_jobs.remove("old")
    assert told == []
    assert problem(desk).startswith("Verifying old is still going on")
