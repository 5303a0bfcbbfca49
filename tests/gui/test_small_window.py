"""The smallest window: the lanes keep lines to read, and one takes no room from another."""

import pytest
from PySide6.QtGui import QFontMetricsF

from explorer.gui import theme
from explorer.gui.main_window import SMALLEST


def lines(lane):
    """Return how many lines of text a lane shows."""
    spacing = QFontMetricsF(lane.text.font()).lineSpacing() * theme.LINE_HEIGHT / 100
    return lane.text.viewport().height() / spacing


@pytest.fixture
def small(desk, qtbot):
    def show(lanes):
        desk.window.explore.recipe.set_lanes(lanes)
        desk.window.explore.recipe.lanes_changed.emit(lanes)
        desk.window.resize(SMALLEST)
        desk.generate("Once upon a time", *["a word and another one " * 30] * lanes)
        desk.finish()
        qtbot.waitUntil(lambda: desk.window.explore.strip._brief.isVisible(), timeout=5000)
        qtbot.wait(20)
        return desk

    return show


@pytest.mark.parametrize("lanes", [1, 2])
def test_five_lines_can_be_read_in_every_lane(small, lanes):
    desk = small(lanes)
    assert len(desk.lanes) == lanes
    assert min(map(lines, desk.lanes)) >= 5


def test_a_verdict_takes_no_room_from_the_other_lane(small, qtbot):
    desk = small(2)
    before = [lane.height() for lane in desk.lanes]
    assert abs(before[0] - before[1]) <= 1
    desk.window.do("keep")
    desk.tick()
    qtbot.wait(20)
    assert [lane.height() for lane in desk.lanes] == before


def test_the_strip_still_says_what_the_hunt_cost(small):
    desk = small(2)
    strip = desk.window.explore.strip
    desk.window.do("reject")
    desk.finish()
    desk.window.do("keep")
    assert (
        strip.tally.text() == "3 tries  ·  1 kept  ·  1 rejected  ·  1 unread  ·  3 on this prompt"
    )
    assert strip.verdict.text().startswith("2 tries (1 rejected; 1 unread)  ·  keep rate ")
    assert "inverse binomial" in strip.verdict.text()
    assert "finished tries wait" in strip.tally.toolTip()
    desk.window.resize(1440, 900)
    assert strip._whole.isVisible()
    assert not strip._brief.isVisible()
