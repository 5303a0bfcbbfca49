"""Stop says what it stops."""

import pytest
from PySide6.QtCore import Qt

from explorer.gui.explore.stopping import words_for


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        ([], "Stop"),
        ([1], "Stop lane 2"),
        ([0, 3], "Stop both"),
        ([0, 1, 3], "Stop all three"),
        (range(8), "Stop all eight"),
        (range(16), "Stop all 16"),
    ],
)
def test_the_words_count_the_lanes(lanes, words):
    assert words_for(list(lanes)) == words


def test_button_and_menu_say_what_they_stop(desk):
    window = desk.window
    button, entry = window.explore.recipe.stop, window.actions_.by_name["stop"]
    desk.generate("Once", *["one two three four five"] * 4)
    desk.step()
    window.activateWindow()
    window.explore.prompt.editor.setFocus()
    desk.qtbot.waitUntil(window.explore.prompt.editor.hasFocus)
    assert button.words() == button.accessibleName() == entry.text() == "Stop all four"
    window.explore.lanes.choose(1)
    desk.qtbot.waitUntil(window.explore.lanes.has_focus)
    assert entry.text() == "Stop lane 2"
    assert button.words() == "Stop all four"
    assert all(cap.isHidden() for cap in button._caps)  # Esc means the lane now
    window.do("stop")
    desk.finish()
    assert button.words() == entry.text() == "Stop"


def test_one_that_streams_is_named(desk):
    window = desk.window
    desk.generate("Once", "short", "one two three four five six", "short", "short")
    while sum(window.engine_loop.streams(lane) for lane in range(4)) > 1:
        desk.step()
    assert window.explore.recipe.stop.words() == "Stop lane 2"
    desk.qtbot.mouseClick(window.explore.recipe.stop, Qt.MouseButton.LeftButton)
    desk.finish()
    assert not window.engine_loop.review.running
