import pytest
from PySide6.QtCore import QDateTime, QLocale, QTimeZone

from explorer.gui import wording
from explorer.library.statistics import Cost, Counts


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (Cost(0, 0, 0), "first try"),
        (Cost(6, 2, 3), "7 tries"),
        (Cost(1, 0, 0, steered=True), "steered, 2 tries"),
    ],
)
def test_tries_of_a_sample(cost, words):
    assert wording.tries(cost) == words


def test_only_counts_that_are_not_zero_are_named():
    assert wording.counts(Counts()) == ""
    assert wording.counts(Counts(kept=1, unread=1200, crashed=2)) == (
        "1 kept · 1,200 unread · 2 lost to a crash"
    )


def test_numbers_have_their_plural():
    assert wording.number_of(1, "try", "tries") == "1 try"
    assert wording.number_of(2000, "sample") == "2,000 samples"


def test_times_are_local_and_a_broken_one_is_shown_as_it_is():
    noon = QDateTime.fromString("2026-01-02T12:00:00Z", "yyyy-MM-ddTHH:mm:ssZ")
    noon.setTimeZone(QTimeZone.utc())
    here = QLocale().toString(noon.toLocalTime(), QLocale.FormatType.ShortFormat)
    assert wording.local_time("2026-01-02T12:00:00.000000Z") == here
    assert wording.local_time("yesterday") == "yesterday"
