"""How panels say counts and times, so that every one of them says it alike."""

from __future__ import annotations

from datetime import date, datetime

from explorer.core.counting import Cost, Counts

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

_ENDS = {
    "end_of_text": ("end of text", "the model ended its text"),
    "max_tokens": ("max tokens", "max tokens reached"),
    "context_full": ("context full", "the context was full"),
    "stopped": ("stopped", "stopped by hand"),
    "dropped": ("dropped", "dropped while it streamed"),
    "crash": ("lost to a crash", "lost when the engine crashed"),
}
"""How a try ended, in a word and as a sentence says it."""


def ending(reason: str | None, cut: bool, *, brief: bool = False) -> str:
    """Return how a try ended, for a person; empty while it streams.

    ``cut`` says whether a verdict ended it.
    """
    if reason == "stopped" and cut:
        return "stopped by keeping"
    return _ENDS[reason][0 if brief else 1] if reason in _ENDS else ""


def tries(cost: Cost) -> str:
    """Return ``7 tries`` or ``first try``, with where it was steered before it (RULES 12)."""
    if cost.steered_at is None:
        return cost.share
    return f"steered at token {cost.steered_at:,}, {cost.share}"


def cost_so_far(cost: Cost | None, counts: Counts) -> str:
    """Return the caption of the try that was kept last, or what has been shown without a keep."""
    if cost is not None:
        return cost.caption
    said = ", ".join(part for part in _parts(counts) if part)
    return f"no keep yet ({said})" if said else "no keep yet" if counts.tries else ""


def number_of(count: int, one: str, many: str = "") -> str:
    """Return ``1 try`` or ``7 tries``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def counts(values: Counts) -> str:
    """Return what is not zero: ``1 kept · 6 rejected · 3 unjudged``."""
    return " · ".join(_parts(values))


def _parts(values: Counts) -> list[str]:
    named = (
        (values.kept, "kept"),
        (values.rejected, "rejected"),
        (values.skipped, "skipped"),
        (values.passed_over, "passed over"),
        (values.unjudged, "unjudged"),
        (values.streaming, "streaming"),
        (values.lost, "lost to a crash"),
    )
    return [f"{count:,} {word}" for count, word in named if count]


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
