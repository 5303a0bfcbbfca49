"""Undo and redo mean the same in every window of the program (RULES 7)."""

import pytest
from PySide6.QtCore import Qt

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def opened(desk):
    """A window with a kept sample, which is open in a window of its own."""
    desk.generate("Once upon a time", *["a text"] * 8)
    desk.finish()
    desk.window.do("keep")
    desk.finish()
    (kept,) = (each for each in desk.review.tries() if each.verdict == "kept")
    desk.window.panel.opened.emit(kept.try_id)
    assert desk.window.sample_view.isVisible()
    return desk


def kept(desk):
    return [each.try_id for each in desk.review.tries() if each.verdict == "kept"]


def note_of(desk, try_id):
    return desk.window.sample_view._samples.get(try_id).note


def test_undo_in_the_window_of_a_sample_takes_its_keep_back_and_says_so(opened, qtbot):
    view = opened.window.sample_view
    qtbot.keyClick(view.text, Qt.Key.Key_Z, CONTROL)
    assert kept(opened) == []
    assert not view.isVisible()  # what it showed is no sample any more
    assert "kept" in opened.window.status.news.text().lower()


@pytest.mark.parametrize("name", ["tries", "export", "help", "docs", "about"])
def test_undo_and_redo_work_in_every_dialog(opened, qtbot, name):
    opened.window.sample_view.close()
    opened.window.do({"tries": "all_tries", "export": "export", "help": "keys"}.get(name, name))
    dialog = getattr(opened.window, name)
    qtbot.keyClick(dialog, Qt.Key.Key_Z, CONTROL)
    assert kept(opened) == []
    qtbot.keyClick(dialog, Qt.Key.Key_Z, CONTROL | SHIFT)
    assert len(kept(opened)) == 1
    dialog.close()


def test_a_note_that_is_undone_is_not_in_its_field_any_more(opened, qtbot):
    view = opened.window.sample_view
    view.note.setText("the best")
    view.note.editingFinished.emit()
    (try_id,) = kept(opened)
    assert note_of(opened, try_id) == "the best"
    qtbot.keyClick(view.text, Qt.Key.Key_Z, CONTROL)
    assert view.note.text() == ""
    view.close()
    assert note_of(opened, try_id) == ""
    assert kept(opened) == [try_id]


def test_undo_in_a_field_belongs_to_the_field(opened, qtbot):
    view = opened.window.sample_view
    view.note.setFocus()
    qtbot.keyClicks(view.note, "word")
    qtbot.keyClick(view.note, Qt.Key.Key_Z, CONTROL)
    assert view.note.text() == ""
    assert len(kept(opened)) == 1


def test_what_is_typed_stays_while_the_sample_is_read_again(opened, qtbot):
    view = opened.window.sample_view
    qtbot.keyClicks(view.note, "half a no")
    opened.window.explore.lanes.choose(1)
    opened.window.do("reject")
    opened.finish()
    assert view.note.text() == "half a no"
