"""All tries of the hunt in a list: read, judged and found again by keys."""

import pytest
from PySide6.QtCore import QEvent, QItemSelectionModel, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtTest import QTest

from explorer.gui.window.main_window import COLLECTION, EXPLORE

SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
A, X, Z, SPACE = Qt.Key.Key_A, Qt.Key.Key_X, Qt.Key.Key_Z, Qt.Key.Key_Space
PLAIN = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def hunt(desk):
    """Four ended tries in the lanes, four that made room for them, and the list of all."""
    desk.generate("The king", *[f"was number {n}" for n in range(8)])
    desk.finish()
    desk.window.do("generate")
    desk.tick()
    desk.finish()
    desk.window.do("all_tries")
    return desk


def choose(hunt, *indices):
    """Choose the rows of these tries, the last one current."""
    rows = hunt.window.tries.list
    rows.view.clearSelection()
    for index in indices:
        row = rows.model.row_of(hunt.review.tries()[index].try_id)
        flag = QItemSelectionModel.SelectionFlag.Select
        rows.view.selectionModel().setCurrentIndex(rows.model.index(row), flag)


def press(hunt, key, modifiers=PLAIN):
    QTest.keyClick(hunt.window.tries.list.view, key, modifiers)
    hunt.tick()


def verdicts(hunt):
    return {s.index: s.verdict for s in hunt.review.tries() if s.verdict}


def lead(hunt, index):
    model = hunt.window.tries.list.model
    return model.card(model.row_of(hunt.review.tries()[index].try_id)).lead


def test_the_list_has_the_keyboard_and_the_newest_row(hunt):
    rows = hunt.window.tries.list
    assert rows.current() == hunt.review.tries()[7].try_id
    assert rows.view.hasFocus() or hunt.window.tries.focusWidget() is rows.view


@pytest.mark.parametrize(("key", "verdict"), [(A, "kept"), (X, "rejected"), (SPACE, "skipped")])
def test_a_key_judges_the_chosen_row_which_is_in_no_lane(hunt, key, verdict):
    choose(hunt, 2)
    press(hunt, key)
    assert verdicts(hunt) == {2: verdict}
    assert verdict in lead(hunt, 2)
    assert hunt.window.tries.list.current() == hunt.review.tries()[2].try_id
    assert [lane_view.index for lane_view in hunt.review.views] == [4, 5, 6, 7]


def test_a_keep_from_the_list_is_in_the_collection_with_what_had_been_shown(hunt):
    choose(hunt, 1)
    press(hunt, A)
    assert hunt.window.panel.list.model.card(0).lead == "8 tries"


def test_all_chosen_rows_are_judged_at_once_and_undone_at_once(hunt):
    choose(hunt, 0, 2, 3)
    press(hunt, X)
    assert verdicts(hunt) == {0: "rejected", 2: "rejected", 3: "rejected"}
    press(hunt, Z)
    assert verdicts(hunt) == {}
    assert "unjudged" in lead(hunt, 2)
    press(hunt, Z, CTRL | SHIFT)
    assert len(verdicts(hunt)) == 3


def test_keep_this_reject_the_rest_touches_the_lanes_only(hunt):
    choose(hunt, 1)
    press(hunt, A, SHIFT)
    assert verdicts(hunt) == {1: "kept", **dict.fromkeys(range(4, 8), "rejected")}


def test_a_try_that_streams_in_a_lane_is_judged_there(desk):
    desk.generate("The king", *["one two three four"] * 8)
    desk.step()
    desk.window.do("all_tries")
    choose(desk, 1)
    press(desk, X)
    assert verdicts(desk) == {1: "rejected"}
    assert desk.review.view(1).index == 4  # and the next one has its lane


def test_a_key_that_is_held_judges_once(hunt):
    choose(hunt, 2)
    press(hunt, X)
    sent = len(hunt.review._ledger._database.rows("SELECT * FROM verdicts"))
    view = hunt.window.tries.list.view
    QGuiApplication.sendEvent(view, QKeyEvent(QEvent.Type.KeyPress, A, PLAIN, "a", autorep=True))
    assert len(hunt.review._ledger._database.rows("SELECT * FROM verdicts")) == sent


def test_the_list_comes_back_with_a_filter_that_finds_nothing(hunt):
    tries = hunt.window.tries
    tries.list.filter.setText("no such words")
    hunt.qtbot.waitUntil(lambda: tries.list.model.rowCount() == 0)
    tries.close()
    tries.show_now()
    assert tries.isVisible()
    assert tries.list.current() is None
    tries.list.filter.clear()
    hunt.qtbot.waitUntil(lambda: tries.list.model.rowCount() == 8)


def test_letters_are_words_in_the_filter(hunt):
    QTest.keyClicks(hunt.window.tries.list.filter, "ax")
    assert hunt.window.tries.list.filter.text() == "ax"
    assert verdicts(hunt) == {}


def test_the_menu_of_a_row_takes_its_verdict_back_and_no_other(hunt):
    choose(hunt, 0, 1)
    press(hunt, X)
    menu = hunt.window.tries.menu_of(hunt.review.tries()[0].try_id)
    (back,) = [each for each in menu.actions() if each.text().startswith("Take")]
    assert back.isEnabled()
    back.trigger()
    assert verdicts(hunt) == {1: "rejected"}
    menu = hunt.window.tries.menu_of(hunt.review.tries()[0].try_id)
    (back,) = [each for each in menu.actions() if each.text().startswith("Take")]
    assert not back.isEnabled()


def test_a_verdict_in_a_lane_is_seen_in_the_list(hunt, qtbot):
    hunt.window.explore.lanes.choose(1)
    hunt.window.do("reject")
    hunt.tick()
    qtbot.waitUntil(lambda: "rejected" in lead(hunt, 5))


def test_a_try_that_another_lane_shows_is_gone_to(hunt):
    window = hunt.window
    window.show_page(COLLECTION)
    window.explore.lanes.choose(0)
    window.tries.try_chosen.emit(hunt.review.tries()[6].try_id)
    assert window.pages.currentIndex() == EXPLORE
    assert window.explore.lanes.chosen == 2
    assert [lane_view.index for lane_view in hunt.review.views] == [4, 5, 6, 7]


def test_a_try_that_no_lane_shows_comes_into_the_chosen_one_and_never_twice(hunt):
    window = hunt.window
    window.explore.lanes.choose(0)
    key = hunt.review.tries()[1].try_id
    window.tries.try_chosen.emit(key)
    assert [lane_view.index for lane_view in hunt.review.views] == [1, 5, 6, 7]
    window.explore.lanes.choose(3)
    window.tries.try_chosen.emit(key)
    assert window.explore.lanes.chosen == 0
    assert [lane_view.index for lane_view in hunt.review.views] == [1, 5, 6, 7]
    hunt.review.show(key, 3)  # and whoever moves it does not leave it behind
    assert [lane_view.index for lane_view in hunt.review.views] == [4, 5, 6, 1]


def test_a_try_that_streams_is_gone_to(desk):
    desk.generate("The king", *["one two three four"] * 8)
    desk.step()
    desk.window.explore.lanes.choose(0)
    desk.window.tries.try_chosen.emit(desk.review.tries()[3].try_id)
    assert desk.window.explore.lanes.chosen == 3
