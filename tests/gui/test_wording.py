import time
from datetime import date, datetime

import pytest
from PySide6.QtCore import QLocale

from explorer.gui import wording
from explorer.gui.model_words import last_used
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


@pytest.mark.parametrize("language", ["C", "de_DE", "en_US", "ja_JP", "ar_EG"])
@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the clock cannot be set here")
def test_times_are_local_and_unmistakable_in_every_language(monkeypatch, language):
    before = QLocale()
    QLocale.setDefault(QLocale(language))
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert wording.local_time("2026-11-03T07:14:59.000000Z") == "3 Nov 2026, 08:14"
        assert wording.local_time("2026-12-31T23:30:00.000000Z") == "1 Jan 2027, 00:30"
    finally:
        QLocale.setDefault(before)
        monkeypatch.undo()
        time.tzset()


def test_a_broken_time_is_shown_as_it_is():
    assert wording.local_time("yesterday") == "yesterday"


def test_the_last_use_of_a_model_reads_like_every_other_day():
    today = date(2026, 11, 23)

    def used(*day: int) -> str:
        return last_used(datetime(*day, 12).timestamp(), today)

    assert last_used(None) == "not used yet"
    assert used(2026, 11, 23) == "used today"
    assert used(2026, 11, 22) == "used yesterday"
    assert used(2025, 3, 4) == "used 4 Mar 2025"
    assert used(2026, 11, 24) == "used 24 Nov 2026"
