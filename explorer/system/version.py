"""The version of the program, stated in pyproject.toml only, and what it was built from."""

from __future__ import annotations

import functools
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from explorer.system.paths import APP_NAME

FILE_NAME = "build.json"
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Build:
    """Where this program comes from."""

    commit: str = ""
    """The commit in 12 digits, ``-dirty`` behind it where files had changed; empty = unknown."""
    kind: str = "source"
    """``cpu`` or ``cuda`` for a packaged program, else ``source``."""


@functools.cache
def version() -> str:
    """Return the version, also in a checkout that was never installed."""
    # A checkout first: what is installed may be older than the files that run.
    pyproject = _ROOT / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == APP_NAME:
            return str(project["version"])
    # Here and not above: it brings the standard library's mail parser along.
    from importlib import metadata

    return metadata.version(APP_NAME)


def build(resources: Path) -> Build:
    """Return what ``build.spec`` noted in a packaged program, else what the checkout says."""
    try:
        noted = json.loads((resources / FILE_NAME).read_text(encoding="utf-8"))
    except OSError:
        return Build(_checked_out(_ROOT / ".git"))
    return Build(**noted)


def _checked_out(git: Path) -> str:
    """Return the commit that a ``.git`` folder has checked out; empty where it cannot be read."""
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if (name := head.removeprefix("ref: ")) != head:
            place = git / name
            if place.is_file():
                head = place.read_text(encoding="utf-8").strip()
            else:
                packed = (git / "packed-refs").read_text(encoding="utf-8")
                found = re.search(rf"^(\w+) {re.escape(name)}$", packed, re.MULTILINE)
                head = found[1] if found else ""
    except OSError:
        return ""
    return head[:12] if re.fullmatch(r"[0-9a-f]{40,64}", head) else ""
