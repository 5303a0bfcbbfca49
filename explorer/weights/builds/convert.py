"""A checkpoint becomes a model folder, or nothing at all.

Everything is written into a sibling folder that ends in ``.part`` and appears by one rename;
whatever goes wrong, or whoever cancels, only that folder has to go. A person's checkpoint is copied
into ``source/`` first and read from there, so that what was checked is what is kept, and further
builds can be made when the original is gone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from explorer.core.errors import CheckpointError, ModelError
from explorer.core.manifest import (
    BUILD_NAMES,
    CONTRACT_VERSION,
    Build,
    DeviceClass,
    Manifest,
    Precision,
)
from explorer.weights.builds.packing import (
    BUILD_REVISION,
    GRAPH_FILE,
    PACKINGS,
    WEIGHTS_FILE,
    GraphSpec,
)
from explorer.weights.builds.weight_file import copy_file, flush
from explorer.weights.checkpoints.checkpoint import Checkpoint, open_checkpoint
from explorer.weights.checkpoints.layouts import names_of_copy, origin_of
from explorer.weights.formats.untrusted_folder import Source

PART = ".part"
"""Ending of unfinished files and folders."""
SOURCE_FOLDER = "source"
TOKENIZER_FILE = "tokenizer.json"

Progress = Callable[[float, str], None]
"""Takes the fraction that is done and a few words; may raise to cancel."""

_FLUSHING = "Waiting for the disk"
_NOT_A_PLACE = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)
_COPY_SHARE = 0.2
"""Part of the whole progress that copying the source gets."""
_SMOOTHING_SHARE = 0.3
"""Part of the progress of a build that looking for channels to smooth gets."""


def convert(
    source: Path | Source,
    target: Path,
    builds: Sequence[str],
    name: str,
    progress: Progress,
    copy_source: bool = True,
    origin: dict[str, str] | None = None,
    move_source: bool = False,
    hashes: dict[str, str] | None = None,
    like: Manifest | None = None,
) -> Manifest:
    """Make the model folder ``target`` from the GPT-2 folder, or what was chosen in it, ``source``.

    ``target`` must not exist; its parent is created. ``origin`` is what the manifest says of the
    source, by default its kind, its path and which file was taken. With ``move_source`` the
    source's files are moved instead of copied, at the very end: until ``target`` is there, they are
    where they were. ``hashes`` are hex SHA-256 of source files by name, as far as somebody has just
    taken them. ``like`` is the model that the source was kept for: texts end and start at its
    tokens, whatever the source would say today. Raises :class:`CheckpointError` for a source that
    cannot be used and :class:`ModelError` where the target cannot be written.
    """
    progress(0.0, "Checking the files")
    part = target.with_name(target.name + PART)
    kept = copy_source or move_source
    with open_checkpoint(source) as checkpoint, explained(target.parent):
        _check_room(target.parent, checkpoint, builds, kept and not move_source)
        origin = origin or origin_of(checkpoint.source)
        discard(part)
        part.mkdir(parents=True)
        try:
            if kept:
                taking = _scaled(progress, 0.0, _COPY_SHARE)
                making = _scaled(progress, _COPY_SHARE, 1.0)
                found = _take_source(
                    checkpoint, part / SOURCE_FOLDER, move_source, hashes or {}, taking
                )
                with open_checkpoint(part / SOURCE_FOLDER) as copied:
                    if like:
                        copied.follow(like)
                    manifest = _fill(part, copied, builds, name, origin, found, making)
            else:
                if like:
                    checkpoint.follow(like)
                known = hashes or {}
                found = {
                    file: known.get(file) or checkpoint.source.sha256(file)
                    for file in checkpoint.files()
                }
                manifest = _fill(part, checkpoint, builds, name, origin, found, progress)
            if target.exists():
                raise ModelError(f"{target} exists already; remove it or choose another name.")
            progress(1.0, _FLUSHING)
            for path in (part, *part.rglob("*")):  # the rename must never show half of a file
                flush(path)
            part.rename(target)
            flush(target.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                discard(part)
            raise
        moved = [checkpoint.source.path(name) for name in checkpoint.files()] if move_source else []
    for path in moved:
        with contextlib.suppress(OSError):  # the model is made: an old file harms nobody
            path.unlink()
    progress(1.0, "Done")
    return manifest


def add_build(
    folder: Path,
    build: str,
    progress: Progress,
    source: Path | None = None,
    again: bool = False,
) -> Manifest:
    """Make one more build of the model folder ``folder`` from what it was made of.

    ``source`` is where the checkpoint lies if it is not in ``folder/source``. A build that is there
    in full is made once more only with ``again``. A tokenizer that is missing or damaged is written
    anew. Raises :class:`ModelError` where the source is gone or no longer the one that the model
    was made from.
    """
    manifest = Manifest.read(folder)
    if has_build(folder, manifest, build) and not again:
        return manifest
    origin = source or folder / SOURCE_FOLDER
    if not origin.is_dir():
        raise ModelError(
            f"{manifest.name} has no {build} build and its source is gone; import the model again."
        )
    part = folder / (build + PART)
    opened = open_checkpoint(source) if source else _kept(origin, manifest.name)
    with opened as checkpoint, explained(folder):
        checkpoint.follow(manifest, folder)
        _check_room(folder, checkpoint, [build], copy_source=False)
        discard(part)
        try:
            part.mkdir()
            made = write_build(part, checkpoint, build, progress)
            if checkpoint.fingerprint() != manifest.fingerprint:
                raise ModelError(
                    f"The source of {manifest.name} has changed since it was imported; "
                    "remove the model and import it again."
                )
            _write_tokenizer(folder, checkpoint)
            discard(folder / build)  # of a build that broke, or was never entered in model.json
            part.rename(folder / build)
            flush(folder)
        except BaseException:
            with contextlib.suppress(OSError):
                discard(part)
            raise
        manifest = Manifest.read(folder).with_build(made)
        manifest.write(folder)
    progress(1.0, "Done")
    return manifest


def _kept(folder: Path, name: str) -> Checkpoint:
    """Open what a model was made from; that it is no usable GPT-2 any more is nobody's input."""
    try:
        return open_checkpoint(folder)
    except CheckpointError as error:
        raise ModelError(
            f"{name} was made from files that are damaged now ({str(error).rstrip('.')}); remove "
            "the model and import it again."
        ) from error


def write_build(folder: Path, checkpoint: Checkpoint, name: str, progress: Progress) -> Build:
    """Write ``model.onnx`` and ``weights.bin`` of one build into ``folder``, which must exist."""
    # Here and not above: most who look after models make none, and onnx takes its time to load.
    from explorer.weights.builds import smoothing
    from explorer.weights.builds.graph import write_graph

    device_class, precision = _split(name)
    spec, packing = graph_spec(checkpoint), PACKINGS[precision]

    def making(start: float, stop: float) -> Callable[[float], None]:
        part = _scaled(progress, start, stop)
        return lambda fraction: part(fraction, f"Making the {name} build")

    share = _SMOOTHING_SHARE if packing.quantizes else 0.0
    factors = smoothing.measure(checkpoint, packing, making(0.0, share))
    read = smoothing.smoothed(checkpoint.blocks, factors)
    hashes = write_graph(folder, spec, precision, device_class, read, making(share, 1.0)).hashes
    flush(folder / GRAPH_FILE)
    flush(folder)
    parts = [
        checkpoint.fingerprint(),
        name,
        CONTRACT_VERSION,
        BUILD_REVISION,
        *packing.layers,
        *packing.head,
    ]
    parts += [f"{norm} {factors[norm].tobytes().hex()}" for norm in sorted(factors)]
    return Build(
        name=name,
        device_class=device_class,
        precision=precision,
        fingerprint=hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest(),
        kv_head_size=spec.kv_head_size,
        top=spec.top,
        bits=packing.layers.bits,
        block=packing.layers.block,
        head_bits=packing.head_bits,
        even_rows=packing.even_rows,
        bytes=_size(folder),
        hashes=hashes,
    )


def graph_spec(checkpoint: Checkpoint) -> GraphSpec:
    """Return the sizes that the graph writer needs."""
    config = checkpoint.config
    return GraphSpec(
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        context=config.context,
        vocabulary=checkpoint.tokenizer.vocabulary,
        inner=config.inner,
        epsilon=config.epsilon,
        tied=checkpoint.tied,
        exact_gelu=config.exact_gelu,
        undrawable=checkpoint.tokenizer.holes,
    )


def has_build(folder: Path, manifest: Manifest, build: str) -> bool:
    """Return whether a model folder has this build, complete by its size, and a tokenizer."""
    known = manifest.builds.get(build)
    try:
        complete = known is not None and _size(folder / build) == known.bytes
        return complete and (folder / TOKENIZER_FILE).is_file()
    except OSError:
        return False


def discard(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there; links are not followed."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what the disk says about writing into ``folder`` into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"The disk of {folder} is full; make room and try again."
        elif error.errno == errno.EFBIG:
            message = (
                f"The disk of {folder} cannot hold a file of this size; choose another place with "
                "--data-dir."
            )
        elif error.errno in _NOT_A_PLACE:
            message = (
                f"{folder} cannot be used ({error.strerror}); look what is there, or choose "
                "another place with --data-dir."
            )
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            message = f"{folder} cannot be written to; choose another place with --data-dir."
        else:
            message = f"Writing to {folder} failed ({error.strerror or error}); try again."
        raise ModelError(message) from error


def _fill(
    part: Path,
    checkpoint: Checkpoint,
    builds: Sequence[str],
    name: str,
    source: dict[str, str],
    hashes: dict[str, str],
    progress: Progress,
) -> Manifest:
    """Write everything but the source into ``part``."""
    made: dict[str, Build] = {}
    for number, build in enumerate(builds):
        (part / build).mkdir()
        made[build] = write_build(
            part / build,
            checkpoint,
            build,
            _scaled(progress, number / len(builds), (number + 1) / len(builds)),
        )
    _write_tokenizer(part, checkpoint)
    config = checkpoint.config
    end, start = checkpoint.end_of_text, checkpoint.start_of_text
    manifest = Manifest(
        name=name,
        fingerprint=checkpoint.fingerprint(),
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        context=config.context,
        vocabulary=checkpoint.tokenizer.vocabulary,
        end_of_text=end,
        start_of_text=None if start == end else start,
        prefix_ids=checkpoint.prefix_ids,
        parameters=checkpoint.parameters,
        source=source,
        hashes=hashes,
        builds=made,
        inner=None if config.inner == 4 * config.width else config.inner,
    )
    manifest.write(part)
    return manifest


def _write_tokenizer(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``tokenizer.json`` by one rename: other builds of the model may be in use."""
    part = folder / (TOKENIZER_FILE + PART)
    part.write_bytes(checkpoint.tokenizer.json.encode())
    flush(part)
    part.replace(folder / TOKENIZER_FILE)


def _take_source(
    checkpoint: Checkpoint, target: Path, move: bool, known: dict[str, str], progress: Progress
) -> dict[str, str]:
    """Copy the files of a checkpoint, or link to them, and return their hex SHA-256."""
    target.mkdir()
    names = names_of_copy(checkpoint.source)
    paths = {name: checkpoint.source.path(name) for name in names}
    total = sum(path.stat().st_size for path in paths.values())
    hashes: dict[str, str] = {}
    taken = 0

    def report(count: int) -> None:
        nonlocal taken
        taken += count
        progress(min(taken / total, 1.0), "Reading the files" if linked else "Copying the files")

    for name, path in paths.items():
        copy = names[name]
        (target / copy).parent.mkdir(exist_ok=True)
        linked = move and _link(path, target / copy)
        if not linked:
            hashes[copy] = copy_file(path, target / copy, report)
        elif name in known:
            hashes[copy] = known[name]
        else:
            hashes[copy] = checkpoint.source.sha256(name, report)
    return hashes


def _link(path: Path, target: Path) -> bool:
    """Give a file a second name; False where that cannot be (another disk, FAT)."""
    try:
        os.link(path, target)
    except OSError:
        return False
    return True


def _check_room(
    folder: Path, checkpoint: Checkpoint, builds: Sequence[str], copy_source: bool
) -> None:
    """Refuse early, with both numbers, what would fill the disk."""
    needed = 0.0
    if copy_source:
        needed += sum(checkpoint.source.path(name).stat().st_size for name in checkpoint.files())
    for build in builds:
        _, precision = _split(build)
        bits = PACKINGS[precision].layers.bits
        if bits is None:
            needed += checkpoint.parameters * (2 if precision == "fp16" else 4)
        else:
            # The embedding is kept apart, in fp16; the head may have twice as many bits.
            table = checkpoint.tokenizer.vocabulary * checkpoint.config.width
            needed += checkpoint.parameters * (bits + 1) / 8 + 3 * table
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"There is too little room in {folder}: about {needed / 1e6:,.0f} MB are needed and "
            f"{free / 1e6:,.0f} MB are free; make room and try again."
        )


def _split(build: str) -> tuple[DeviceClass, Precision]:
    """Return device class and precision of a build's name."""
    match build.split("-"):
        case ["cpu" | "cuda" as device_class, "fp32" | "fp16" | "int8" | "int4" as precision] if (
            build in BUILD_NAMES
        ):
            return device_class, precision
    raise ModelError(f"There is no build {build!r}; known are {', '.join(BUILD_NAMES)}.")


def _scaled(progress: Progress, start: float, stop: float) -> Progress:
    """Return a progress function whose 0 to 1 is ``start`` to ``stop`` of the whole."""
    return lambda fraction, text: progress(start + (stop - start) * fraction, text)


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in (GRAPH_FILE, WEIGHTS_FILE))
