"""What each build of a model costs in quality: the table behind the choice of a precision.

Every build is compared with ``cpu-fp32`` on held-out text. A model's own figures are kept in
``quality.json`` of its folder; where it has none, those of the demonstration model, which ship with
the program, say roughly what to expect. ``models compare demo --json`` makes that file again.

**The default** follows from the table: the smallest build for the CPU, which is also the quickest,
because a step reads all weights once, whose mean divergence is at most :data:`KL_BOUND`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.core.bounded_reading import read_json
from explorer.core.errors import DeviceError, InputError, ModelError
from explorer.core.manifest import BUILD_NAMES, Manifest
from explorer.engine import throughput
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality import held_out_text, temporary_builds
from explorer.studies.quality.divergence import Divergence, compare
from explorer.studies.quality.held_out_text import HeldOut
from explorer.system.paths import Paths
from explorer.weights.builds.convert import Progress, explained
from explorer.weights.store.store import DEFAULT_BUILD, Installed, Store

if TYPE_CHECKING:
    from explorer.engine.session import Session

FILE_NAME = "quality.json"
REFERENCE = "cpu-fp32"
BUILDS = ("cpu-fp32", "cpu-int8", "cpu-int4")
"""What is measured unless somebody asks for others: everything that any machine can run."""

KL_BOUND = 0.01
"""Nats a token, mean. At that divergence no event of the next token changes its probability by more
than 0.071 (Pinsker: the square root of half the divergence), on average over positions."""

_VERSION = 1
_LIMIT = 1_000_000
_READY, _MAKING = 0.1, 0.3
"""Where the whole progress is when the model is there, and when the missing builds are."""
_STEPS = 24
"""Timed twice, and the quickest tenth counts: it is a short run, beside whatever else runs."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found about one build on one text."""

    build: str
    kl: float
    """Mean divergence from ``cpu-fp32``, nats a token."""
    bits_per_byte: float
    """Of the text, with this build."""
    top1: float
    """Share of the positions where the likeliest token is that of ``cpu-fp32``, 0 to 1."""
    tokens: int
    """Tokens that were predicted."""
    text: str
    """Name of the text."""
    kl99: float = 0.0
    """What 99% of the divergences stay below."""
    change: float = 0.0
    """Of bits per byte, relative to ``cpu-fp32``: 0.01 is 1% more."""
    bytes: int = 0
    """On disk, both files; 0 where it is not known."""
    rate: float | None = None
    """Tokens a second of one lane on the machine that measured; None for too short a context."""
    fingerprint: str = ""
    """Of the build, as in its manifest."""


def measure(
    progress: Progress,
    paths: Paths,
    name: str | Path,
    builds: Sequence[str] = BUILDS,
    text: HeldOut | None = None,
) -> list[Quality]:
    """Measure ``cpu-fp32`` and ``builds`` of a model, and keep the figures; work for a job.

    Builds that are missing, ``cpu-fp32`` included, are made for the time of the measurement. Two
    models at most are open at once. A build for a device that this machine lacks is left out.
    ``text`` is the one that ships by default. Raises :class:`InputError` for a build or text that
    cannot be used, :class:`DeviceError` where every build was left out, :class:`ModelError`, and
    whatever ``progress`` raises.
    """
    for build in builds:
        if build not in BUILD_NAMES:
            raise InputError(f"There is no build {build!r}; known are {', '.join(BUILD_NAMES)}.")
    progress(0.0, "Looking at the model")
    model = _ready(progress, paths, name)
    text = text or held_out_text.shipped(paths.resources)
    _check_writable(model.folder)
    wanted = [REFERENCE, *(build for build in dict.fromkeys(builds) if build != REFERENCE)]
    with temporary_builds.complete(
        paths, model, wanted, _part(progress, _READY, _MAKING)
    ) as folders:
        found = _measure(_part(progress, _MAKING, 1.0), folders, text)
    write_quality(model.folder, found)
    progress(1.0, "Done")
    return found


def write_quality(folder: Path, found: Sequence[Quality]) -> None:
    """Keep figures in a model folder by one rename, beside those of other builds kept before."""
    manifest = Manifest.read(folder)
    kept = read_quality(folder) | {quality.build: quality for quality in found}
    part = folder / (FILE_NAME + ".part")
    with explained(folder):
        part.write_text(as_json(manifest.fingerprint, kept.values()), encoding="utf-8")
        part.replace(folder / FILE_NAME)


def read_quality(folder: Path) -> dict[str, Quality]:
    """Return what was measured on the model in ``folder``, by build; nothing where it was not.

    Nothing, too, from a file that is damaged or about another model: it is only ever a hint.
    """
    try:
        manifest = Manifest.read(folder)
        fingerprint, found = _read(folder / FILE_NAME)
    except (OSError, ModelError, ValueError, TypeError):
        return {}
    if fingerprint != manifest.fingerprint:
        return {}
    builds = manifest.builds
    return {
        build: quality
        for build, quality in found.items()
        if build not in builds or builds[build].fingerprint == quality.fingerprint
    }


def demo_quality(resources: Path | None = None) -> dict[str, Quality]:
    """Return what was measured on the demonstration model when the program was made.

    Without speeds: they were those of another machine.
    """
    found = _read((resources or Paths.default().resources) / FILE_NAME)[1]
    return {build: replace(quality, rate=None) for build, quality in found.items()}


def as_json(fingerprint: str, found: Iterable[Quality]) -> str:
    """Return the text of a ``quality.json`` about the model with this fingerprint."""
    builds = {quality.build: _rounded(asdict(quality)) for quality in found}
    values = {"version": _VERSION, "model": fingerprint, "builds": builds}
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def best_build(found: Mapping[str, Quality]) -> str:
    """Return the build that a table speaks for on a CPU, by the rule of this module's docstring."""
    good = [
        quality
        for quality in found.values()
        if quality.build.startswith("cpu-") and quality.kl <= KL_BOUND
    ]
    return min(good, key=lambda quality: quality.bytes).build if good else REFERENCE


def verdict(found: Mapping[str, Quality]) -> str:
    """Return one sentence: which build is the default, and whether this table agrees."""
    rule = f"the smallest one for the CPU that stays within {KL_BOUND} nats a token of fp32"
    best = best_build(found)
    if best == DEFAULT_BUILD:
        return f"{DEFAULT_BUILD} is the default: {rule}."
    if DEFAULT_BUILD not in found:
        return f"{DEFAULT_BUILD} is the default and was not measured here; {best} is {rule}."
    return (
        f"{DEFAULT_BUILD} is the default, but with this model {best} is {rule}; "
        f"choose it with --precision {best.partition('-')[2]}."
    )


def describe(build: str, quality: Mapping[str, Quality]) -> str:
    """Return what to know of a build where a precision is chosen, in one line.

    ``quality`` is what was measured on the model; where it says nothing of this build, the figures
    of the demonstration model stand in, and the line says so.
    """
    precision = build.partition("-")[2]
    own = quality.get(build)
    found = own or demo_quality().get(build)
    if found is None:
        return f"{precision}: not measured yet"
    size = f"{found.bytes / 1e6:,.0f} MB, " if own and own.bytes else ""
    source = "" if own else "; measured on the demonstration model"
    if build == REFERENCE:
        return f"{precision}: {size}what the others are compared with"
    return (
        f"{precision}: {size}text {_likeness(found)} "
        f"({found.change * 100:+.1f} % bits per byte, KL {_short(found.kl)}{source})"
    )


def _likeness(quality: Quality) -> str:
    if quality.kl <= KL_BOUND:
        return "as likely as with fp32"
    return "a little less likely than with fp32" if quality.kl <= 0.1 else "clearly worse than fp32"


def _short(value: float) -> str:
    """Return a number with two digits that mean something, never as 4e-05."""
    return np.format_float_positional(float(f"{value:.2g}"), trim="-")


def _ready(progress: Progress, paths: Paths, name: str | Path) -> Installed:
    """Return a model that has a folder of its own."""
    store = Store(paths)
    model = store.find(name)
    if model.problem:
        raise ModelError(model.problem)
    if model.manifest is None:
        store.ensure(name, DEFAULT_BUILD, _part(progress, 0.0, _READY))
        model = store.find(name)
    return model


def _measure(progress: Progress, folders: Mapping[str, Path], text: HeldOut) -> list[Quality]:
    found: list[Quality] = []
    left_out: DeviceError | None = None
    with closing(_open(folders[REFERENCE], REFERENCE)) as reference:
        manifest = reference.manifest
        tokens = Tokens.of_model(reference.folder, manifest)
        windows = held_out_text.windows(text, tokens, manifest.context)
        size = held_out_text.size_in_bytes(windows, tokens)
        for number, (build, folder) in enumerate(folders.items()):
            here = _part(progress, number / len(folders), (number + 1) / len(folders))
            try:
                session = reference if build == REFERENCE else _open(folder, build)
            except DeviceError as error:
                left_out = error
                continue
            try:
                report = _worded(here, f"Measuring {build}")
                divergence = compare(reference, session, windows, report)
                found.append(_quality(session, tokens, divergence, size, text.name))
            finally:
                if session is not reference:
                    session.close()
    if left_out and len(found) == 1 and len(folders) > 1:
        raise left_out
    return found


def _quality(
    session: Session, tokens: Tokens, divergence: Divergence, size: int, text: str
) -> Quality:
    build = session.build
    if not (np.isfinite(divergence.kl).all() and math.isfinite(divergence.nats)):
        raise ModelError(
            f"{build.name} of {session.manifest.name} gives numbers that are not finite; find out "
            "why with: sample-explorer models verify."
        )
    long_enough = session.manifest.context >= throughput.PROMPT + throughput.WARM_UP + _STEPS
    rate = throughput.tokens_a_second(session, tokens, 1, _STEPS, 2, 0.1) if long_enough else None
    return Quality(
        build=build.name,
        kl=float(divergence.kl.mean()),
        bits_per_byte=divergence.nats / math.log(2) / size,
        top1=divergence.same,
        tokens=len(divergence.kl),
        text=text,
        kl99=float(np.quantile(divergence.kl, 0.99)),
        change=divergence.nats / divergence.reference_nats - 1,
        bytes=build.bytes,
        rate=rate,
        fingerprint=build.fingerprint,
    )


def _open(folder: Path, build: str) -> Session:
    # Here and not above: the window reads figures and measures none; it is spared onnxruntime.
    from explorer.engine.session import Session

    return Session(folder, build, "cuda" if build.startswith("cuda") else "cpu")


def _check_writable(folder: Path) -> None:
    """Refuse before minutes of work what could not be kept after them."""
    with explained(folder):
        part = folder / (FILE_NAME + ".part")
        part.touch()
        part.unlink()


def _part(progress: Progress, start: float, stop: float) -> Progress:
    return lambda fraction, text: progress(start + (stop - start) * fraction, text)


def _worded(progress: Progress, text: str) -> Callable[[float], None]:
    return lambda fraction: progress(fraction, text)


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Return figures with the digits that mean something."""
    return {
        name: float(f"{value:.4g}" if name in ("kl", "kl99", "change") else f"{value:.5g}")
        if isinstance(value, float)
        else value
        for name, value in values.items()
    }


def _read(path: Path) -> tuple[str, dict[str, Quality]]:
    """Return the model's fingerprint and the figures in a file; raise where anything is odd."""
    values = read_json(path, _LIMIT)
    if not isinstance(values, dict):
        raise ValueError("no JSON object")
    builds = values.get("builds")
    if values.get("version") != _VERSION or not isinstance(builds, dict):
        raise ValueError("another version")
    found = {name: _checked(value) for name, value in builds.items()}
    if any(name not in BUILD_NAMES or name != quality.build for name, quality in found.items()):
        raise ValueError("an unknown build")
    return str(values.get("model")), found


def _checked(values: Any) -> Quality:
    quality = Quality(**values)
    for field in fields(Quality):
        value = getattr(quality, field.name)
        if field.type == "str":
            right = isinstance(value, str)
        elif field.type == "int":
            right = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        else:
            number = isinstance(value, float | int) and not isinstance(value, bool)
            right = number and math.isfinite(value) and (value >= 0 or field.name == "change")
            right = right or (value is None and field.name == "rate")
        if not right:
            raise ValueError(f"{field.name} is {value!r}")
    return quality
