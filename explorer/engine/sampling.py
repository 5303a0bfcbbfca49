"""Drawing one token a row: pure functions on logits.

What a :class:`~explorer.core.recipe.Recipe` means is written there; here is how it is computed.
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

from explorer.core.recipe import Recipe
from explorer.engine.full_vocabulary import draw_whole
from explorer.engine.messages import ALTERNATIVES

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

_UNSETTLED = -1


@dataclass(frozen=True, slots=True)
class Draws:
    """One drawn token a row with its figures (RULES 13), and what else was likely there."""

    tokens: Ids  # [B]
    logprobs: Floats  # [B]
    """Natural, at temperature 1 over the full drawable vocabulary."""
    ranks: Ids  # [B]
    """Tokens with a higher logit, or an equal one and a lower id."""
    top_ids: Ids  # [B, min(10, K)] likeliest first
    top_logprobs: Floats  # [B, min(10, K)]


class Settings:
    """Recipes of B rows, as columns, so that a step samples all rows at once."""

    temperature: Doubles  # [B], above 0; 1 where greedy
    top_k: Ids  # [B], 0 = off, 1 = greedy
    top_p: Doubles  # [B], 1 = off
    openai: Flags  # [B], the token that crosses top_p is dropped
    banned: Ids  # [B], an id that is never drawn, -1 = none

    def __init__(self, recipes: Sequence[Recipe], end_of_text: int | None) -> None:
        """Read the columns off ``recipes``; ``end_of_text`` is the id that ``never`` bans."""
        never = -1 if end_of_text is None else end_of_text
        temperatures = [
            1.0 if recipe.greedy else max(recipe.temperature, _LOWEST_TEMPERATURE)
            for recipe in recipes
        ]
        self.temperature = np.array(temperatures, np.float64)
        self.top_k = np.array([1 if r.greedy else r.top_k for r in recipes], np.int64)
        self.top_p = np.array([r.top_p for r in recipes], np.float64)
        self.openai = np.array([r.top_p_rule == "openai" for r in recipes], np.bool_)
        self.banned = np.array(
            [never if r.end_of_text == "never" else -1 for r in recipes], np.int64
        )
        # What no row asks for is not computed. These are the same for many steps.
        self.rows = np.arange(len(recipes))
        self.limited = self.top_k > 0
        self.all_limited = bool(self.limited.all())
        self.any_limited = bool(self.limited.any())
        self.any_nucleus = bool((self.top_p < 1).any())
        self.any_banned = bool((self.banned >= 0).any())
        self.any_greedy = bool((self.top_k == 1).any())
        self.any_tempered = bool((self.temperature != 1).any())
        self._recipes, self._end_of_text = recipes, end_of_text
        self._alone: dict[int, Settings] = {}
        self._kth: dict[int, Ids] = {}

    def row(self, row: int) -> Settings:
        """Return the settings of one row, as B = 1."""
        if row not in self._alone:
            self._alone[row] = Settings(self._recipes[row : row + 1], self._end_of_text)
        return self._alone[row]

    def kth(self, size: int) -> Ids:
        """Return the place [B] of the k-th in a list of ``size``: its last where k is larger."""
        if size not in self._kth:
            self._kth[size] = np.clip(self.top_k, 1, size) - 1
        return self._kth[size]


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
    probabilities: Callable[[int], Floats | None] = lambda row: None,  # row -> [V]
) -> Draws:
    """Draw one token a row; ``logits`` is asked only for rows that their list does not settle.

    So is ``probabilities``, the softmax of the logits; it makes such rows quicker and never
    different.
    """
    top_logits, top_ids = _ordered(top_logits, top_ids)
    values, ids, found = _without_banned(top_logits, top_ids, settings)
    tails = _tails(top_logits, logsumexp, vocabulary, settings, found)
    kth = values[settings.rows, settings.kth(values.shape[1])]
    positions = _positions(values, kth, settings, uniform, tails)
    if settings.any_limited and top_logits.shape[1] < vocabulary:
        # Tokens that the list lacks may belong to the k likeliest, where the k-th is its last.
        beyond = kth <= top_logits[:, -1]
        if beyond.any():
            positions[beyond & settings.limited] = _UNSETTLED
    tokens, chosen = ids[settings.rows, positions], values[settings.rows, positions]
    # Ranks count all tokens, a banned one too.
    ranks = positions if found is None else positions + ((found >= 0) & (positions >= found))
    unsettled = np.flatnonzero(positions < 0).tolist() if positions.min() < 0 else []
    for row in unsettled:
        full = logits(row)
        shares = probabilities(row)
        token, ranks[row] = _draw_full(full, settings, row, float(uniform[row]), shares)
        tokens[row], chosen[row] = token, full[token]
    return Draws(
        tokens,
        _logprobs(chosen, logsumexp),
        ranks,
        top_ids[:, :ALTERNATIVES],
        _logprobs(top_logits[:, :ALTERNATIVES], logsumexp[:, None]),
    )


def rank(logits: Floats, token: int) -> int:
    """Return how many of ``logits`` [V] are higher than ``token``'s, or equal with a lower id."""
    value = logits[token]
    return int(np.count_nonzero(logits > value) + np.count_nonzero(logits[:token] == value))


def _logprobs(logits: Floats, logsumexp: Floats) -> Floats:
    return np.subtract(logits, logsumexp, dtype=np.float64).astype(np.float32)


def _ordered(top_logits: Floats, top_ids: Ids) -> tuple[Floats, Ids]:
    """Return the list with ties by lower id; ONNX promises that, not every kernel keeps it."""
    tied = top_logits[:, :-1] == top_logits[:, 1:]
    if not tied.any() or not (tied & (top_ids[:, :-1] > top_ids[:, 1:])).any():
        return top_logits, top_ids
    order = np.lexsort((top_ids, -top_logits), axis=1)
    return np.take_along_axis(top_logits, order, 1), np.take_along_axis(top_ids, order, 1)


def _without_banned(
    top_logits: Floats, top_ids: Ids, settings: Settings
) -> tuple[Floats, Ids, Ids | None]:
    """Return the list without each row's banned id, and where that stood (-1: not in the list).

    None stands for -1 in every row.
    """
    if not settings.any_banned:
        return top_logits, top_ids, None
    hits = top_ids == settings.banned[:, None]  # [B, K]
    if not hits.any():
        return top_logits, top_ids, None
    found = np.where(hits.any(1), hits.argmax(1), -1)
    values, ids = top_logits.copy(), top_ids.copy()
    for row in np.flatnonzero(found >= 0).tolist():
        at = found[row]
        values[row, at:-1], ids[row, at:-1] = top_logits[row, at + 1 :], top_ids[row, at + 1 :]
        values[row, -1] = -np.inf
    return values, ids, found


def _tails(
    top_logits: Floats, logsumexp: Floats, vocabulary: int, settings: Settings, found: Ids | None
) -> tuple[Doubles, Doubles] | None:
    """Bound what each row's list lacks: low and high [B], in weights of its likeliest token.

    At temperature 1 the logsumexp tells it. Below 1 a weight w becomes w**(1/T), which is at most w
    times the factor by which the last listed one shrinks. Above 1 there is no useful bound. None
    where no list lacks anything.
    """
    if settings.all_limited or top_logits.shape[1] == vocabulary:
        return None
    values = top_logits.astype(np.float64)
    peak = values[:, 0]
    total = np.exp(logsumexp - peak)
    missing = np.maximum(total - np.exp(values - peak[:, None]).sum(1), 0)
    error = total * _LOGSUMEXP_ERROR
    drop = np.maximum(values[:, -1] - peak, -1e4)  # the last may be -inf: an id without a token
    shrink = np.exp(drop * np.maximum(1 / settings.temperature - 1, 0))
    high = np.where(settings.temperature <= 1, (missing + error) * shrink, _UNBOUNDED)
    # A banned id that is not listed may be all there is of the tail.
    certain = settings.banned < 0 if found is None else (settings.banned < 0) | (found >= 0)
    low = np.where(certain & (settings.temperature == 1), np.maximum(missing - error, 0), 0)
    return np.where(settings.limited, 0, low), np.where(settings.limited, 0, high)


def _positions(
    values: Floats,  # [B, n] descending
    kth: Floats,  # [B]
    settings: Settings,
    uniform: Doubles,  # [B]
    tails: tuple[Doubles, Doubles] | None,  # values lack at least, at most this much weight
) -> Ids:
    """Return the drawn position in each row [B], -1 where the missing weight leaves it open."""
    size, rows = values.shape[1], settings.rows
    weights = np.subtract(values, values[:, :1], dtype=np.float64)
    if settings.any_tempered:
        weights /= settings.temperature[:, None]
    np.exp(weights, out=weights)  # [B, n]
    if settings.any_limited:
        least = kth if settings.all_limited else np.where(settings.limited, kth, -np.inf)
        weights *= values >= least[:, None]
    cumulative = np.cumsum(weights, axis=1, out=weights)
    known = cumulative[:, -1]
    low, high = (known, known) if tails is None else (known + tails[0], known + tails[1])
    unsettled = None
    if settings.any_nucleus:
        nucleus = settings.top_p < 1
        last = _nucleus_end(cumulative, settings, low)
        if tails is not None:
            differs = (last != _nucleus_end(cumulative, settings, high)) | (last >= size)
            unsettled = nucleus & differs & (tails[1] > 0)
        kept = cumulative[rows, np.minimum(last, size - 1)]
        low, high = np.where(nucleus, kept, low), np.where(nucleus, kept, high)
    # Rounding may put the product on the total itself; the last one that has weight is meant then.
    position = _first_above(cumulative, np.minimum(uniform * low, np.nextafter(low, 0)))
    if tails is not None:
        open_ = (position != _first_above(cumulative, uniform * high)) | (position >= size)
        position[open_ if unsettled is None else open_ | unsettled] = _UNSETTLED
    if settings.any_greedy:
        position[settings.top_k == 1] = 0
    return position


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


def _draw_full(
    logits: Floats,
    settings: Settings,
    row: int,
    uniform: float,
    probabilities: Floats | None = None,
) -> tuple[int, int]:
    """Draw from the full logits [V] of one of the rows: the token, and its rank among all."""
    banned, top_k, size = int(settings.banned[row]), int(settings.top_k[row]), len(logits)
    if top_k == 0:
        temperature, top_p = float(settings.temperature[row]), float(settings.top_p[row])
        openai = bool(settings.openai[row])
        return draw_whole(
            logits,
            temperature,
            top_p,
            uniform,
            openai=openai,
            banned=banned,
            probabilities=probabilities,
        )
    whole = logits
    if banned >= 0:
        logits = logits.copy()
        logits[banned] = -np.inf
    if top_k == 1:
        token = int(logits.argmax())
        return token, rank(whole, token)
    if top_k < size:
        values = _likeliest(logits, top_k)
        ties = np.count_nonzero(logits >= values[-1]) - top_k
        values = np.concatenate([values, np.full(ties, values[-1])])
    else:
        values = np.sort(logits)[::-1]
    token = _id_at(logits, values, _listed(values, settings, row, uniform))
    return token, rank(whole, token)


def _listed(values: Floats, settings: Settings, row: int, uniform: float) -> int:
    """Return the drawn position in ``values`` [n], which are all that one row may draw."""
    alone, only = settings.row(row), values[None]
    kth = values[alone.kth(len(values))]
    return int(_positions(only, kth, alone, np.array([uniform]), None)[0])


def _likeliest(logits: Floats, count: int) -> Floats:
    """Return the ``count`` highest of ``logits``, descending."""
    at = len(logits) - count
    return np.sort(np.partition(logits, at)[at:])[::-1]


def _id_at(logits: Floats, values: Floats, position: int) -> int:
    """Return the id at a position of the descending order, given that order's ``values``."""
    chosen = values[position]
    before = position - int(np.count_nonzero(values > chosen))  # equals of a lower id
    return int(np.flatnonzero(logits == chosen)[before])
