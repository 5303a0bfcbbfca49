"""Making a build that somebody asks for by name: where it is missing, or where it is damaged.

Opening a model trusts a build of the right size, because hashing gigabytes would take longer than
loading them. Whoever asks for the build itself has been told by ``verify`` that it is damaged, or
wants one more; then its hashes are worth their time.
"""

from __future__ import annotations

from pathlib import Path

from explorer.studies.quality.verify import is_intact
from explorer.system.paths import Paths
from explorer.weights.builds.convert import Progress
from explorer.weights.store.store import Store


def make_build(progress: Progress, paths: Paths, name: str | Path, build: str) -> bool:
    """Make a build of a model unless it is there as it was written; work for a job.

    Returns whether it was made. What was there stays until the new one is complete. Raises what
    :meth:`Store.ensure` does.
    """
    store = Store(paths)
    model = store.find(name)
    if model.has(build):
        progress(0.0, "Checking the files")
        if is_intact(model, build):
            return False
    store.ensure(name, build, progress, again=True)
    return True
