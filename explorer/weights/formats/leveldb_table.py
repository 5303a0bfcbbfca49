"""Sorted string tables: the small file in which a TensorFlow checkpoint names its tensors.

The format is LevelDB's. At the end of the file lies a footer, which points to the index block; that
lists the data blocks; those hold keys in ascending order, each with what it shares with the one
before left out, and a value for each. Every block has a CRC. Nothing is believed that would make
the work more than one pass over the bytes: blocks lie one behind the other, and keys ascend.
Format: https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from explorer.core.errors import CheckpointError
from explorer.weights.formats.crc32c import crc32c, masked

MAX_TABLE = 4 << 20
"""Bytes of a table at most; that of GPT-2 1558M has 0.02 MB."""

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TRAILER = 5  # behind every block: one byte for its packing, four for its CRC
_MAX_KEY = 1_000
_MAX_ENTRIES = 20_000


def read_table(data: bytes, name: str) -> dict[bytes, bytes]:
    """Return the values of a table by their keys, ascending.

    Raises :class:`CheckpointError`, which calls the file ``name``, for whatever is not a table of
    at most 20,000 entries in unpacked blocks.
    """
    if len(data) < _FOOTER or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise CheckpointError(
            f"{name} has no end of a TensorFlow checkpoint's index; it is truncated or another "
            "kind of file."
        )
    footer = data[-_FOOTER:-8]
    try:
        _, at = _handle(footer, 0)
        (start, size), _ = _handle(footer, at)
        index = _block(data, start, size)
        values: dict[bytes, bytes] = {}
        done = 0
        last: bytes | None = None
        for _, pointer in _entries(index):
            (begin, length), _ = _handle(pointer, 0)
            if not done <= begin <= start - length - _TRAILER:
                raise _Damage("its blocks are out of order")
            done = begin + length + _TRAILER
            before = len(values)
            for key, value in _entries(_block(data, begin, length)):
                if last is not None and key <= last:
                    raise _Damage("its keys are out of order")
                if len(values) == _MAX_ENTRIES:
                    raise _Damage(f"it has more than {_MAX_ENTRIES} entries")
                values[key] = value
                last = key
            if len(values) == before:
                raise _Damage("a block is empty")
    except _Damage as damage:
        raise CheckpointError(
            f"{name} cannot be read as a TensorFlow checkpoint's index: {damage}; "
            "copy or download it again."
        ) from damage
    return values


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number below 2**64 that begins at ``at``, seven bits a byte, and where it ends.

    Raises :class:`ValueError` where there is none.
    """
    value = 0
    for shift, byte in zip(range(0, 70, 7), data[at : at + 10], strict=False):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at + shift // 7 + 1
    raise ValueError("it holds a number without an end")


class _Damage(ValueError):
    """What is wrong with a table, as half a sentence."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    try:
        return read_varint(data, at)
    except ValueError as error:
        raise _Damage(str(error)) from error


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Return where a block begins and its bytes, and where this pointer to it ends."""
    start, at = _varint(data, at)
    size, at = _varint(data, at)
    return (start, size), at


def _block(data: bytes, start: int, size: int) -> bytes:
    """Return the content of a block, once its CRC is seen to be right."""
    if start + size + _TRAILER > len(data) - _FOOTER:
        raise _Damage("a block lies outside of it")
    packing = data[start + size]
    (stored,) = struct.unpack_from("<I", data, start + size + 1)
    if masked(crc32c(data[start : start + size + 1])) != stored:
        raise _Damage("the CRC of a block is wrong")
    if packing:
        kind = "snappy" if packing == 1 else f"method {packing}"
        raise _Damage(f"it is packed ({kind}), as TensorFlow does not write checkpoints")
    return data[start : start + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block; the restart points behind them are for searching only."""
    if len(block) < 4:
        raise _Damage("a block is too short")
    (restarts,) = struct.unpack_from("<I", block, len(block) - 4)
    stop = len(block) - 4 * (restarts + 1)
    if stop < 0:
        raise _Damage("a block is too short")
    at = 0
    key = b""
    while at < stop:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        end = at + own + length
        if shared > len(key) or shared + own > _MAX_KEY or end > stop:
            raise _Damage("an entry does not fit")
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : end]
        at = end
