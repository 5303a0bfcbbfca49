"""How pages say sizes, origins and needs of models, so that every one of them says it alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from explorer.core.manifest import Build, Manifest
from explorer.core.wording import day
from explorer.weights.builds.convert import SOURCE_FOLDER
from explorer.weights.hub.transfer_rate import size
from explorer.weights.store.store import Installed

Fit = Literal["fits", "tight", "too large"]

KINDS = {
    "huggingface": "Hugging Face folder",
    "openai": "OpenAI checkpoint",
    "onnx": "ONNX export",
}
PRECISIONS = {
    "cpu-fp32": "32 bits a weight, for the CPU: exact, and the largest",
    "cpu-int8": "8 bits a weight, for the CPU",
    "cpu-int4": "4 bits a weight, for the CPU: the smallest",
    "cuda-fp16": "16 bits a weight, for an NVIDIA GPU",
}
_SIGNS: dict[Fit, str] = {"fits": "✓", "tight": "!", "too large": "✕"}
TONES: dict[Fit, str] = {"fits": "kept", "tight": "caution", "too large": "rejected"}
"""Role of a label that says how a build fits: the sign and the words say it too."""


@dataclass(frozen=True, slots=True)
class Need:
    """The memory that a build would take at the present number of lanes, in bytes."""

    total: int
    free: int | None
    """What is free on its device; None where nobody knows."""
    fit: Fit | None
    lanes: int
    obstacle: str = ""
    """Why nothing can run on its device here, as a sentence without its full stop."""


def _unknown(_manifest: Manifest, _build: str) -> Need | None:
    return None


def _unmeasured(_folder: Path) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class ModelAdvice:
    """What else is known of a model and its builds; decided where the window is put together."""

    need: Callable[[Manifest, str], Need | None] = _unknown
    quality: Callable[[Path], Mapping[str, str]] = _unmeasured
    """A sentence by build: what its precision costs."""


def parameters(count: int) -> str:
    """Write a number of parameters as people say it: ``7 M``, ``124 M``, ``1.6 B``."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            decimals = 1 if letter == "B" and count < 9.95e9 else 0
            return f"{count / unit:.{decimals}f} {letter}"
    return str(count)


def precision_words(name: str, build: Build | None, quality: str) -> str:
    """Return what a build is, how large it is, and what its precision costs, a line each."""
    there = f"{size(build.bytes)} on disk" if build and build.bytes else "is here"
    lines = (PRECISIONS[name], there if build else "converted when it is chosen", quality)
    return "\n".join(filter(None, lines))


def origin(source: Mapping[str, str]) -> str:
    """Return where a model came from, in a few words."""
    kind = KINDS.get(source.get("kind", ""), "")
    if repository := source.get("repository"):
        return f"{repository} on Hugging Face"
    path = source.get("path", "")
    return " · ".join(filter(None, (kind, Path(path).name if path else "", source.get("file", ""))))


def card(model: Installed) -> Path | None:
    """Return the file in which those who made a model say what it is; None where there is none."""
    path = (model.source or model.folder / SOURCE_FOLDER) / "README.md"
    return path if path.is_file() else None


def reason(problem: str, folder: Path) -> str:
    """Return why a model is broken without the path of its folder, which hides it in a line."""
    return problem.replace(f"{folder}{os.sep}", "").replace(str(folder), folder.name)


def last_used(seconds: float | None, today: date | None = None) -> str:
    """Return when a model was used last, to the day."""
    if seconds is None:
        return "not used yet"
    when = datetime.fromtimestamp(seconds).date()
    ago = ((today or date.today()) - when).days
    if 0 <= ago <= 1:
        return "used yesterday" if ago else "used today"
    return f"used {day(when)}"


def memory(need: Need) -> str:
    """Return what a build needs against what is free, with a sign and a word for how it fits."""
    lanes = "1 lane" if need.lanes == 1 else f"{need.lanes} lanes"
    needs = f"needs {size(need.total)} for {lanes}"
    if need.free is None or need.fit is None:
        return f"{needs[0].upper()}{needs[1:]}{f'. {need.obstacle}.' if need.obstacle else ''}"
    verdict = {"fits": "fits", "tight": "is tight", "too large": "is too large"}[need.fit]
    return f"{_SIGNS[need.fit]} {verdict}: {needs}, {size(need.free)} free"
