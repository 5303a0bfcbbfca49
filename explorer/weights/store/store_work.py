"""What a job does with the models of this machine: converting and deleting take their time.

Each takes the progress function first, so that the window can run it in a child process.
"""

from __future__ import annotations

from pathlib import Path

from explorer.system.paths import Paths
from explorer.weights.builds.convert import Progress
from explorer.weights.store.store import Installed, Store


def import_model(
    progress: Progress, paths: Paths, source: Path, name: str | None, build: str
) -> Installed:
    """Import a folder: :meth:`Store.import_folder` as work for a job."""
    return Store(paths).import_folder(source, name, build, progress)


def ensure_build(progress: Progress, paths: Paths, name_or_dir: str | Path, build: str) -> Path:
    """Make a missing build: :meth:`Store.ensure` as work for a job."""
    return Store(paths).ensure(name_or_dir, build, progress)


def remove_model(progress: Progress, paths: Paths, name: str) -> None:
    """Delete an imported model: :meth:`Store.remove`."""
    progress(0.0, "Deleting its files")
    Store(paths).remove(name)


def remove_build(progress: Progress, paths: Paths, name: str, build: str) -> None:
    """Delete one build of a model: :meth:`Store.remove_build`."""
    progress(0.0, "Deleting its files")
    Store(paths).remove_build(name, build)
