"""Tiny GPT-2 folders in Hugging Face layout, made in milliseconds and the same on every machine.

Weights are random but lively: logits spread over a few units, so that sampling, ranks and ties
behave as with a real model. The tokenizer is a real byte-level BPE whose merges come from counting
pairs in one paragraph; ``<|endoftext|>`` is the last token, as in GPT-2. Everything that can differ
between GPT-2 folders is an option of :func:`make_tiny`.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

END_OF_TEXT = "<|endoftext|>"

Dtype = Literal["fp32", "fp16", "bf16"]
Weights = dict[str, NDArray[np.float32]]

TEXT = (
    "In a shocking finding, the scientist discovered that the herd of unicorns in the valley spoke "
    "the language of the people there. The lion and the mouse were in the house when the winter "
    "wind began to sing; then there was nothing to eat, and they went out into the night to look "
    "for the other animals."
)

# Bytes in the order in which a vocabulary of fewer than 256 takes them.
_COMMON = b" etaoinshrdlucmfwypvbgkjqxz.,\n"


def make_tiny(
    folder: Path,
    *,
    layers: int = 2,
    heads: int = 2,
    width: int = 16,
    context: int = 64,
    vocabulary: int = 300,
    inner: int | None = None,
    seed: int = 0,
    spread: float = 2.5,
    dtype: Dtype = "fp32",
    prefix: str = "transformer.",
    shards: int = 1,
    head: Literal["absent", "tied", "own"] = "absent",
    rows: int | None = None,
    holes: Collection[int] = (),
    added: Collection[str] = (),
    end_of_text: bool = True,
    buffers: bool = False,
    tokenizer: Literal["tokenizer.json", "vocab.json"] = "tokenizer.json",
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Write a GPT-2 folder and return it.

    ``vocabulary`` counts ids that the tokenizer knows (``holes`` among them have no token,
    ``<|endoftext|>`` and the ``added`` tokens are the last), ``rows`` the embedding rows where they
    are more. ``inner`` is the width inside the MLP, ``spread`` the standard deviation of logits.
    ``buffers`` adds the mask tensors that old checkpoints carry; ``config`` overrides entries of
    config.json, None removes one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = vocabulary if rows is None else rows
    weights = random_weights(
        layers=layers,
        width=width,
        context=context,
        rows=rows,
        inner=inner,
        seed=seed,
        spread=spread,
    )
    if head == "tied":
        weights["lm_head.weight"] = weights["wte.weight"]
    elif head == "own":
        generator = np.random.default_rng([seed, 1])
        scale = spread / width**0.5
        weights["lm_head.weight"] = _normal(generator, scale, rows, width)  # [rows, width]
    if buffers:
        for i in range(layers):
            mask = np.tril(np.ones((1, 1, context, context), np.float32))
            weights[f"h.{i}.attn.bias"] = mask
            weights[f"h.{i}.attn.masked_bias"] = np.full((), -1e4, np.float32)
    named = {
        name if name == "lm_head.weight" else prefix + name: tensor
        for name, tensor in weights.items()
    }
    write_weights(folder, named, dtype=dtype, shards=shards)
    end = write_tokenizer(
        folder, vocabulary, holes=holes, added=added, end_of_text=end_of_text, kind=tokenizer
    )
    values: dict[str, Any] = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": layers,
        "n_head": heads,
        "n_embd": width,
        "n_inner": inner,
        "n_positions": context,
        "n_ctx": context,
        "vocab_size": rows,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": end,
        "eos_token_id": end,
        "tie_word_embeddings": head != "own",
        **(config or {}),
    }
    absent = {name for name, value in (config or {}).items() if value is None}
    values = {name: value for name, value in values.items() if name not in absent}
    (folder / "config.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    return folder


def random_weights(
    *,
    layers: int,
    width: int,
    context: int,
    rows: int,
    inner: int | None = None,
    seed: int = 0,
    spread: float = 2.5,
) -> Weights:
    """Return every tensor of a GPT-2 by its canonical name, matrices as ``[in, out]``."""
    generator = np.random.default_rng(seed)
    inner = inner or 4 * width
    weights: Weights = {
        "wte.weight": _normal(generator, spread / width**0.5, rows, width),
        "wpe.weight": _normal(generator, 0.3 * spread / width**0.5, context, width),
    }

    def norm(name: str) -> None:
        weights[f"{name}.weight"] = 1 + _normal(generator, 0.1, width)
        weights[f"{name}.bias"] = _normal(generator, 0.1, width)

    def linear(name: str, rows: int, columns: int) -> None:
        weights[f"{name}.weight"] = _normal(generator, rows**-0.5, rows, columns)
        weights[f"{name}.bias"] = _normal(generator, 0.1, columns)

    for i in range(layers):
        norm(f"h.{i}.ln_1")
        linear(f"h.{i}.attn.c_attn", width, 3 * width)
        linear(f"h.{i}.attn.c_proj", width, width)
        norm(f"h.{i}.ln_2")
        linear(f"h.{i}.mlp.c_fc", width, inner)
        linear(f"h.{i}.mlp.c_proj", inner, width)
    norm("ln_f")
    return weights


def _normal(generator: np.random.Generator, scale: float, *shape: int) -> NDArray[np.float32]:
    return generator.standard_normal(shape, np.float32) * np.float32(scale)


# safetensors


def write_weights(
    folder: Path,
    weights: Mapping[str, NDArray[np.float32]],
    *,
    dtype: Dtype = "fp32",
    shards: int = 1,
) -> None:
    """Write ``model.safetensors``, or that many shards with their index."""
    tensors = {name: encode(tensor, dtype) for name, tensor in weights.items()}
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return
    names = list(tensors)
    index: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = names[shard::shards]
        write_safetensors(folder / file, {name: tensors[name] for name in part})
        index |= dict.fromkeys(part, file)
    size = sum(len(data) for _, _, data in tensors.values())
    text = json.dumps({"metadata": {"total_size": size}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


Stored = tuple[str, tuple[int, ...], bytes]
"""(dtype as safetensors writes it, shape, little-endian bytes)"""


def encode(tensor: NDArray[np.float32], dtype: Dtype) -> Stored:
    """Return a tensor as safetensors stores it; bf16 rounds to nearest even."""
    match dtype:
        case "fp32":
            return "F32", tensor.shape, tensor.astype("<f4").tobytes()
        case "fp16":
            return "F16", tensor.shape, tensor.astype("<f2").tobytes()
        case "bf16":
            bits = np.ascontiguousarray(tensor, "<f4").view("<u4").astype(np.uint64)
            rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
            return "BF16", tensor.shape, rounded.astype("<u2").tobytes()


def write_safetensors(path: Path, tensors: Mapping[str, Stored]) -> None:
    """Write tensors in the given order behind their header, as the format wants it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape, data) in tensors.items():
        offsets = [offset, offset + len(data)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data)


# tokenizer


def write_tokenizer(
    folder: Path,
    vocabulary: int,
    *,
    holes: Collection[int] = (),
    added: Collection[str] = (),
    end_of_text: bool = True,
    kind: Literal["tokenizer.json", "vocab.json"] = "tokenizer.json",
) -> int | None:
    """Write a byte-level BPE with ids 0..vocabulary-1 but ``holes``; return the end-of-text id."""
    specials = [END_OF_TEXT] * end_of_text + list(added)
    ids = [i for i in range(vocabulary) if i not in holes]
    words, merges = byte_pairs(len(ids) - len(specials))
    vocab = dict(zip(words, ids, strict=False))
    special_ids = dict(zip(specials, ids[len(words) :], strict=True))
    lines = [" ".join(pair) for pair in merges]
    if kind == "vocab.json":
        text = json.dumps(vocab | special_ids, ensure_ascii=False)
        (folder / "vocab.json").write_text(text, encoding="utf-8")
        text = "\n".join(["#version: 0.2", *lines, ""])
        (folder / "merges.txt").write_text(text, encoding="utf-8")
        return special_ids.get(END_OF_TEXT)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    values = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": word, **dict.fromkeys(flags, False), "special": True}
            for word, i in special_ids.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {**byte_level, "use_regex": True},
        "post_processor": {**byte_level, "use_regex": True},
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            # As real files do, the added tokens are in both places.
            "vocab": vocab | special_ids,
            "merges": lines,
        },
    }
    text = json.dumps(values, ensure_ascii=False, indent=1)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    return special_ids.get(END_OF_TEXT)


def byte_pairs(size: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Return ``size`` byte-level tokens and the merges that make those longer than one byte.

    Merges are the most frequent pairs of :data:`TEXT`, then, for large vocabularies, any two bytes.
    """
    order = list(dict.fromkeys(_COMMON + bytes(range(256))))
    alphabet = byte_alphabet()
    words = [alphabet[byte] for byte in order[:size]]
    merges: list[tuple[str, str]] = []
    known = set(words)
    pieces = [[alphabet[byte] for byte in b" " + word.encode()] for word in TEXT.split()]
    while len(words) < size and (pairs := Counter(p for piece in pieces for p in pairwise(piece))):
        pair = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(pair)
        if (joined := "".join(pair)) not in known:
            words.append(joined)
            known.add(joined)
        pieces = [_merge(piece, pair) for piece in pieces]
    for pair in ((left, right) for left in words[:256] for right in words[:256]):
        if len(words) >= size:
            break
        if (joined := "".join(pair)) not in known:
            merges.append(pair)
            words.append(joined)
            known.add(joined)
    return words, merges


def _merge(piece: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for word in piece:
        if merged and (merged[-1], word) == pair:
            merged[-1] += word
        else:
            merged.append(word)
    return merged


def byte_alphabet() -> dict[int, str]:
    """Return the printable character that stands for each byte (openai/gpt-2, encoder.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {byte: chr(byte) for byte in printable}
    rest = (byte for byte in range(256) if byte not in alphabet)
    return alphabet | {byte: chr(256 + n) for n, byte in enumerate(rest)}
