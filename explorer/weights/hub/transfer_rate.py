"""How many bytes are there, how fast they come, and how long it takes yet, in a few words."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from explorer.weights.builds.convert import Progress

_REPORT_SECONDS = 0.1
_RATE_SECONDS = 5.0
"""How far back the rate looks."""


class ByteMeter:
    """The progress of the bytes: how many, how fast, how long yet."""

    def __init__(
        self, total: int, progress: Progress, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Report to ``progress`` how much of ``total`` bytes is there."""
        self._total = max(total, 1)
        self._progress = progress
        self._clock = clock
        self._before = 0
        self._here = 0
        self._marks: deque[tuple[float, int]] = deque()
        self._arrived = 0
        self._told = -math.inf

    def skip(self, size: int) -> None:
        """Count a file that was there already."""
        self._before += size

    def read(self, size: int) -> None:
        """Count bytes of a part that was there already, while it is read."""
        self._here += size
        if self._due():
            self.say("Checking what is there")

    def place(self, size: int) -> None:
        """Say how much of the present file is there."""
        self._here = size

    def add(self, size: int) -> None:
        """Count bytes that came over the network."""
        self._here += size
        self._arrived += size
        if self._due():
            self.say(self.words())

    def close(self, size: int) -> None:
        """The present file is complete."""
        self._before, self._here = self._before + size, 0
        self.say(self.words())

    def words(self) -> str:
        """Return ``412 of 548 MB, 12.3 MB/s, 11 s left``."""
        done = self._before + self._here
        now = self._clock()
        self._marks.append((now, self._arrived))
        while len(self._marks) > 2 and now - self._marks[0][0] > _RATE_SECONDS:
            self._marks.popleft()
        text = amount(done, self._total)
        (began, first), spent = self._marks[0], now - self._marks[0][0]
        if spent < 0.2 or self._arrived == first:
            return text
        rate = (self._arrived - first) / (now - began)
        return f"{text}, {_rate(rate)}, {_duration((self._total - done) / rate)} left"

    def say(self, text: str) -> None:
        """Report how far it is, with these words."""
        self._told = self._clock()
        self._progress((self._before + self._here) / self._total, text)

    def _due(self) -> bool:
        return self._clock() - self._told >= _REPORT_SECONDS


def amount(done: int, total: int) -> str:
    """Return ``412 of 548 MB``, in the unit that suits the whole."""
    if total >= 1_000_000_000:
        return f"{done / 1e9:.2f} of {total / 1e9:.2f} GB"
    if total >= 1_000_000:
        return f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"
    return f"{done / 1e3:.0f} of {total / 1e3:.0f} kB"


def size(count: int) -> str:
    """Write a number of bytes in decimal units, as file managers do: ``548 MB``, ``6.2 GB``."""
    for unit, letters in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= 0.9995 * unit:
            value = count / unit
            return f"{value:.1f} {letters}" if value < 9.95 else f"{value:,.0f} {letters}"
    return f"{count} byte{'' if count == 1 else 's'}"


def _rate(rate: float) -> str:
    return f"{rate / 1e6:.1f} MB/s" if rate >= 100_000 else f"{rate / 1e3:.1f} kB/s"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
