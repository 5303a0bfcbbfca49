"""Is a model still what it was made to be? Hashes of all its files, and ten tokens of every build.

Hashes say whether a file is the one that was written, byte by byte. The tokens say whether what was
written is right: each build that this machine can run is compared with a forward pass computed
straight from the source (``forward``, ``parity``). A file whose hash is wrong is not opened.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import (
    CheckpointError,
    DeviceError,
    EngineError,
    ModelError,
    OutOfMemoryError,
)
from explorer.core.manifest import FILE_NAME as MANIFEST_FILE
from explorer.core.manifest import Build
from explorer.engine.text.tokens import FILE_NAME as TOKENIZER_FILE
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality import parity
from explorer.studies.quality.temporary_builds import source_folder
from explorer.system.paths import Paths
from explorer.weights.builds.convert import Progress
from explorer.weights.builds.packing import GRAPH_FILE, WEIGHTS_FILE
from explorer.weights.checkpoints import reference_forward
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from explorer.weights.checkpoints.layouts import source_files
from explorer.weights.formats.untrusted_folder import Source
from explorer.weights.store.store import Installed, Store


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one part of a model."""

    part: str
    """``model.json``, ``source``, ``tokenizer.json`` or the name of a build."""
    ok: bool
    words: str
    """A sentence that begins with the part; where something is wrong it says what to do."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found about a model."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.ok for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the source answers to the fixed tokens."""

    ids: list[int]
    logits: NDArray[np.float64]  # [S, drawable ids]
    drawable: NDArray[np.intp]


def verify(progress: Progress, paths: Paths, name: str | Path) -> Verification:
    """Check a model and everything it was made from; work for a job.

    What is wrong with the model is a finding, not an error. Raises :class:`UnknownModelError` where
    there is no such model, and whatever ``progress`` raises.
    """
    progress(0.0, "Looking at the model")
    model = Store(paths).find(name)
    return Verification(model.name, tuple(_findings(progress, model)))


def is_intact(model: Installed, build: str) -> bool:
    """Return whether the files of a build are those that were written, and the tokenizer too.

    False where the model has no such build. A build made before hashes were kept is taken as it is,
    a tokenizer too whose source cannot be read.
    """
    known = model.manifest.builds.get(build) if model.manifest else None
    if known is None:
        return False
    if not _build_files(model, known, _Hashing(lambda fraction, text: None, model), "").ok:
        return False
    try:
        with open_checkpoint(source_folder(model)) as checkpoint:
            if model.manifest:
                checkpoint.follow(model.manifest, model.folder)
            return _is_text(model.folder / TOKENIZER_FILE, checkpoint.tokenizer.json)
    except (CheckpointError, ModelError):
        return True


def _findings(progress: Progress, model: Installed) -> Iterator[Finding]:
    manifest = model.manifest
    if manifest is None and model.problem:
        yield Finding(MANIFEST_FILE, False, f"{MANIFEST_FILE}: {model.problem}")
        return
    hashed = _Hashing(progress, model)
    source = list(_source_findings(model, hashed))
    builds = tuple(manifest.builds.values()) if manifest else ()
    sound = all(finding.ok for finding in source)
    remedies = {build.name: _remake(model, build) if sound else _again() for build in builds}
    files = {
        build.name: _build_files(model, build, hashed, remedies[build.name]) for build in builds
    }
    answers = None
    if sound:
        answers, more = _ask_source(progress, model)
        # What reading it found out is worth more than that the files were not touched.
        source = [*source, *more] if all(finding.part != "source" for finding in more) else more
    yield from source
    for number, build in enumerate(builds):
        yield files[build.name]
        if files[build.name].ok:
            progress(0.8 + 0.2 * number / len(builds), f"Comparing {build.name} with the source")
            yield _build_tokens(model, build, answers)
    progress(1.0, "Done")


class _Hashing:
    """Hashes files, and tells how far all of them together are: the first half of the work."""

    def __init__(self, progress: Progress, model: Installed) -> None:
        self._progress = progress
        self._done = 0
        folders = [source_folder(model)]
        if model.manifest:
            folders += [model.folder / build for build in model.manifest.builds]
        self._total = max(1, sum(map(_size, folders)))

    def __call__(self, source: Source, name: str) -> str:
        """Return the hex SHA-256 of a file; raises :class:`CheckpointError`."""
        return source.sha256(name, lambda size: self._add(size, name))

    def _add(self, size: int, name: str) -> None:
        self._done += size
        self._progress(min(0.5, 0.5 * self._done / self._total), f"Reading {name}")


def _source_findings(model: Installed, hashed: _Hashing) -> Iterator[Finding]:
    """Compare the files of the source with what model.json says of them."""
    folder, manifest = source_folder(model), model.manifest
    if not folder.is_dir():
        yield _wrong("source", f"the files that {model.name} was made from are gone; {_again()}")
        return
    known = manifest.hashes if manifest else {}
    bad = False
    try:
        source = Source(folder)
        for name, digest in known.items():
            if problem := _problem(source, name, digest, hashed):
                bad = True
                yield _wrong("source", f"{problem}; {_again()}")
        there = () if bad else source_files(source)
    except CheckpointError as error:
        yield _wrong("source", f"{str(error).rstrip('.')}; {_again()}")
        return
    new = [name for name in there if known and name not in known]
    for name in new:
        yield _wrong("source", f"{name} was not there when the model was made; {_again()}")
    if not bad and not new:
        count = f"{len(there)} file{'s' if len(there) > 1 else ''}"
        words = (
            f"{count}, each the one that the model was made from"
            if known
            else f"{count}, made before hashes were kept"
            if manifest
            else f"{count}; no build was made of them yet"
        )
        yield Finding("source", True, f"source: {words}.")


def _problem(source: Source, name: str, digest: str, hashed: _Hashing) -> str:
    """Say what is wrong with a file that must have this hash; nothing where it has."""
    if not source.has(name):
        return f"{name} is missing"
    try:
        found = hashed(source, name)
    except CheckpointError as error:
        return str(error).rstrip(".")
    if found != digest:
        return f"{name} is not the file that the model was made from: its SHA-256 differs"
    return ""


def _ask_source(progress: Progress, model: Installed) -> tuple[_Answers | None, list[Finding]]:
    """Let the source answer the fixed tokens, and see whether it is the model that it was."""
    manifest = model.manifest
    try:
        with open_checkpoint(source_folder(model)) as checkpoint:
            if manifest:
                checkpoint.follow(manifest, model.folder)
            tokens = Tokens(checkpoint.tokenizer.json, checkpoint.end_of_text)
            ids = parity.fixed_ids(tokens, checkpoint.config.context)
            logits = reference_forward.logits(
                checkpoint, ids, _worded(progress, "Asking the source")
            )
            fingerprint, tokenizer = checkpoint.fingerprint(), checkpoint.tokenizer
    except (CheckpointError, ModelError) as error:
        return None, [_wrong("source", f"{str(error).rstrip('.')}; {_again()}")]
    findings = []
    if manifest and fingerprint != manifest.fingerprint:
        words = f"its weights, tokenizer or sizes are not those of {model.name}; {_again()}"
        return None, [_wrong("source", words)]
    if manifest and not _is_text(model.folder / TOKENIZER_FILE, tokenizer.json):
        remedies = [_remake(model, build) for build in manifest.builds.values()] or [_again()]
        words = f"it is missing or not the tokenizer of the source; {remedies[0]}"
        findings.append(_wrong(TOKENIZER_FILE, words))
    holes = frozenset(tokenizer.holes)
    drawable = np.array([i for i in range(tokenizer.vocabulary) if i not in holes])
    return _Answers(ids, logits[:, drawable], drawable), findings


def _build_files(model: Installed, build: Build, hashed: _Hashing, remedy: str) -> Finding:
    """Compare the two files of a build with what model.json says of them."""
    folder, names = model.folder / build.name, (GRAPH_FILE, WEIGHTS_FILE)
    for name in names:
        if not (folder / name).is_file():
            return _wrong(build.name, f"{name} is missing; {remedy}")
    size = sum((folder / name).stat().st_size for name in names)
    if size != build.bytes:
        words = f"its files have {size:,} bytes together, {build.bytes:,} were written; {remedy}"
        return _wrong(build.name, words)
    if not build.hashes:
        words = f"{build.name}: made before hashes were kept, so only its sizes could be checked."
        return Finding(build.name, True, words)
    for name in names:
        try:
            found = hashed(Source(folder), name)
        except CheckpointError as error:
            return _wrong(build.name, f"{str(error).rstrip('.')}; {remedy}")
        if found != build.hashes.get(name):
            words = f"{name} is not the file that was written: its SHA-256 differs; {remedy}"
            return _wrong(build.name, words)
    return Finding(build.name, True, f"{build.name}: both files are those that were written.")


def _build_tokens(model: Installed, build: Build, answers: _Answers | None) -> Finding:
    """Run a build on the fixed tokens, if this machine can, and compare."""
    if answers is None:
        words = f"{build.name}: not compared with the source, which is not in order itself."
        return Finding(build.name, True, words)
    # Here and not above: the window only names this module's work; it is spared onnxruntime.
    from explorer.engine.session import Session

    try:
        with closing(Session(model.folder, build.name, build.device_class)) as session:
            found = parity.logits_of(session, answers.ids)
    except (DeviceError, OutOfMemoryError) as error:
        words = f"{build.name}: cannot run on this machine, so only its files were checked: {error}"
        return Finding(build.name, True, words)
    except (ModelError, EngineError) as error:
        return _wrong(build.name, f"{str(error).rstrip('.')}; {_remake(model, build)}")
    result = parity.compare(answers.logits, found[:, answers.drawable], build.precision)
    count = len(answers.ids)
    if not result.agrees:
        words = f"{count} tokens differ from the source: {result.words}; {_remake(model, build)}"
        return _wrong(build.name, words)
    words = f"{build.name}: {count} tokens agree with the source: {result.words}."
    return Finding(build.name, True, words)


def _wrong(part: str, words: str) -> Finding:
    return Finding(part, False, f"{part}: {words.rstrip('.')}.")


def _again() -> str:
    return "remove the model and import it again"


def _remake(model: Installed, build: Build) -> str:
    return (
        "make the build again, on the Models page or with: sample-explorer models convert "
        f"{shlex.quote(model.name)} --precision {build.precision}"
    )


def _worded(progress: Progress, text: str) -> Callable[[float], None]:
    """Return a progress function for the third quarter of the work and a bit."""
    return lambda fraction: progress(0.5 + 0.3 * fraction, text)


def _is_text(path: Path, text: str) -> bool:
    data = text.encode()
    try:
        # A file of another size need not be read: it may be as large as somebody wants.
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder; 0 where there is none."""
    try:
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    except OSError:
        return 0
