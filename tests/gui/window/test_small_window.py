"""The smallest window: the lanes keep lines to read, and one takes no room from another."""

import pytest
from PySide6.QtGui import QFontMetricsF

from explorer.gui.style import theme
from explorer.gui.widgets.controls import Fold
from explorer.gui.widgets.scroll_column import ScrollColumn
from explorer.gui.window.main_window import SMALLEST
from explorer.system.settings import TEXT_PX
from tests.gui.cut_text import cut_texts
from tests.gui.scripted_engine import Script
from tests.gui.settling import settle

pytestmark = pytest.mark.layout


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
        qtbot.waitUntil(lambda: desk.window.explore.strip._brief.isVisible())
        settle(desk.window)
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
    settle(desk.window)
    assert [lane.height() for lane in desk.lanes] == before


def test_the_strip_still_says_what_the_hunt_cost(small):
    desk = small(2)
    strip = desk.window.explore.strip
    desk.window.do("reject")
    desk.finish()
    desk.window.do("keep")
    assert (
        strip.tally.text()
        == "3 tries  ·  1 kept  ·  1 rejected  ·  1 passed over  ·  3 on this prompt"
    )
    assert strip.verdict.text().startswith("3 tries (1 rejected; 1 passed over)  ·  keep rate ")
    assert "1 of 3 kept; " in strip.verdict.text()
    assert "finished tries wait" in strip.tally.toolTip()
    desk.window.resize(1440, 900)
    assert strip._whole.isVisible()
    assert not strip._brief.isVisible()


def cut(lane):
    """Return how many pixels of the buttons there is no room for inside the border of a lane."""
    lowest = lane.keep.mapTo(lane, lane.keep.rect().bottomLeft()).y()
    outside = lowest + 1 - (lane.height() - 2)
    return max(0, outside, lane.keep.sizeHint().height() - lane.keep.height())


@pytest.mark.parametrize(("width", "height", "least"), [(900, 650, 2), (700, 520, 1)])
@pytest.mark.parametrize("notices", [0, 1, 2])
def test_no_button_of_eight_lanes_is_cut_whatever_stands_above_them(
    small, qtbot, width, height, least, notices
):
    """Below a notice their lower edges lay outside, over the border of the chosen lane."""
    desk = small(8)
    desk.window.resize(width, height)
    for number in range(notices):
        desk.window.explore.notices.say(f"{number}: a sentence about what is wrong. " * 2)
    settle(desk.window)
    assert max(map(cut, desk.lanes)) == 0
    assert notices == 2 or round(min(map(lines, desk.lanes)), 1) >= least


def test_a_notice_in_a_window_that_is_large_enough_shrinks_nothing(desk, qtbot):
    desk.window.resize(1280, theme.high(800))
    desk.window.explore.recipe.set_lanes(8)
    desk.generate("Once upon a time", *["a word and another one " * 30] * 8)
    desk.finish()
    settle(desk.window)
    for number in range(2):
        desk.window.explore.notices.say(f"{number}: a sentence about what is wrong.")
        settle(desk.window)
        assert desk.window.explore.strip._whole.isVisible()


def test_no_button_is_cut_where_text_is_large(small, qtbot):
    desk = small(8)
    desk.window.resize(900, 650)
    for _ in range(14):
        desk.window.do("larger")
    settle(desk.window)
    assert max(map(cut, desk.lanes)) == 0


def test_the_panel_beside_the_lanes_has_one_bar_where_text_is_large(desk):
    """The notes on the prompt and the recipe, a line each, scrolled within what scrolled."""
    desk.window.resize(900, 640)
    desk.window.settings_store.change(text_px=TEXT_PX[1])
    desk.window.appearance._apply()
    desk.window.explore.prompt.set_text("Once upon a time ")
    settle(desk.window)
    columns = desk.window.explore.findChildren(ScrollColumn)
    (outer,) = (each for each in columns if each.isAncestorOf(desk.window.explore.prompt))
    inner = [each.verticalScrollBar() for each in outer.findChildren(Fold) if each.isVisible()]
    assert outer.verticalScrollBar().maximum() > 0
    assert [bar.maximum() for bar in inner] == [0] * len(inner)


def test_notices_with_many_ways_out_are_not_cut_where_text_is_large(desk):
    """Their words were cut in height and their buttons at both sides."""
    desk.window.resize(900, 640)
    desk.window.settings_store.change(text_px=TEXT_PX[1])
    desk.window.appearance._apply()
    ways = ("Restore the backup of 1 Dec 2026", "Salvage what can be read", "Start a new library")
    for number in range(2):
        desk.window.explore.notices.say(
            f"{number}: The library is damaged; restore a backup, or salvage what can be read. "
            * 2,
            [(way, lambda: None) for way in ways],
        )
    settle(desk.window)
    assert cut_texts(desk.window) == []
    desk.generate("Once upon a time", *["a word and another one " * 30] * 4)
    desk.finish()
    settle(desk.window)
    assert cut_texts(desk.window) == []
    bars = [each.verticalScrollBar() for each in desk.window.explore.notices.findChildren(Fold)]
    assert [bar.maximum() > 0 for bar in bars] == [True]


def test_a_heading_that_does_not_fit_says_so(small):
    """It read "end of te"."""
    desk = small(8)
    desk.generate("Once upon a time", *[Script(["a"] * 150, "context_full")] * 8)
    desk.finish()
    assert {lane._state.shown()[-1] for lane in desk.lanes} == {"…"}
    assert {lane._state.toolTip() for lane in desk.lanes} == {"context full"}
