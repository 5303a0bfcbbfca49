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

from explorer.core.manifest import Build, Manifest, Precision
from explorer.engine import memory_estimate
from explorer.studies.speed.expected_build import expected_build

_BUFFER = 256 << 20
"""Bytes that are read to measure memory: more than processors keep in their caches."""

_PASSES = 8

_BOUND = 0.25
"""Share of what memory allows below which it is not memory that steps wait for."""

_SMALLER: dict[Precision, Precision] = {"fp32": "int8", "int8": "int4"}
"""Precision with fewer bytes on a CPU."""


def step_bytes(manifest: Manifest, build: Build, lanes: int, position: int) -> int:
    """Return the bytes that a step of so many lanes reads, each with ``position`` tokens cached.

    Weights of matrices and the cache; the rows of the embeddings are too few to count.
    """
    cached = lanes * position * memory_estimate.position_bytes(manifest, build)
    return weight_bytes(manifest, build) + cached


def weight_bytes(manifest: Manifest, build: Build) -> int:
    """Return the bytes of the matrices of all layers and of the head."""
    layers, head = manifest.matrix_weights(build)
    if build.bits is not None:
        return build.quantized_bytes(layers, head)
    return layers * (2 if build.precision == "fp16" else 4) + head * 4


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


def faster(
    manifest: Manifest,
    build: Build,
    rates: Mapping[int, float],
    reached: float | None,
    *,
    gpu: bool,
) -> str:
    """Say in a sentence what would make more tokens a second than was measured.

    ``rates`` are tokens a second by number of lanes, ``reached`` is the largest share of what
    memory allows among them (None: not measured), ``gpu`` says whether there is one to use.
    """
    ways = []
    name = _SMALLER.get(build.precision) if build.device_class == "cpu" else None
    # With several lanes the processor is the bound, and unpacking four bits costs it more.
    bound = reached is None or reached > _BOUND
    if name and bound and (name != "int4" or 1 in rates):
        smaller = expected_build(manifest, f"cpu-{name}")
        less = weight_bytes(manifest, smaller) / weight_bytes(manifest, build)
        when = " for one lane" if name == "int4" else ""
        ways.append(f"fewer bytes{when} (--precision {name} reads {less:.0%} of these)")
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
