"""What the window says where memory may not do, or has not done, and the ways out it offers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from explorer.core.errors import ExplorerError
from explorer.core.manifest import Manifest
from explorer.core.wording import number_of
from explorer.engine.memory_estimate import Fit, fit
from explorer.studies.speed.expected_build import needed
from explorer.weights.hub.transfer_rate import size

_SMALLER = {
    "cuda-fp16": ("cpu-int8", "cpu-int4"),
    "cpu-fp32": ("cpu-int8", "cpu-int4"),
    "cpu-int8": ("cpu-int4",),
}
_FEWER = (4, 2, 1)


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something a person can do about it."""

    label: str
    kind: Literal["build", "lanes", "anyway"]
    value: str | int = ""


@dataclass(frozen=True, slots=True)
class MemoryWarning:
    """A model that is tight or too large, in one sentence with the numbers."""

    model: str
    build: str
    fit: Fit
    sentence: str
    ways: tuple[Remedy, ...]


def memory_warning(
    manifest: Manifest, build: str, lanes: int, free: int | None
) -> MemoryWarning | None:
    """Return what speaks against loading a build for ``lanes``; None where nothing does.

    ``free`` are the bytes on its device, None where nobody knows.
    """
    try:
        wanted = needed(manifest, build, lanes)
    except ExplorerError:
        return None  # loading it will say what is wrong
    answer = fit(wanted, free)
    if answer == "fits" or free is None:
        return None
    name = f"{manifest.name} ({build}) with {number_of(lanes, 'lane')}"
    numbers = f"needs about {size(wanted.total)} and {size(free)} is free"
    large = answer == "too large"
    end = "it may end for lack of memory" if large else "other programs may become slow"
    ways = []
    for offered in (_smaller(build), _fewer(build, lanes)):
        better = (way for way in offered if _fit(manifest, build, lanes, way, free) != answer)
        ways += [way for way in (next(better, None),) if way is not None]
    if large:
        ways.append(Remedy("Load anyway", "anyway"))
    return MemoryWarning(manifest.name, build, answer, f"{name} {numbers}: {end}.", tuple(ways))


def shortage(
    manifest: Manifest, build: str, lanes: int, free: int | None, sentence: str
) -> MemoryWarning | None:
    """Return what can be done about a build that ran out of memory, as ``sentence`` says.

    Of each kind the first way that fits is offered, else the one that needs least: an estimate that
    was wrong once may be wrong again. None where nothing is left to offer.
    """
    ways = []
    try:
        for offered in (list(_fewer(build, lanes)), list(_smaller(build))):
            fits = (way for way in offered if _fit(manifest, build, lanes, way, free) == "fits")
            ways += [next(fits, way) for way in offered[-1:]]
    except ExplorerError:
        return None
    return MemoryWarning(manifest.name, build, "too large", sentence, tuple(ways)) if ways else None


def _smaller(build: str) -> Iterator[Remedy]:
    """Yield the builds that need less, the most exact first; instead of a GPU's the CPU's."""
    for smaller in _SMALLER.get(build, ()):
        if build.startswith("cuda"):
            yield Remedy("Use the CPU", "build", smaller)
            return
        yield Remedy(f"Use {smaller[4:]}", "build", smaller)


def _fewer(build: str, lanes: int) -> Iterator[Remedy]:
    """Yield smaller numbers of lanes; none on a GPU, where steps have as many rows in any case."""
    if not build.startswith("cuda"):
        yield from (Remedy(number_of(n, "lane"), "lanes", n) for n in _FEWER if n < lanes)


def _fit(manifest: Manifest, build: str, lanes: int, way: Remedy, free: int | None) -> Fit:
    if way.kind == "build":
        # Where the GPU is full the CPU's own memory decides; that is asked when it is chosen.
        return (
            "fits"
            if build.startswith("cuda")
            else fit(needed(manifest, str(way.value), lanes), free)
        )
    return fit(needed(manifest, build, int(way.value)), free)
