"""How far one build's predictions are from another's, token by token of a text.

The divergence is Kullback and Leibler's, of the next-token distribution of a build from that of the
reference: 0 where both are the same, in nats. It says more than the likelihood of the text, in
which a build may be lucky: it compares everything that could have come next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.engine.messages import CHUNK
from explorer.studies.quality.held_out_text import Window

if TYPE_CHECKING:
    from explorer.engine.buffers import Output
    from explorer.engine.session import Session

Array = NDArray[np.float64]

_LOGITS_BYTES = 64 << 20
"""Logits of each session that are held at once."""
_ROWS = 8
"""Rows that are worked on at once, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """What was found at n predicted tokens."""

    kl: Array  # [n] nats, of the build from the reference
    nats: float
    """Summed negative log-likelihood of the text with the build."""
    reference_nats: float
    same: float
    """Share of the positions at which the likeliest token is the same, 0 to 1."""


def compare(
    reference: Session,
    session: Session,
    windows: Sequence[Window],
    progress: Callable[[float], None] = lambda fraction: None,
) -> Divergence:
    """Compare two open builds of one model; ``session`` may be ``reference`` itself.

    ``progress`` is told the fraction done and may raise to cancel.
    """
    vocabulary = reference.manifest.vocabulary
    chunk = max(1, min(CHUNK, _LOGITS_BYTES // (4 * vocabulary)))
    caches = reference.cache(1), session.cache(1)
    total = sum(len(window.targets) for window in windows)
    kl: list[Array] = []
    nats = reference_nats = 0.0
    same = done = 0
    for window in windows:
        for begin in range(0, len(window.targets), chunk):
            part = window.given[begin : begin + chunk]
            exact = reference.prefill(caches[0], part, begin, chunk=chunk, rows="all")
            # A session's results are valid until its next call only.
            alone = session is reference
            found = (
                exact if alone else session.prefill(caches[1], part, begin, chunk=chunk, rows="all")
            )
            for first in range(0, len(part), _ROWS):
                rows = range(first, min(first + _ROWS, len(part)))
                expected = _log_odds(exact, rows)  # [r, V]
                odds = expected if alone else _log_odds(found, rows)
                kl.append(divergence(expected, odds))
                here = np.arange(len(rows))
                targets = window.targets[begin + first : begin + first + len(rows)]
                reference_nats -= float(expected[here, targets].sum())
                nats -= float(odds[here, targets].sum())
                same += int((expected.argmax(axis=1) == odds.argmax(axis=1)).sum())
            done += len(part)
            progress(done / total)
    return Divergence(np.concatenate(kl), nats, reference_nats, same / total)


def log_odds(logits: Array) -> Array:
    """Return the natural log-probabilities of rows of logits; -inf stays -inf."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def divergence(expected: Array, found: Array) -> Array:
    """Return the divergence [r] of ``found`` from ``expected``, both log-probabilities [r, V]."""
    # What cannot be drawn with either is -inf with both and adds nothing; what only the other
    # cannot draw makes the divergence infinite.
    drawable = expected > -np.inf
    difference = np.subtract(expected, found, out=np.zeros_like(expected), where=drawable)
    result: Array = (np.exp(expected) * difference).sum(axis=-1)
    # Rounding can make nothing a little less than nothing.
    return np.maximum(result, 0.0)


def _log_odds(output: Output, rows: Sequence[int]) -> Array:
    # Not the graph's own logsumexp, which is float32: good builds differ by less than its rounding.
    return log_odds(np.stack([output.logits(row) for row in rows]).astype(np.float64))
