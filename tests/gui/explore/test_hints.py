"""The first start shows three hints, each until it is done or closed, and never again."""

import json

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from tests.gui.controls_of import nameless
from tests.gui.cut_text import cut_texts
from tests.gui.settling import settle


def hints(desk):
    page = desk.window.explore
    return {"prompt": page.prompt.hint, "generate": page.recipe.hint, "keys": page.lanes.hint}


def shown(desk):
    return [name for name, hint in hints(desk).items() if not hint.isHidden()]


def places(desk):
    page = desk.window.explore
    parts = (page.prompt.editor, page.recipe, page.recipe.generate, page.lanes, page.strip)
    return [each.geometry().getRect() for each in parts]


def again(desk):
    desk.close()
    desk.open()


def test_each_goes_when_it_is_done_and_does_not_come_back(desk):
    assert shown(desk) == ["prompt", "generate", "keys"]
    desk.window.explore.prompt.editor.setFocus()
    desk.qtbot.keyClicks(desk.window.explore.prompt.editor, "O")
    assert shown(desk) == ["generate", "keys"]
    desk.generate("Once")
    assert shown(desk) == ["keys"]
    desk.finish()
    desk.window.do("reject")
    assert shown(desk) == []
    again(desk)
    assert shown(desk) == []


def test_what_was_not_done_is_shown_again(desk):
    desk.generate("Once")
    assert shown(desk) == ["keys"]
    again(desk)
    assert shown(desk) == ["keys"]


@pytest.mark.parametrize("name", ["prompt", "generate", "keys"])
def test_a_button_closes_one_for_good_and_takes_no_focus(desk, name):
    hint = hints(desk)[name]
    focus = QApplication.focusWidget()
    assert nameless(hint) == []
    desk.qtbot.mouseClick(hint.close_button, Qt.MouseButton.LeftButton)
    assert QApplication.focusWidget() is focus
    left = [each for each in hints(desk) if each != name]
    assert shown(desk) == left
    again(desk)
    assert shown(desk) == left


@pytest.mark.layout
@pytest.mark.parametrize("window", [(900, 640), (1280, 800)], ids=str)
@pytest.mark.parametrize("size", [10.0, 14.5, 28.0])
def test_no_word_of_them_is_cut_and_nothing_moves_when_they_go(desk, size, window):
    desk.window.settings_store.change(text_px=size)
    desk.window.appearance._apply()
    desk.window.resize(*window)
    settle(desk.window)
    before = places(desk)
    assert cut_texts(desk.window) == []
    for hint in hints(desk).values():
        assert hint.isVisible()
        hint.close_button.click()
    settle(desk.window)
    assert shown(desk) == []
    assert places(desk) == before
    desk.window.settings_store.change(text_px=14.5)  # the style outlives the window
    desk.window.appearance._apply()


@pytest.mark.parametrize("text", [json.dumps({"theme": "dark"}), "not JSON"])
def test_who_has_used_the_program_before_sees_none(desk, text):
    desk.close()
    desk.paths.settings.write_text(text)
    desk.open()
    assert shown(desk) == []
