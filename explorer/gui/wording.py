"""How panels say counts and times, so that every one of them says it alike."""

from __future__ import annotations

from datetime import date, datetime

from explorer.library.statistics import Cost, Counts

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

ENDINGS = {
    "end_of_text": "the model ended its text",
    "max_tokens": "max tokens reached",
    "context_full": "the context was full",
    "stopped": "stopped by hand",
    "dropped": "dropped while it streamed",
    "crash": "lost when the engine crashed",
}
"""How a try ended, for a person."""


def tries(cost: Cost) -> str:
    """Return ``7 tries`` or ``first try``, with ``steered`` before it where it was (RULES 12)."""
    words = "first try" if cost.tries == 1 else f"{cost.tries:,} tries"
    return f"steered, {words}" if cost.steered else words


def number_of(count: int, one: str, many: str = "") -> str:
    """Return ``1 try`` or ``7 tries``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def counts(values: Counts) -> str:
    """Return what is not zero: ``1 kept · 6 rejected · 3 unread``."""
    named = (
        (values.kept, "kept"),
        (values.rejected, "rejected"),
        (values.skipped, "skipped"),
        (values.unread, "unread"),
        (values.streaming, "streaming"),
        (values.crashed, "lost to a crash"),
    )
    return " · ".join(f"{count:,} {word}" for count, word in named if count)


def local_time(iso: str) -> str:
    """Return a time of the library (ISO, UTC) by the person's clock: ``23 Nov 2026, 08:14``.

    The month is a word, so that no language reads it as a day.
    """
    try:
        when = datetime.fromisoformat(iso).astimezone()
    except ValueError:
        return iso
    return f"{day(when)}, {when:%H:%M}"


def day(when: date) -> str:
    """Return a day as every panel writes it: ``23 Nov 2026``."""
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"
