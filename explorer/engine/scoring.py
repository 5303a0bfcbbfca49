"""How likely the model finds a given text: log-probability, rank and entropy of every token.

The first token is conditioned on what a text without a prompt starts from, ``<|endoftext|>`` unless
the model names a token of its own for that (RULES 13). A text longer than the context is read in
windows: each begins ``stride`` tokens after the one before and scores what that did not, so every
token beyond the first window has at least ``context - stride`` others before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import PromptError
from explorer.engine import sampling
from explorer.engine.messages import CHUNK
from explorer.engine.text.text_parts import encode_parts

if TYPE_CHECKING:
    from explorer.engine.buffers import Cache, Output
    from explorer.engine.session import Session
    from explorer.engine.text.tokens import Tokens

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
    """Score every token of ``text``, and return all figures at once.

    ``progress`` is told tokens done and in all; the rest is as for :func:`score_windows`.
    """
    window = Windows(session, tokens, stride)
    parts = list(encode_parts(tokens, text, control))
    total, done = sum(map(len, parts)), 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    found = list(window.read(parts, tell))
    empty = np.empty(0, np.float32)
    return Scores(
        tuple(token for each in found for token in each.ids),
        tuple(text for each in found for text in each.texts),
        np.concatenate([empty, *(each.logprobs for each in found)]),
        np.concatenate([empty.astype(np.int32), *(each.ranks for each in found)]),
        np.concatenate([empty, *(each.entropies for each in found)]),
        tuple(first for each in found for first in each.windows),
        window.stride,
    )


def score_windows(
    session: Session,
    tokens: Tokens,
    text: str,
    stride: int | None = None,
    *,
    control: bool = False,
) -> Iterator[Scores]:
    """Yield the figures of one window after the other; their memory does not grow with the text.

    ``stride`` is from 1 to the model's context, half of it by default. With ``control`` the names
    of special tokens mean these tokens. Raises :class:`PromptError`, before anything is computed,
    for a text without ids, a stride out of range, and a model without a token to start from.
    """
    window = Windows(session, tokens, stride)
    return window.read(encode_parts(tokens, text, control))


class Windows:
    """Reads a text in windows of the context."""

    stride: int
    """Tokens from the beginning of one window to that of the next."""

    def __init__(self, session: Session, tokens: Tokens, stride: int | None) -> None:
        """Check ``stride`` and the model; raises :class:`PromptError`."""
        context = session.manifest.context
        self.stride = max(context // 2, 1) if stride is None else stride
        if not 1 <= self.stride <= context:
            raise PromptError(f"The stride must be from 1 to {context}, the context, not {stride}.")
        if tokens.start_of_text is None:
            raise PromptError(
                "This model has no <|endoftext|> token, so nothing stands before the first token of"
                " a text; choose another model to score with."
            )
        self._start = tokens.start_of_text
        self._session, self._tokens = session, tokens
        self._chunk = max(1, min(CHUNK, _LOGITS_BYTES // (4 * session.manifest.vocabulary)))

    def read(
        self, parts: Iterable[list[int]], tell: Callable[[int], None] = lambda _: None
    ) -> Iterator[Scores]:
        """Yield the figures of each window's new tokens; ``tell`` gets how many a call scored.

        ``parts`` are the ids of the text, as they come.
        """
        coming, decoder = iter(parts), self._tokens.decoder()
        context = self._session.manifest.context
        cache = None
        given = [self._start]  # from the beginning of the window on: given[t] stands before ids[t]
        begin = scored = 0
        while True:
            while len(given) <= context and (part := next(coming, None)) is not None:
                given += part
            end = begin + min(context, len(given) - 1)
            if len(given) < 2 or end <= scored:  # the text has ended
                return
            cache = cache or self._session.cache(1)
            known, new = scored - begin, end - scored
            figures = self._figures(cache, given[: known + new + 1], known, tell)
            ids = given[known + 1 : known + new + 1]
            texts = tuple(decoder.feed(token) for token in ids)
            yield Scores(tuple(ids), texts, *figures, (scored,), self.stride)
            scored = end
            begin += self.stride
            del given[: self.stride]

    def _figures(
        self, cache: Cache, given: list[int], known: int, tell: Callable[[int], None]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
        """Return figures of ``given[known + 1 :]``; those before are read and not scored."""
        count = len(given) - 1 - known
        logprobs = np.empty(count, np.float32)
        ranks, entropies = np.empty(count, np.int32), np.empty(count, np.float32)
        if known:
            self._session.prefill(cache, given[:known])
        for at in range(known, len(given) - 1, self._chunk):
            part = given[at : min(at + self._chunk, len(given) - 1)]
            output = self._session.prefill(cache, part, at, chunk=self._chunk, rows="all")
            for first in range(0, len(part), _ROWS):
                last = min(first + _ROWS, len(part))
                rows = slice(at - known + first, at - known + last)
                targets = given[at + first + 1 : at + last + 1]
                logprobs[rows], ranks[rows], entropies[rows] = _figures(output, first, targets)
            tell(len(part))
        return logprobs, ranks, entropies


def _figures(
    output: Output, first: int, ids: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """Return log-probability, rank and entropy of ``ids`` [n] from rows ``first`` on."""
    rows = range(first, first + len(ids))
    logits = np.stack([output.logits(row) for row in rows])  # [n, V]
    logsumexp = output.logsumexp[first : first + len(ids)].astype(np.float64)
    chosen = logits[np.arange(len(ids)), ids]
    ranks = _ranks(logits, output, rows, ids, chosen)
    logits -= logsumexp[:, None].astype(np.float32)  # log-probabilities from here on
    at_hand = [odds for row in rows if (odds := output.probabilities(row)) is not None]
    odds = np.stack(at_hand) if at_hand else np.exp(logits)
    # p log p is 0 for an id that is never drawn, whose log-probability is -inf.
    entropies = -np.einsum("nv,nv->n", odds, np.maximum(logits, -1e9, out=logits))
    return chosen - logsumexp, ranks, entropies


def _ranks(
    logits: NDArray[np.float32],  # [n, V]
    output: Output,
    rows: range,
    ids: list[int],
    chosen: NDArray[np.float32],  # [n]
) -> NDArray[np.int32]:
    """Return the rank of each of ``ids``, from the likeliest tokens where it is among them."""
    top, top_ids = output.top_logits[rows.start : rows.stop], output.top_ids[rows.start : rows.stop]
    ahead = (top > chosen[:, None]) | (
        (top == chosen[:, None]) & (top_ids < np.array(ids)[:, None])
    )
    ranks: NDArray[np.int32] = ahead.sum(1, dtype=np.int32)
    for n in np.flatnonzero(chosen <= top[:, -1]):  # there may be others ahead, or as likely
        ranks[n] = sampling.rank(logits[n], ids[n])
    return ranks
