"""The Models page in the window: beside a hunt that streams, by the keyboard, and by dropping."""

from dataclasses import replace

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent

from explorer.engine.messages import Refused
from explorer.gui.explore.explore_page import NO_MODEL
from explorer.gui.models.model_rows import ROW
from explorer.gui.window.main_window import EXPLORE, MODELS
from tests.gui.conftest import demo
from tests.gui.scripted_works import ScriptedWorks

REPOSITORY = "openai-community/gpt2"


@pytest.fixture
def works(desk):
    works = ScriptedWorks()
    desk.window.models.model_jobs._works = works.works
    return works


def tell(desk):
    """Let the window hear what the jobs say."""
    desk.window.models.model_jobs._on_tick()
    desk.tick()


def test_the_menu_leads_to_the_catalogue(desk):
    desk.window.actions_.by_name["download_model"].trigger()
    assert desk.window.pages.currentIndex() == MODELS
    assert desk.window.navigation.buttons[MODELS].isChecked()
    panel = desk.window.models_page.catalogue
    assert panel.isVisible()
    assert "gpt2-xl" in [row.name for row in panel.list.rows.rows()]


def test_the_picker_leads_to_the_page(desk):
    desk.window.explore.models.more.click()
    assert desk.window.pages.currentIndex() == MODELS
    assert desk.window.models_page.list.hasFocus()


def test_use_opens_the_model_and_shows_the_lanes(desk, works):
    desk.window.show_page(MODELS)
    desk.window.models_page.use_asked.emit("other", "cpu-int4")
    assert desk.window.pages.currentIndex() == EXPLORE
    assert works.asked() == [("open", "other", "cpu-int4")]
    assert desk.window.settings_store.settings.model == "other"


def test_a_download_stops_nobody_from_generating(desk, works):
    desk.generate("Hello", "one two three", "a", "b", "c")
    desk.step()
    desk.window.models.model_jobs.download(REPOSITORY, "", "gpt2", "cpu-int8")
    works.last.say(0.5, "274 of 548 MB")
    tell(desk)
    picker = desk.window.explore.models
    assert (picker.progress.text(), picker.words.text()) == ("Downloading gpt2", "274 of 548 MB")
    desk.finish()
    assert desk.lanes[0].text.machine_text() == "one two three"
    desk.window.do("generate")
    desk.tick()
    assert desk.engine.busy
    assert not works.last.cancelled


def test_a_download_that_fails_is_said_beside_the_prompt_and_keeps_the_model(desk, works):
    desk.window.models.model_jobs._has_opened = True
    desk.window.models.model_jobs.download(REPOSITORY, "", "gpt2", "cpu-int8")
    works.last.fail("The hub does not answer.")
    tell(desk)
    assert desk.window.explore.models.problem.text() == "The hub does not answer."
    assert desk.window.explore.recipe.generate.isEnabled()
    desk.generate("Hello")
    assert desk.review.hunt is not None


def test_a_download_that_fails_forgets_no_generate_that_waits_for_another_model(desk, works):
    desk.close()
    window = desk.open(loaded=False)
    window.models.model_jobs._works = works.works
    window.models.model_jobs._has_opened = True
    window.models.model_jobs.download(REPOSITORY, "", "gpt2", "cpu-int8")
    download = works.last
    window.models.model_jobs.open("demo", "cpu-int8")
    window.do("generate")
    note = window.explore.recipe.note
    assert note.text() == "Starts when the model is ready"
    download.fail("The hub does not answer.")
    tell(desk)
    assert note.text() == "Starts when the model is ready"
    works.last.fail("No space is left.")
    tell(desk)
    assert note.text() == NO_MODEL


def test_cancel_in_the_picker_ends_what_it_shows(desk, works):
    desk.window.models.model_jobs.download(REPOSITORY, "", "gpt2", "cpu-int8")
    desk.window.models.model_jobs.open("other", "cpu-int8")
    desk.window.explore.models.cancel.click()
    assert [job.cancelled for job in works.jobs] == [False, True]
    assert desk.window.explore.models.progress.text() == "Downloading gpt2"


def test_what_is_dropped_on_the_page_is_imported_there(desk, works, tmp_path):
    (tmp_path / "model.safetensors").touch()
    desk.window.show_page(MODELS)
    drop(desk, tmp_path / "model.safetensors")
    assert desk.window.models_page.naming.isVisible()
    desk.qtbot.keyClick(desk.window.models_page.naming.name, Qt.Key.Key_Return)
    assert works.asked()[-1][:2] == ("bring_in", tmp_path)
    assert desk.window.pages.currentIndex() == MODELS


@pytest.mark.parametrize("page", [EXPLORE, MODELS])
def test_a_pickle_that_is_dropped_is_refused_in_sight(desk, works, tmp_path, page):
    (tmp_path / "pytorch_model.bin").touch()
    desk.window.show_page(page)
    drop(desk, tmp_path / "pytorch_model.bin")
    if page == EXPLORE:
        assert desk.window.explore.models.problem.isVisible()
        assert "can run code" in desk.window.explore.models.problem.text()
    else:
        (card,) = desk.window.models_page.tasks.cards.values()
        assert card.isVisible()
        assert "can run code" in card.words.text()
    assert works.jobs == []


def test_the_model_in_use_is_marked_on_the_page(desk):
    desk.window.models._list()
    (row,) = desk.window.models_page.list.rows.rows()
    assert (row.name, row.mark) == (demo().manifest.name, "in use")


def drop(desk, path):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    desk.window.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, left, none))


@pytest.mark.parametrize("streams", [True, False])
def test_a_build_that_was_made_again_is_loaded_afresh_when_nothing_streams(desk, works, streams):
    opened = []
    desk.window.models.model_jobs.open = lambda *chosen: opened.append(chosen)
    if streams:
        desk.generate("Hello")
        desk.step()
    desk.window.models.model_jobs.convert("demo", "cpu-int8")
    works.last.finish(True)
    tell(desk)
    assert opened == ([] if streams else [("demo", "cpu-int8")])
    assert desk.review.running is streams


def install(desk, name, tokenizer="{}", **changes):
    """Put a model with a cpu-int8 build into the folder of models; return its manifest."""
    folder = desk.paths.models / name
    (folder / "cpu-int8").mkdir(parents=True)
    for file in ("model.onnx", "weights.bin"):
        (folder / "cpu-int8" / file).touch()
    (folder / "tokenizer.json").write_text(tokenizer)
    manifest = replace(demo().manifest, name=name, **changes)
    manifest.write(folder)
    return manifest


def row(desk, name):
    rows = desk.window.models_page.list.rows
    return rows.find(name).data(ROW)


def test_a_model_whose_vocabulary_is_damaged_is_shown_broken_with_its_reason(desk):
    install(desk, "old", "{not json")
    desk.window.show_page(MODELS)
    page = desk.window.models_page
    assert row(desk, "old").problem == ""
    page.list.choose("old")
    page.details.use.click()
    desk.tick()
    assert desk.window.engine_loop.loaded.manifest.name == "demo"
    said = desk.window.explore.models.problem.text()
    assert said.startswith("old cannot be opened. The model's tokenizer.json cannot be used")
    desk.window.show_page(MODELS)
    assert "tokenizer.json cannot be used" in row(desk, "old").problem
    assert "tokenizer.json cannot be used" in page.details.problem.text()
    assert page.details.problem.isVisible()
    # A check, and the way out of its words, are still there.
    assert page.details.verify.isEnabled()
    assert page.details.remove.isEnabled()


def test_a_build_that_cannot_be_opened_is_marked_until_it_is_made_again(desk, works):
    install(desk, "old", (desk.window.engine_loop.loaded.folder / "tokenizer.json").read_text())
    page = desk.window.models_page
    desk.engine.ready = False
    desk.window.models.choose("old", "cpu-int8")
    sentence = "cpu-int8/model.onnx cannot be opened (Protobuf parsing failed)."
    desk.engine._events.append(Refused(None, sentence, damaged=True))
    desk.tick()
    problem = desk.window.explore.models.problem.text()
    assert problem == f"old (cpu-int8) cannot be opened. {sentence}"
    desk.window.show_page(MODELS)
    page.list.choose("old")
    assert row(desk, "old").notes.startswith("cpu-int8 ✕ damaged")
    assert row(desk, "old").end == "not used yet"
    assert page.details.problem.text() == sentence
    build = page.details.builds.rows["cpu-int8"]
    assert build.amount.text() == "✕ damaged"
    build.make.click()
    works.last.finish(True)
    tell(desk)
    assert row(desk, "old").notes == "cpu-int8"
    assert not page.details.problem.isVisible()


def test_a_device_that_is_missing_damages_no_build(desk):
    install(desk, "old", (desk.window.engine_loop.loaded.folder / "tokenizer.json").read_text())
    desk.engine.ready = False
    desk.window.models.choose("old", "cpu-int8")
    desk.engine.refuse(None, "No NVIDIA driver was found.")
    desk.tick()
    desk.window.show_page(MODELS)
    assert row(desk, "old").notes == "cpu-int8"


def test_a_model_that_another_program_imported_is_there_when_the_page_comes_up(desk):
    manifest = replace(demo().manifest, name="fresh", builds={})
    (desk.paths.models / "fresh" / "source").mkdir(parents=True)
    manifest.write(desk.paths.models / "fresh")
    desk.window.show_page(MODELS)
    assert "fresh" in [row.name for row in desk.window.models_page.list.rows.rows()]
    assert desk.window.explore.models.models.findData("fresh") >= 0
