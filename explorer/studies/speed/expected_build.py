"""Whether a build will fit: one that is there, or one that could be made.

What a missing build would be like follows from the model's sizes and from how its precision is
packed; the estimate of memory itself is the engine's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from explorer.core.manifest import Build, DeviceClass, Manifest, Precision
from explorer.engine.memory_estimate import Estimate, estimate
from explorer.weights.builds.packing import PACKINGS

_NUMBER: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 4, "int4": 4}
"""Bytes of a number that is not packed."""
_HEAD, _LOOKED_UP = 4, 2
"""Bytes of a number of a head that is not packed, and of the embedding beside one that is."""


def needed(manifest: Manifest, build: str, lanes: int) -> Estimate:
    """Return the memory that a build takes with ``lanes`` texts as long as the context allows."""
    if build not in manifest.builds:
        manifest = manifest.with_build(expected_build(manifest, build))
    return estimate(manifest, build, lanes)


def expected_build(manifest: Manifest, name: str) -> Build:
    """Return what the manifest would roughly say of a build if it were made."""
    device_class, _, precision = name.partition("-")
    kind = cast(Precision, precision)
    packing = PACKINGS[kind]
    embedding = manifest.vocabulary * manifest.width
    rest = max(manifest.parameters - embedding, 0)
    build = Build(
        name,
        cast(DeviceClass, device_class),
        kind,
        "",
        -(-manifest.head_size // 8) * 8,
        min(64, manifest.vocabulary),
        packing.layers.bits,
        packing.layers.block,
        packing.head_bits,
        packing.even_rows,
    )
    if build.bits is None:
        return replace(build, bytes=_NUMBER[kind] * rest + _HEAD * embedding)
    positions = manifest.context * manifest.width
    packed = build.quantized_bytes(max(rest - positions, 0), embedding)
    return replace(build, bytes=packed + _NUMBER[kind] * positions + _LOOKED_UP * embedding)
