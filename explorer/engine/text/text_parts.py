"""A long text to token ids, part by part: the ids of the whole, without its memory.

To become tokens a text takes hundreds of times its size. GPT-2's tokenizer first parts it into
words, with the space before them, and no token reaches over their borders. So a text may be cut
where a border is certain, whatever stands around it: before a space or a line feed that follows a
visible sign, between letters and digits, before a punctuation mark. Not where an added token is
near, which is looked for before words are; and not where a tokenizer has no words at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from explorer.core.errors import PromptError

if TYPE_CHECKING:
    from explorer.engine.text.tokens import Tokens

_SIZE = 1 << 16
"""Characters of a part, if it can be cut there."""
LONGEST = 250_000
"""Characters of a part that could not be cut; of emoji they take some 300 MB."""

# Scripts whose letters every version of Unicode calls letters.
_LETTERS = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u0391-\u03a1\u0410-\u044f\u3041-\u3096\u30a1-\u30fa"
_LETTERS += "\u4e00-\u9fa5\uac00-\ud7a3"
_MARKS = r".,!?;:()\[\]\u3001\u3002\u300c-\u300f\uff01\uff0c\uff1a\uff1b\uff1f"
_BEFORE_SPACE = re.compile(r"(?<=\S)(?= )")
_CUT = re.compile(
    rf"(?<=\S)(?=[ \n])|(?<=[{_LETTERS}])(?=[0-9{_MARKS}])|(?<=[0-9])(?=[A-Za-z{_MARKS}])"
)


def encode_parts(tokens: Tokens, text: str, control: bool = False) -> Iterator[list[int]]:
    """Yield the ids of ``text``, part by part; together they are those of :meth:`Tokens.encode`.

    Raises what :func:`parts` raises, before the first ids are made.
    """
    cut = parts(tokens, text)
    return (tokens.encode(part, control) for part in cut)


def parts(tokens: Tokens, text: str) -> Iterator[str]:
    """Yield ``text`` in parts whose ids are those that they have in the whole.

    Raises what :meth:`Tokens.check` raises, and :class:`PromptError` for a text that cannot be cut
    anywhere for long, before the first part is given.
    """
    tokens.check(text)
    borders = list(_borders(tokens, text))
    return (
        text[start:end] for start, end in zip([0, *borders], [*borders, len(text)], strict=True)
    )


def _borders(tokens: Tokens, text: str) -> Iterator[int]:
    """Yield where to cut."""
    start = 0
    while len(text) - start > _SIZE:
        end = _border(tokens, text, start + _SIZE, start + LONGEST)
        if end is None and len(text) - start > LONGEST:
            raise PromptError(
                f"The text has more than {LONGEST:,} characters in a row that this model's "
                "tokenizer cannot part; break them up with spaces, or give a part of it."
            )
        if end is None:
            return
        yield end
        start = end


def _border(tokens: Tokens, text: str, first: int, last: int) -> int | None:
    """Return the first place from ``first`` to ``last`` where ``text`` may be cut."""
    if not tokens.has_words:
        return None
    # A part that begins with a space gets none from the tokenizer.
    cuts = _BEFORE_SPACE if tokens.adds_space else _CUT
    reach = max(map(len, tokens.added_names), default=0)
    for found in cuts.finditer(text, first, min(last, len(text))):
        place = found.start()
        around = text[max(0, place - reach) : place + reach]
        if not any(name in around for name in tokens.added_names):
            return place
    return None
