"""Which tokens end a text and start one: what config.json says, as far as it can be believed.

A model that was fine-tuned with a token of its own, such as ``<|end|>``, learned to stop at that
one, and only ``eos_token_id`` says so; ``<|endoftext|>`` is still in its vocabulary and is never
drawn. So config.json goes first, in two steps away from what transformers does with it:

- ``GPT2Config`` writes 50256 where nobody set the two ids. With another vocabulary that is a piece
  of some word, at which texts would be cut off. So this number is believed only where its token is
  one that no text is made of; every other number was put there by somebody.
- transformers ends a text at every id of a list. The engine knows one end, so of a list that has
  ``<|endoftext|>`` this one counts, of another the first that the vocabulary knows.

An id without a token counts as absent: padded vocabularies and configs copied from another model
have such ids.
"""

from __future__ import annotations

from explorer.weights.formats.config import Config
from explorer.weights.formats.tokenizer import TokenizerFile

_DEFAULT = 50256
"""What ``GPT2Config`` has for both ids: ``<|endoftext|>`` of the released vocabulary."""


def end_token(config: Config, tokenizer: TokenizerFile) -> int | None:
    """Return the id that ends a text; None where neither config nor vocabulary has one."""
    meant = [token for token in config.ends if _is_meant(token, tokenizer)]
    named = tokenizer.end_of_text
    return named if named in meant or not meant else meant[0]


def start_token(config: Config, tokenizer: TokenizerFile) -> int | None:
    """Return the id that a text without a prompt starts from.

    It is ``bos_token_id``, or else ``<|endoftext|>``, or else what ends a text.
    """
    if config.start is not None and _is_meant(config.start, tokenizer):
        return config.start
    named = tokenizer.end_of_text
    return end_token(config, tokenizer) if named is None else named


def _is_meant(token: int, tokenizer: TokenizerFile) -> bool:
    """Return whether the vocabulary has this id, and somebody chose it."""
    if not 0 <= token < tokenizer.vocabulary or token in tokenizer.holes:
        return False
    return token != _DEFAULT or token in tokenizer.controls
