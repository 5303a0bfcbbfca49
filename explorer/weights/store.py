"""The models of this machine: listed, imported, removed, and given the build that is asked for.

Three kinds live side by side. *Imported* models are folders in the person's data. *Bundled* ones
(the demonstration model) are plain GPT-2 folders that ship with the program, read-only; their
builds are made at first use, in the cache. Any *other folder* may be named by its path and is
treated likewise. What is in the cache is found by the content of its source, so a changed source is
simply another entry. One lock a folder of models keeps two programs from making the same thing at
once, and whoever holds it may clear away what a killed conversion left.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import itertools
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import InputError, ModelError, UnknownModelError
from explorer.lock import FileLock, HeldError
from explorer.manifest import FILE_NAME as MANIFEST_FILE
from explorer.manifest import Manifest
from explorer.paths import Paths
from explorer.weights.checkpoint import source_files
from explorer.weights.config import FILE_NAME as CONFIG_FILE
from explorer.weights.convert import (
    PART,
    SOURCE_FOLDER,
    Progress,
    add_build,
    convert,
    discard,
    explained,
    has_build,
)
from explorer.weights.source import Source, folder_of, looks_like_model, shown

DEFAULT_BUILD = "cpu-int8"
RESERVED = "demo"

_LOCK_FILE = ".lock"
_MAX_NAME = 64
# Windows refuses these as file names, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


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


class Store:
    """The models that can be used with ``paths``."""

    def __init__(self, paths: Paths) -> None:
        """Remember where models live; nothing is read or created."""
        self._paths = paths

    def list(self) -> builtins.list[Installed]:
        """Return bundled models, then imported ones by name; a broken one stops no other."""
        return [*self._bundled(), *self._imported()]

    def find(self, name_or_dir: str | Path) -> Installed:
        """Return the model of this name, or the one in this folder (a model folder or a GPT-2).

        Raises :class:`ModelError` that names the installed models, and :class:`CheckpointError` for
        a folder whose files cannot be read.
        """
        models = self.list()
        for model in models:
            if model.name == str(name_or_dir):
                return model
        # os.path answers False where Path raises: a name too long, a home that nobody has.
        folder = os.path.expanduser(name_or_dir)
        if folder and os.path.isdir(folder):
            return self._by_path(Path(folder).resolve(), models)
        names = ", ".join(model.name for model in models) or "none"
        raise UnknownModelError(
            f"There is no model or folder {shown(str(name_or_dir))}; installed models: {names}."
        )

    def ensure(
        self,
        name_or_dir: str | Path,
        build: str = DEFAULT_BUILD,
        progress: Progress = lambda fraction, text: None,
    ) -> Path:
        """Return the folder of a model that has this build, making the build where it is missing.

        Raises :class:`ModelError`, :class:`CheckpointError`, and whatever ``progress`` raises.
        """
        model = self.find(name_or_dir)
        if model.has(build):
            return model.folder
        if model.problem:
            raise ModelError(model.problem)
        with self._alone(model.folder, progress):
            if model.source is None:
                add_build(model.folder, build, progress)
            elif _manifest(model.folder) is None:
                with explained(model.folder):
                    discard(model.folder)
                convert(model.source, model.folder, [build], model.name, progress, False)
                self._discard_older(model)
            else:
                add_build(model.folder, build, progress, model.source)
        return model.folder

    def import_folder(
        self,
        source: Path,
        name: str | None = None,
        build: str = DEFAULT_BUILD,
        progress: Progress = lambda fraction, text: None,
    ) -> Installed:
        """Convert a GPT-2 into an installed model, named after its folder by default.

        ``source`` is the folder or one of its files, see :func:`folder_of`.
        Raises :class:`InputError` for a name that cannot be used, :class:`CheckpointError`,
        :class:`ModelError`, and whatever ``progress`` raises; nothing is left behind then.
        """
        wanted = None if name is None else check_name(name)
        source = Source(folder_of(source)).folder
        target = self._paths.models
        with self._alone(target / (wanted or "new"), progress):
            taken = {RESERVED, *(model.name.casefold() for model in self.list())}
            if wanted is None:
                wanted = _free_name(source, taken)
            elif wanted.casefold() in taken:
                raise InputError(
                    f"There is already a model named {wanted!r}; choose another name, or remove it."
                )
            convert(source, target / wanted, [build], wanted, progress)
        return self.find(wanted)

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

    def clean(self) -> None:
        """Clear away what killed conversions left, unless a conversion is running."""
        for folder in (self._paths.models, self._paths.model_cache):
            if folder.is_dir():
                with contextlib.suppress(OSError, HeldError), FileLock(folder / _LOCK_FILE):
                    _discard_parts(folder)

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
        folder = self._paths.model_cache / f"{_plain(source.name)}-{_content_key(source)}"
        return Installed(source.name, folder, _manifest(folder), "", bundled, source)

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
            pattern = re.compile(re.escape(_plain(model.name)) + r"-[0-9a-f]{16}")
            for folder in _folders(model.folder.parent):
                if pattern.fullmatch(folder.name) and folder != model.folder:
                    with contextlib.suppress(OSError):
                        discard(folder)


def import_model(
    progress: Progress, paths: Paths, source: Path, name: str | None, build: str
) -> Installed:
    """Import a folder: :meth:`Store.import_folder` as work for a job."""
    return Store(paths).import_folder(source, name, build, progress)


def ensure_build(progress: Progress, paths: Paths, name_or_dir: str | Path, build: str) -> Path:
    """Make a missing build: :meth:`Store.ensure` as work for a job."""
    return Store(paths).ensure(name_or_dir, build, progress)


def check_name(name: str) -> str:
    """Return a model's name as it will be kept, or raise :class:`InputError` with the reason."""
    name = unicodedata.normalize("NFC", name).strip()
    if not 0 < len(name) <= _MAX_NAME:
        raise InputError(f"A model's name must have 1 to {_MAX_NAME} characters, not {len(name)}.")
    if wrong := next((char for char in name if not _allowed(char)), None):
        raise InputError(
            f"A model's name may hold letters, digits, spaces and . _ - + only, not {wrong!r}."
        )
    if not name[0].isalnum() or name.endswith(".") or name.lower().endswith(PART):
        raise InputError(
            f"A model's name must begin with a letter or digit and not end in a dot or {PART!r}."
        )
    if name.casefold() == RESERVED or _DEVICES.fullmatch(name):
        raise InputError(f"The name {name!r} is reserved; choose another one.")
    return name


def _allowed(char: str) -> bool:
    return char.isalnum() or char in " ._-+"


def _free_name(folder: Path, taken: set[str]) -> str:
    """Return a name made from that of a folder, with a number where it is taken."""
    # A Hugging Face cache: models--openai-community--gpt2/snapshots/<revision>.
    cached = folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--")
    base = folder.parent.parent.name.split("--")[-1] if cached else folder.name
    base = _plain(re.sub(re.escape(PART) + "$", "", base, flags=re.IGNORECASE))
    candidates = (f"{base}-{n}" if n > 1 else base for n in itertools.count(1))
    return next(
        name for name in candidates if name.casefold() not in taken and not _DEVICES.fullmatch(name)
    )


def _plain(name: str) -> str:
    """Return ``name`` with only what every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:40] or "model"


def _content_key(folder: Path) -> str:
    """Return 16 hex digits that depend on every byte of a GPT-2 folder."""
    source = Source(folder)
    hashes = {name: source.sha256(name) for name in source_files(source)}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:16]


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


def _discard_parts(folder: Path) -> None:
    for path in (*folder.glob("*" + PART), *folder.glob("*/*" + PART)):
        discard(path)
