"""Weights in few bits, as the two integer products of ONNX Runtime read them.

Either all weights of one output share a scale, for ``MatMulInteger``: :func:`quantize_columns`.

Or a matrix is cut along its inputs into blocks, for ``com.microsoft.MatMulNBits``; the weights of
one block share a scale. Quantising is symmetric: a stored number q stands for
``(q - 2**(bits-1)) * scale``, so there are no zero points to read. The kernels quantise activations
by row and block in the same way, which is why one row never sees another.

The work on blocks goes through tiles that stay in the processor's cache, with a block's inputs
along the first axis: then everything that is done for each block is one operation on long rows. In
four bits the best of several scales is looked for. Its errors are compared in float32, and whatever
is too close to call there is decided in float64, so that the result is that of float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

COLUMN_LEVELS = 64
"""Weights that share a scale with their whole column are -64..64 of them.

Processors without an instruction for it (AVX2, and AVX-512 before VNNI) add two products of an
activation, 0..255, and a weight in 16 bits with a sign, and cut off what does not fit. So few
levels do fit, 2 * 255 * 64, and every processor computes the same, exactly."""
LEVELS = 127
"""Activations are -127..127 of the largest number of their row."""

_TILE = 1 << 18
"""Weights quantised at a time, a megabyte: less makes the calls count, more leaves the cache."""
_COLUMNS = 1 << 13
"""Outputs of a tile at most."""
_ROWS = 1 << 8
"""Inputs of a column that are quantised at a time."""

# Fractions of the plain scale that are tried for every block of 4-bit weights: clipping its one
# largest weight a little often costs less than coarser steps for all the others.
_CLIPPING = (1.0, 0.95, 0.9, 0.85, 0.8)

_FACTORS = np.array([fraction / -8 for fraction in _CLIPPING], np.float32)
_LOW, _HIGH = np.float32(-8), np.float32(7)

# Two errors, counted in squares of the plain scale, that differ by less than this times one more
# than the error are too close to call: rounding to float32 moves them by half of it at most.
_DOUBT = 1e-4
# Where no square leaves the range of float32.
_SMALL, _LARGE = np.float32(1e-12), np.float32(1e15)

_TINY = np.finfo(np.float32).tiny


class Packed(NamedTuple):
    """A quantised matrix of N outputs and K inputs."""

    data: NDArray[np.uint8]  # [N, blocks, block * bits / 8]
    scales: Array  # [N, blocks]


def quantize(weight: Array, bits: int, block: int) -> Packed:
    """Quantise ``weight`` [N, K] to ``bits`` (4 or 8) with one scale for ``block`` inputs.

    K is padded with zeros to whole blocks. A block of zeros gets scale 0 and stays exactly zero.
    """
    outputs, inputs = weight.shape
    packed = empty(outputs, inputs, bits, block)
    quantize_into(packed, weight, bits, block)
    return packed


def quantize_columns(data: NDArray[np.int8], scales: Array, weight: Array) -> None:
    """Quantise ``weight`` [K, n], of any strides, into ``data`` [K, n] with ``scales`` [n].

    A stored number q, times one of :data:`LEVELS` of an activation, stands for ``q * scale``. A
    column of zeros gets scale 0.
    """
    reach = np.maximum(weight.max(axis=0), -weight.min(axis=0))
    step = np.abs(reach) / np.float32(COLUMN_LEVELS)  # a zero has no sign
    inverse = _inverse(step)
    scales[...] = step / np.float32(LEVELS)
    for start in range(0, len(weight), _ROWS):
        part = slice(start, start + _ROWS)
        data[part] = np.rint(weight[part] * inverse)


def empty(outputs: int, inputs: int, bits: int, block: int) -> Packed:
    """Return room for a quantised matrix [outputs, inputs]."""
    blocks = -(-inputs // block)
    data = np.empty((outputs, blocks, block * bits // 8), np.uint8)
    return Packed(data, np.empty((outputs, blocks), np.float32))


def quantize_into(packed: Packed, weight: Array, bits: int, block: int) -> None:
    """Quantise ``weight`` [N, K], of any strides, into ``packed``, which may be a part of more."""
    outputs, blocks = packed.scales.shape
    columns = min(outputs, _COLUMNS)
    depth = min(blocks, max(1, _TILE // (block * columns)))
    doubts = np.zeros(packed.scales.shape, bool)
    room = np.empty(4 * depth * block * columns, np.float32)
    for start in range(0, outputs, columns):
        rows = slice(start, min(start + columns, outputs))
        for first in range(0, blocks, depth):
            numbers = slice(first, min(first + depth, blocks))
            given = weight[rows, first * block : numbers.stop * block].T  # [inputs, n]
            shape = (4, (numbers.stop - first) * block, given.shape[1])
            tile = room[: math.prod(shape)].reshape(shape)
            tile[0, : len(given)] = given
            tile[0, len(given) :] = 0
            cells, levels, *spare = tile.reshape(4, -1, block, given.shape[1])
            if bits == 8:
                scale = _levels8(cells, levels)
            else:
                scale, doubt = _levels4(cells, levels, *spare)
                doubts[rows, numbers] = doubt.T
            packed.scales[rows, numbers] = scale.T
            packed.data[rows, numbers] = _packed(levels, bits)
    if doubts.any():
        _decide(packed, weight, doubts)


def dequantize(packed: Packed, bits: int, inputs: int) -> Array:
    """Return the matrix [N, inputs] that ``packed`` stands for."""
    data = packed.data
    if bits == 4:  # the even input is in the low half of a byte
        data = np.stack((data & 15, data >> 4), axis=-1).reshape(*data.shape[:2], -1)
    values = (data.astype(np.float32) - 2 ** (bits - 1)) * packed.scales[:, :, None]
    matrix: Array = values.reshape(len(data), -1)[:, :inputs]
    return matrix


def _levels8(cells: Array, levels: Array) -> Array:
    """Quantise ``cells`` [blocks, block, n] to -127..127, as 1..255 in ``levels``.

    Returns the scales [blocks, n].
    """
    reach = np.maximum(cells.max(axis=1), -cells.min(axis=1))
    scale: Array = np.abs(reach) / np.float32(127)  # a zero has no sign
    # No weight is half a step beyond 127, so there is nothing to clip.
    np.multiply(cells, _inverse(scale)[:, None], out=levels)
    np.rint(levels, out=levels)
    np.add(levels, np.float32(128), out=levels)
    return scale


def _levels4(
    cells: Array, levels: Array, plain: Array, away: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Quantise ``cells`` [blocks, block, n] to -8..7 with least squared error, as 0..15.

    Returns the scales [blocks, n], and where they are in doubt. The scale's sign is chosen so that
    the largest weight of a block falls on -8, the longer side. ``plain`` and ``away`` are room.
    """
    high, low = cells.max(axis=1), -cells.min(axis=1)
    reach = np.maximum(high, low)
    # Of two opposite weights the first would decide the sign.
    doubt = (high == low) | (reach < _SMALL) | (reach > _LARGE)
    largest = np.where(high > low, high, -low)
    # In steps of the plain scale:
    np.multiply(cells, _inverse(largest * _FACTORS[0])[:, None], out=plain)
    least = np.full(reach.shape, np.inf, np.float32)
    chosen = np.zeros(reach.shape, np.intp)
    for number, fraction in enumerate(_CLIPPING):
        np.multiply(plain, np.float32(1 / fraction), out=levels)
        np.rint(levels, out=away)
        np.clip(away, _LOW, _HIGH, out=away)
        np.subtract(away, levels, out=away)
        error = np.einsum("bkn,bkn->bn", away, away) * np.float32(fraction**2)
        doubt |= np.abs(error - least) <= _DOUBT * (error + 1)
        better = error < least
        np.copyto(least, error, where=better)
        np.copyto(chosen, number, where=better)
    scale = largest * _FACTORS[chosen]
    np.multiply(cells, _inverse(scale)[:, None], out=levels)
    np.rint(levels, out=levels)
    np.clip(levels, _LOW, _HIGH, out=levels)
    np.add(levels, np.float32(8), out=levels)
    return scale, doubt


def _decide(packed: Packed, weight: Array, doubts: NDArray[np.bool_]) -> None:
    """Quantise the blocks that ``doubts`` [N, blocks] names to 4 bits, errors in float64."""
    rows, numbers = doubts.nonzero()
    block = packed.data.shape[2] * 2
    inputs = numbers[:, None] * block + np.arange(block)  # [m, block]
    outside = inputs >= weight.shape[1]
    cells = weight[rows[:, None], np.where(outside, 0, inputs)]
    cells[outside] = 0
    places = np.abs(cells).argmax(axis=1)[:, None]
    largest = np.take_along_axis(cells, places, axis=1)  # [m, 1]
    least = np.full(largest.shape, np.inf)
    scales = np.zeros_like(largest)
    levels = np.zeros_like(cells)
    for factor in _FACTORS:
        scale = largest * factor
        found = np.rint(cells * _inverse(scale)).clip(_LOW, _HIGH)
        # A weight above 1e19 has no square in float32.
        error = np.square(found * scale - cells, dtype=np.float64).sum(axis=1, keepdims=True)
        better = error < least
        np.copyto(least, error, where=better)
        np.copyto(scales, scale, where=better)
        np.copyto(levels, found, where=better)
    packed.scales[rows, numbers] = scales[:, 0]
    packed.data[rows, numbers] = _packed(levels.T[None] + np.float32(8), 4)[:, 0]


def _inverse(scale: Array) -> Array:
    """Return 1 / scale; 0 where the scale is too small for that."""
    # The inverse of a subnormal scale may be infinite; such a block is zero for every purpose.
    usable = np.abs(scale) > _TINY
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=usable)


def _packed(levels: Array, bits: int) -> NDArray[np.uint8]:
    """Put ``levels`` [blocks, block, n], whole numbers, into bytes [n, blocks, block * bits / 8].

    In four bits the even input is in the low half. Two bytes are made at a time, exactly, in
    float32, as fewer and larger items are the quicker to transpose.
    """
    for width in (4, 8):
        if width >= bits:
            levels = levels[:, 0::2] + levels[:, 1::2] * np.float32(2**width)
    return levels.astype("<u2").transpose(2, 0, 1).copy().view(np.uint8)
