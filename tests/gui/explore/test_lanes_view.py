import pytest
from PySide6.QtWidgets import QApplication

from explorer.gui.explore.lanes_view import LanesView, wanted_width
from explorer.review.lane_stacks import LaneView

pytestmark = pytest.mark.layout


@pytest.fixture
def view(qtbot):
    view = LanesView()
    qtbot.addWidget(view)
    view.resize(900, 700)
    view.show_lanes()
    view.show()
    return view


def shape(view):
    """Columns and rows that the lanes stand in."""
    QApplication.processEvents()
    return (
        len({lane.x() for lane in view.lanes}),
        len({lane.y() for lane in view.lanes}),
    )


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (1, 1)), (2, (2, 1)), (4, (2, 2)), (6, (3, 2)), (8, (4, 2))]
)
def test_lanes_stand_as_they_are_drawn(view, count, expected):
    view.set_count(count)
    assert len(view.lanes) == count
    assert shape(view) == expected


def test_every_lane_has_the_same_size_whatever_it_shows(view):
    view.set_count(8)
    view.lanes[0].show_view(LaneView(0, 1, 1, "streaming", " word" * 400, 400), "", 250)
    view.lanes[3].show_view(LaneView(3, 2, 2, "ended", "x", 1, "stopped", "kept", "c" * 90), "")
    QApplication.processEvents()
    widths = {lane.width() for lane in view.lanes}
    heights = {lane.height() for lane in view.lanes}
    assert max(widths) - min(widths) <= 1
    assert max(heights) - min(heights) <= 1


def test_where_there_is_no_room_there_are_fewer_columns(view):
    view.set_count(8)
    view.resize(wanted_width(4) - 1, 700)
    assert shape(view) == (2, 4)
    view.resize(wanted_width(4), 700)
    assert shape(view) == (4, 2)


def test_exactly_one_lane_is_chosen(view):
    assert [lane.property("chosen") for lane in view.lanes] == ["true", "false", "false", "false"]
    view.choose(2)
    assert [lane.property("chosen") for lane in view.lanes] == ["false", "false", "true", "false"]
    assert view.lanes[2].text.hasFocus()
    view.choose(7)
    assert view.chosen == 2


def test_focus_in_a_lane_chooses_it(view, qtbot):
    view.lanes[3].show_view(LaneView(3, 1, 1, "streaming", "x", 1), "")
    view.lanes[3].reject.setFocus()
    assert view.chosen == 3
    assert view.has_focus()


def test_arrows_move_in_the_grid_and_stop_at_its_edges(view):
    for (right, down), expected in [
        ((-1, 0), 0), ((1, 0), 1), ((1, 0), 1), ((0, 1), 3), ((0, 1), 3), ((-1, 0), 2),
        ((0, -1), 0),
    ]:  # fmt: skip
        view.move_choice(right, down)
        assert view.chosen == expected


def test_fewer_lanes_leave_a_lane_that_is_there_chosen(view):
    view.choose(3)
    view.set_count(2)
    assert view.chosen == 1
    assert view.lanes[1].property("chosen") == "true"


def test_new_lanes_are_not_judged_either_where_nothing_can_be(view):
    view.set_judging("read-only")
    view.set_count(8)
    assert not any(lane.keep.isEnabled() for lane in view.lanes)


def test_the_empty_state_says_what_to_do(view):
    view.show_empty("Nothing yet", "Press Ctrl+Enter.")
    texts = [label.text() for label in (view._title, view._advice) if label.isVisible()]
    assert texts == ["Nothing yet", "Press Ctrl+Enter."]
    assert not view.lanes[0].isVisible()
