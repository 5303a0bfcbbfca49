"""Reading safetensors files: eight bytes of length, a JSON header, then the tensors without gaps.

Written here because mapping a file (what the format's own library does) counts its pages as memory
and kills the process when the file shrinks meanwhile; plain reads of one tensor after the other do
neither. The header is believed only where it describes exactly the bytes that are there.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import CheckpointError
from explorer.weights.formats.tensor_file import MAX_RANK, FloatType, fill, floats
from explorer.weights.formats.untrusted_folder import HEAD, instead, parse_json, shown

MAX_HEADER = 4 << 20
"""Bytes of header at most; GPT-2 1558M needs 0.07 MB."""

_ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "BOOL": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1,
}  # fmt: skip
_FLOATS: dict[str, FloatType] = {dtype: dtype for dtype in get_args(FloatType)}


@dataclass(frozen=True, slots=True)
class Stored:
    """Where one tensor lies."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    """First byte, from the beginning of the file."""
    size: int
    """Bytes."""


class SafetensorsFile:
    """One open file; ``tensors`` says what is in it."""

    def __init__(self, path: Path, name: str) -> None:
        """Open ``path``, called ``name`` in messages, and check its header.

        Raises :class:`CheckpointError` for a header that is unreadable, oversized, or does not
        describe exactly the bytes of the file.
        """
        self.name = name
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise CheckpointError(f"{name} cannot be read ({error.strerror}).") from error
        try:
            self.tensors = self._read_header(os.fstat(self._file.fileno()).st_size)
        except BaseException:
            self._file.close()
            raise

    def read(self, tensor: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return a tensor, or its rows ``start`` to ``stop``, as fresh float32 in C order.

        Raises :class:`CheckpointError` for numbers of a type that is not read, and when the file
        ends early because something shortened it.
        """
        stored = self.tensors[tensor]
        dtype = _FLOATS.get(stored.dtype)
        if dtype is None:
            raise CheckpointError(
                f"{self.name}: tensor {tensor} is stored as {stored.dtype}; "
                "weights must be fp32, fp16, bf16 or fp64."
            )
        shape, offset, size = stored.shape, stored.start, stored.size
        if shape and (start or stop is not None):
            rows = range(shape[0])[start:stop]
            row = size // shape[0] if shape[0] else 0
            offset, size = offset + rows.start * row, len(rows) * row
            shape = (len(rows), *shape[1:])
        raw = np.empty(size, np.uint8)
        self._fill(offset, raw.data, tensor)
        return floats(raw, dtype).reshape(shape)

    def close(self) -> None:
        """Close the file; reading is over."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def _fill(self, offset: int, buffer: memoryview, what: str) -> None:
        fill(self._file, offset, buffer, self.name, what)

    def _read_header(self, file_size: int) -> dict[str, Stored]:
        if file_size < 8:
            raise CheckpointError(
                f"{self.name} has {file_size} bytes, too few for a safetensors file; "
                "copy or download it again."
            )
        prefix = bytearray(8)
        self._fill(0, memoryview(prefix), "its header")
        (length,) = struct.unpack("<Q", prefix)
        if length > min(MAX_HEADER, file_size - 8):
            head = bytearray(min(HEAD, file_size))
            self._fill(0, memoryview(head), "its beginning")
            if other := instead(bytes(head)):
                raise CheckpointError(f"{self.name} {other}.")
            raise CheckpointError(
                f"{self.name} announces a header of {length} bytes in a file of {file_size} (at "
                f"most {MAX_HEADER} are allowed); it is truncated or not a safetensors file."
            )
        header = bytearray(length)
        self._fill(8, memoryview(header), "its header")
        try:
            text = header.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"The header of {self.name} is not UTF-8 text.") from error
        values = parse_json(text, f"The header of {self.name}", pairs=self._unique)
        values.pop("__metadata__", None)
        tensors = {name: self._stored(name, value, 8 + length) for name, value in values.items()}
        self._check_layout(tensors, 8 + length, file_size)
        return tensors

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            raise CheckpointError(f"The header of {self.name} names a tensor twice.")
        return values

    def _stored(self, name: str, value: Any, base: int) -> Stored:
        match value:
            case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [start, end]} if len(
                shape
            ) <= MAX_RANK and all(_is_count(n) for n in (*shape, start, end)):
                pass
            case _:
                raise CheckpointError(
                    f"The header of {self.name} describes tensor {shown(name)} wrongly: a dtype, a "
                    f"shape and two data_offsets are expected, found {shown(value)}."
                )
        if dtype not in _ITEM_BYTES:
            raise CheckpointError(
                f"{self.name}: tensor {shown(name)} has the unknown type {shown(dtype)}; "
                "weights must be fp32, fp16, bf16 or fp64."
            )
        size = math.prod(shape) * _ITEM_BYTES[dtype]
        if end - start != size:
            raise CheckpointError(
                f"{self.name}: tensor {shown(name)} of shape {shape} and type {dtype} needs {size} "
                f"bytes, its data_offsets give {end - start}."
            )
        return Stored(dtype, tuple(shape), base + start, size)

    def _check_layout(self, tensors: dict[str, Stored], begin: int, file_size: int) -> None:
        """Refuse overlaps, gaps, and an end other than the file's."""
        expected = begin
        for name, stored in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size)):
            if stored.start != expected:
                raise CheckpointError(
                    f"{self.name}: tensor {shown(name)} begins at byte {stored.start} instead of "
                    f"{expected}, so tensors overlap or leave a gap; the file is damaged."
                )
            expected += stored.size
        if expected != file_size:
            problem = "truncated" if expected > file_size else "longer than it should be"
            raise CheckpointError(
                f"{self.name} is {problem}: its header describes {expected} bytes, the file has "
                f"{file_size}; copy or download it again."
            )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
