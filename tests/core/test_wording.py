import time
from datetime import date, datetime

import pytest
from PySide6.QtCore import QLocale

from explorer.core import wording
from explorer.core.counting import Cost, Counts
from explorer.gui.model_parts.model_words import last_used


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (Cost(1), "first try"),
        (Cost(7, rejected=6), "7 tries"),
        (Cost(12, kept=2), "one of 2 kept from 12 tries"),
        (Cost(2, steered_at=57, plain_tries=9), "steered at token 57, 2 tries"),
    ],
)
def test_tries_of_a_sample(cost, words):
    assert wording.tries(cost) == words


def test_only_counts_that_are_not_zero_are_named():
    assert wording.counts(Counts()) == ""
    assert wording.counts(Counts(kept=1, unjudged=1200, lost=2)) == (
        "1 kept · 1,200 unjudged · 2 lost to a crash"
    )


def test_what_a_hunt_cost_so_far_is_said_before_there_is_a_keep():
    assert wording.cost_so_far(None, Counts()) == ""
    counts = Counts(rejected=1, skipped=1, streaming=2)
    assert wording.cost_so_far(None, counts) == ("no keep yet (1 rejected, 1 skipped, 2 streaming)")
    cost = Cost(4, rejected=3)
    assert wording.cost_so_far(cost, counts) == "machine-written, 4 tries (3 rejected)"


def test_what_a_verdict_ended_says_so():
    assert wording.ending("stopped", cut=True) == "stopped by keeping"
    assert wording.ending("stopped", cut=False, brief=True) == "stopped"
    assert wording.ending("dropped", cut=True) == "dropped while it streamed"
    assert wording.ending(None, cut=False) == ""


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
