"""Weights in few bits, packed the way ``com.microsoft.MatMulNBits`` reads them.

A matrix is cut along its inputs into blocks; the weights of one block share one scale. Quantising
is symmetric: a stored number q stands for ``(q - 2**(bits-1)) * scale``, so there are no zero
points to read. The kernels quantise activations by row and block in the same way, which is why one
row never sees another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SLAB = 1 << 22
"""Weights quantised at a time: bounds the temporaries to some tens of megabytes."""

# Fractions of the plain scale that are tried for every block of 4-bit weights: clipping its one
# largest weight a little often costs less than coarser steps for all the others.
_CLIPPING = (1.0, 0.95, 0.9, 0.85, 0.8)


class Packed(NamedTuple):
    """A quantised matrix of N outputs and K inputs."""

    data: NDArray[np.uint8]  # [N, blocks, block * bits / 8]
    scales: NDArray[np.float32]  # [N, blocks]


def quantize(weight: NDArray[np.float32], bits: int, block: int) -> Packed:
    """Quantise ``weight`` [N, K] to ``bits`` (4 or 8) with one scale for ``block`` inputs.

    K is padded with zeros to whole blocks. A block of zeros gets scale 0 and stays exactly zero.
    """
    outputs, inputs = weight.shape
    blocks = -(-inputs // block)
    data = np.empty((outputs, blocks, block * bits // 8), np.uint8)
    scales = np.empty((outputs, blocks), np.float32)
    slab = max(1, _SLAB // (blocks * block))
    for start in range(0, outputs, slab):
        rows = weight[start : start + slab]
        padded = np.zeros((len(rows), blocks * block), np.float32)
        padded[:, :inputs] = rows
        cells = padded.reshape(len(rows), blocks, block)
        levels, scale = _levels8(cells) if bits == 8 else _levels4(cells)
        scales[start : start + slab] = scale
        data[start : start + slab] = levels if bits == 8 else _pair(levels)
    return Packed(data, scales)


def dequantize(packed: Packed, bits: int, inputs: int) -> NDArray[np.float32]:
    """Return the matrix [N, inputs] that ``packed`` stands for."""
    data = packed.data
    if bits == 4:  # the even input is in the low half of a byte
        data = np.stack((data & 15, data >> 4), axis=-1).reshape(*data.shape[:2], -1)
    values = (data.astype(np.float32) - 2 ** (bits - 1)) * packed.scales[:, :, None]
    matrix: NDArray[np.float32] = values.reshape(len(data), -1)[:, :inputs]
    return matrix


def _levels8(cells: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Quantise ``cells`` [n, blocks, block] to -127..127, stored as 1..255."""
    scale = np.abs(cells).max(axis=2) / np.float32(127)  # [n, blocks]
    return _round(cells, scale, -127, 127, 128), scale


def _levels4(cells: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Quantise ``cells`` [n, blocks, block] to -8..7, stored as 0..15, with least squared error.

    The scale's sign is chosen so that the largest weight of a block falls on -8, the longer side.
    """
    largest = np.take_along_axis(cells, np.abs(cells).argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    best_error = np.full(largest.shape, np.inf)
    best_scale = np.zeros_like(largest)
    best = np.zeros(cells.shape, np.uint8)
    for fraction in _CLIPPING:
        scale = largest * np.float32(fraction / -8)
        levels = _round(cells, scale, -8, 7, 8)
        values = (levels.astype(np.float32) - 8) * scale[:, :, None]
        # A weight above 1e19 has no square in float32.
        error = np.square(values - cells, dtype=np.float64).sum(axis=2)
        better = error < best_error
        best_error[better] = error[better]
        best_scale[better] = scale[better]
        best[better] = levels[better]
    return best, best_scale


def _round(
    cells: NDArray[np.float32], scale: NDArray[np.float32], low: int, high: int, zero: int
) -> NDArray[np.uint8]:
    """Return ``cells / scale`` in low..high, moved by ``zero``; all ``zero`` where scale is 0."""
    # The inverse of a subnormal scale may be infinite; such a block is zero for every purpose.
    usable = np.abs(scale) > np.finfo(np.float32).tiny
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=usable)
    levels = np.rint(cells * inverse[:, :, None]).clip(low, high)
    return (levels + zero).astype(np.uint8)


def _pair(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put two 4-bit numbers into each byte, the even input in the low half."""
    return levels[:, :, 0::2] | (levels[:, :, 1::2] << np.uint8(4))
