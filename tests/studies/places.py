"""Folders of their own for a study, with a tiny model that has every build for the CPU."""

from __future__ import annotations

import shutil
from pathlib import Path

from explorer.system.paths import Paths
from explorer.weights.store.store import Store
from tests.tiny import make_tiny

BUILDS = ("cpu-fp32", "cpu-int8", "cpu-int4")
RESOURCES = Paths.default().resources


def make_places(folder: Path) -> Paths:
    """Return places below ``folder``; what ships with the program is the real one."""
    data = folder / "data"
    program = folder / "program"
    program.mkdir(parents=True)
    return Paths(data, data / "cache", data / "logs", RESOURCES, program)


def import_tiny(folder: Path, name: str = "tiny", seed: int = 0) -> Paths:
    """Import a tiny GPT-2 with all builds for the CPU below ``folder``."""
    paths = make_places(folder)
    source = make_tiny(folder / "source", width=32, layers=2, seed=seed)
    store = Store(paths)
    store.import_folder(source, name, BUILDS[0])
    for build in BUILDS[1:]:
        store.ensure(name, build)
    shutil.rmtree(source)
    return paths


def model_folder(paths: Paths, name: str = "tiny") -> Path:
    return paths.models / name
