"""The models of this machine: listed, imported, removed, and given the build that is asked for.

Three kinds live side by side. *Imported* models are folders in the person's data. *Bundled* ones
(the demonstration model) are plain GPT-2 folders that ship with the program, read-only; their
builds are made at first use, in the cache. Any *other folder* may be named by its path and is
treated likewise. What is in the cache is found by the content of its source and by how builds are
made, so a changed source, or a program that makes them otherwise, simply has another entry. One
lock a folder of models keeps two programs from making the same thing at once, and whoever holds it
may clear away what a killed conversion left.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.core.errors import InputError, ModelError, UnknownModelError
from explorer.core.manifest import BUILD_NAMES, Manifest
from explorer.core.manifest import FILE_NAME as MANIFEST_FILE
from explorer.system.lock import FileLock, HeldError
from explorer.system.paths import Paths
from explorer.weights.builds.convert import (
    PART,
    SOURCE_FOLDER,
    Progress,
    add_build,
    convert,
    discard,
    explained,
    has_build,
)
from explorer.weights.builds.packing import BUILD_REVISION, PACKINGS
from explorer.weights.checkpoints.layouts import source_files
from explorer.weights.formats.config import FILE_NAME as CONFIG_FILE
from explorer.weights.formats.untrusted_folder import (
    Source,
    folder_of,
    looks_like_model,
    shown,
    source_of,
)
from explorer.weights.store.model_names import RESERVED, check_name, folder_name, free_name, plain

DEFAULT_BUILD = "cpu-int8"
_LOCK_FILE = ".lock"
_USED_FILE = ".used"

Stamps = tuple[tuple[str | int, ...], ...]
"""Of each file of a source: its name, and what :func:`_stamp` says of it."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A model that can be named, or the reason why it cannot be used."""

    name: str
    folder: Path
    """The model folder; of a bundled model it may not have been made yet."""
    manifest: Manifest | None
    """None where it was not made yet or is broken."""
    problem: str
    """Why it cannot be used, as a sentence; empty where it can."""
    bundled: bool
    source: Path | None = None
    """The GPT-2 folder it is made from, where that lies outside ``folder``."""

    def has(self, build: str) -> bool:
        """Return whether this build is there and complete."""
        return self.manifest is not None and has_build(self.folder, self.manifest, build)

    @property
    def builds(self) -> tuple[str, ...]:
        """Names of the builds that are there and complete."""
        return tuple(filter(self.has, BUILD_NAMES))

    @property
    def bytes_on_disk(self) -> int:
        """Size of all files of the model folder: source, builds, tokenizer."""
        return sum(_sizes(self.folder))

    def build_bytes(self, build: str) -> int:
        """Return the size of all files of one build."""
        return sum(_sizes(self.folder / build))

    @property
    def used(self) -> float | None:
        """When it was last opened to generate, seconds since the epoch; None: never."""
        try:
            return (self.folder / _USED_FILE).stat().st_mtime
        except OSError:
            return None


class Store:
    """The models that can be used with ``paths``."""

    def __init__(self, paths: Paths) -> None:
        """Remember where models live; nothing is read or created."""
        self._paths = paths
        self._keys: dict[Path, tuple[Stamps, str]] = {}

    def list(self) -> builtins.list[Installed]:
        """Return bundled models, then imported ones by name; a broken one stops no other."""
        return [*self._bundled(), *self._imported()]

    def find(self, name_or_dir: str | Path) -> Installed:
        """Return the model of this name, or the one in this folder (a model folder or a GPT-2).

        Raises :class:`ModelError` that names the installed models, and :class:`CheckpointError` for
        a folder whose files cannot be read, or a file that is no part of a GPT-2.
        """
        models = self.list()
        for model in models:
            if model.name == str(name_or_dir):
                return model
        # os.path answers False where Path raises: a name too long, a home that nobody has.
        folder = os.path.expanduser(name_or_dir)
        if folder and os.path.isdir(folder):
            return self._by_path(Path(folder).resolve(), models)
        if folder and os.path.isfile(folder):
            folder_of(Path(folder))  # says what else to do of a file that cannot be imported
            raise UnknownModelError(
                f"{shown(str(name_or_dir))} is a file, and here goes the name or the folder of a "
                "model; import the file with models import, then use the name that it has there."
            )
        names = ", ".join(model.name for model in models) or "none"
        raise UnknownModelError(
            f"There is no model or folder {shown(str(name_or_dir))}; installed models: {names}."
        )

    def ensure(
        self,
        name_or_dir: str | Path,
        build: str = DEFAULT_BUILD,
        progress: Progress = lambda fraction, text: None,
        again: bool = False,
    ) -> Path:
        """Return the folder of a model that has this build, making the build where it is missing.

        With ``again`` a build that is there is replaced: somebody knows that it is damaged. Raises
        :class:`ModelError`, :class:`CheckpointError`, and whatever ``progress`` raises.
        """
        model = self.find(name_or_dir)
        if model.has(build) and not again:
            return model.folder
        if model.problem:
            raise ModelError(model.problem)
        with self._alone(model.folder, progress):
            if model.source is None:
                add_build(model.folder, build, progress, again=again)
            elif _manifest(model.folder) is None:
                with explained(model.folder):
                    discard(model.folder)
                convert(model.source, model.folder, [build], model.name, progress, False)
                self._discard_older(model)
            else:
                add_build(model.folder, build, progress, model.source, again)
        return model.folder

    def import_folder(
        self,
        source: Path,
        name: str | None = None,
        build: str = DEFAULT_BUILD,
        progress: Progress = lambda fraction, text: None,
    ) -> Installed:
        """Convert a GPT-2 into an installed model, named after its folder by default.

        ``source`` is the folder or one of its files, see :func:`source_of`; a chosen file counts.
        Raises :class:`InputError` for a name that cannot be used, :class:`CheckpointError`,
        :class:`ModelError`, and whatever ``progress`` raises; nothing is left behind then.
        """
        wanted = None if name is None else check_name(name)
        chosen = source_of(source)
        target = self._paths.models
        with self._alone(target / (wanted or "new"), progress):
            self.check_new_name(wanted)
            wanted = wanted or free_name(folder_name(chosen.folder), self._taken())
            convert(chosen, target / wanted, [build], wanted, progress)
        return self.find(wanted)

    def import_download(
        self,
        folder: Path,
        origin: dict[str, str],
        hashes: dict[str, str],
        name: str | None,
        build: str,
        progress: Progress = lambda fraction, text: None,
    ) -> Installed:
        """Convert what was fetched into ``folder`` into an installed model; its files move there.

        ``origin`` has kind, repository, revision and perhaps licence, ``hashes`` hex SHA-256 of
        files by name, as far as they were taken. The name is made from the repository's by default.
        Raises what :meth:`import_folder` does; the files are then where they were.
        """
        target = self._paths.models
        with self._alone(target / (name or "new"), progress):
            there = self.downloaded(origin["repository"], origin["revision"])
            if there is not None and name in (None, there.name):
                # The program was killed after the model had its name and before the files went.
                if not there.has(build):
                    add_build(there.folder, build, progress)
                return self.find(there.name)
            self.check_new_name(name)
            name = name or free_name(origin["repository"].rpartition("/")[2], self._taken())
            convert(
                folder,
                target / name,
                [build],
                name,
                progress,
                origin=origin,
                move_source=True,
                hashes=hashes,
            )
            # Licence and card, which the conversion does not read.
            for path in folder.iterdir():
                if path.is_file():
                    with contextlib.suppress(OSError):
                        path.replace(target / name / SOURCE_FOLDER / path.name)
        return self.find(name)

    def downloaded(self, repository: str, revision: str) -> Installed | None:
        """Return the model that was downloaded from this commit, if there is one that works."""
        for model in self._imported():
            source = model.manifest.source if model.manifest and not model.problem else {}
            if (source.get("repository"), source.get("revision")) == (repository, revision):
                return model
        return None

    def check_new_name(self, name: str | None) -> None:
        """Raise :class:`InputError` where a model has this name; None is never taken."""
        if name is not None and name.casefold() in self._taken():
            raise InputError(
                f"There is already a model named {name!r}; choose another name, or remove it."
            )

    def name_for(self, source: Path) -> str:
        """Return what :meth:`import_folder` would name this folder, or the folder of this file.

        Raises :class:`CheckpointError` for a file that is no part of a GPT-2.
        """
        return free_name(folder_name(folder_of(source)), self._taken())

    def name_problem(self, name: str) -> str:
        """Return why a new model cannot have this name, as a sentence; empty where it can."""
        try:
            self.check_new_name(check_name(name))
        except InputError as error:
            return str(error)
        return ""

    def mark_used(self, folder: Path) -> None:
        """Note that a model of this store is in use now, where that can be written."""
        if folder.parent in (self._paths.models, self._paths.model_cache):
            with contextlib.suppress(OSError):
                (folder / _USED_FILE).touch()

    def remove(self, name: str) -> None:
        """Remove an imported model with all its builds.

        Raises :class:`UnknownModelError` where there is none of this name and :class:`InputError`
        where it belongs to the program.
        """
        model = next((model for model in self.list() if model.name == name), None)
        if model is None:
            names = ", ".join(model.name for model in self._imported()) or "none"
            raise UnknownModelError(
                f"There is no model {name!r} to remove; imported models: {names}."
            )
        if model.bundled:
            raise InputError(f"{name} belongs to the program and cannot be removed.")
        gone = model.folder.with_name(model.folder.name + PART)
        with self._alone(model.folder, lambda fraction, text: None), explained(model.folder):
            # By one rename, so that no half of it is ever listed.
            model.folder.rename(gone)
            discard(gone)

    def remove_build(self, name: str, build: str) -> None:
        """Remove one build of a model; it can be made again from the model's source.

        Raises :class:`UnknownModelError` where there is no such model or build, and
        :class:`InputError` where it is the last one and could not be made again.
        """
        model = self.find(name)
        manifest = model.manifest
        if manifest is None or build not in manifest.builds:
            raise UnknownModelError(f"{model.name} has no {build} build to remove.")
        others = [other for other in manifest.builds if other != build and model.has(other)]
        if not others and model.source is None and not (model.folder / SOURCE_FOLDER).is_dir():
            raise InputError(
                f"{build} is all that is left of {model.name}, whose source is gone; remove the "
                "model instead."
            )
        gone = model.folder / (build + PART)
        with self._alone(model.folder, lambda fraction, text: None), explained(model.folder):
            discard(gone)
            if (model.folder / build).exists():
                (model.folder / build).rename(gone)
            manifest = Manifest.read(model.folder)
            builds = {key: value for key, value in manifest.builds.items() if key != build}
            replace(manifest, builds=builds).write(model.folder)
            discard(gone)

    def clean(self) -> None:
        """Clear away what killed conversions left, unless a conversion is running."""
        for folder in (self._paths.models, self._paths.model_cache):
            if folder.is_dir():
                with contextlib.suppress(OSError, HeldError), FileLock(folder / _LOCK_FILE):
                    _discard_parts(folder)

    def _taken(self) -> set[str]:
        """Return the names that a new model cannot have, casefolded."""
        return {RESERVED, *(model.name.casefold() for model in self.list())}

    def _bundled(self) -> Iterator[Installed]:
        for folder in _folders(self._paths.bundled_models):
            if (folder / CONFIG_FILE).is_file():
                try:
                    yield self._cached(folder, bundled=True)
                except InputError as error:
                    yield Installed(folder.name, folder, None, str(error), True, folder)

    def _imported(self) -> Iterator[Installed]:
        for folder in _folders(self._paths.models):
            try:
                manifest = Manifest.read(folder)
            except ModelError as error:
                yield Installed(folder.name, folder, None, str(error), False)
                continue
            usable = any(has_build(folder, manifest, build) for build in manifest.builds)
            problem = (
                ""
                if usable or (folder / SOURCE_FOLDER).is_dir()
                else f"The files of {folder.name} are gone; remove the model and import it again."
            )
            yield Installed(folder.name, folder, manifest, problem, False)

    def _cached(self, source: Path, *, bundled: bool) -> Installed:
        """Return the model that is made, or will be, in the cache from a GPT-2 folder."""
        folder = self._paths.model_cache / f"{plain(source.name)}-{self._content_key(source)}"
        return Installed(source.name, folder, _manifest(folder), "", bundled, source)

    def _content_key(self, folder: Path) -> str:
        """Return 16 hex digits that depend on every byte of a folder, and on how builds are made.

        Files that nobody has touched since the last call are not read again.
        """
        source = Source(folder)
        names = source_files(source)
        stamps: Stamps = tuple((name, *_stamp(source.path(name))) for name in names)
        known, key = self._keys.get(folder, ((), ""))
        if stamps != known:
            hashes = {name: source.sha256(name) for name in names}
            parts = json.dumps([hashes, PACKINGS, BUILD_REVISION], sort_keys=True)
            key = hashlib.sha256(parts.encode()).hexdigest()[:16]
            self._keys[folder] = (stamps, key)
        return key

    def _by_path(self, folder: Path, models: builtins.list[Installed]) -> Installed:
        for model in models:
            if folder in (model.folder.resolve(), model.source):
                return model
        if (folder / MANIFEST_FILE).is_file():
            return Installed(folder.name, folder, Manifest.read(folder), "", False)
        if looks_like_model(folder):
            return self._cached(folder, bundled=False)
        raise UnknownModelError(
            f"{folder} is neither a model folder ({MANIFEST_FILE}) nor a GPT-2 ({CONFIG_FILE}, "
            "weights and tokenizer)."
        )

    @contextlib.contextmanager
    def _alone(self, folder: Path, progress: Progress) -> Iterator[None]:
        """Hold the lock of the models beside ``folder``, or of ``folder`` where it is foreign."""
        managed = folder.parent in (self._paths.models, self._paths.model_cache)
        place = folder.parent if managed else folder
        with explained(place):
            place.mkdir(parents=True, exist_ok=True)
            lock = FileLock(
                place / _LOCK_FILE, lambda: progress(0.0, "Waiting for another conversion")
            )
        with lock:
            if managed:
                with explained(place):
                    _discard_parts(place)
            yield

    def _discard_older(self, model: Installed) -> None:
        """Remove what earlier versions of a bundled model left in the cache."""
        if model.bundled:
            pattern = re.compile(re.escape(plain(model.name)) + r"-[0-9a-f]{16}")
            for folder in _folders(model.folder.parent):
                if pattern.fullmatch(folder.name) and folder != model.folder:
                    with contextlib.suppress(OSError):
                        discard(folder)


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes with the content of a file: size, times, and which file it is."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _manifest(folder: Path) -> Manifest | None:
    try:
        return Manifest.read(folder)
    except ModelError:
        return None


def _folders(parent: Path) -> builtins.list[Path]:
    """Return the visible, finished folders in ``parent`` by name; none where it cannot be read."""
    try:
        entries = sorted(parent.iterdir(), key=lambda path: path.name.casefold())
    except OSError:
        return []
    return [
        path
        for path in entries
        if path.is_dir() and not path.name.startswith(".") and not path.name.endswith(PART)
    ]


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(place, name)).st_size


def _discard_parts(folder: Path) -> None:
    for path in (*folder.glob("*" + PART), *folder.glob("*/*" + PART)):
        discard(path)
