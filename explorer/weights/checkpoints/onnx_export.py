"""Other people's ONNX exports of GPT-2 as a source of weights.

Their graphs are never run. A file's structure is read (:mod:`~..formats.onnx_protobuf`), the
graph is followed from embedding to head (:mod:`.onnx_matching`), and the tensors that
stand where a GPT-2 has its weights are read from where they lie: in the file, or in files beside it
(external data). Nothing is believed: places lie inside their files, sizes match shapes, no two
tensors overlap, and files are plain names next to the export.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import CheckpointError
from explorer.weights.checkpoints.onnx_matching import EMBEDDING, FLOATS, HEAD, Trail, follow
from explorer.weights.formats.config import ACTIVATIONS, Config
from explorer.weights.formats.onnx_protobuf import Tensor, read_graph
from explorer.weights.formats.onnx_values import Weight
from explorer.weights.formats.untrusted_folder import SUB_FOLDER, Source, shorten, shown

MAX_FILES = 2000
"""Files of external data; old exporters made one for each tensor, 582 for 1558M."""

# Of several exports the first of these is taken, in the folder before its onnx/, all of them in
# full precision before any in half: they hold the same weights, the simpler graph is read sooner.
_STEMS = ("model", "decoder_model", "decoder_model_merged", "decoder_with_past_model")
_PRECISIONS = ("", "_fp16")
_ROUNDED = re.compile(
    r"(?:^|[_.-])(?:u?int[48]|[qu]\d.*|bnb4|quant.*|dynamic|static|fp[48].*)(?:[_.-]|$)",
    re.IGNORECASE,
)
_ROUNDED_REMEDY = (
    "whose numbers are rounded for good; choose the same model's model.onnx or model_fp16.onnx, or "
    "its safetensors."
)

_MISMATCHED = (("float", "fp16"), ("float", "bf16"), ("int32", "fp32"))
_ITEM = {"fp32": 4, "fp16": 2, "bf16": 2}
_CHUNK = 1 << 20
"""Numbers compared, or bytes of variable-length numbers decoded, at a time."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where one weight lies; ``shape`` as a GPT-2 has it."""

    shape: tuple[int, ...]
    dtype: str
    path: Path
    start: int
    """First byte in ``path``."""
    size: int
    """Bytes."""
    turned: bool
    """Stored with rows and columns exchanged."""
    packed: bool
    """Half-precision bits, each as a protobuf number of one to three bytes."""


def choose(source: Source) -> str:
    """Return the name of the ONNX file that is read.

    It is the one that a person chose, itself or by its data file. Else: full precision before half,
    the folder before its ``onnx``, then ``model``, ``decoder_model``, ``decoder_model_merged``,
    ``decoder_with_past_model``; else the only one that is there. Raises :class:`CheckpointError`
    where there is none, or only quantised ones, or several others.
    """
    chosen = source.chosen
    export = re.sub(r"(?<=\.onnx)[._]data(?:_\d+)?$", "", chosen, flags=re.IGNORECASE)
    if export.lower().endswith(".onnx"):
        if _ROUNDED.search(export[: -len(".onnx")]):
            raise CheckpointError(f"{shown(export)} is a quantised ONNX export, {_ROUNDED_REMEDY}")
        return export
    within = chosen if chosen.endswith("/") else ""
    names = [name for name in source.names(".onnx") if name.startswith(within)]
    for precision in _PRECISIONS:
        for prefix in ("", SUB_FOLDER + "/"):
            for stem in _STEMS:
                if (name := f"{prefix}{stem}{precision}.onnx") in names:
                    return name
    whole = [name for name in names if not _ROUNDED.search(name.removesuffix(".onnx"))]
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise CheckpointError(
            f"{source.folder} holds {len(whole)} ONNX files ({shorten(', '.join(whole))}), and "
            "which one is the model cannot be told; choose that file itself, or rename it to "
            "model.onnx."
        )
    if names:
        raise CheckpointError(
            f"{source.folder} holds only quantised ONNX exports ({shorten(', '.join(names))}), "
            f"{_ROUNDED_REMEDY}"
        )
    raise CheckpointError(f"{source.folder} holds no ONNX export.")


def weight_files(source: Source) -> tuple[str, ...]:
    """Return the names of the ONNX file and of the files of external data that it refers to.

    Raises :class:`CheckpointError` where there is none to choose, or it cannot be read, or a name
    leads out of the file's folder.
    """
    name = choose(source)
    _, locations = read_graph(source.path(name), name)
    return (name, *_external(source, name, locations))


def open_export(source: Source, config: Config) -> OnnxExport:
    """Open the ONNX export in a folder as tensors under the names of Hugging Face's GPT-2.

    A head that is the embedding is left out, as tied checkpoints do. Raises
    :class:`CheckpointError` for anything that is not plainly a whole GPT-2 of ``config``'s sizes in
    fp32, fp16 or bf16.
    """
    name = choose(source)
    if config.exact_gelu:
        raise CheckpointError(
            f"{config.file}: of an ONNX export activation_function must be {ACTIVATIONS[0]!r}; "
            "choose the same model's safetensors."
        )
    graph, locations = read_graph(source.path(name), name)
    files = _external(source, name, locations)
    paths = {location: source.path(file) for location, file in zip(locations, files, strict=True)}
    return OnnxExport(source.path(name), name, follow(graph, config, name), config, paths)


class OnnxExport:
    """One open export; ``tensors`` says what is in it."""

    def __init__(
        self, path: Path, name: str, trail: Trail, config: Config, external: Mapping[str, Path]
    ) -> None:
        """Find the numbers of everything in ``trail``; ``external`` maps locations to files."""
        self.name = name
        """Which of the folder's exports was chosen."""
        self._path = path
        self._external = external
        self.tensors: dict[str, Stored] = {}
        copies: list[tuple[str, Stored]] = []
        for role, weights in trail.weights.items():
            self.tensors[role], *others = (self._stored(role, weight) for weight in weights)
            copies += ((role, other) for other in others)
        self._check_places([*self.tensors.values(), *(stored for _, stored in copies)])
        for role, other in copies:
            self._check_copy(role, other)
        head, embedding = self.tensors.get(HEAD), self.tensors[EMBEDDING]
        # Where config.json says that the head is its own it must be found, even if it is the same.
        if head == embedding and not config.own_head:
            del self.tensors[HEAD]

    def read(self, tensor: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return a tensor, or its rows ``start`` to ``stop``, as fresh float32 in C order.

        Raises :class:`CheckpointError` where a file cannot be read or ends early because something
        shortened it.
        """
        return self._read(self.tensors[tensor], tensor, start, stop)

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""

    def __enter__(self) -> Self:
        """Return the export itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    # Where numbers lie

    def _stored(self, role: str, weight: Weight) -> Stored:
        tensor = weight.tensor
        dtype = FLOATS[tensor.type]
        count = math.prod(tensor.shape)
        size = count * _ITEM[dtype]
        shape, turned = weight.shape, weight.turned
        if role == HEAD:  # the graph multiplies by it as [width, rows]
            shape, turned = shape[::-1], not turned
        if tensor.external is not None:
            path, start = self._place(tensor, size)
            return Stored(shape, dtype, path, start, size, turned, packed=False)
        what = f"{self.name}: the tensor {shown(tensor.name)} of shape {list(tensor.shape)}"
        if len(tensor.spans) != 1 or tensor.spans[0][0] == "other":
            raise CheckpointError(
                f"{what} has no numbers in one piece; export the model again, or choose the model "
                "in safetensors format."
            )
        ((form, (start, end)),) = tensor.spans
        packed = form == "int32" and dtype != "fp32"
        found = end - start
        if (form, dtype) in _MISMATCHED:
            raise CheckpointError(f"{what} and type {dtype} has numbers of another type.")
        if not (count <= found <= 3 * count if packed else found == size):
            raise CheckpointError(
                f"{what} and type {dtype} needs {size} bytes, the file has {found} for it; it is "
                "damaged."
            )
        return Stored(shape, dtype, self._path, start, found, turned, packed)

    def _place(self, tensor: Tensor, size: int) -> tuple[Path, int]:
        """Return the file of external data and where in it the numbers begin."""
        what = f"{self.name}: the tensor {shown(tensor.name)} lies in another file, and"
        entries = dict(tensor.external or ())
        if len(entries) != len(tensor.external or ()) or "location" not in entries:
            raise CheckpointError(f"{what} which one is not said, or said twice.")
        start = _whole(entries.get("offset", "0"))
        length = _whole(entries.get("length", str(size)))
        if start is None or length is None:
            raise CheckpointError(f"{what} its place there is no number: {shown(entries)}.")
        if length != size:
            raise CheckpointError(
                f"{what} its shape {list(tensor.shape)} needs {size} bytes, {length} are said."
            )
        path = self._external[entries["location"]]
        try:
            there = path.stat().st_size
        except OSError as error:
            raise CheckpointError(
                f"{entries['location']} cannot be read ({error.strerror})."
            ) from error
        if start + size > there:
            raise CheckpointError(
                f"{what} its {size} bytes at {start} are not in {shown(entries['location'])}, "
                f"which has {there} bytes; it is truncated, copy or download it again."
            )
        return path, start

    def _check_places(self, found: list[Stored]) -> None:
        """Refuse tensors that overlap; the very same place may serve twice."""
        places = sorted({(str(stored.path), stored.start, stored.size) for stored in found})
        for (one, start, size), (other, following, _) in pairwise(places):
            if one == other and start + size > following:
                raise CheckpointError(
                    f"{self.name}: two tensors overlap in {Path(one).name} (at byte {following}), "
                    "so the file is damaged; copy or download it again."
                )

    def _check_copy(self, role: str, other: Stored) -> None:
        """Refuse a merged export whose branches hold different weights."""
        first = self.tensors[role]
        step = max(1, _CHUNK // math.prod(first.shape[1:]))
        for start in range(0, first.shape[0], step):
            stop = min(start + step, first.shape[0])
            one = self._read(first, role, start, stop)
            two = self._read(other, role, start, stop)
            if not np.array_equal(one.view(np.uint32), two.view(np.uint32)):
                raise CheckpointError(
                    f"{self.name} holds {role} twice with different numbers, and which is meant "
                    "cannot be told; choose an export that is not merged, or the model in "
                    "safetensors format."
                )

    # Numbers

    def _read(self, stored: Stored, what: str, start: int, stop: int | None) -> NDArray[np.float32]:
        rows = range(stored.shape[0])[start:stop]
        shape = (len(rows), *stored.shape[1:])
        if stored.turned:
            # Stored as [columns, rows]: of every line the piece between the two rows.
            lines, line = stored.shape[1], stored.shape[0]
            pieces = [(i * line + rows.start, len(rows)) for i in range(lines)]
            if len(rows) == line:
                pieces = [(0, lines * line)]
            return np.ascontiguousarray(
                self._numbers(stored, pieces, what).reshape(lines, len(rows)).T
            )
        row = math.prod(stored.shape[1:])
        return self._numbers(stored, [(rows.start * row, len(rows) * row)], what).reshape(shape)

    def _numbers(
        self, stored: Stored, pieces: list[tuple[int, int]], what: str
    ) -> NDArray[np.float32]:
        """Return numbers, given as (first, count) of each piece, one after the other."""
        item = _ITEM[stored.dtype]
        raw = np.empty(sum(count for _, count in pieces) * item, np.uint8)
        if stored.packed:
            bits = self._unpack(stored, what)
            raw = np.concatenate([bits[first : first + count] for first, count in pieces])
            raw = raw.view(np.uint8)
        else:
            try:
                with stored.path.open("rb", buffering=0) as file:
                    buffer = raw.data
                    for first, count in pieces:
                        file.seek(stored.start + first * item)
                        part, buffer = buffer[: count * item], buffer[count * item :]
                        while part:
                            if not (found := file.readinto(part)):
                                raise self._early(stored, what)
                            part = part[found:]
            except OSError as error:
                raise CheckpointError(
                    f"{stored.path.name} cannot be read ({error.strerror})."
                ) from error
        match stored.dtype:
            case "fp32":
                return raw.view("<f4").astype(np.float32, copy=False)
            case "fp16":
                return raw.view("<f2").astype(np.float32)
            case _:
                # bf16 is the upper half of a float32.
                wide = raw.view("<u2").astype(np.uint32)
                wide <<= 16
                return wide.view(np.float32)

    def _unpack(self, stored: Stored, what: str) -> NDArray[np.uint16]:
        """Return the bits of all half-precision numbers that are stored as protobuf numbers."""
        bits = np.empty(math.prod(stored.shape), "<u2")
        filled = 0
        for part in self._blocks(stored, what):
            last = part < 0x80
            ends = np.flatnonzero(last)
            starts = np.concatenate(([0], ends[:-1] + 1))
            lengths = ends - starts
            values = (part[starts] & 0x7F).astype(np.uint32)
            for extra in (1, 2):
                longer = lengths >= extra
                values[longer] |= (part[starts[longer] + extra] & 0x7F).astype(np.uint32) << (
                    7 * extra
                )
            if lengths.max(initial=0) > 2 or values.max(initial=0) > 0xFFFF:
                raise self._scattered(what)
            if filled + len(values) > len(bits):
                raise self._scattered(what)
            bits[filled : filled + len(values)] = values
            filled += len(values)
        if filled != len(bits):
            raise self._scattered(what)
        return bits

    def _blocks(self, stored: Stored, what: str) -> Iterator[NDArray[np.uint8]]:
        """Yield the bytes of a tensor in blocks that end where a number ends."""
        rest = b""
        left = stored.size
        try:
            with stored.path.open("rb", buffering=0) as file:
                file.seek(stored.start)
                while left:
                    data = file.read(min(left, _CHUNK))
                    if not data:
                        raise self._early(stored, what)
                    left -= len(data)
                    block = np.frombuffer(rest + data, np.uint8)
                    ends = np.flatnonzero(block[-4:] < 0x80)
                    if not len(ends):  # four bytes that all go on are no such number
                        raise self._scattered(what)
                    cut = max(len(block) - 4, 0) + int(ends[-1]) + 1
                    rest = block[cut:].tobytes()
                    yield block[:cut]
        except OSError as error:
            raise CheckpointError(
                f"{stored.path.name} cannot be read ({error.strerror})."
            ) from error
        if rest:
            raise self._scattered(what)

    def _early(self, stored: Stored, what: str) -> CheckpointError:
        return CheckpointError(
            f"{stored.path.name} ends in the middle of {what}; "
            "it is truncated or was changed while it was read."
        )

    def _scattered(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.name}: the numbers of {what} are not as many as its shape needs, or no "
            "half-precision numbers; the file is damaged."
        )


def _external(source: Source, name: str, locations: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in ``source`` of files that the export ``name`` calls by their own."""
    if len(locations) > MAX_FILES:
        raise CheckpointError(
            f"{name} refers to {len(locations)} other files; at most {MAX_FILES} are expected."
        )
    prefix = name[: -len(name.rpartition("/")[2])]
    files: list[str] = []
    for location in locations:
        if "/" in location or "\\" in location:
            raise CheckpointError(
                f"{name} refers to {shown(location)}, which is not a plain file name, so it could "
                "lie outside the folder; export the model again."
            )
        source.path(prefix + location)
        files.append(prefix + location)
    return tuple(files)


def _whole(text: str) -> int | None:
    """Return a whole number that a file can have as a place, or None."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
