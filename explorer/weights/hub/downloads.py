"""A model from the hub: planned, fetched or gone on with, checked, and made into a model.

:func:`download_model` is work for a job (``jobs.job``), so that killing the child is a pause:
what has arrived stays and the next call goes on at that byte, without asking the hub again. To
cancel is to pause and then to discard. Small files come first: a repository that is no GPT-2 is
refused before its gigabytes are fetched.
"""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass, replace

from explorer.core.errors import CheckpointError, DownloadError, InputError, ModelError
from explorer.core.manifest import BUILD_NAMES
from explorer.system.paths import Paths
from explorer.weights.builds.convert import Progress
from explorer.weights.checkpoints.checkpoint import expected_shapes
from explorer.weights.formats.config import read_config
from explorer.weights.formats.tokenizer import read_tokenizer
from explorer.weights.formats.untrusted_folder import Source
from explorer.weights.hub.catalogue import FILE_NAME as CATALOGUE_FILE
from explorer.weights.hub.catalogue import CatalogueEntry, find_entry, read_catalogue
from explorer.weights.hub.file_selection import LICENCES, needed_files
from explorer.weights.hub.hub import (
    HubFile,
    LostError,
    Timeouts,
    ask,
    check_repository,
    check_revision,
    open_file,
)
from explorer.weights.hub.partial_download import DownloadPlan, Incoming, Staging, stagings
from explorer.weights.hub.transfer_rate import ByteMeter, amount
from explorer.weights.store.model_names import check_name
from explorer.weights.store.store import DEFAULT_BUILD, Installed, Store

_FETCH_SHARE = 0.9
"""Part of the whole progress that fetching gets; the rest is the conversion."""
_ROOM_EVERY = 1 << 26
"""Bytes between two looks at how much room is left."""
_BYTES = {"fp32": 4.0, "fp16": 2.0, "int8": 1.3, "int4": 0.8}
"""Of a build for each parameter, roughly; the conversion reckons again, exactly."""

PATIENCE = Timeouts()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A download that can be gone on with."""

    repository: str
    revision: str
    """The commit; empty where the notes of this download are damaged, so that it begins anew."""
    name: str
    """What the model will be called; empty: made from the repository's name."""
    build: str
    done: int
    """Bytes that are there."""
    total: int
    """Bytes of all files."""


def unfinished(paths: Paths) -> list[Unfinished]:
    """Return the downloads that were begun and neither finished nor discarded."""
    found = []
    for staging in stagings(paths.downloads):
        plan = staging.read()
        if plan is None:
            repository = staging.folder.name.replace("--", "/", 1)
            found.append(Unfinished(repository, "", "", "", 0, 0))
        else:
            done = sum(min(staging.size(file), file.size) for file in plan.files)
            found.append(
                Unfinished(plan.repository, plan.revision, plan.name, plan.build, done, plan.total)
            )
    return found


def discard_download(paths: Paths, repository: str) -> None:
    """Remove what was fetched of a repository; nothing happens where there is nothing.

    Raises :class:`DownloadError` where it is being fetched.
    """
    staging = Staging(paths.downloads, check_repository(repository))
    if staging.folder.exists():
        with staging.alone():
            staging.discard()


def discard(progress: Progress, paths: Paths, repository: str) -> None:
    """Delete what an unfinished download fetched: :func:`discard_download` as work for a job."""
    progress(0.0, "Deleting what was fetched")
    discard_download(paths, repository)


def find_repository(paths: Paths, wanted: str) -> tuple[str, str | None]:
    """Return repository and pinned revision of a name in the catalogue, or of what was typed.

    Raises :class:`InputError` for what can be neither.
    """
    entry = find_entry(read_catalogue(paths.resources / CATALOGUE_FILE), wanted.strip())
    if entry is not None:
        return entry.repository, entry.revision
    return check_repository(wanted), None


def download_model(
    progress: Progress,
    paths: Paths,
    repository: str,
    revision: str | None = None,
    name: str | None = None,
    build: str | None = None,
    patience: Timeouts = PATIENCE,
) -> Installed:
    """Fetch a model, or go on fetching it, and convert it.

    What is None is as it was when the download began; at first that is the catalogue's revision (or
    the main branch), a name made from the repository's, and the default build. Raises
    :class:`InputError` and :class:`CheckpointError` for what cannot become a model, which then
    leaves nothing, and :class:`DownloadError` or :class:`ModelError` where what has arrived stays.
    """
    repository = check_repository(repository)
    revision = None if revision is None else check_revision(revision)
    name = None if name is None else check_name(name)
    if build is not None and build not in BUILD_NAMES:
        raise InputError(f"There is no build {build!r}; known are {', '.join(BUILD_NAMES)}.")
    staging, store = Staging(paths.downloads, repository), Store(paths)
    with staging.alone():
        begun = staging.read()
        if begun is not None and revision in (None, begun.wanted, begun.revision):
            plan = replace(begun, name=name or begun.name, build=build or begun.build)
        else:
            progress(0.0, "Asking the hub")
            plan = _new_plan(paths, store, repository, revision, name, build, patience)
            staging.discard()
        store.check_new_name(plan.name)
        staging.write(plan)
        try:
            hashes = _Fetch(plan, staging, patience, progress).run()
            installed = store.import_download(
                staging.files,
                {
                    "kind": "hub",
                    "repository": plan.repository,
                    "revision": plan.revision,
                    **({"licence": plan.licence} if plan.licence else {}),
                },
                hashes,
                plan.name or None,
                plan.build,
                lambda fraction, text: progress(_FETCH_SHARE + (1 - _FETCH_SHARE) * fraction, text),
            )
        except CheckpointError:
            staging.discard()  # the very bytes of the hub: another attempt would end likewise
            raise
        staging.discard()
    return installed


def _new_plan(
    paths: Paths,
    store: Store,
    repository: str,
    revision: str | None,
    name: str | None,
    build: str | None,
    patience: Timeouts,
) -> DownloadPlan:
    """Ask the hub what there is and decide what to fetch."""
    entry = find_entry(read_catalogue(paths.resources / CATALOGUE_FILE), repository)
    wanted = revision or (entry.revision if entry else None)
    found = ask(repository, wanted, patience)
    files = needed_files(found)
    pinned = entry is not None and found.revision == entry.revision
    if entry is not None and pinned:
        _compare(files, entry)
    if name is None and (there := store.downloaded(repository, found.revision)):
        raise InputError(
            f"{repository} at this revision is here already, as {there.name}; give another name "
            "to have it twice."
        )
    plan = DownloadPlan(
        repository=repository,
        wanted=revision or "",
        revision=found.revision,
        licence=entry.licence if entry is not None else found.licence,
        name=name or "",
        build=build or DEFAULT_BUILD,
        files=files,
    )
    _check_room(paths, plan.total)
    return plan


def _compare(files: tuple[HubFile, ...], entry: CatalogueEntry) -> None:
    for file in files:
        known = entry.hashes.get(file.name)
        if known and file.sha256 != known:
            raise DownloadError(
                f"What this hub offers as {file.name} of {entry.repository} is not the file that "
                "the catalogue knows; nothing was fetched. Check HF_ENDPOINT."
            )


class _Fetch:
    """The files of one plan, on their way."""

    def __init__(
        self, plan: DownloadPlan, staging: Staging, patience: Timeouts, progress: Progress
    ) -> None:
        self._plan = plan
        self._staging = staging
        self._patience = patience
        self._meter = ByteMeter(
            plan.total, lambda fraction, text: progress(_FETCH_SHARE * fraction, text)
        )
        self._received = 0
        """Bytes that came over the network, in this attempt."""

    def run(self) -> dict[str, str]:
        """Fetch what is missing; return hex SHA-256 by name, as far as they were taken."""
        hashes: dict[str, str] = {}
        small = True
        for file in self._plan.files:
            if small and file.name.endswith((".safetensors", ".onnx")):
                small = False
                self._check_model()
            if self._staging.has(file):
                self._meter.skip(file.size)
                if file.sha256:
                    hashes[file.name] = file.sha256
            else:
                hashes[file.name] = self._fetch(file)
        return {name: value for name, value in hashes.items() if name not in LICENCES}

    def _check_model(self) -> None:
        """Refuse, before the weights come, what is no GPT-2 or has no room here."""
        source = Source(self._staging.files)
        config = read_config(source)
        read_tokenizer(source, config.rows)
        parameters = sum(math.prod(shape) for shape in expected_shapes(config).values())
        precision = self._plan.build.rpartition("-")[2]
        missing = sum(file.size - self._staging.size(file) for file in self._plan.files)
        _check_room(self._staging, missing + int(parameters * _BYTES[precision]))

    def _fetch(self, file: HubFile) -> str:
        """Fetch one file, through as many losses as bring something new in between."""
        with Incoming(self._staging, file, self._meter.read) as incoming:
            self._meter.place(incoming.size)
            best, failures, since = incoming.size, 0, time.monotonic()
            while incoming.size < file.size:
                try:
                    self._receive(file, incoming)
                except LostError as error:
                    # A byte with every attempt would go on for ever.
                    enough = self._patience.slowest * (time.monotonic() - since)
                    if incoming.size > best and incoming.size - best >= enough:
                        best, failures, since = incoming.size, 0, time.monotonic()
                    failures += 1
                    # Who is offline hears of it at once.
                    if not self._received or failures > self._patience.retries:
                        raise DownloadError(f"{error}{self._kept()}") from error
                    self._meter.say("The connection was lost; trying again")
                    time.sleep(self._patience.pause * 2 ** (failures - 1))
            incoming.finish()
            self._meter.close(file.size)
            return incoming.sha256

    def _receive(self, file: HubFile, incoming: Incoming) -> None:
        """Take one answer of the server; raises :class:`LostError` where it ends too early."""
        plan, start = self._plan, incoming.size
        looked = 0
        with open_file(plan.repository, plan.revision, file.name, start, self._patience) as answer:
            if answer.start != start:
                if answer.start:
                    raise LostError("The server went on at another place than it was asked to.")
                incoming.restart()
                self._meter.place(0)
            if answer.total not in (None, file.size):
                raise DownloadError(_wrong_size(file, answer.total))
            for piece in answer.pieces:
                if incoming.size + len(piece) > file.size:
                    raise DownloadError(_wrong_size(file, None))
                if incoming.size >= looked:
                    looked = incoming.size + _ROOM_EVERY
                    _check_room(self._staging, file.size - incoming.size)
                incoming.write(piece)
                self._received += len(piece)
                self._meter.add(len(piece))
        if incoming.size < file.size:
            raise LostError("The server ended before the file was complete.")

    def _kept(self) -> str:
        done = sum(self._staging.size(file) for file in self._plan.files)
        if not done:
            return ""
        there = amount(done, self._plan.total)
        return f" What has arrived is kept ({there}); start it again to go on."


def _wrong_size(file: HubFile, size: int | None) -> str:
    found = "more bytes" if size is None else f"{size:,} bytes"
    return (
        f"The server has {found} as {file.name}, but the hub announces {file.size:,}; try again, "
        "and check HF_ENDPOINT if it happens again."
    )


def _check_room(place: Staging | Paths, needed: int) -> None:
    """Refuse, with both numbers, what would fill the disk."""
    folder = place.folder if isinstance(place, Staging) else place.downloads
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"There is too little room in {folder}: {needed / 1e6:,.0f} MB are needed yet and "
            f"{free / 1e6:,.0f} MB are free; make room and start it again to go on."
        )
