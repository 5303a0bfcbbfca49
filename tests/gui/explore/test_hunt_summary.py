import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication

from explorer.core.counting import Cost, Counts
from explorer.core.intervals import KeepRate, keep_rate
from explorer.gui.explore.hunt_summary import HuntSummary, IntervalBar
from explorer.gui.style import theme
from tests.gui.settling import settle

pytestmark = pytest.mark.layout


@pytest.fixture
def strip(qtbot):
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    strip = HuntSummary()
    qtbot.addWidget(strip)
    strip.resize(760, 90)
    strip.show()
    theme.dress(strip)
    return strip


ONE_KEEP = keep_rate(1, 7, None)
SEVEN = Cost(7, rejected=6)


def test_every_count_is_shown_streaming_ones_apart(strip):
    counts = Counts(kept=1, rejected=6, skipped=1, unjudged=3, streaming=2, lost=0)
    strip.show_ledger(counts, ONE_KEEP, SEVEN, 34)
    shown = {name: label.text() for name, label in strip.figures.items() if label.isVisible()}
    assert shown == {
        "tries": "13", "kept": "1", "rejected": "6", "skipped": "1", "passed_over": "0",
        "unjudged": "3", "streaming": "2", "everywhere": "34",
    }  # fmt: skip
    assert strip.caption.text() == "machine-written, 7 tries (6 rejected)"
    assert (
        strip.figures["everywhere"]
        .accessibleName()
        .startswith("34 tries in all hunts on this prompt")
    )


def test_tries_lost_to_a_crash_are_shown_where_there_are_any(strip):
    strip.show_ledger(Counts(lost=2), None, None, 0)
    assert strip.figures["lost"].isVisible()
    strip.show_ledger(Counts(), None, None, 0)
    assert not strip.figures["lost"].isVisible()


@pytest.mark.parametrize(
    ("interval", "rate", "kind"),
    [
        (ONE_KEEP, "1 of 7 kept; 0.36 to 46 %", "exact: stopped at each keep"),
        (keep_rate(0, 10, "no keep yet"), "0 of 10 kept; 0 to 28 %", "approximate: no keep yet"),
        (keep_rate(1, 4, "several at once"), "1 of 4 kept; 4.6 to 70 %",
         "approximate: several at once"),
        (keep_rate(0, 0, "no keep yet"), "nothing", "judged yet"),
        (None, "nothing", "judged yet"),
    ],
)  # fmt: skip
def test_rule_10_the_interval_says_which_one_it_is(strip, interval, rate, kind):
    strip.show_ledger(Counts(), interval, None, 0)
    assert (strip.rate.text(), strip.kind.text()) == (rate, kind)
    if interval and interval.judged:
        assert interval.method in strip.rate.toolTip()
        assert "A keeper takes" in strip.kind.toolTip()


def test_another_size_of_text_takes_the_room_that_it_needs_and_no_more(strip, qtbot):
    app = QApplication.instance()
    place = strip.rate.parentWidget()
    before = place.width()
    theme.apply(app, theme.Theme(theme.LIGHT, 24))
    qtbot.waitUntil(lambda: place.width() > 1.3 * before)
    theme.apply(app, theme.Theme(theme.LIGHT))
    qtbot.waitUntil(lambda: place.width() == before)


def test_rule_8_the_refill_policy_stands_on_the_screen(strip):
    strip.show_policy(until_keep=True, hold=True)
    assert strip.policy.text() == "stops at a keep  ·  finished tries wait"
    strip.show_policy(until_keep=False, hold=False)
    assert strip.policy.text() == "goes on after a keep  ·  finished tries make room"


def painted(bar, colour):
    """Columns in which a colour of the palette is painted along the middle of the bar."""
    image = bar.grab().toImage()
    wanted = QColor(colour)
    middle = image.height() // 2
    return [x for x in range(image.width()) if image.pixelColor(x, middle) == wanted]


def test_no_point_is_drawn_where_there_is_no_unbiased_estimate(qtbot):
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    bar = IntervalBar()
    qtbot.addWidget(bar)
    bar.resize(202, 24)
    bar.show_interval(ONE_KEEP)
    assert painted(bar, theme.LIGHT.accent) == []
    bar.show_interval(KeepRate(2, 9, 0.06, 0.55, "several at once"))
    point = painted(bar, theme.LIGHT.accent)
    assert point
    assert abs((point[0] + point[-1]) / 2 - (1 + 200 * 2 / 9)) < 2


def test_the_bar_is_read_out(qtbot):
    bar = IntervalBar()
    qtbot.addWidget(bar)
    assert "nothing judged yet" in bar.accessibleName()
    bar.show_interval(ONE_KEEP)
    assert "0.36 to 46 %" in bar.accessibleName()


def test_a_narrow_strip_stays_within_its_width(strip):
    strip.show_ledger(Counts(1, 6, 1, 0, 3, 2, 1), ONE_KEEP, SEVEN, 34)
    for width in (560, 348):  # the smaller one in the smallest window
        strip.resize(width, 130)
        QApplication.processEvents()
        assert strip.bar.mapTo(strip, strip.bar.rect().topLeft()).y() > strip.figures["tries"].y()
        for label in (strip.rate, strip.kind, *strip.figures.values(), *strip._words.values()):
            assert label.mapTo(strip, label.rect().topRight()).x() < width
            assert label.width() >= label.sizeHint().width(), label.text()


@pytest.mark.parametrize("width", [460, 535, 729, 870])
def test_the_policy_is_never_cut_and_no_count_changes_the_height(strip, qtbot, width):
    """At 1280x800 the words of the policy ended in an ellipsis, and the first try moved lanes."""
    strip.show_policy(until_keep=False, hold=False)
    strip.setMaximumWidth(width)
    strip.resize(width, strip.sizeHint().height())
    strip.show_ledger(Counts(), None, None, 0)
    settle(strip)
    height, bar = strip.sizeHint().height(), strip.bar.width()
    cost = Cost(12, rejected=8, skipped=1, passed_over=2)
    strip.show_ledger(Counts(1, 6, 2, 3), ONE_KEEP, cost, 30)
    settle(strip)
    assert (strip.sizeHint().height(), strip.bar.width()) == (height, bar)
    assert strip.policy.shown() == strip.policy.text()
    strip.show_policy(until_keep=True, hold=True)
    settle(strip)
    assert strip.sizeHint().height() == height


def test_all_tries_can_be_asked_for(strip, qtbot):
    strip.show_ledger(Counts(), None, None, 0)
    assert not strip.all_tries.isVisible()
    strip.show_ledger(Counts(unjudged=1), None, None, 1)
    with qtbot.waitSignal(strip.all_tries_asked):
        strip.all_tries.click()
