"""A download that is not finished: one folder on the disk, good enough to go on from at any time.

``downloads/<owner--name>/download.json`` says what is fetched, at which commit, with which sizes
and hashes; ``files/`` holds what is there. A file has its name only after its hash was found right,
by one rename; until then it ends in ``.part``, so that nobody ever takes a part for the whole.
Killing the program at any moment costs at most the bytes that were on their way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from explorer.core.bounded_reading import read_json
from explorer.core.errors import DownloadError
from explorer.system.lock import FileLock, HeldError
from explorer.weights.builds.convert import PART, discard, explained
from explorer.weights.hub.hub import HubFile

_PLAN_FILE = "download.json"
_FILES = "files"
_BLOCK = 1 << 20
_MAX_PLAN = 1_000_000
"""Bytes of a plan; it names a dozen files, some hundred where there are many shards."""
_PLAIN = re.compile(r"(?:onnx/)?[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """What a download fetches and what becomes of it."""

    repository: str
    wanted: str
    """The revision as it was asked for; empty for the main branch."""
    revision: str
    """The commit."""
    licence: str
    name: str
    """Of the model; empty: made from the repository's."""
    build: str
    files: tuple[HubFile, ...]

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class Staging:
    """The folder of one repository's download; it may not be there yet."""

    def __init__(self, downloads: Path, repository: str) -> None:
        """Choose the folder below ``downloads``; nothing is read or created."""
        self.folder = downloads / repository.replace("/", "--")
        self.files = self.folder / _FILES

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other programs away from this download.

        Raises :class:`DownloadError` where one is at it.
        """
        with explained(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock = FileLock(self.folder.with_name(f".{self.folder.name}.lock"))
            except HeldError as error:
                by = f" (process {error.holder})" if error.holder else ""
                raise DownloadError(
                    f"This model is being downloaded already{by}; wait for it, or stop it first."
                ) from error
        with lock:
            yield

    def read(self) -> DownloadPlan | None:
        """Return what this download fetches, None where there is none or it cannot be told."""
        try:
            values = read_json(self.folder / _PLAN_FILE, _MAX_PLAN)
            files = tuple(HubFile(**file) for file in values.pop("files"))
            plan = DownloadPlan(**values, files=files)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        texts = (plan.repository, plan.wanted, plan.revision, plan.licence, plan.name, plan.build)
        sound = all(isinstance(text, str) for text in texts) and all(map(_is_sound, files))
        return plan if sound and plan.files else None

    def write(self, plan: DownloadPlan) -> None:
        """Begin, or go on, with this plan."""
        with explained(self.folder):
            self.files.mkdir(parents=True, exist_ok=True)
            part = self.folder / (_PLAN_FILE + PART)
            part.write_text(json.dumps(asdict(plan), indent=1) + "\n", encoding="utf-8")
            part.replace(self.folder / _PLAN_FILE)

    def size(self, file: HubFile) -> int:
        """Return how many bytes of a file are there."""
        path = self.files / file.name
        for candidate in (path, path.with_name(path.name + PART)):
            with contextlib.suppress(OSError):
                return candidate.stat().st_size
        return 0

    def has(self, file: HubFile) -> bool:
        """Return whether a file is there whole, its hash found right."""
        try:
            return (self.files / file.name).stat().st_size == file.size
        except OSError:
            return False

    def discard(self) -> None:
        """Remove all of it; the plan first, so that nobody goes on with half of it."""
        with explained(self.folder):
            discard(self.folder / _PLAN_FILE)
            discard(self.folder)


class Incoming:
    """A file on its way: what is there of it, hashed as it grows."""

    def __init__(self, staging: Staging, file: HubFile, reading: Callable[[int], None]) -> None:
        """Open what is there of ``file`` and read it once; ``reading`` gets each block's bytes."""
        self._file = file
        self._path = staging.files / file.name
        self._part = self._path.with_name(self._path.name + PART)
        with explained(staging.folder):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = self._part.open("a+b", buffering=0)
        try:
            self._begin()
            if self._part.stat().st_size > file.size:
                self._stream.truncate(0)
            self._stream.seek(0)
            while block := self._stream.read(_BLOCK):
                self._take(block)
                reading(len(block))
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it; what is there stays."""
        self._stream.close()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self._size

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of what is there."""
        return self._sha256.hexdigest()

    def restart(self) -> None:
        """Forget what is there."""
        with explained(self._part.parent):
            self._stream.truncate(0)
        self._begin()

    def write(self, block: bytes) -> None:
        """Append ``block``; raises :class:`ModelError` for a full disk."""
        with explained(self._part.parent):
            rest = memoryview(block)
            while rest:
                rest = rest[self._stream.write(rest) :]
        self._take(block)

    def finish(self) -> None:
        """Give the file its name if its contents are right, else delete it.

        Raises :class:`DownloadError` where they are not.
        """
        file = self._file
        found, expected = (
            (self.sha256, file.sha256) if file.sha256 else (self._blob.hexdigest(), file.blob)
        )
        if self._size != file.size or found != expected:
            self._stream.close()
            with explained(self._part.parent):
                self._part.unlink()
            raise DownloadError(
                f"{file.name} did not arrive as the hub announces it (hash {found[:12]}… instead "
                f"of {expected[:12]}…), so it was deleted; try again, and check HF_ENDPOINT if it "
                "happens again."
            )
        with explained(self._part.parent):
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._part.replace(self._path)

    def _begin(self) -> None:
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._blob = hashlib.sha1(b"blob %d\0" % self._file.size, usedforsecurity=False)

    def _take(self, block: bytes) -> None:
        self._size += len(block)
        self._sha256.update(block)
        if not self._file.sha256:
            self._blob.update(block)


def stagings(downloads: Path) -> list[Staging]:
    """Return the downloads that were begun, by repository."""
    try:
        names = sorted(path.name for path in downloads.iterdir() if path.is_dir())
    except OSError:
        return []
    return [Staging(downloads, name.replace("--", "/", 1)) for name in names]


def _is_sound(file: HubFile) -> bool:
    texts: tuple[Any, ...] = (file.name, file.sha256, file.blob)
    return (
        all(isinstance(text, str) for text in texts)
        and _PLAIN.fullmatch(file.name) is not None
        and type(file.size) is int
        and file.size >= 0
    )
