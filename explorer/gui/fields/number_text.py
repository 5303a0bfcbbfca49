"""Numbers as people type them, read in one way or not at all.

Point, comma and the Arabic decimal sign mean the same everywhere, whatever the session's language:
who types ``0.7`` in a German one means 0.7. Digits of every script count. What could mean two
numbers, such as ``1.250`` where a point stands between thousands, is refused with a sentence, as is
everything else: a number that is not the one that was meant is worse than none.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

POINTS = ".,\N{ARABIC DECIMAL SEPARATOR}\N{FULLWIDTH FULL STOP}\N{FULLWIDTH COMMA}"
"""What people write between whole and parts."""

_COMMAS = {"\N{FULLWIDTH FULL STOP}": ".", "\N{FULLWIDTH COMMA}": ","}
_ALWAYS = "\N{ARABIC DECIMAL SEPARATOR}"
_UNSEEN = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
"""Marks of direction, which text that is copied from right-to-left languages carries along."""
_NUMBER = re.compile(r"([0-9]*)(?:([.,\u066b])([0-9]*))?")
_MOST_DIGITS = 30


class UnreadableNumberError(ValueError):
    """A text that is no number, or could be two; its words say what to write."""


@dataclass(frozen=True, slots=True)
class Form:
    """Which numbers a field takes, and how they are written where it stands."""

    low: Decimal
    high: Decimal
    decimals: int = 0
    """Digits behind the point at most; 0: whole numbers only."""
    point: str = "."
    """The session's own decimal sign."""

    def read(self, text: str) -> Decimal:
        """Return the number that ``text`` means; raises :class:`UnreadableNumberError`."""
        plain = plain_digits(text)
        match = _NUMBER.fullmatch(plain)
        if match is None or not (match[1] or match[3]):
            raise UnreadableNumberError(self._why_not(plain))
        whole, sign, part = match[1], match[2], match[3] or ""
        if sign and not self.decimals:
            raise UnreadableNumberError("Write a whole number, without a point or comma.")
        if sign and sign not in (self.point, _ALWAYS) and _like_thousands(whole, part):
            short = f"{whole}{self.point}{part.rstrip('0') or '0'}"
            raise UnreadableNumberError(
                f"Write {short} or {whole}{part}; this can be read as either."
            )
        if len(part.rstrip("0")) > self.decimals:
            raise UnreadableNumberError(
                f"Write at most {self.decimals} digits behind the decimal sign."
            )
        number = Decimal(f"{whole or '0'}.{part or '0'}") if len(plain) <= _MOST_DIGITS else None
        if number is None or not self.low <= number <= self.high:
            raise UnreadableNumberError(
                f"Write a number from {self._written(self.low)} to {self._written(self.high)}."
            )
        return number

    def is_begun(self, text: str) -> bool:
        """Return whether ``text`` is nothing yet, or a decimal sign that digits may follow."""
        plain = plain_digits(text)
        return not plain or (self.decimals > 0 and plain in POINTS)

    def _why_not(self, plain: str) -> str:
        if sum(plain.count(sign) for sign in POINTS) > 1 or re.fullmatch(
            r"[0-9.,\u066b\u066c\s'’_]+", plain
        ):
            return "Write the number without signs or spaces between the thousands."
        kind = "a number" if self.decimals else "a whole number"
        return f"Write {kind} from {self._written(self.low)} to {self._written(self.high)}."

    def _written(self, number: Decimal) -> str:
        return format(number.normalize(), "f").replace(".", self.point)


def plain_digits(text: str) -> str:
    """Return ``text`` with 0 to 9 for the digits of every script, without outer spaces."""
    text = _UNSEEN.sub("", text).strip()
    digits = (str(unicodedata.decimal(char, char)) for char in text)
    return "".join(_COMMAS.get(char, char) for char in digits)


def _like_thousands(whole: str, part: str) -> bool:
    return len(part) == 3 and 0 < len(whole) <= 3 and not whole.startswith("0")
