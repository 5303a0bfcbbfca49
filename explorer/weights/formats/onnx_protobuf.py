"""The structure of somebody's ONNX file, read without its weights.

An ONNX file is one protocol buffer: fields of number, kind and value, messages within messages.
The format's own library parses it whole into memory, weights included, and trusts its counts. Here
a walk over the fields keeps nodes, names and shapes, notes where the numbers of each tensor lie,
and steps over them. What one file may cost is bounded: fields, nodes, names, nesting.
Format: https://protobuf.dev/programming-guides/encoding, field numbers from onnx.proto.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from explorer.core.errors import CheckpointError
from explorer.weights.formats.untrusted_folder import HEAD, instead, shown

MAX_NODES = 100_000
"""Nodes in all graphs of a file; both branches of a merged 1558M export have 30,000."""

MAX_FIELDS = 1_000_000
"""Fields besides weights; a merged 1558M export has 0.2 million."""
MAX_DEPTH = 8
"""Graphs within graphs."""

MAX_RANK = 8
MAX_LENGTH = 1 << 40
"""Length of one axis."""

_MAX_NAME = 1000
_MAX_TEXT = 32 << 20
"""Bytes of all names together."""
_MAX_NUMBERS = 16
"""Numbers kept of a list in an attribute; ``perm`` has as many as a tensor has axes."""
_WINDOW = 1 << 16

# Attributes that are looked at; all others are stepped over.
_ATTRIBUTES = frozenset(
    ("alpha", "approximate", "axis", "beta", "epsilon", "perm", "transA", "transB", "value")
)
_BRANCHES = frozenset(("then_branch", "else_branch"))

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Field and kind -> the form in which a tensor holds its numbers; others are not used for weights.
_FORMS = {(9, _BYTES): "raw", (4, _BYTES): "float", (5, _BYTES): "int32"}

Span = tuple[int, int]
"""First byte and the byte after the last, from the beginning of the file."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A stored tensor as the file describes it; nothing of it is checked against its bytes yet."""

    name: str
    type: int
    """``TensorProto.DataType``."""
    shape: tuple[int, ...]
    spans: tuple[tuple[str, Span], ...] = ()
    """Where numbers lie in the file: ("raw" | "float" | "int32" | "other", span)."""
    external: tuple[tuple[str, str], ...] | None = None
    """Entries that say where the numbers lie in another file."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation."""

    op: str
    """Its type; behind the domain and a colon where that is not ONNX's own."""
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[str, float]
    perm: tuple[int, ...] | None
    text: dict[str, str]
    value: Tensor | None
    """Of a ``Constant``."""
    branches: tuple[Graph, ...]
    """Of an ``If``."""


@dataclass(slots=True)
class Graph:
    """Nodes in the order in which they run."""

    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """Initializers."""
    outputs: list[str] = field(default_factory=list)


def read_graph(path: Path, name: str) -> tuple[Graph, tuple[str, ...]]:
    """Return the graph in ``path``, called ``name`` in messages, and the files it refers to.

    The latter as the file spells them, each once, unchecked. Raises :class:`CheckpointError` for
    what is no ONNX file, is truncated, or is larger in any way than a GPT-2 can be.
    """
    try:
        with path.open("rb", buffering=0) as file:
            if other := instead(file.read(HEAD) or b""):
                raise CheckpointError(f"{name} {other}.")
            return _Walk(file, name).model()
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read ({error.strerror}).") from error


class _Walk:
    """One pass over a file."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._size = os.fstat(file.fileno()).st_size
        self._window = b""
        self._base = 0
        self._fields = 0
        self._nodes = 0
        self._text = 0
        self._files: dict[str, None] = {}

    def model(self) -> tuple[Graph, tuple[str, ...]]:
        if not self._size:
            raise CheckpointError(f"{self._name} is empty; copy or download it again.")
        graph: Graph | None = None
        for number, kind, value in self._walk((0, self._size)):
            if number == 7:
                if graph is not None:
                    raise self._broken("it holds two graphs")
                graph = self._graph(self._span(kind, value), 1)
        if graph is None:
            raise self._broken("it holds no graph")
        return graph, tuple(self._files)

    def _graph(self, span: Span, depth: int) -> Graph:
        if depth > MAX_DEPTH:
            raise self._broken(f"its graphs are nested more than {MAX_DEPTH} deep")
        graph = Graph()
        for number, kind, value in self._walk(span):
            match number:
                case 1:
                    self._nodes += 1
                    if self._nodes > MAX_NODES:
                        raise self._broken(f"it has more than {MAX_NODES} nodes")
                    graph.nodes.append(self._node(self._span(kind, value), depth))
                case 5:
                    tensor = self._tensor(self._span(kind, value))
                    if tensor.name in graph.tensors:
                        raise self._broken(f"it stores {shown(tensor.name)} twice")
                    graph.tensors[tensor.name] = tensor
                case 12:
                    graph.outputs.append(self._value_name(self._span(kind, value)))
        return graph

    def _value_name(self, span: Span) -> str:
        name = ""
        for number, kind, value in self._walk(span):
            if number == 1:
                name = self._string(kind, value)
        return name

    def _node(self, span: Span, depth: int) -> Node:
        inputs: list[str] = []
        outputs: list[str] = []
        op = name = domain = ""
        attributes: list[Span] = []
        for number, kind, value in self._walk(span):
            match number:
                case 1:
                    inputs.append(self._string(kind, value))
                case 2:
                    outputs.append(self._string(kind, value))
                case 3:
                    name = self._string(kind, value)
                case 4:
                    op = self._string(kind, value)
                case 5:
                    attributes.append(self._span(kind, value))
                case 7:
                    domain = self._string(kind, value)
        if domain not in ("", "ai.onnx"):
            op = f"{domain}:{op}"
        numbers: dict[str, float] = {}
        text: dict[str, str] = {}
        perm: tuple[int, ...] | None = None
        tensor: Tensor | None = None
        branches: list[Graph] = []
        for attribute in attributes:
            key, found = self._attribute(attribute, op, depth)
            match found:
                case float() | int():
                    numbers[key] = found
                case str():
                    text[key] = found
                case tuple():
                    perm = found
                case Tensor():
                    tensor = found
                case Graph():
                    branches.append(found)
        return Node(
            op, name, tuple(inputs), tuple(outputs), numbers, perm, text, tensor, tuple(branches)
        )

    def _attribute(
        self, span: Span, op: str, depth: int
    ) -> tuple[str, float | str | tuple[int, ...] | Tensor | Graph | None]:
        name = ""
        found: dict[int, tuple[int, int | Span]] = {}
        ints: list[int] = []
        for number, kind, value in self._walk(span):
            if number == 1:
                name = self._string(kind, value)
            elif number == 8 and len(ints) < _MAX_NUMBERS:
                ints += self._ints(kind, value)
            elif number < 7:
                found[number] = kind, value
        if name in _BRANCHES and op == "If" and 6 in found:
            return name, self._graph(self._span(*found[6]), depth + 1)
        if name not in _ATTRIBUTES:
            return name, None
        if name == "perm":
            return name, tuple(ints)
        if name == "value":
            return name, self._tensor(self._span(*found[5])) if 5 in found else None
        if name == "approximate":
            return name, self._string(*found[4]) if 4 in found else None
        if 2 in found:
            start, end = self._span(*found[2], kind=_FIXED32)
            return name, struct.unpack("<f", self._bytes(start, end))[0]
        return name, self._int(*found[3]) if 3 in found else None

    def _tensor(self, span: Span) -> Tensor:
        name = ""
        data_type = 0
        shape: list[int] = []
        spans: list[tuple[str, Span]] = []
        entries: list[tuple[str, str]] = []
        external = False
        for number, kind, value in self._walk(span):
            match number:
                case 1:
                    shape += self._ints(kind, value)
                    if len(shape) > MAX_RANK:
                        raise self._broken(f"a tensor has more than {MAX_RANK} axes")
                case 2:
                    data_type = self._int(kind, value)
                case 8:
                    name = self._string(kind, value)
                case 3 | 4 | 5 | 6 | 7 | 9 | 10 | 11 if len(spans) < 2:  # two are one too many
                    form = _FORMS.get((number, kind), "other")
                    spans.append((form, (0, 0) if isinstance(value, int) else value))
                case 13:
                    entries.append(self._entry(self._span(kind, value)))
                    if len(entries) > 16:
                        raise self._broken("a tensor's place in another file has too many entries")
                case 14:
                    external = self._int(kind, value) == 1
        if any(not 0 <= length <= MAX_LENGTH for length in shape):
            raise self._broken(f"the tensor {shown(name)} has the impossible shape {shown(shape)}")
        if external:
            self._files |= {value: None for key, value in entries if key == "location"}
        return Tensor(
            name, data_type, tuple(shape), tuple(spans), tuple(entries) if external else None
        )

    def _entry(self, span: Span) -> tuple[str, str]:
        key = text = ""
        for number, kind, value in self._walk(span):
            if number == 1:
                key = self._string(kind, value)
            elif number == 2:
                text = self._string(kind, value)
        return key, text

    # Values of fields

    def _span(self, found: int, value: int | Span, kind: int = _BYTES) -> Span:
        if found != kind or isinstance(value, int):
            raise self._broken("a field has another type than it must have")
        return value

    def _int(self, kind: int, value: int | Span) -> int:
        if kind != _VARINT or not isinstance(value, int):
            raise self._broken("a field has another type than it must have")
        return value - (1 << 64) if value >> 63 else value

    def _ints(self, kind: int, value: int | Span) -> list[int]:
        """Return the numbers of a repeated field, packed or not; too many are cut."""
        if kind == _VARINT:
            return [self._int(kind, value)]
        at, end = self._span(kind, value)
        numbers: list[int] = []
        while at < end and len(numbers) <= _MAX_NUMBERS:
            number, at = self._varint(at)
            numbers.append(self._int(_VARINT, number))
        return numbers

    def _string(self, kind: int, value: int | Span) -> str:
        start, end = self._span(kind, value)
        self._text += end - start
        if end - start > _MAX_NAME or self._text > _MAX_TEXT:
            raise self._broken("its names are longer than any exporter writes them")
        # Whatever the bytes are, two names stay two names.
        return self._bytes(start, end).decode("utf-8", "surrogateescape")

    # Bytes

    def _walk(self, span: Span) -> Iterator[tuple[int, int, int | Span]]:
        """Yield (field number, kind, value) of a message: a number, or where the bytes lie."""
        at, end = span
        while at < end:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise self._broken(f"it has more than {MAX_FIELDS} fields besides its weights")
            key, at = self._varint(at)
            kind = key & 7
            match kind:
                case 0:
                    number, at = self._varint(at)
                    if at > end:
                        raise self._broken("a field is longer than what holds it")
                    yield key >> 3, kind, number
                    continue
                case 2:
                    length, at = self._varint(at)
                case 1 | 5:
                    length = 8 if kind == _FIXED64 else 4
                case _:
                    raise self._broken(f"a field at byte {at} is of no known kind")
            if length > end - at:
                raise self._broken("a field is longer than what holds it")
            yield key >> 3, kind, (at, at + length)
            at += length

    def _varint(self, at: int) -> tuple[int, int]:
        """Return the number at byte ``at`` and the place after it."""
        place = at - self._base
        if not 0 <= place <= len(self._window) - 10:
            self._load(at)
            place = 0
        window = self._window
        try:
            byte = window[place]
            if byte < 0x80:
                return byte, at + 1
            number, shift = byte & 0x7F, 7
            while shift < 70:
                place += 1
                byte = window[place]
                number |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return number & (1 << 64) - 1, at + shift // 7
        except IndexError:
            raise self._broken("it ends too early") from None
        raise self._broken(f"the number at byte {at} has no end")

    def _bytes(self, start: int, end: int) -> bytes:
        if not self._base <= start <= end <= self._base + len(self._window):
            self._load(start)
        data = self._window[start - self._base : end - self._base]
        if len(data) != end - start:
            raise self._broken("it ends too early")
        return data

    def _load(self, start: int) -> None:
        self._file.seek(start)
        self._window = self._file.read(_WINDOW)
        self._base = start

    def _broken(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self._name} is not an ONNX export of a GPT-2 that can be read: {why}; "
            "if it should be one, copy or download it again."
        )
