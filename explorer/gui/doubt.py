"""What the window says before it loads a model for which memory may not do, and what it offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from explorer.engine.memory import Fit, fit, gigabytes
from explorer.errors import ExplorerError
from explorer.gui.wording import number_of
from explorer.manifest import Manifest
from explorer.studies.fitting import needed

_SMALLER = {
    "cuda-fp16": ("cpu-int8", "cpu-int4"),
    "cpu-fp32": ("cpu-int8", "cpu-int4"),
    "cpu-int8": ("cpu-int4",),
}
_FEWER = (4, 2, 1)


@dataclass(frozen=True, slots=True)
class Way:
    """Something a person can do about it."""

    label: str
    kind: Literal["build", "lanes", "anyway"]
    value: str | int = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A model that is tight or too large, in one sentence with the numbers."""

    model: str
    fit: Fit
    sentence: str
    ways: tuple[Way, ...]


def doubt(manifest: Manifest, build: str, lanes: int, free: int | None) -> Doubt | None:
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
    numbers = f"needs about {gigabytes(wanted.total)} and {gigabytes(free)} is free"
    large = answer == "too large"
    end = "it may end for lack of memory" if large else "other programs may become slow"
    ways = []
    for smaller in _SMALLER.get(build, ()):
        # Where the GPU is full the CPU's own memory decides; that is asked when it is chosen.
        if build.startswith("cuda") or fit(needed(manifest, smaller, lanes), free) != answer:
            words = "Use the CPU" if build.startswith("cuda") else f"Use {smaller[4:]}"
            ways.append(Way(words, "build", smaller))
            break
    for fewer in _FEWER:
        if fewer < lanes and fit(needed(manifest, build, fewer), free) != answer:
            ways.append(Way(number_of(fewer, "lane"), "lanes", fewer))
            break
    if large:
        ways.append(Way("Load anyway", "anyway"))
    return Doubt(manifest.name, answer, f"{name} {numbers}: {end}.", tuple(ways))
