"""An import asks in the page what the model shall be called, and whether to switch to it."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from explorer.gui.window.main_window import EXPLORE, HISTORY, MODELS
from explorer.weights.store.store import Store
from tests.gui.controls_of import nameless
from tests.gui.cut_text import cut_texts
from tests.gui.scripted_works import Bare, ScriptedWorks
from tests.gui.settling import settle
from tests.tiny import make_tiny


@pytest.fixture
def works(desk):
    works = ScriptedWorks()
    desk.window.models.model_jobs._works = works.works
    return works


@pytest.fixture
def source(tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "model.safetensors").touch()
    return tmp_path / "cats"


def ask(desk, source, page=EXPLORE):
    """Choose a folder as the dialog or a drop does, and return what asks about it."""
    desk.window.show_page(page)
    place = desk.window._import_place()
    place.import_button.chosen.emit(source)
    return place.naming


def tell(desk):
    desk.window.models.model_jobs._on_tick()
    desk.tick()


@pytest.mark.parametrize("page", [EXPLORE, HISTORY, MODELS])
def test_enter_imports_under_the_name_that_stands_there(desk, works, source, page):
    naming = ask(desk, source, page)
    assert naming.isVisible()
    assert naming.name.hasFocus()
    assert naming.name.selectedText() == naming.name.text() == "cats"
    assert works.jobs == []
    assert nameless(naming) == []
    desk.qtbot.keyClick(naming.name, Qt.Key.Key_Return)
    assert works.asked() == [("bring_in", source, "cats", "cpu-int8")]
    assert naming.isHidden()
    assert QApplication.focusWidget() is not None


def test_a_file_gives_the_name_of_its_folder_and_is_what_is_imported(desk, works, source):
    naming = ask(desk, source / "model.safetensors")
    assert naming.name.text() == "cats"
    naming.act.click()
    assert works.asked()[0][1:3] in ((source, "cats"), (source / "model.safetensors", "cats"))


def test_another_name_is_taken_and_a_bad_one_said_while_it_is_typed(desk, works, source):
    naming = ask(desk, source)
    for name, why in (("DEMO", "reserved"), ("a/b", "'/'"), (".x", "begin with"), ("x" * 65, "64")):
        naming.name.setText(name)
        assert why in naming.note.text()
        assert naming.note.isVisible()
        assert naming.name.accessibleDescription() == naming.note.text()
        desk.qtbot.keyClick(naming.name, Qt.Key.Key_Return)
        assert naming.isVisible()
    naming.name.setText(" ")
    assert naming.note.isHidden()
    assert not naming.act.isEnabled()
    desk.qtbot.keyClick(naming.name, Qt.Key.Key_Return)
    assert works.jobs == []
    naming.name.clear()
    desk.qtbot.keyClicks(naming.name, "Lions 2")
    assert naming.note.isHidden()
    desk.qtbot.keyClick(naming.name, Qt.Key.Key_Return)
    assert works.asked() == [("bring_in", source, "Lions 2", "cpu-int8")]


def test_a_taken_name_is_said_and_the_one_that_stands_there_is_free(desk, works, tmp_path):
    source = make_tiny(tmp_path / "cats")
    Store(desk.paths).import_folder(source, "cats", "cpu-fp32")
    naming = ask(desk, source)
    assert naming.name.text() == "cats-2"
    naming.name.setText("Cats")
    assert "already a model named" in naming.note.text()
    assert not naming.act.isEnabled()


@pytest.mark.parametrize("streams", [False, True])
def test_escape_imports_nothing_and_gives_the_keyboard_back(desk, works, source, streams):
    if streams:
        desk.generate("Hello", *["word " * 50] * 4)
        desk.step()
    desk.window.explore.prompt.editor.setFocus()
    naming = ask(desk, source)
    desk.qtbot.keyClick(naming.name, Qt.Key.Key_Escape)
    assert naming.isHidden()
    assert desk.window.explore.prompt.editor.hasFocus()
    assert desk.review.running == streams  # it was no Stop
    assert works.jobs == []


def test_whether_to_switch_is_asked_and_remembered(desk, works, source):
    naming = ask(desk, source)
    assert naming.opens.isChecked()
    naming.opens.click()
    naming.act.click()
    assert not desk.window.models.model_jobs.busy().opens
    works.last.finish(Bare("cats"))
    tell(desk)
    assert [job.work for job in works.jobs] == ["bring_in"]
    assert "cats is ready" in desk.window.status.news.text()
    desk.close()
    desk.open()
    assert not desk.window.settings_store.settings.open_imported
    naming = ask(desk, source)
    assert not naming.opens.isChecked()


def test_an_import_that_is_cancelled_changes_no_choice(desk, works, source):
    naming = ask(desk, source)
    naming.opens.click()
    naming.cancel.click()
    assert desk.window.settings_store.settings.open_imported


def test_what_cannot_be_imported_is_refused_before_anything_is_asked(desk, works, source):
    (source / "pytorch_model.bin").touch()
    naming = ask(desk, source / "pytorch_model.bin")
    assert naming.isHidden()
    assert "can run code" in desk.window.explore.models.problem.text()


def test_answers_stay_while_something_else_goes_on(desk, works, source):
    naming = ask(desk, source)
    naming.name.setText("lions")
    desk.window.models.model_jobs.verify("demo")
    desk.qtbot.keyClick(naming.name, Qt.Key.Key_Return)
    assert naming.isVisible()
    assert "still going on" in desk.window.status.news.text()
    works.last.fail("No.")
    tell(desk)
    desk.qtbot.keyClick(naming.name, Qt.Key.Key_Return)
    assert works.asked()[-1] == ("bring_in", source, "lions", "cpu-int8")
    assert naming.isHidden()


@pytest.mark.layout
@pytest.mark.parametrize("page", [EXPLORE, MODELS])
@pytest.mark.parametrize("size", [10.0, 28.0])
def test_no_word_of_it_is_cut(desk, works, source, page, size):
    desk.window.settings_store.change(text_px=size)
    desk.window.appearance._apply()
    desk.window.resize(900, 640)
    naming = ask(desk, source, page)
    naming.name.setText("a/b")
    settle(desk.window)
    assert cut_texts(desk.window) == []
    desk.window.settings_store.change(text_px=14.5)  # the style outlives the window
    desk.window.appearance._apply()
