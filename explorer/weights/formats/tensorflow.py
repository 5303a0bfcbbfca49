"""Reading TensorFlow's checkpoints (version 2, the "tensor bundle") without TensorFlow.

``PREFIX.index`` is a sorted string table from the name of each tensor to a short protocol buffer:
type, shape, which data file, where in it, how many bytes, and their CRC. The data files,
``PREFIX.data-00000-of-00001`` and so on, hold nothing but numbers. Their CRCs are checked as
tensors are read from their first byte to their last, in one go or row by row; rows that nobody asks
for (of an embedding that is longer than the vocabulary) leave theirs unchecked.
Format: tensorflow/core/util/tensor_bundle and tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import CheckpointError
from explorer.weights.formats.crc32c import crc32c, masked
from explorer.weights.formats.leveldb_table import MAX_TABLE, read_table, read_varint
from explorer.weights.formats.tensor_file import MAX_RANK, FloatType, fill, floats
from explorer.weights.formats.untrusted_folder import Source, shown

INDEX = ".index"
"""Ending of the file that names the tensors."""

_MAX_SHARDS = 200
# Number of the type in tensorflow/core/framework/types.proto -> what it is, where it is read.
_TYPES: dict[int, FloatType] = {1: "F32", 14: "BF16", 19: "F16"}
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class Stored:
    """Where one tensor lies."""

    dtype: int
    """TensorFlow's number of the type."""
    shape: tuple[int, ...]
    shard: int
    """Which data file, from 0."""
    start: int
    """First byte in the data file."""
    size: int
    """Bytes."""
    crc: int
    """Masked CRC32C of these bytes."""


class Bundle(NamedTuple):
    """What the index of a checkpoint says."""

    shards: tuple[str, ...]
    """Names of the data files."""
    tensors: dict[str, Stored]


def read_bundle(source: Source, prefix: str) -> Bundle:
    """Read ``PREFIX.index``; the data files are not looked at.

    Raises :class:`CheckpointError` for an index that is missing or not believable.
    """
    name = prefix + INDEX
    table = read_table(source.content(name, MAX_TABLE), name)
    try:
        count = _shard_count(table.pop(b"", b""))
        tensors = {_name(key): _stored(value, count) for key, value in table.items()}
    except ValueError as error:
        raise CheckpointError(
            f"{name} is no index of a TensorFlow checkpoint that can be read: {error}."
        ) from error
    shards = tuple(f"{prefix}.data-{i:05d}-of-{count:05d}" for i in range(count))
    return Bundle(shards, tensors)


class TensorFlowFile:
    """One open checkpoint; ``tensors`` says what is in it."""

    def __init__(self, source: Source, prefix: str) -> None:
        """Open the checkpoint ``prefix`` and check its index against its data files.

        Raises :class:`CheckpointError` where a tensor lies outside its data file or in another.
        """
        self.name = prefix
        self._shards, self.tensors = read_bundle(source, prefix)
        self._files: list[FileIO] = []
        self._sums: dict[str, tuple[int, int]] = {}
        """Tensor -> how many of its bytes were read in order, and their CRC."""
        self._right: set[str] = set()
        try:
            for name in self._shards:
                self._files.append(_open(source, name))
            for number, name in enumerate(self._shards):
                self._check_layout(number, name)
        except BaseException:
            self.close()
            raise

    def read(self, tensor: str, first: int = 0, count: int | None = None) -> NDArray[np.float32]:
        """Return ``count`` numbers of a tensor, from its ``first`` one on, as fresh flat float32.

        Raises :class:`CheckpointError` for another type than fp32, fp16 or bf16, for numbers that
        are not those that were written, and when a data file was shortened meanwhile.
        """
        stored = self.tensors[tensor]
        dtype = _TYPES.get(stored.dtype)
        name = self._shards[stored.shard]
        if dtype is None:
            raise CheckpointError(
                f"{name}: tensor {shown(tensor)} is stored as TensorFlow's type {stored.dtype}; "
                "weights must be fp32, fp16 or bf16."
            )
        item = _ITEM_BYTES[dtype]
        total = math.prod(stored.shape)
        if total * item != stored.size:
            raise CheckpointError(
                f"{name}: tensor {shown(tensor)} of shape {list(stored.shape)} needs "
                f"{total * item} bytes, {self.name}{INDEX} gives it {stored.size}."
            )
        first = min(first, total)
        count = total - first if count is None else min(count, total - first)
        raw = np.empty(count * item, np.uint8)
        fill(self._files[stored.shard], stored.start + first * item, raw.data, name, shown(tensor))
        self._check_sum(tensor, stored, first * item, raw)
        return floats(raw, dtype)

    def close(self) -> None:
        """Close the files; reading is over."""
        for file in self._files:
            file.close()

    def _check_sum(self, tensor: str, stored: Stored, at: int, raw: NDArray[np.uint8]) -> None:
        """Go on with the CRC of a tensor; refuse it where its last byte proves it wrong."""
        if tensor in self._right:
            return
        done, crc = self._sums.get(tensor, (0, 0)) if at else (0, 0)
        if at != done:  # not from the first byte on: its CRC cannot be known
            return
        done, crc = done + raw.size, crc32c(raw.data, crc)
        self._sums[tensor] = (done, crc)
        if done < stored.size:
            return
        if masked(crc) != stored.crc:
            raise CheckpointError(
                f"{self._shards[stored.shard]}: the numbers of {shown(tensor)} are not those that "
                "were written (their CRC is wrong); copy or download the file again."
            )
        self._right.add(tensor)

    def _check_layout(self, number: int, name: str) -> None:
        """Refuse tensors that overlap or end behind their data file."""
        size = os.fstat(self._files[number].fileno()).st_size
        here = [item for item in self.tensors.items() if item[1].shard == number]
        done = 0
        for tensor, stored in sorted(here, key=lambda item: (item[1].start, item[1].size)):
            if stored.start < done:
                raise CheckpointError(
                    f"{name}: tensor {shown(tensor)} begins at byte {stored.start}, within the one "
                    f"before; {self.name}{INDEX} is damaged."
                )
            done = stored.start + stored.size
            if done > size:
                raise CheckpointError(
                    f"{name} is truncated: tensor {shown(tensor)} ends at byte {done}, the file "
                    f"has {size}; copy or download it again."
                )


def _open(source: Source, name: str) -> FileIO:
    try:
        return source.path(name).open("rb", buffering=0)
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read ({error.strerror}).") from error


# The protocol buffers of the index


def _shard_count(header: bytes) -> int:
    """Return how many data files the header, a BundleHeaderProto, speaks of."""
    if not header:
        raise ValueError("it has no header")
    count, big_endian = 0, 0
    for number, value in _fields(header):
        match number, value:
            case 1, int():
                count = value
            case 2, int():
                big_endian = value
    if big_endian:
        raise ValueError("its numbers are big-endian")
    if not 1 <= count <= _MAX_SHARDS:
        raise ValueError(f"it names {count} data files; 1 to {_MAX_SHARDS} are expected")
    return count


def _name(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the name {shown(key)} is not UTF-8 text") from error


def _stored(entry: bytes, shards: int) -> Stored:
    """Read a BundleEntryProto."""
    dtype, shape, shard, start, size, crc = 0, b"", 0, 0, 0, 0
    for number, value in _fields(entry):
        match number, value:
            case 1, int():
                dtype = value
            case 2, bytes():
                shape = value
            case 3, int():
                shard = value
            case 4, int():
                start = value
            case 5, int():
                size = value
            case 6, int():
                crc = value
            case 7, _:
                raise ValueError("it holds tensors in slices, as only training on many machines")
    if shard >= shards:
        raise ValueError(f"it names data file {shard} of {shards}")
    return Stored(dtype, _shape(shape), shard, start, size, crc)


def _shape(message: bytes) -> tuple[int, ...]:
    """Read a TensorShapeProto."""
    dimensions: list[int] = []
    for number, value in _fields(message):
        if number == 2 and isinstance(value, bytes):
            size = 0
            for inner, length in _fields(value):
                if inner == 1 and isinstance(length, int):
                    size = length
            dimensions.append(size)
        elif number == 3 and value:
            raise ValueError("it holds a tensor of unknown shape")
    if len(dimensions) > MAX_RANK:
        raise ValueError(f"it holds a tensor of {len(dimensions)} axes")
    return tuple(dimensions)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field: a whole number, or the bytes of what is longer."""
    at = 0
    while at < len(message):
        key, at = read_varint(message, at)
        match key & 7:
            case 0:
                value, at = read_varint(message, at)
                yield key >> 3, value
                continue
            case 1:
                length = 8
            case 2:
                length, at = read_varint(message, at)
            case 5:
                length = 4
            case _:
                raise ValueError("it holds a field of an unknown kind")
        if at + length > len(message):
            raise ValueError("a field is longer than its message")
        data = message[at : at + length]
        at += length
        yield key >> 3, data if key & 7 == 2 else int.from_bytes(data, "little")
