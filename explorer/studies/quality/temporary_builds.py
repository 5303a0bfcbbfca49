"""Builds that a study needs and the person did not ask for: made beside the models, then removed.

They lie in the cache, one study at a time, so that neither the list of models nor the disk shows
them afterwards. A study that is killed leaves them; the next one, or :func:`clean`, clears them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from explorer.core.errors import ModelError
from explorer.system.lock import FileLock, HeldError
from explorer.system.paths import Paths
from explorer.weights.builds.convert import SOURCE_FOLDER, Progress, convert, discard, explained
from explorer.weights.store.store import Installed

_LOCK_FILE = ".lock"
_MADE = "model"


@contextlib.contextmanager
def complete(
    paths: Paths, model: Installed, builds: Sequence[str], progress: Progress
) -> Iterator[dict[str, Path]]:
    """Give the model folder in which each of ``builds`` is found, for as long as it is needed.

    A build that the model has is used where it is, a missing one is made for the time being. Raises
    :class:`ModelError` where the source is gone, has changed, or leaves too little room.
    """
    folders = dict.fromkeys(builds, model.folder)
    missing = [build for build in builds if not model.has(build)]
    if not missing:
        yield folders
        return
    source = source_folder(model)
    if not source.is_dir():
        raise ModelError(
            f"{model.name} has no {missing[0]} build and its source is gone; import it again."
        )
    place = _place(paths)
    with explained(place):
        place.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place / _LOCK_FILE, lambda: progress(0.0, "Waiting for another study"))
    with lock:
        made = place / _MADE
        _clear(place)
        try:
            known = model.manifest
            manifest = convert(source, made, missing, model.name, progress, False, like=known)
            if known and manifest.fingerprint != known.fingerprint:
                raise ModelError(
                    f"The source of {model.name} has changed since it was imported; "
                    "remove the model and import it again."
                )
            yield folders | dict.fromkeys(missing, made)
        finally:
            _clear(place)


def clean(paths: Paths) -> None:
    """Clear away what a killed study left, unless another one is running."""
    place = _place(paths)
    if place.is_dir():
        with contextlib.suppress(OSError, HeldError), FileLock(place / _LOCK_FILE):
            _clear(place)


def source_folder(model: Installed) -> Path:
    """Return where the files lie that a model is made from; they may be gone."""
    return model.source or model.folder / SOURCE_FOLDER


def _place(paths: Paths) -> Path:
    return paths.cache / "studies"


def _clear(place: Path) -> None:
    for path in place.glob(_MADE + "*"):  # with .part, where it was killed while being made
        with explained(place):
            discard(path)
