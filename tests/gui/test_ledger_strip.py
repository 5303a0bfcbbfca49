import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication

from explorer.gui import theme
from explorer.gui.ledger_strip import IntervalBar, LedgerStrip
from explorer.library.statistics import Counts, Interval
from tests.gui.settling import settle

pytestmark = pytest.mark.layout


@pytest.fixture
def strip(qtbot):
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    strip = LedgerStrip()
    qtbot.addWidget(strip)
    strip.resize(760, 90)
    strip.show()
    return strip


ONE_KEEP = Interval(1, 7, 0.0036, 0.4593, "inverse binomial", "stopped at a keep")


def test_every_count_is_shown_streaming_ones_apart(strip):
    counts = Counts(kept=1, rejected=6, skipped=1, unread=3, streaming=2, crashed=0)
    strip.show_ledger(counts, ONE_KEEP, "machine-written, 7 tries (6 rejected)", 34)
    shown = {name: label.text() for name, label in strip.figures.items() if label.isVisible()}
    assert shown == {
        "tries": "11", "kept": "1", "rejected": "6", "skipped": "1", "unread": "3",
        "streaming": "2", "everywhere": "34",
    }  # fmt: skip
    assert strip.caption.text() == "machine-written, 7 tries (6 rejected)"
    assert strip.figures["everywhere"].accessibleName().startswith("34 tries on this prompt")


def test_tries_lost_to_a_crash_are_shown_where_there_are_any(strip):
    strip.show_ledger(Counts(crashed=2), None, "", 0)
    assert strip.figures["crashed"].isVisible()
    strip.show_ledger(Counts(), None, "", 0)
    assert not strip.figures["crashed"].isVisible()


@pytest.mark.parametrize(
    ("interval", "rate", "kind"),
    [
        (ONE_KEEP, "0.36–46 %, inverse binomial", "stopped at a keep"),
        (Interval(0, 10, 0, 0.278, "wilson", "no keep yet"), "0–28 %, Wilson", "no keep yet"),
        (Interval(2, 9, 0.06, 0.55, "wilson", "stopping rule mixed"), "6–55 %, Wilson",
         "stopping rule mixed"),
        (Interval(2, 9, 0.06, 0.55, "wilson", ""), "6–55 %, Wilson", "of 9 judged"),
        (Interval(0, 0, 0, 1, "wilson", ""), "nothing", "judged yet"),
        (None, "nothing", "judged yet"),
    ],
)  # fmt: skip
def test_rule_10_the_interval_says_which_one_it_is(strip, interval, rate, kind):
    strip.show_ledger(Counts(), interval, "", 0)
    assert (strip.rate.text(), strip.kind.text()) == (rate, kind)


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
    bar.show_interval(Interval(2, 9, 0.06, 0.55, "wilson", ""))
    point = painted(bar, theme.LIGHT.accent)
    assert point
    assert abs((point[0] + point[-1]) / 2 - (1 + 200 * 2 / 9)) < 2


def test_the_bar_is_read_out(qtbot):
    bar = IntervalBar()
    qtbot.addWidget(bar)
    assert "nothing judged yet" in bar.accessibleName()
    bar.show_interval(ONE_KEEP)
    assert "0.36–46 %" in bar.accessibleName()


def test_a_narrow_strip_stays_within_its_width(strip):
    strip.show_ledger(Counts(1, 6, 1, 3, 2, 1), ONE_KEEP, "machine-written, 7 tries", 34)
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
    strip.show_ledger(Counts(), None, "", 0)
    settle(strip)
    height, bar = strip.sizeHint().height(), strip.bar.width()
    caption = "machine-written, 12 tries (11 rejected; 2 skipped, 3 unread)"
    strip.show_ledger(Counts(1, 6, 2, 3), ONE_KEEP, caption, 30)
    settle(strip)
    assert (strip.sizeHint().height(), strip.bar.width()) == (height, bar)
    assert strip.policy.shown() == strip.policy.text()
    strip.show_policy(until_keep=True, hold=True)
    settle(strip)
    assert strip.sizeHint().height() == height


def test_all_tries_can_be_asked_for(strip, qtbot):
    strip.show_ledger(Counts(), None, "", 0)
    assert not strip.all_tries.isVisible()
    strip.show_ledger(Counts(unread=1), None, "", 1)
    with qtbot.waitSignal(strip.all_tries_asked):
        strip.all_tries.click()
