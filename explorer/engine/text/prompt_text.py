"""What the text of a prompt is to a tokenizer beyond its ids: a loose space, a part that fits.

A word of GPT-2 carries the space before it, so a prompt that ends with one leaves the model a word
without: it has rarely seen that. Whether a vocabulary is of this kind is asked of the vocabulary. A
text that is too long is cut between tokens, where the part alone has the ids that it had in the
whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from explorer.core.errors import PromptError, PromptTooLongError

if TYPE_CHECKING:
    from explorer.engine.text.tokens import Tokens

End = Literal["first", "last"]

_TAIL = 256
"""Characters that decide how the end of a text is read."""
_WINDOW = 4_096
_MARGIN = 64
"""Tokens at the border of a window that may be others than in the whole text."""


@dataclass(frozen=True, slots=True)
class Named:
    """A special token that a text names, and how many tokens its name is as letters."""

    name: str
    letters: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The beginning or the end of a text."""

    text: str
    tokens: int


def prompt_ids(tokens: Tokens, text: str, context: int, control: bool = False) -> list[int]:
    """Return the ids of a prompt that tries can go on from.

    Raises :class:`PromptTooLongError` where they leave nothing of the ``context``, and
    :class:`PromptError` for what else cannot be used.
    """
    ids = tokens.prompt(text, context, control)
    if len(ids) >= context:
        raise PromptTooLongError(len(ids), context)
    if not ids and tokens.start_of_text is None:
        raise PromptError.without_start()
    return ids


def named(tokens: Tokens, text: str) -> tuple[Named, ...]:
    """Return the special tokens that ``text`` names, each once, as they come."""
    return tuple(Named(name, len(tokens.encode(name))) for name in tokens.control_names(text))


def loose_spaces(tokens: Tokens, text: str, control: bool = False) -> int:
    """Return how many characters at the end of ``text`` belong to the word that would come next.

    Without them that word begins as it does in the texts the model was trained on.
    """
    left = text
    while _is_loose(tokens, left[-_TAIL:], control):
        left = left.rstrip(left[-1])
    return len(text) - len(left)


def _is_loose(tokens: Tokens, tail: str, control: bool) -> bool:
    """Whether the last character, whitespace, would become part of the next word's token."""
    space = tail[-1:]
    if not space.isspace() or not (word := tokens.word_after(space)):
        return False
    ids = tokens.encode(tail, control)
    if not ids or not tokens.decode(ids[-1:]).isspace():
        return False
    size = len(word.encode())
    for token in reversed(tokens.encode(tail + word, control)):
        size -= len(tokens.token_bytes(token))
        if size <= 0:
            return size < 0
    return False


def room(context: int, max_tokens: int) -> int:
    """Return the tokens of a prompt that leave room for a try of ``max_tokens``.

    A prompt that is cut gets at least half of the context.
    """
    return context - min(max_tokens, context // 2)


def cut(tokens: Tokens, text: str, most: int, end: End, control: bool = False) -> Cut | None:
    """Return the longest ``first`` or ``last`` part that is a prompt of at most ``most`` tokens.

    It consists of whole characters, and alone it has the ids that it had within the text. None
    where there is no such part. Raises what :meth:`Tokens.encode` raises.
    """
    before = len(tokens.prefix_ids)
    most -= before
    ids = _ids(tokens, text, most, end, control)
    for count in range(min(most, len(ids)), 0, -1):
        part = ids[-count:] if end == "last" else ids[:count]
        try:
            words = b"".join([tokens.token_bytes(token) for token in part]).decode()
        except UnicodeDecodeError:
            continue
        if end == "first" and words[:1] == " " and text[:1] != " ":
            words = words[1:]  # the tokenizer has put it there
        if tokens.encode(words, control) == part:
            return Cut(words, before + count)
    return None


def _ids(tokens: Tokens, text: str, most: int, end: End, control: bool) -> list[int]:
    """Return the ids of that end of ``text``, and some more; megabytes are not read for it."""
    size = max(8 * most, _WINDOW)
    while size < len(text):
        ids = tokens.encode(text[-size:] if end == "last" else text[:size], control)
        if len(ids) >= most + _MARGIN:
            return ids
        size *= 2
    return tokens.encode(text, control)
