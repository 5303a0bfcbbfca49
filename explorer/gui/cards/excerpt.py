"""The words of a card: a person's and the machine's in one line, and which part of it is shown.

A continuation can be read only behind what it continues, so a card begins with the prompt's end.
Where a filter found something, what it found is marked, and the part that is shown moves there if
it would not be in sight.
"""

from __future__ import annotations

from dataclasses import dataclass

from explorer.gui.widgets.token_text import prompt_end
from explorer.library.search import Needle

LEAD = 24
"""Characters at most that are shown before a place that the excerpt moved to."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of a card's words, ready to be painted."""

    text: str
    human: int
    """So many letters from its beginning on are a person's."""
    marks: tuple[Span, ...]
    """What a filter found."""

    def part(self, begin: int, text: str) -> Excerpt:
        """Return what stands from ``begin`` on, elided to ``text``."""
        marks = _within(self.marks, begin, begin + len(text))
        return Excerpt(text, min(max(self.human - begin, 0), len(text)), marks)


@dataclass(frozen=True, slots=True)
class Passage:
    """All words of a card in one line."""

    text: str
    human: int
    marks: tuple[Span, ...]
    start: int
    """Where the excerpt begins unless it has to move."""

    def excerpt(self, most: int, start: int | None = None) -> Excerpt:
        """Return ``most`` letters from ``start`` on, behind an ellipsis if it leaves any out."""
        begin = self.start if start is None else start
        dots = "…" if begin else ""
        human = min(max(self.human - begin, 0), most)
        marks = tuple(
            (low + len(dots), high + len(dots))
            for low, high in _within(self.marks, begin, begin + most)
        )
        text = dots + self.text[begin : begin + most]
        return Excerpt(text, human + len(dots) if human else 0, marks)

    def moved(self, lead: int = LEAD) -> int:
        """Return where an excerpt begins that shows the first mark behind ``start``, or at all."""
        at = next((low for low, _ in self.marks if low >= self.start), self.marks[0][0])
        begin = max(0, at - min(lead, LEAD))
        if begin and not self.text[begin - 1].isspace():
            space = self.text.find(" ", begin, at)
            begin = space + 1 if space >= 0 else begin
        return begin


def passage(before: str, words: str, human: bool, needle: Needle) -> Passage:
    """Join the words of a card: a prompt ``before`` them, and them.

    ``human`` says whether they are a person's too. The excerpt begins with the end of ``before``.
    """
    text = before + words
    tail = prompt_end(before).removeprefix("…")
    start = len(before.rstrip()) - len(tail)
    border = len(before) + (len(words) if human else 0)
    return Passage(text, border, tuple(needle.places(text)), start)


def one_line(text: str) -> str:
    """Return a text with every stretch of white space as one space, and none at its ends."""
    return " ".join(text.split())


def leading_to(prompt: str, text: str) -> str:
    """Return ``prompt`` in one line, with a space behind it unless ``text`` goes on with its last
    word.
    """
    line = one_line(prompt)
    apart = prompt[-1:].isspace() or text[:1].isspace()
    return f"{line} " if line and apart else line


def _within(spans: tuple[Span, ...], begin: int, end: int) -> tuple[Span, ...]:
    """Return what lies of ``spans`` between two places, counted from the first."""
    return tuple(
        (max(low, begin) - begin, min(high, end) - begin)
        for low, high in spans
        if low < end and high > begin
    )
