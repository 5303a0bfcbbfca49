"""Tiny GPT-2 folders in the layout of OpenAI's release, by a writer that owes the reader nothing.

:func:`make_release` takes the options of :func:`tests.tiny.make_tiny` that matter here and writes
the same numbers and the same tokenizer. The table is written as in LevelDB's description; size of
blocks and distance of restart points can be chosen, which TensorFlow does not offer.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.tiny import Dtype, encode, random_weights, write_tokenizer

DTYPES = {"F32": 1, "F64": 2, "I64": 9, "BF16": 14, "F16": 19}
"""Type as safetensors writes it -> TensorFlow's number of it."""

Tensor = tuple[str, tuple[int, ...], bytes]
Entries = Sequence[tuple[bytes, bytes]]


def make_release(
    folder: Path,
    *,
    layers: int = 2,
    heads: int = 2,
    width: int = 16,
    context: int = 64,
    vocabulary: int = 300,
    seed: int = 0,
    dtype: Dtype = "fp32",
    shards: int = 1,
    prefix: str = "model.ckpt",
    block: int = 4096,
    restart: int = 16,
    rows: int | None = None,
    extra: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a folder as OpenAI's and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows or vocabulary
    weights = random_weights(layers=layers, width=width, context=context, rows=rows, seed=seed)
    tensors = {
        name: encode(values, dtype)
        for name, values in (original(*item) for item in weights.items())
    }
    write_bundle(folder, prefix, {**tensors, **(extra or {})}, shards, block, restart)
    sizes = {
        "n_vocab": rows,
        "n_ctx": context,
        "n_embd": width,
        "n_head": heads,
        "n_layer": layers,
    }
    (folder / "hparams.json").write_text(json.dumps(sizes), encoding="utf-8")
    write_tokenizer(folder, vocabulary, kind="vocab.json")
    (folder / "vocab.json").rename(folder / "encoder.json")
    (folder / "merges.txt").rename(folder / "vocab.bpe")
    return folder


def original(name: str, values: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
    """Return OpenAI's name of a tensor, and the tensor in OpenAI's shape."""
    place, kind = name.rsplit(".", 1)
    match place.split("."):
        case ["wte" | "wpe"]:
            return f"model/{place}", values
        case ["ln_f"]:
            return f"model/ln_f/{'g' if kind == 'weight' else 'b'}", values
        case ["h", layer, *rest]:
            letter = "b" if kind == "bias" else "g" if rest[-1].startswith("ln_") else "w"
            shaped = values[np.newaxis] if letter == "w" else values
            return "/".join(("model", f"h{layer}", *rest, letter)), shaped
    raise ValueError(name)


# The tensor bundle


def write_bundle(
    folder: Path,
    prefix: str,
    tensors: Mapping[str, Tensor],
    shards: int = 1,
    block: int = 4096,
    restart: int = 16,
) -> None:
    """Write the index and the data files of a checkpoint."""
    data = [b""] * shards
    entries = [(b"", number(1, shards) + message(3, number(1, 1)))]
    for place, (name, (dtype, shape, raw)) in enumerate(tensors.items()):
        shard = place % shards
        entries.append((name.encode(), entry(DTYPES[dtype], shape, shard, len(data[shard]), raw)))
        data[shard] += raw
    (folder / f"{prefix}.index").write_bytes(table(sorted(entries), block, restart))
    for shard, raw in enumerate(data):
        (folder / f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(raw)


def entry(dtype: int, shape: Sequence[int], shard: int, start: int, raw: bytes) -> bytes:
    """Return a BundleEntryProto."""
    dimensions = b"".join(message(2, number(1, size)) for size in shape)
    place = number(3, shard) + number(4, start) + number(5, len(raw))
    crc = varint(6 << 3 | 5) + struct.pack("<I", masked(raw))
    return number(1, dtype) + message(2, dimensions) + place + crc


def number(field: int, value: int) -> bytes:
    """Return a field that holds a whole number; zeros are left out."""
    return varint(field << 3) + varint(value) if value else b""


def message(field: int, content: bytes) -> bytes:
    """Return a field that holds a message."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Return a whole number, seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


# The table


def table(entries: Entries, block: int = 4096, restart: int = 16, packing: int = 0) -> bytes:
    """Return a sorted string table; ``entries`` are taken in the order given."""
    out = b""
    pointers: list[tuple[bytes, bytes]] = []
    pending: list[tuple[bytes, bytes]] = []
    for place, item in enumerate(entries):
        pending.append(item)
        size = sum(len(key) + len(value) for key, value in pending)
        if size >= block or place == len(entries) - 1:
            packed = pack(pending, restart)
            pointers.append((item[0], varint(len(out)) + varint(len(packed))))
            out += sealed(packed, packing)
            pending = []
    handles = b""
    for packed in (pack([], restart), pack(pointers, 1)):
        handles += varint(len(out)) + varint(len(packed))
        out += sealed(packed)
    return out + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def pack(entries: Entries, restart: int) -> bytes:
    """Return the content of a block: each key without what it shares with the one before."""
    out = b""
    restarts = []
    before = b""
    for place, (key, value) in enumerate(entries):
        shared = 0
        if place % restart:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        else:
            restarts.append(len(out))
        own = key[shared:]
        out += varint(shared) + varint(len(own)) + varint(len(value)) + own + value
        before = key
    restarts = restarts or [0]
    return out + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def sealed(content: bytes, packing: int = 0) -> bytes:
    """Return a block with its trailer."""
    data = content + bytes([packing])
    return data + struct.pack("<I", masked(data))


def masked(data: bytes) -> int:
    """Return the CRC32C of ``data`` as both formats store it: byte by byte, then turned."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _remainder(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


_CRC = [_remainder(byte) for byte in range(256)]
