"""Channels that are far larger than the others are made smaller before a build is quantised.

In 8 bits with one scale a row, a few channels of a norm's result that are much larger than the rest
leave few levels to these. What is divided out of a channel there can be multiplied into the matrix
behind the norm, and the model stays what it is, exactly so with powers of two. How large the
channels are on text, only running the model tells: a page goes through it once. The idea is
SmoothQuant's (Xiao et al. 2023, arXiv:2211.10438).

What is gained is estimated, and a norm is left alone where that is little; the demonstration model
has none that is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from explorer.weights.builds.graph_nodes import Array, Read
from explorer.weights.builds.packing import FLOATING, Packing, Storage
from explorer.weights.builds.quantize import COLUMN_LEVELS, LEVELS
from explorer.weights.checkpoints import reference_forward
from explorer.weights.checkpoints.checkpoint import HEAD, Checkpoint

Factors = Mapping[str, Array]
"""By what each channel of a norm is divided: name of the norm (``h.0.ln_1``) -> [E]."""

TOKENS = 96
"""Tokens of :data:`PAGE` that go through the model at most."""
WORTH = 0.9
"""A norm is changed where the expected error falls below this part of what it was."""

_STRENGTHS = (0.25, 0.5, 0.75)
"""How much of a channel's size goes into the matrix; 1 would be all."""
_SAMPLED = 4
"""Errors are estimated from every fourth output."""
_FARTHEST = 12
"""A factor is 2**-12 to 2**12: numbers of a sane model stay far from the limits of float32."""

PAGE = """\
The ferry was late again, and by the time it came in the rain had started. "You could have \
called," Ruth said, not looking up from her book. He laughed and put both bags down. "With \
what? The phone went into the harbour on Tuesday."

In 1987 the town council voted 7 to 4 to close the old railway station; twelve years later it \
was a library. According to the report, about 38% of the residents use it at least once a \
month, which is more than in any other district of the county.

To make the dough, mix 500 g of flour with a pinch of salt, then add the water slowly. Dr. \
Alvarez, who leads the laboratory in Lisbon, said that the new method is faster, cheaper and \
far easier to check: for x in range(10): print(x, x * x). Nobody had expected the company's \
shares to rise on Monday, least of all its owners. What happens next depends on the weather, \
and on whom you ask.
"""
"""Something of everything; no text that a model is judged by."""


def measure(
    checkpoint: Checkpoint,
    packing: Packing,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Factors:
    """Return the factors of the norms that a build in ``packing`` is better off with.

    There are none for floating point, which has no scales that channels could share.
    ``progress`` is told the fraction done and may raise to cancel. Raises what reading raises.
    """
    found: dict[str, Array] = {}
    if not packing.quantizes:
        return found
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer.json)
    ids = tokenizer.encode(PAGE, add_special_tokens=False).ids
    ids = ids[: min(TOKENS, checkpoint.config.context)]
    if not ids:  # a vocabulary without any of its letters
        return found

    def look(norm: str, x: reference_forward.Array, matrix: reference_forward.Matrix) -> None:
        storage = packing.head if norm == "ln_f" else packing.layers
        factors = None if storage == FLOATING else choose(x, matrix, storage)
        if factors is not None:
            found[norm] = factors

    # Weights may be so large that nothing finite comes out; then nothing is chosen.
    with np.errstate(all="ignore"):
        reference_forward.observe(checkpoint, ids, look, progress)
    return found


def choose(
    x: reference_forward.Array, matrix: reference_forward.Matrix, storage: Storage
) -> Array | None:
    """Return factors [E] for the channels of ``x`` [S, E], powers of two; None for all ones.

    ``matrix`` is read twice, and stored as ``storage`` says. Rows of ``x`` count alike, whatever
    their size. None also where numbers are too large for an estimate.
    """
    channels = x.shape[1]
    power = np.square(x).mean(axis=1)
    x = x[power > 0] / np.sqrt(power[power > 0])[:, None]
    if not x.size:
        return None
    size, reach, energy = np.abs(x).max(axis=0), np.zeros(channels), np.zeros(channels)
    for part in matrix():  # [some outputs, E]
        np.maximum(reach, np.abs(part).max(axis=0), out=reach)
        energy += np.square(part[::_SAMPLED], dtype=np.float64).sum(axis=0)
    candidates = np.array([_factors(size, reach, strength) for strength in (None, *_STRENGTHS)])
    width = storage.block or channels
    groups = [slice(start, start + width) for start in range(0, channels, width)]  # share a scale
    largest = np.zeros((len(candidates), len(groups)))  # of every output, squared and added up
    for part in matrix():
        sizes = np.abs(part[::_SAMPLED])
        for number, factors in enumerate(candidates):
            largest[number] += np.square(_largest(sizes * factors, groups)).sum(axis=1)
    levels = 2 ** (storage.bits - 1) if storage.block and storage.bits else COLUMN_LEVELS
    errors = []
    for factors, squares in zip(candidates, largest, strict=True):
        # Rounding to steps of d errs by d * d / 12 on average. The steps of a row's numbers are as
        # wide as the largest of them, and each error is multiplied by a weight; the steps of an
        # output's weights are as wide as the largest of those, and each is multiplied by a number.
        smooth = x / factors
        numbers = np.square(_largest(np.abs(smooth), groups)).mean(axis=1)
        weights = energy * np.square(factors, dtype=np.float64)
        powers = np.square(smooth).mean(axis=0)
        errors.append(
            sum(
                number * weights[group].sum() / LEVELS**2 + powers[group].sum() * square / levels**2
                for group, number, square in zip(groups, numbers, squares, strict=True)
            )
        )
    best = int(np.argmin(errors))
    if not np.isfinite(errors).all() or errors[best] >= WORTH * errors[0]:
        return None
    chosen: Array = candidates[best]
    return chosen


def _largest(sizes: NDArray[np.floating], groups: Sequence[slice]) -> reference_forward.Array:
    """Return the largest number of every row [N, E] in every group: [groups, N]."""
    return np.array([sizes[:, group].max(axis=1) for group in groups], np.float64)


def _factors(
    size: reference_forward.Array, reach: reference_forward.Array, strength: float | None
) -> Array:
    """Return what channels of this ``size``, read with weights up to ``reach``, are divided by."""
    factors = np.ones(len(size), np.float32)
    used = (size > 0) & (reach > 0)
    if strength is not None and used.any():
        powers = strength * np.log2(size[used]) - (1 - strength) * np.log2(reach[used])
        powers = np.rint(powers - np.median(powers)).clip(-_FARTHEST, _FARTHEST)
        factors[used] = np.exp2(powers)
    return factors


def smoothed(read: Read, factors: Factors) -> Read:
    """Return ``read`` with the factors taken out of the norms and put into what follows them."""
    followers = {reference_forward.behind(norm): norm for norm in factors}

    def found(name: str) -> Iterable[Array]:
        parts = read(name)
        owner = name.rpartition(".")[0]
        if owner in factors:
            return _rows(parts, np.reciprocal(factors[owner]))
        if name == HEAD and name in followers:  # [outputs, inputs]
            return (part * factors[followers[name]] for part in parts)
        return _rows(parts, factors[followers[name]]) if name in followers else parts

    return found


def _rows(parts: Iterable[Array], factors: Array) -> Iterator[Array]:
    """Multiply the rows of a tensor [E, ...] that comes in parts."""
    start = 0
    for part in parts:
        here: Sequence[int] = (-1, *[1] * (part.ndim - 1))
        yield part * factors[start : start + len(part)].reshape(here)
        start += len(part)
