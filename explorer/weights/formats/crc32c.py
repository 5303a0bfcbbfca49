"""CRC32C of megabytes at the speed of memory, without anything but numpy.

A CRC is the remainder of the data, read as one long polynomial over GF(2), when it is divided by a
fixed polynomial P. So a multiple of P may be added anywhere. ``x^5685 + x^1362 + x^426 + 1`` is
one (found by search), and so is its every second power, whose exponents are doubled. With the
eighth power these are whole bytes: a byte may be struck out at the front, if it is added (XOR) to
the bytes 4323, 5259 and 5685 places behind it. Higher powers do that to longer stretches at a
time. What is left at the end are a few thousand bytes, for the usual table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, lowest bit first
_STEPS = (5685 - 1362, 5685 - 426, 5685)
_BLOCK = 1 << 22
_ONES = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8


def crc32c(data: bytes | memoryview, before: int = 0) -> int:
    """Return the CRC32C of ``data`` behind bytes whose CRC32C is ``before``."""
    values = np.frombuffer(data, np.uint8)
    register = before ^ _ONES
    for start in range(0, values.size, _BLOCK):
        register = _divide(values[start : start + _BLOCK], register)
    return register ^ _ONES


def masked(crc: int) -> int:
    """Return a CRC as TensorFlow stores it, so that a CRC over CRCs still means something."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _ONES


def _divide(block: NDArray[np.uint8], register: int) -> int:
    if block.size > 2 * _STEPS[-1]:
        block = block.copy()
        # The remainder so far counts as if it were added to the first four bytes.
        block[:4] ^= np.frombuffer(register.to_bytes(4, "little"), np.uint8)
        register = 0
        block = _fold(block)
    for byte in block.tobytes():
        register = _TABLE[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register


def _fold(block: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add the front of ``block`` to its end until at most 5685 bytes are left; return those."""
    begin = 0
    power = 1
    while 4 * power * _STEPS[-1] <= block.size:
        power *= 2
    while power:
        near, middle, far = (power * step for step in _STEPS)
        while (count := min(near, block.size - begin - far)) > 0:
            front = block[begin : begin + count]
            for step in (near, middle, far):
                block[begin + step : begin + step + count] ^= front
            begin += count
        power //= 2
    return block[begin:]


def _entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = tuple(_entry(byte) for byte in range(256))
