"""What ``generate`` and ``score`` make of a typed text, and what they say of it on stderr."""

from __future__ import annotations

import sys

from explorer.core.errors import PromptTooLongError
from explorer.engine.text.prompt_text import End, cut, loose_spaces, prompt_ids, room
from explorer.engine.text.text_parts import parts
from explorer.engine.text.tokens import Tokens


def prepare(
    tokens: Tokens,
    prompt: str,
    context: int,
    max_tokens: int,
    *,
    control: bool,
    keep: End | None,
) -> tuple[str, list[int]]:
    """Return a prompt and its ids; of one that is too long, the part at the end ``keep``.

    Raises :class:`PromptError` for a prompt that cannot be used, :class:`PromptTooLongError` where
    nothing is to be cut.
    """
    try:
        ids = prompt_ids(tokens, prompt, context, control)
    except PromptTooLongError as error:
        if keep is None:
            advice = "shorten the prompt, or take a part of it by --keep-last or --keep-first"
            raise error.with_advice(advice) from None
        part = cut(tokens, prompt, room(context, max_tokens), keep, control)
        if part is None:
            raise
        _say(f"The prompt is too long; its {keep} {part.tokens:,} tokens are used.")
        prompt, ids = part.text, prompt_ids(tokens, part.text, context, control)
    if control:
        warn_of_no_control_tokens(tokens, prompt)
    if count := loose_spaces(tokens, prompt, control):
        what = "a space" if count == 1 else f"{count:,} spaces"
        _say(
            f"The prompt ends with {what}, which spoils the next word: a word carries the space "
            "before it in this model; end the prompt without."
        )
    return prompt, ids


def warn_of_no_control_tokens(tokens: Tokens, text: str) -> None:
    """Say that ``--control-tokens`` changes nothing in a text that names none."""
    if not any(map(tokens.control_names, parts(tokens, text))):
        have = ", ".join(tokens.special_names[:8]) or "none"
        _say(f"The text names no control token, of which this model has: {have}.")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
