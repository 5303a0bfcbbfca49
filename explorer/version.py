"""The version of the program: pyproject.toml is the one place that states it."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

from explorer.paths import APP_NAME


@functools.cache
def version() -> str:
    """Return the version, also in a checkout that was never installed."""
    # A checkout first: what is installed may be older than the files that run.
    pyproject = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == APP_NAME:
            return str(project["version"])
    # Here and not above: it brings the standard library's mail parser along.
    from importlib import metadata

    return metadata.version(APP_NAME)
