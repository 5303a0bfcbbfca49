"""Whose work is inside, and under which terms: read from what is installed, never typed.

A packaged program carries the list that was written when it was built (``licences.json``, with the
text of each licence). Anywhere else the list is read from the metadata of the environment.
"""

from __future__ import annotations

import json
import platform
import re
import sysconfig
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.system.paths import APP_NAME

if TYPE_CHECKING:
    from importlib.metadata import Distribution, PackageMetadata

FILE_NAME = "licences.json"
_TEXT = re.compile(r"(licen[cs]e|copying|notice|thirdparty)[^/]*$", re.IGNORECASE)
_NO_TEXT = re.compile(r"\.(py|pyc|pyi|json|so|dll)$|(^|/)(tests?|sboms)/")
_NOTICES = {
    "LGPL-3.0": ("LGPL-3.0.txt", "GPL-3.0.txt"),
    "Apache": ("Apache-2.0.txt",),
}
"""The texts of licences that some wheels name and do not bring."""
_LONGEST_TERMS = 120  # characters; longer is the licence itself in the wrong field


@dataclass(frozen=True, slots=True)
class Licence:
    """One work that is inside."""

    name: str
    version: str
    terms: str
    """An SPDX expression where its authors give one, else their words; may be empty."""
    text: str
    """The licence in full, with notices that belong to it; may be empty."""


def licences(resources: Path) -> list[Licence]:
    """Return what the program consists of, itself first, then by name."""
    try:
        found = json.loads((resources / FILE_NAME).read_text(encoding="utf-8"))
        return [Licence(**each) for each in found]
    except OSError:
        return collected(resources / "notices")


def write(file: Path, found: Iterable[Licence]) -> None:
    """Write a list that :func:`licences` reads."""
    text = json.dumps([asdict(each) for each in found], indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def collected(
    notices: Path, others: Iterable[Licence] = (), names: Iterable[str] | None = None
) -> list[Licence]:
    """Return the program, Python, every distribution that it requires here, and ``others``.

    ``notices`` holds the texts of licences that wheels name and do not bring; ``names`` are the
    distributions that are inside, where that is known better.
    """
    names = set(requirements(APP_NAME) if names is None else names) - {APP_NAME}
    rest = [python(), *(of_distribution(name, notices) for name in names), *others]
    own = of_distribution(APP_NAME, notices)
    return [own, *sorted(rest, key=lambda each: each.name.casefold())]


def requirements(name: str) -> list[str]:
    """Return the distribution ``name`` and whatever of its requirements is installed, extras apart.

    Empty where ``name`` is not installed.
    """
    from importlib import metadata

    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        wanted = waiting.pop()
        key = re.sub(r"[-_.]+", "-", wanted).lower()
        if key in found:
            continue
        try:
            distribution = metadata.distribution(wanted)
        except metadata.PackageNotFoundError:  # for another system
            continue
        found[key] = str(distribution.metadata["Name"])
        required = [line for line in distribution.requires or () if "extra ==" not in line]
        waiting += re.findall(r"^[\w.-]+", "\n".join(required), re.MULTILINE)
    return list(found.values())


def of_distribution(name: str, notices: Path) -> Licence:
    """Return what an installed distribution says of itself."""
    from importlib import metadata

    distribution = metadata.distribution(name)
    terms = _terms(distribution.metadata)
    text = _texts(distribution)
    if not text:
        named = next((files for sign, files in _NOTICES.items() if sign in terms), ())
        text = _joined(*(notices / file for file in named))
    return Licence(str(distribution.metadata["Name"]), distribution.version, terms, text)


def python() -> Licence:
    """Return the interpreter that runs this."""
    library = Path(sysconfig.get_path("stdlib"))
    places = (library / "LICENSE.txt", library.parents[1] / "LICENSE.txt")
    system = Path(f"/usr/share/doc/{library.name}/copyright")
    return Licence("Python", platform.python_version(), "PSF-2.0", _joined(*places, system))


def _terms(metadata: PackageMetadata) -> str:
    for field in ("License-Expression", "License"):
        words = (metadata.get_all(field) or [""])[0].strip()
        if words and "\n" not in words and len(words) <= _LONGEST_TERMS:
            return str(words)
    classifiers = metadata.get_all("Classifier") or []
    named = (line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::"))
    return ", ".join(named)


def _texts(distribution: Distribution) -> str:
    files = [
        file
        for file in distribution.files or ()
        if _TEXT.search(str(file)) and not _NO_TEXT.search(str(file))
    ]
    return _joined(*(Path(str(distribution.locate_file(file))) for file in files))


def _joined(*files: Path) -> str:
    """Return the texts of those files that are there, each once; several under their names."""
    texts: dict[str, str] = {}
    for file in files:
        try:
            texts.setdefault(file.read_text(encoding="utf-8", errors="replace").strip(), file.name)
        except OSError:
            continue
    if len(texts) < 2:
        return next(iter(texts), "")
    return "\n\n\n".join(f"{name}\n\n{text}" for text, name in texts.items())
