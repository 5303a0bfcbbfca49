"""How likely the model finds a given text: log-probability, rank and entropy of every token.

The first token is conditioned on what a text without a prompt starts from, ``<|endoftext|>`` unless
the model names a token of its own for that (RULES 13). A text longer than the context is read in
windows: each begins ``stride`` tokens after the one before and scores what that did not, so every
token beyond the first window has at least ``context - stride`` others before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.engine import sampling
from explorer.engine.messages import CHUNK
from explorer.errors import PromptError

if TYPE_CHECKING:
    from explorer.engine.session import Session
    from explorer.engine.tokens import Tokens

_LOGITS_BYTES = 64 << 20
"""Logits that one call may yield."""

_ROWS = 8
"""Rows of logits that are worked on at once, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Figures of n tokens (RULES 13)."""

    ids: tuple[int, ...]  # [n]
    texts: tuple[str, ...]  # [n] together the text; "" while a character is not complete
    logprobs: NDArray[np.float32]  # [n] natural, at temperature 1 over the drawable vocabulary
    ranks: NDArray[np.int32]  # [n] from 0, ties by lower id
    entropies: NDArray[np.float32]  # [n] nats, of the distribution that the token was drawn from
    windows: tuple[int, ...]
    """Of each window: the first token that it scored."""
    stride: int


def score(
    session: Session,
    tokens: Tokens,
    text: str,
    stride: int | None = None,
    *,
    control: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score every token of ``text``.

    ``stride`` is from 1 to the model's context, half of it by default. With ``control`` the names
    of special tokens are these tokens. ``progress`` is told tokens done and in all. Raises
    :class:`PromptError` for a text without ids, a stride out of range, and a model without a token
    to start from.
    """
    context = session.manifest.context
    stride = max(context // 2, 1) if stride is None else stride
    if not 1 <= stride <= context:
        raise PromptError(f"The stride must be from 1 to {context}, the context, not {stride}.")
    if tokens.start_of_text is None:
        raise PromptError(
            "This model has no <|endoftext|> token, so nothing stands before the first token of a "
            "text; choose another model to score with."
        )
    ids = tokens.encode(text, control)
    given = [tokens.start_of_text, *ids]  # given[t] stands before ids[t]
    vocabulary = session.manifest.vocabulary
    chunk = max(1, min(CHUNK, _LOGITS_BYTES // (4 * vocabulary)))
    cache = session.cache(1)
    logprobs = np.empty(len(ids), np.float32)
    ranks, entropies = np.empty(len(ids), np.int32), np.empty(len(ids), np.float32)
    windows = []
    scored = begin = 0
    while scored < len(ids):
        windows.append(scored)
        end = min(begin + context, len(ids))
        for at in range(begin, end, chunk):
            part = given[at : min(at + chunk, end)]
            output = session.prefill(cache, part, at - begin, chunk=chunk, rows="all")
            for first in range(max(scored, at), at + len(part), _ROWS):
                last = min(first + _ROWS, at + len(part))
                logits = np.stack([output.logits(token - at) for token in range(first, last)])
                logsumexp = output.logsumexp[first - at : last - at].astype(np.float64)
                rows = slice(first, last)
                logprobs[rows], ranks[rows], entropies[rows] = _figures(
                    logits, logsumexp, ids[first:last]
                )
            if progress is not None:
                progress(max(scored, at + len(part)), len(ids))
        scored = end
        begin += stride
    decoder = tokens.decoder()
    texts = [decoder.feed(token) for token in ids]
    return Scores(tuple(ids), tuple(texts), logprobs, ranks, entropies, tuple(windows), stride)


def _figures(
    logits: NDArray[np.float32],  # [n, V]
    logsumexp: NDArray[np.float64],  # [n]
    ids: list[int],
) -> tuple[NDArray[np.float64], list[int], NDArray[np.float64]]:
    """Return log-probability, rank and entropy of each of ``ids`` [n]."""
    chosen = logits[np.arange(len(ids)), ids]
    ranks = [sampling.rank(row, token) for row, token in zip(logits, ids, strict=True)]
    log_odds = logits - logsumexp[:, None]  # [n, V]
    odds = np.exp(log_odds)
    # p log p is 0 for an id that is never drawn, whose log-probability is -inf.
    entropies = -np.einsum("nv,nv->n", odds, np.maximum(log_odds, -1e9))
    return chosen - logsumexp, ranks, entropies
