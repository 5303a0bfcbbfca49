"""Copying and filtering, by the keys of whatever page is shown."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QTextCursor
from PySide6.QtTest import QTest

from explorer.engine.messages import Stop
from explorer.gui.widgets.clipboard import NOTHING
from explorer.gui.window.main_window import COLLECTION, EXPLORE, HISTORY, MODELS, SETTINGS

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
C, F, ESC = Qt.Key.Key_C, Qt.Key.Key_F, Qt.Key.Key_Escape


def key(desk, key, modifiers=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(desk.window.focusWidget() or desk.window, key, modifiers)
    desk.tick()


def copied():
    return QGuiApplication.clipboard().text()


@pytest.fixture
def hunt(desk):
    """Four finished tries, the first of them kept, the keyboard in its lane."""
    QGuiApplication.clipboard().setText("before")
    desk.generate("The king", " one\ntwo", " three", " four", " five")
    desk.finish()
    key(desk, Qt.Key.Key_A)
    return desk


def test_a_lane_without_a_selection_copies_its_text(hunt):
    hunt.window.explore.lanes.choose(1)
    key(hunt, C, CTRL)
    assert copied() == " three"
    assert hunt.window.status.news.text() == "Text copied."
    text = hunt.lanes[1].text
    cursor = text.textCursor()
    cursor.setPosition(len("The king "))
    cursor.movePosition(QTextCursor.MoveOperation.EndOfWord, QTextCursor.MoveMode.KeepAnchor)
    text.setTextCursor(cursor)
    key(hunt, C, CTRL)
    assert copied() == "three"


def test_a_lane_copies_its_text_with_prompt_and_caption(hunt):
    key(hunt, C, CTRL | SHIFT)
    sample = hunt.window.panel._samples.page(hunt.window.panel.list.model.ids())[0]
    assert copied() == sample.captioned_text
    assert hunt.window.status.news.text() == "Copied with its caption."
    hunt.window.explore.lanes.choose(2)
    key(hunt, C, CTRL | SHIFT)
    words = copied()
    assert words.startswith("Prompt (human-written):\nThe king\n\nCompletion, machine-written, ")
    assert "try 3, passed over, of a hunt with 4 tries" in words
    assert ":\n four\n\n" in words
    assert f"seed {hunt.review.hunt.seed}, index 2" in words
    key(hunt, Qt.Key.Key_X)  # and what takes its place
    hunt.window.explore.show_try(hunt.review.tries()[2].try_id)
    key(hunt, C, CTRL | SHIFT)
    assert "try 3, rejected" in copied()


def test_an_empty_lane_leaves_the_clipboard_alone(desk):
    QGuiApplication.clipboard().setText("before")
    desk.generate("The king")
    key(desk, C, CTRL)
    assert copied() == "before"
    assert desk.window.status.news.text() == NOTHING
    key(desk, C, CTRL | SHIFT)
    assert copied() == "before"


def test_the_text_of_a_streaming_lane_is_copied_as_far_as_it_has_come(desk):
    desk.generate("The king", *["one two three four"] * 4)
    desk.step(2)
    key(desk, C, CTRL)
    assert copied() == desk.review.view(0).text != ""


@pytest.mark.parametrize("page", [EXPLORE, COLLECTION])
def test_a_row_of_the_collection_is_copied(hunt, page):
    hunt.window.show_page(page)
    hunt.window.panel.list.take_focus()
    hunt.window.panel.list.choose(hunt.window.panel.list.model.ids()[0])
    hunt.window.explore.lanes.chosen = 1  # not this one
    key(hunt, C, CTRL)
    assert copied() == " one\ntwo"
    key(hunt, C, CTRL | SHIFT)
    assert "Completion, machine-written" in copied()


def test_a_row_of_the_history_is_copied(hunt):
    hunt.window.show_page(HISTORY)
    key(hunt, C, CTRL)
    assert copied() == "The king"
    key(hunt, C, CTRL | SHIFT)
    assert copied().startswith("Prompt (human-written):\nThe king\n\n4 tries · 1 kept")
    hunt.window.history.reopen_button.setFocus()
    QGuiApplication.clipboard().setText("before")
    key(hunt, C, CTRL)
    assert copied() == "The king"


def test_a_row_of_all_tries_is_copied(hunt):
    hunt.window.do("all_tries")
    tries = hunt.window.tries
    tries.list.choose(hunt.review.tries()[1].try_id)
    QTest.keyClick(tries.list.view, C, CTRL)
    assert copied() == " three"
    QTest.keyClick(tries.list.view, C, CTRL | SHIFT)
    assert "The king" in copied()
    assert hunt.window.status.news.text() == "Copied with its caption."


def test_a_sample_that_is_read_is_copied(hunt):
    window = hunt.window
    window.panel.opened.emit(window.panel.list.model.ids()[0])
    text = window.sample_view.text
    QTest.keyClick(text, C, CTRL)
    assert copied() == " one\ntwo"
    QTest.keyClick(text, C, CTRL | SHIFT)
    assert "Completion, machine-written" in copied()
    text.selectAll()
    QTest.keyClick(text, C, CTRL)
    assert "human-written" in copied()


@pytest.mark.parametrize("page", [MODELS, SETTINGS])
def test_nothing_is_copied_or_filtered_where_there_is_no_list(hunt, page):
    hunt.window.show_page(page)
    focus = hunt.window.focusWidget()
    hunt.window.do("copy")
    hunt.window.do("filter")
    assert copied() == "before"
    assert hunt.window.focusWidget() is focus
    for name in ("filter", "copy", "copy_captioned"):
        assert not hunt.window.actions_.by_name[name].isEnabled()
    hunt.window.show_page(EXPLORE)
    assert hunt.window.actions_.by_name["filter"].isEnabled()


@pytest.mark.parametrize("page", [EXPLORE, COLLECTION, HISTORY])
def test_the_filter_of_the_page_is_one_key_away(hunt, qtbot, page):
    window = hunt.window
    window.show_page(page)
    rows = window.history.list if page == HISTORY else window.panel.list
    rows.filter.setText("king")
    key(hunt, F, CTRL)
    assert rows.filter.hasFocus()
    assert rows.filter.selectedText() == "king"
    key(hunt, ESC)
    assert rows.filter.text() == ""
    assert window.pages.currentIndex() == page


def test_the_filter_shows_a_collection_that_was_put_away(hunt):
    window = hunt.window
    window._show_collection(False)
    key(hunt, F, CTRL)
    assert window.panel.list.filter.hasFocus()
    assert window.settings_store.settings.collection_shown


def test_an_empty_list_says_that_there_is_nothing_to_filter(desk):
    desk.window.show_page(COLLECTION)
    key(desk, F, CTRL)
    assert desk.window.status.news.text() == "There is nothing to filter here yet."


def test_escape_empties_the_filter_and_does_not_stop_what_streams(hunt):
    hunt.generate("The king", *["one two three four"] * 4)
    hunt.step()
    assert hunt.review.running
    field = hunt.window.panel.list.filter
    key(hunt, F, CTRL)
    field.setText("king")
    key(hunt, ESC)
    assert field.text() == ""
    assert hunt.review.running
    key(hunt, ESC)  # there is nothing to empty now
    assert hunt.engine.sent[-1] == (Stop(),)


def test_escape_forgets_a_name_and_does_not_stop_what_streams(desk):
    desk.generate("The king", *["one two three four"] * 4)
    desk.step()
    panel = desk.window.panel
    panel._on_new()
    sent = len(desk.engine.sent)
    key(desk, ESC)
    assert not panel.name.isVisible()
    assert len(desk.engine.sent) == sent


def test_all_tries_have_a_filter_of_their_own(hunt, qtbot):
    hunt.window.do("all_tries")
    tries = hunt.window.tries
    tries.activateWindow()
    qtbot.waitUntil(tries.isActiveWindow)
    tries.list.view.setFocus()
    QTest.keyClick(tries, F, CTRL)
    assert tries.list.filter.hasFocus()
    tries.list.filter.setText("three")
    QTest.keyClick(tries.list.filter, ESC)
    assert tries.list.filter.text() == ""
    assert tries.isVisible()
