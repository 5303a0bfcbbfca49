"""What the memory of a machine allows a model, and what would make it faster.

A step reads every weight that multiplies, once for all lanes, and what each lane has cached. So a
machine whose memory gives so many bytes a second cannot make more than so many steps, however quick
its processor. Small models escape the bound: their weights stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from explorer.engine import memory
from explorer.manifest import Build, Manifest, Precision

_BUFFER = 256 << 20
"""Bytes that are read to measure memory: more than processors keep in their caches."""

_PASSES = 8

_SCALE = 4
"""Bytes of the scale that a block of integer weights shares."""

_SMALLER: dict[Precision, tuple[Precision, int, int]] = {
    "fp32": ("int8", 8, 32),
    "int8": ("int4", 4, 32),
}
"""Precision with fewer bytes on a CPU, its bits, and the weights that share a scale there."""


def step_bytes(manifest: Manifest, build: Build, lanes: int, position: int) -> int:
    """Return the bytes that a step of so many lanes reads, each with ``position`` tokens cached.

    Weights of matrices and the cache; the rows of the embeddings are too few to count.
    """
    cached = lanes * position * memory.position_bytes(manifest, build)
    return weight_bytes(manifest, build) + cached


def weight_bytes(manifest: Manifest, build: Build) -> int:
    """Return the bytes of the matrices of all layers and of the head."""
    layers, head = _matrices(manifest, build)
    if build.bits is not None and build.block is not None:
        return _packed(layers + head, build.bits, build.block)
    return layers * (2 if build.precision == "fp16" else 4) + head * 4


def _matrices(manifest: Manifest, build: Build) -> tuple[int, int]:
    """Return how many weights multiply in all layers, and in the head."""
    width, heads = manifest.width, manifest.heads * build.kv_head_size
    layer = 4 * heads * width + 8 * width * width
    return manifest.layers * layer, manifest.vocabulary * width


def _packed(weights: int, bits: int, block: int) -> int:
    return weights * bits // 8 + weights // block * _SCALE


def read_bandwidth(threads: int) -> float:
    """Return the bytes a second that ``threads`` threads read from main memory, at their best."""
    buffer = np.zeros(_BUFFER, np.uint8)
    buffer[::4096] = 1  # pages that were never written are all the same one
    parts = np.array_split(buffer, threads)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_PASSES):
            began = perf_counter()
            list(pool.map(np.max, parts))
            best = max(best, _BUFFER / (perf_counter() - began))
    return best


def faster(manifest: Manifest, build: Build, rates: Mapping[int, float], *, gpu: bool) -> str:
    """Say in a sentence what would make more tokens a second than was measured.

    ``rates`` are tokens a second by number of lanes, ``gpu`` says whether there is one to use.
    """
    ways = []
    if build.device_class == "cpu" and build.precision in _SMALLER:
        name, bits, block = _SMALLER[build.precision]
        layers, head = _matrices(manifest, build)
        less = _packed(layers + head, bits, block) / weight_bytes(manifest, build)
        ways.append(f"fewer bytes (--precision {name} reads {less:.0%} of these)")
    few, most = min(rates), max(rates, key=lambda lanes: rates[lanes])
    if rates[most] > 1.1 * rates[few]:
        gain = rates[most] / rates[few]
        ways.append(f"more lanes at once ({most} make {gain:.1f} times as many tokens as {few})")
    elif len(rates) == 1 and few < 8:
        ways.append("more lanes at once, which share each reading of the weights (--lanes 8)")
    if build.device_class == "cuda":
        ways.append("a GPU with faster memory")
    else:
        ways.append("the GPU of this machine (--device cuda)" if gpu else "a GPU")
    return f"What would be faster: {'; '.join(ways)}."
