"""RULES 5, 6 and 10 once more, as plainly as they are written: slow, and from the rows alone.

What the program folds in one pass is here looked up again for every row, so that the two can only
agree by both being right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from explorer.library.storage.database import Database

Judgements = dict[int, tuple[int, str]]
"""By try: the verdict row that stands, and what it says."""


@dataclass
class Event:
    """A verdict row, or a sample removed or brought back."""

    try_id: int
    mark: int
    row: int | None = None
    verdict: str = "removed"
    undoes: int | None = None


@dataclass
class Told:
    """What the rows say about a hunt."""

    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of each standing keep: the last try before it, and its last."""
    costs: dict[int, dict[str, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    rate: tuple[int, int] = (0, 0)


def events_of(database: Database, hunt: int) -> list[Event]:
    found = [
        ((row["action"], row["id"]), Event(
            row["try_id"], row["mark"], row["id"], row["verdict"], row["undoes"]
        ))
        for row in database.rows(
            "SELECT verdicts.* FROM verdicts JOIN tries ON tries.id = try_id WHERE hunt_id = ?",
            (hunt,),
        )
    ]  # fmt: skip
    found += [
        ((row["action"], 10**9), Event(
            row["try_id"], row["mark"], verdict="removed" if row["now"] is None else "back"
        ))
        for row in database.rows(
            "SELECT placements.* FROM placements JOIN tries ON tries.id = try_id"
            " WHERE hunt_id = ? AND (now IS NULL OR was IS NULL)",
            (hunt,),
        )
    ]  # fmt: skip
    return [event for _, event in sorted(found, key=lambda pair: pair[0])]


def standing_after(events: list[Event]) -> Judgements:
    """A try's standing verdict is its newest that is not undone."""
    undone = {event.undoes for event in events}
    stands: Judgements = {}
    for event in events:
        if event.row is not None and event.verdict != "undone" and event.row not in undone:
            stands[event.try_id] = (event.row, event.verdict)
    return stands


def reread(database: Database, hunt: int) -> Told:
    """Read a hunt of a library."""
    tries = database.rows(
        "SELECT id, reason FROM tries LEFT JOIN ends ON try_id = id WHERE hunt_id = ?", (hunt,)
    )
    return told_by(events_of(database, hunt), {row["id"]: row["reason"] for row in tries})


def told_by(events: list[Event], ended: dict[int, str | None]) -> Told:
    """Read events in their order, and tries by how they ended."""
    stands = [standing_after(events[:n]) for n in range(len(events) + 1)]
    last = stands[-1]

    def since(try_id: int, upto: int) -> int:
        """Which event, counted from 1, made the verdict stand that stands after ``upto``."""
        n = upto
        while n and stands[n - 1].get(try_id) == stands[n].get(try_id):
            if (events[n - 1].try_id, events[n - 1].verdict) == (try_id, "back"):
                break
            n -= 1
        return n

    keeps = {t: since(t, len(events)) for t, (_, said) in last.items() if said == "kept"}
    taken_back = []
    for n, event in enumerate(events, start=1):
        before, after = (stands[m].get(event.try_id, (0, "")) for m in (n - 1, n))
        if before[1] != "kept" or (event.verdict != "removed" and after[1] == "kept"):
            continue
        if event.mark > events[since(event.try_id, n - 1) - 1].mark:
            taken_back.append((n, event.mark))
    told = Told()
    for try_id, given in keeps.items():
        own = events[given - 1].mark
        before = [n for n in keeps.values() if events[n - 1].mark < try_id]
        begin = events[max(before) - 1].mark if before else 0
        end = max([own, *(mark for n, mark in taken_back if n > given)])
        told.spans[try_id] = (begin, end)

    def state(try_id: int) -> str:
        if try_id in last:
            return last[try_id][1]
        return {None: "streaming", "crash": "lost"}.get(ended[try_id], "ended")

    for try_id, (begin, end) in told.spans.items():
        inside = [state(each) for each in ended if begin < each <= end]
        told.costs[try_id] = {
            "tries": len(inside),
            **{word: inside.count(word) for word in ("kept", "rejected", "skipped", "lost")},
            "passed_over": inside.count("ended") + inside.count("streaming"),
        }
    beside = {each for b, e in told.spans.values() for each in ended if b < each <= e}
    for try_id in ended:
        word = state(try_id)
        if word == "ended":
            word = "passed_over" if try_id in beside else "unjudged"
        told.counts[word] = told.counts.get(word, 0) + 1
    open_beside = sum(state(each) in ("ended", "streaming") for each in beside)
    kept, rejected = (told.counts.get(word, 0) for word in ("kept", "rejected"))
    told.rate = (kept, kept + rejected + open_beside)
    return told
