"""Drawing one token a row: pure functions on logits.

What a :class:`~explorer.recipe.Recipe` means is written there; here is how it is computed.
Candidates stand in descending order of logit, ties by lower id. A draw is a *position* in that
order: the first whose cumulative weight exceeds ``uniform * total`` (inverse CDF, float64). Only
values are sorted; the id is looked up last.

The graph hands over the K likeliest tokens of each row and the logsumexp of all. That is enough for

- top-k below K, where nothing outside the list takes part;
- the whole vocabulary at a temperature of at most 1, if the draw falls among the K: the weight that
  the list lacks is bounded from both sides, and the draw is taken where both bounds agree on it.

A row that its list cannot settle is drawn from its full logits. Which way a row goes depends on
that row alone, and both ways give the same token, so neighbours never change a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from explorer.engine.messages import ALTERNATIVES
from explorer.recipe import Recipe

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

_LOGSUMEXP_ERROR = 1e-4
"""Bound on what a float32 logsumexp is off, relative to the sum; ten times what is observed."""

_UNBOUNDED = 1e300
"""Stands for "no bound", and unlike infinity can be multiplied by a uniform number of 0."""

_LOWEST_TEMPERATURE = 1e-30
"""Below it a division could overflow; all weight is on the likeliest tokens long before."""

_BUCKET = 16
"""Tokens a bucket, on average, when a whole vocabulary is put in order."""

_FAR = 64.0
"""Below the peak by so many temperatures, tokens share the last bucket: 1e-28 of its weight."""

_FLAT = 1e-37
"""Narrowest bucket that float32 can count; all logits are equal then, or as good as."""

_UNSETTLED = -1


@dataclass(frozen=True, slots=True)
class Draw:
    """One drawn token and its figures (RULES 13)."""

    token: int
    logprob: float
    """Natural, at temperature 1 over the full drawable vocabulary."""
    rank: int
    """Tokens with a higher logit, or an equal one and a lower id."""


@dataclass(frozen=True, slots=True)
class Draws:
    """One drawn token a row, as columns (see :class:`Draw`), and what else was likely there."""

    tokens: Ids  # [B]
    logprobs: Floats  # [B]
    ranks: Ids  # [B]
    top_ids: Ids  # [B, min(10, K)] likeliest first
    top_logprobs: Floats  # [B, min(10, K)]


@dataclass(frozen=True, slots=True)
class Settings:
    """Recipes of B rows, as columns, so that a step samples all rows at once."""

    temperature: Doubles  # [B], above 0; 1 where greedy
    top_k: Ids  # [B], 0 = off, 1 = greedy
    top_p: Doubles  # [B], 1 = off
    openai: Flags  # [B], the token that crosses top_p is dropped
    banned: Ids  # [B], an id that is never drawn, -1 = none

    @classmethod
    def of(cls, recipes: Sequence[Recipe], end_of_text: int | None) -> Settings:
        """Return the columns for ``recipes``; ``end_of_text`` is the id that ``never`` bans."""
        never = -1 if end_of_text is None else end_of_text
        temperatures = [
            1.0 if recipe.greedy else max(recipe.temperature, _LOWEST_TEMPERATURE)
            for recipe in recipes
        ]
        return cls(
            np.array(temperatures, np.float64),
            np.array([1 if r.greedy else r.top_k for r in recipes], np.int64),
            np.array([r.top_p for r in recipes], np.float64),
            np.array([r.top_p_rule == "openai" for r in recipes], np.bool_),
            np.array([never if r.end_of_text == "never" else -1 for r in recipes], np.int64),
        )

    def row(self, row: int) -> Settings:
        """Return the settings of one row, as B = 1."""
        at = slice(row, row + 1)
        return Settings(
            self.temperature[at], self.top_k[at], self.top_p[at], self.openai[at], self.banned[at]
        )


def uniforms(seed: int, index: int, count: int) -> Doubles:
    """Return the numbers in [0, 1) that candidate ``index`` of ``seed`` draws with, one a position.

    Philox4x64-10 with key (seed, index), counter from 0, the upper 53 bits of each output. This is
    part of what a sample means and never changes. Seed and index are below 2**64.
    """
    raw = np.random.Philox(key=np.array([seed, index], np.uint64)).random_raw(count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw(
    top_logits: Floats,  # [B, K] descending
    top_ids: Ids,  # [B, K]
    logsumexp: Floats,  # [B]
    logits: Callable[[int], Floats],  # row -> [V]
    vocabulary: int,
    settings: Settings,
    uniform: Doubles,  # [B]
) -> Draws:
    """Draw one token a row; ``logits`` is asked only for rows that their list does not settle."""
    top_logits, top_ids = _ordered(top_logits, top_ids)
    values, ids, found = _without_banned(top_logits, top_ids, settings.banned)
    tail_low, tail_high = _tails(top_logits, logsumexp, vocabulary, settings, found)
    positions = _positions(values, settings, uniform, tail_low, tail_high)
    if top_logits.shape[1] < vocabulary:
        positions[_open_ended(values, top_logits[:, -1], settings)] = _UNSETTLED
    rows = np.arange(len(positions))
    tokens, chosen = ids[rows, positions], values[rows, positions]
    # Ranks count all tokens, a banned one too.
    ranks = positions + ((found >= 0) & (positions >= found))
    for row in np.flatnonzero(positions == _UNSETTLED).tolist():
        full = logits(row)
        token = _draw_full(full, settings.row(row), uniform[row : row + 1])
        tokens[row], chosen[row], ranks[row] = token, full[token], rank(full, token)
    return Draws(
        tokens,
        _logprobs(chosen, logsumexp),
        ranks,
        top_ids[:, :ALTERNATIVES],
        _logprobs(top_logits[:, :ALTERNATIVES], logsumexp[:, None]),
    )


def draw_one(
    logits: Floats, recipe: Recipe, uniform: float, end_of_text: int | None = None
) -> Draw:
    """Draw one token from the logits [V] of one position; the plain form of :func:`draw`."""
    token = _draw_full(logits, Settings.of([recipe], end_of_text), np.array([uniform]))
    values = logits.astype(np.float64)
    peak = values.max()
    logsumexp = peak + np.log(np.exp(values - peak).sum())
    return Draw(token, float(values[token] - logsumexp), rank(logits, token))


def rank(logits: Floats, token: int) -> int:
    """Return how many of ``logits`` [V] are higher than ``token``'s, or equal with a lower id."""
    value = logits[token]
    return int(np.count_nonzero(logits > value) + np.count_nonzero(logits[:token] == value))


def _logprobs(logits: Floats, logsumexp: Floats) -> Floats:
    return (logits.astype(np.float64) - logsumexp).astype(np.float32)


def _ordered(top_logits: Floats, top_ids: Ids) -> tuple[Floats, Ids]:
    """Return the list with ties by lower id; ONNX promises that, not every kernel keeps it."""
    swapped = (top_logits[:, :-1] == top_logits[:, 1:]) & (top_ids[:, :-1] > top_ids[:, 1:])
    if not swapped.any():
        return top_logits, top_ids
    order = np.lexsort((top_ids, -top_logits), axis=1)
    return np.take_along_axis(top_logits, order, 1), np.take_along_axis(top_ids, order, 1)


def _without_banned(top_logits: Floats, top_ids: Ids, banned: Ids) -> tuple[Floats, Ids, Ids]:
    """Return the list without each row's banned id, and where that stood (-1: not in the list)."""
    hits = top_ids == banned[:, None]  # [B, K]
    found = np.where(hits.any(1), hits.argmax(1), -1)
    listed = np.flatnonzero(found >= 0)
    if not len(listed):
        return top_logits, top_ids, found
    values, ids = top_logits.copy(), top_ids.copy()
    for row in listed.tolist():
        at = found[row]
        values[row, at:-1], ids[row, at:-1] = top_logits[row, at + 1 :], top_ids[row, at + 1 :]
        values[row, -1] = -np.inf
    return values, ids, found


def _tails(
    top_logits: Floats, logsumexp: Floats, vocabulary: int, settings: Settings, found: Ids
) -> tuple[Doubles, Doubles]:
    """Bound what each row's list lacks: low and high [B], in weights of its likeliest token.

    At temperature 1 the logsumexp tells it. Below 1 a weight w becomes w**(1/T), which is at most w
    times the factor by which the last listed one shrinks. Above 1 there is no useful bound.
    """
    none = np.zeros(len(logsumexp))
    if top_logits.shape[1] == vocabulary or (settings.top_k > 0).all():
        return none, none
    values = top_logits.astype(np.float64)
    peak = values[:, 0]
    total = np.exp(logsumexp - peak)
    missing = np.maximum(total - np.exp(values - peak[:, None]).sum(1), 0)
    error = total * _LOGSUMEXP_ERROR
    drop = np.maximum(values[:, -1] - peak, -1e4)  # the last may be -inf: an id without a token
    shrink = np.exp(drop * np.maximum(1 / settings.temperature - 1, 0))
    high = np.where(settings.temperature <= 1, (missing + error) * shrink, _UNBOUNDED)
    # A banned id that is not listed may be all there is of the tail.
    certain = (settings.temperature == 1) & ((settings.banned < 0) | (found >= 0))
    low = np.where(certain, np.maximum(missing - error, 0), 0)
    off = settings.top_k == 0
    return np.where(off, low, 0), np.where(off, high, 0)


def _open_ended(values: Floats, last: Floats, settings: Settings) -> Flags:
    """Say for which rows [B] tokens that the list lacks may belong to the k likeliest."""
    size = values.shape[1]
    kth = values[np.arange(len(values)), np.clip(settings.top_k, 1, size) - 1]
    flags: Flags = (settings.top_k > 0) & ((settings.top_k >= size) | (kth <= last))
    return flags


def _positions(
    values: Floats,  # [B, n] descending
    settings: Settings,
    uniform: Doubles,  # [B]
    tail_low: Doubles,  # [B] values lack at least this much weight
    tail_high: Doubles,  # [B] and at most this much
) -> Ids:
    """Return the drawn position in each row [B], -1 where the missing weight leaves it open."""
    size = values.shape[1]
    rows = np.arange(len(values))
    weights = (values.astype(np.float64) - values[:, :1]) / settings.temperature[:, None]
    np.exp(weights, out=weights)  # [B, n]
    limited = settings.top_k > 0
    if limited.any():
        kth = values[rows, np.clip(settings.top_k, 1, size) - 1]
        weights *= values >= np.where(limited, kth, -np.inf)[:, None]
    cumulative = np.cumsum(weights, axis=1)
    known = cumulative[:, -1]
    low, high = known + tail_low, known + tail_high
    unsettled = np.zeros(len(values), np.bool_)
    nucleus = settings.top_p < 1
    if nucleus.any():
        last = _nucleus_end(cumulative, settings, low)
        differs = (last != _nucleus_end(cumulative, settings, high)) | (last >= size)
        unsettled = nucleus & differs & (tail_high > 0)
        kept = cumulative[rows, np.minimum(last, size - 1)]
        low, high = np.where(nucleus, kept, low), np.where(nucleus, kept, high)
    # Rounding may put the product on the total itself; the last one that has weight is meant then.
    position = _first_above(cumulative, np.minimum(uniform * low, np.nextafter(low, 0)))
    if tail_high.any():
        unsettled |= position != _first_above(cumulative, uniform * high)
        unsettled |= position >= size
    greedy = settings.top_k == 1
    return np.where(greedy, 0, np.where(unsettled, _UNSETTLED, position))


def _nucleus_end(cumulative: Doubles, settings: Settings, total: Doubles) -> Ids:
    """Return the last position [B] that top-p keeps; n where it lies beyond the list."""
    size = cumulative.shape[1]
    bar = settings.top_p * total
    crossing = _count(cumulative, bar, "left")  # the first that reaches p
    within = _count(cumulative, bar, "right")
    # Where all that is listed stays within p, more may.
    within = np.where(within == size, size, np.maximum(within - 1, 0))
    last: Ids = np.where(settings.openai, within, crossing)
    return last


def _first_above(cumulative: Doubles, target: Doubles) -> Ids:
    return _count(cumulative, target, "right")


def _count(cumulative: Doubles, target: Doubles, side: Literal["left", "right"]) -> Ids:
    """Return how many entries of each row [B, n] are below its target [B], or equal (right)."""
    if len(cumulative) == 1:  # often as long as the vocabulary
        count: Ids = np.searchsorted(cumulative[0], target, side)
    else:
        column = target[:, None]
        below = cumulative < column if side == "left" else cumulative <= column
        count = np.count_nonzero(below, axis=1)
    return count


def _draw_full(logits: Floats, settings: Settings, uniform: Doubles) -> int:
    """Draw from the full logits [V] of one row."""
    if settings.banned[0] >= 0:
        logits = logits.copy()
        logits[settings.banned[0]] = -np.inf
    top_k, size = int(settings.top_k[0]), len(logits)
    if top_k == 1:
        return int(logits.argmax())
    if 0 < top_k < size:
        values = _likeliest(logits, top_k)
        ties = np.count_nonzero(logits >= values[-1]) - top_k
        values = np.concatenate([values, np.full(ties, values[-1])])
        return _id_at(logits, values, _listed(values, settings, uniform))
    if top_k == 0:
        return _Whole(logits, float(settings.temperature[0])).draw(settings, float(uniform[0]))
    values = np.sort(logits)[::-1]
    return _id_at(logits, values, _listed(values, settings, uniform))


def _listed(values: Floats, settings: Settings, uniform: Doubles) -> int:
    """Return the drawn position in ``values`` [n], which are all that one row may draw."""
    nothing = np.zeros(1)
    return int(_positions(values[None], settings, uniform, nothing, nothing)[0])


class _Whole:
    """A whole vocabulary in descending order, as far as one draw needs it.

    Tokens go into buckets, stretches of equal width on the scale of logits, so that the buckets'
    order is that of their tokens. Only the bucket in which the draw falls is sorted; of the others
    their weight is enough.
    """

    def __init__(self, logits: Floats, temperature: float) -> None:
        """Weigh the tokens of one row [V] and put them into buckets."""
        self._logits = logits
        peak, count = logits.max(), max(1, len(logits) // _BUCKET)
        weights = logits.astype(np.float64)
        weights -= peak
        if temperature != 1:
            weights /= temperature
        self._weights = np.exp(weights, out=weights)  # [V]
        depth = peak - logits  # rounding keeps the order
        width = min(float(depth.max()), _FAR * temperature) / count
        with np.errstate(over="ignore"):
            depth *= np.float32(1 / width if width > _FLAT else 0)
        self._buckets = np.minimum(depth, count - 1, out=depth).astype(np.intp)  # [V]
        self._reach = np.cumsum(np.bincount(self._buckets, self._weights, count))  # [buckets]

    def draw(self, settings: Settings, uniform: float) -> int:
        """Return the token that ``uniform`` means under the settings of one row."""
        total = self._kept(float(settings.top_p[0]), openai=bool(settings.openai[0]))
        # Rounding may put the product on the total itself; the last one that has weight is meant.
        target = min(uniform * total, float(np.nextafter(total, 0)))
        ids, running, _ = self._around(target, "right")
        at, last = np.searchsorted(running, target, "right"), np.searchsorted(running, running[-1])
        return int(ids[min(int(at), int(last))])

    def _kept(self, top_p: float, *, openai: bool) -> float:
        """Return the weight of the tokens that top-p keeps."""
        total = float(self._reach[-1])
        bar = top_p * total
        if top_p == 1 or bar >= total:
            return total
        if not openai:  # up to the first that reaches p
            _, running, _ = self._around(bar, "left")
            return float(running[min(int(np.searchsorted(running, bar)), len(running) - 1)])
        # Those that stay within p, and at least one.
        _, running, before = self._around(bar, "right")
        within = running[: np.searchsorted(running, bar, "right")]
        return float(within[-1] if len(within) else before or running[0])

    def _around(self, target: float, side: Literal["left", "right"]) -> tuple[Ids, Doubles, float]:
        """Return the ids [n] of the bucket in which a running sum passes ``target``, in order.

        Beside them the running sum [n] after each, and the sum before the first. ``side`` says
        whether to reach the target is enough ("left") or it must be exceeded.
        """
        # A bucket's running sum may round above what the bucket adds to the whole.
        last = np.searchsorted(self._reach, self._reach[-1])
        bucket = int(min(np.searchsorted(self._reach, target, side), last))
        ids: Ids = np.flatnonzero(self._buckets == bucket)
        ids = ids[np.argsort(-self._logits[ids], kind="stable")]  # ties by lower id
        before = float(self._reach[bucket - 1]) if bucket else 0.0
        return ids, before + np.cumsum(self._weights[ids]), before


def _likeliest(logits: Floats, count: int) -> Floats:
    """Return the ``count`` highest of ``logits``, descending."""
    at = len(logits) - count
    return np.sort(np.partition(logits, at)[at:])[::-1]


def _id_at(logits: Floats, values: Floats, position: int) -> int:
    """Return the id at a position of the descending order, given that order's ``values``."""
    chosen = values[position]
    before = position - int(np.count_nonzero(values > chosen))  # equals of a lower id
    return int(np.flatnonzero(logits == chosen)[before])
