"""The text that builds are measured on, cut as the model reads it.

``resources/heldout.txt`` ships with the program, so that anybody can repeat a measurement: five
pieces in the public domain that the demonstration model was not trained on, apart by a line
``<|endoftext|>``. A text of one's own may be one document or several, written the same way.

Each document stands behind what a text without a prompt starts from, mostly ``<|endoftext|>``, and
is cut into windows of the whole context that do not overlap; every token is predicted once. Of a
model without such a token, the first token of a document is read and not predicted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.core.errors import InputError
from explorer.engine.text.tokens import END_OF_TEXT, Tokens

FILE_NAME = "heldout.txt"

_MOST_BYTES = 4 << 20
"""A longer text would take hours and say nothing more."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A text to measure on."""

    name: str
    """What it is called in a table: the name of its file."""
    text: str

    def documents(self) -> list[str]:
        """Return its documents, without those that are empty."""
        return [part for part in self.text.split(END_OF_TEXT + "\n") if part.strip()]


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens that are read together: ``targets[t]`` follows ``given[: t + 1]``."""

    given: Sequence[int]
    targets: Sequence[int]


def shipped(resources: Path) -> HeldOut:
    """Return the text that ships with the program."""
    return HeldOut(FILE_NAME, (resources / FILE_NAME).read_text(encoding="utf-8"))


def windows(text: HeldOut, tokens: Tokens, context: int) -> list[Window]:
    """Cut a text into windows of at most ``context`` tokens.

    Raises :class:`InputError` for a text that is too long or has no token to predict, and
    :class:`PromptError` for one that this vocabulary cannot spell.
    """
    size = len(text.text)
    if size > _MOST_BYTES:
        raise InputError(
            f"{text.name} has {size / 1e6:.1f} million characters; give at most "
            f"{_MOST_BYTES / 1e6:.1f}, which is more than a comparison needs."
        )
    found = [
        window
        for document in text.documents()
        for window in _cut(_read(document, tokens), context)
        if window.targets
    ]
    if not found:
        raise InputError(f"{text.name} is too short to measure on; give at least a sentence.")
    return found


def size_in_bytes(found: Sequence[Window], tokens: Tokens) -> int:
    """Return the bytes that the predicted tokens stand for."""
    return sum(len(tokens.token_bytes(token)) for window in found for token in window.targets)


def _read(document: str, tokens: Tokens) -> list[int]:
    start = [] if tokens.start_of_text is None else [tokens.start_of_text]
    return start + tokens.encode(document)


def _cut(ids: Sequence[int], context: int) -> Iterator[Window]:
    for first in range(0, len(ids) - 1, context):
        targets = ids[first + 1 : first + 1 + context]
        yield Window(ids[first : first + len(targets)], targets)
