"""How panels say counts and times, so that every one of them says it alike."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QDateTime, QLocale

from explorer.library.statistics import Cost, Counts

ENDINGS = {
    "end_of_text": "the model ended its text",
    "max_tokens": "its tokens were used up",
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
    """Return a time of the library (ISO, UTC) as the person's clock and language have it."""
    try:
        seconds = datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return iso
    when = QDateTime.fromMSecsSinceEpoch(round(1000 * seconds))
    return QLocale().toString(when, QLocale.FormatType.ShortFormat)
