"""No word of any page or dialog is cut, in several fonts and sizes and in small windows."""

import pytest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget

from explorer.gui.style import theme
from explorer.gui.widgets.labels import Elided
from explorer.gui.window.main_window import SMALLEST
from explorer.gui.window.navigation import PAGES
from explorer.review.lane_stacks import NATURAL_ENDS
from explorer.system.settings import TEXT_PX, Settings
from tests.gui.cut_text import cut_texts
from tests.gui.scripted_engine import Script
from tests.gui.settling import settle

pytestmark = pytest.mark.layout

SIZES = (TEXT_PX[0], Settings().text_px, 20.0, TEXT_PX[1])
WINDOWS = ((SMALLEST.width(), SMALLEST.height()), (900, 640), (1280, 800), (1920, 1080))
LONG = "a word and another one " * 12


def show_text_of(desk, size):
    """Choose a text size; the window is laid out anew once, and not for each step to it."""
    desk.window.settings_store.change(text_px=size)
    desk.window.appearance._apply()


@pytest.fixture
def worked(desk):
    """A window in which everything has happened: every end, every verdict, a streaming try."""
    ends = [Script(["word "] * 30, end) for end in NATURAL_ENDS]
    desk.window.explore.recipe.set_lanes(4)
    desk.generate("Once upon a time", *ends, LONG, LONG, *[Script(["word "] * 200)] * 4)
    desk.finish()
    for verdict in ("reject", "skip", "keep"):
        desk.window.do(verdict)
        desk.finish()
    desk.window.explore.lanes.choose(1)
    desk.window.do("generate")
    desk.step(40)
    desk.window.explore.notices.say(
        "Something is wrong with that, and here is what to do about it."
    )
    return desk


@pytest.mark.parametrize("window", WINDOWS, ids=lambda each: f"{each[0]}x{each[1]}")
@pytest.mark.parametrize("size", SIZES)
def test_no_word_of_any_page_is_cut(worked, size, window):
    show_text_of(worked, size)
    worked.window.resize(*window)
    found = {}
    for number, page in enumerate(PAGES):
        worked.window.show_page(number)
        settle(worked.window)
        if cut := cut_texts(worked.window):
            found[page] = cut
    worked.window.models_page.show_catalogue()
    worked.window.show_page(PAGES.index("Models"))
    settle(worked.window)
    if cut := cut_texts(worked.window):
        found["catalogue"] = cut
    assert found == {}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_no_word_of_few_or_many_lanes_is_cut(desk, size, lanes):
    show_text_of(desk, size)
    desk.window.resize(900, 640)
    desk.window.explore.recipe.set_lanes(lanes)
    desk.generate("Once upon a time", *[LONG] * 2 * lanes)
    for act in (lambda: desk.step(5), desk.finish, lambda: desk.window.do("keep")):
        act()
        settle(desk.window)
        assert cut_texts(desk.window) == []


@pytest.mark.parametrize("size", SIZES)
def test_no_word_of_a_dialog_is_cut(worked, size):
    show_text_of(worked, size)
    window = worked.window
    try_id = next(view.try_id for view in worked.review.tries() if view.verdict == "kept")
    window.do("all_tries")
    window.do("export")
    window.do("keys")
    window.do("about")
    window.panel.opened.emit(try_id)
    found = {}
    for dialog in (window.tries, window.export, window.help, window.about, window.sample_view):
        settle(dialog)
        assert dialog.isVisible()
        if cut := cut_texts(dialog):
            found[type(dialog).__name__] = cut
        dialog.close()
    assert found == {}


# What finds all that must find it


@pytest.fixture
def box(qtbot):
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    box = QWidget()
    qtbot.addWidget(box)
    box.resize(400, 300)
    box.show()
    theme.dress(box)
    return box


def put(box, widget, place):
    widget.setParent(box)
    widget.setGeometry(*place)
    widget.show()
    return widget


@pytest.mark.parametrize("made", [QLabel, QPushButton])
def test_a_word_with_too_little_width_or_height_is_found(box, made):
    words = put(box, made("Words that need room"), (0, 0, 300, 40))
    assert cut_texts(box) == []
    words.resize(40, 40)
    assert "in width" in cut_texts(box)[0]
    words.resize(300, 8)
    assert "in height" in cut_texts(box)[0]


def test_lines_that_do_not_all_fit_are_found(box):
    words = put(box, QLabel("Words that need room " * 5), (0, 0, 120, 300))
    words.setWordWrap(True)
    assert cut_texts(box) == []
    words.resize(120, 40)
    assert "in height" in cut_texts(box)[0]


def test_what_lies_outside_or_over_others_is_found(box):
    one = put(box, QLabel("one"), (0, 0, 100, 40))
    other = put(box, QLabel("other"), (0, 50, 100, 40))
    assert cut_texts(box) == []
    other.move(50, 20)
    assert "lies over" in cut_texts(box)[0]
    other.move(350, 100)
    assert "beyond the side" in cut_texts(box)[0]
    other.move(0, 280)
    assert "beyond the edge" in cut_texts(box)[0]
    other.hide()
    assert cut_texts(box) == []
    assert one.isVisible()


def test_what_is_shortened_with_a_tip_is_not_cut(box):
    words = put(box, Elided(), (0, 0, 60, 40))
    words.setText("Words that need room")
    assert cut_texts(box) == []
    words.setToolTip("")
    assert len(cut_texts(box)) == 1
