"""The words beside the bar of a download."""

from __future__ import annotations

from explorer.weights.hub.transfer_rate import ByteMeter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_amount_rate_and_time_left() -> None:
    clock = Clock()
    told: list[tuple[float, str]] = []
    meter = ByteMeter(548_000_000, lambda *step: told.append(step), clock)
    for _ in range(41):
        meter.add(10_000_000)
        clock.now += 0.8
    assert told[-1] == (410 / 548, "410 of 548 MB, 12.5 MB/s, 12 s left")


def test_what_was_there_before_is_no_rate() -> None:
    clock = Clock()
    told: list[tuple[float, str]] = []
    meter = ByteMeter(2_000_000_000, lambda *step: told.append(step), clock)
    meter.skip(500_000_000)
    meter.read(250_000_000)
    assert told == [(0.375, "Checking what is there")]
    meter.place(250_000_000)
    clock.now += 1
    meter.add(1_000_000)
    clock.now += 1
    meter.add(1_000_000)
    assert told[-1][1] == "0.75 of 2.00 GB, 1.0 MB/s, 21 min left"


def test_a_server_that_begins_anew_takes_the_bar_back() -> None:
    told: list[tuple[float, str]] = []
    meter = ByteMeter(100_000, lambda *step: told.append(step), Clock())
    meter.add(90_000)
    meter.place(0)
    meter.say("Again")
    assert told == [(0.9, "90 of 100 kB"), (0.0, "Again")]


def test_it_says_little_however_small_the_pieces() -> None:
    clock = Clock()
    told: list[tuple[float, str]] = []
    meter = ByteMeter(1_000_000, lambda *step: told.append(step), clock)
    for _ in range(1000):
        meter.add(1000)
        clock.now += 0.001
    assert len(told) <= 11


def test_an_empty_download_is_no_division_by_zero() -> None:
    ByteMeter(0, lambda *step: None, Clock()).close(0)
