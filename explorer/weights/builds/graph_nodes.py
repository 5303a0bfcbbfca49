"""A graph under construction: nodes in memory, weights straight into the external data file.

Matrices come in the form that the precision asks for; whoever adds a layer need not know which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from explorer.core.errors import CheckpointError
from explorer.core.manifest import Precision
from explorer.weights.builds.packing import COLUMNS, FLOATING, Packing, Storage
from explorer.weights.builds.quantize import LEVELS, Packed, empty, quantize_columns, quantize_into
from explorer.weights.builds.weight_file import WeightWriter

Array = NDArray[np.float32]
Read = Callable[[str], Iterable[Array]]
"""Returns a tensor by its Hugging Face name without prefix (``h.0.attn.c_attn.weight``, ...).

In parts of whole rows; all but the last have a multiple of 128 rows."""

_STANDARD = frozenset(
    {"Abs", "Add", "Cast", "Div", "Expand", "Gather", "GatherElements", "Gemm", "Log"}
    | {"LayerNormalization", "MatMul", "MatMulInteger", "Mul", "QuantizeLinear", "ReduceMax"}
    | {"Reshape", "Slice", "Softmax", "Sub", "TopK"}
)
"""Operators of ONNX itself; the others are ONNX Runtime's own."""

_AT_ONCE = 1 << 9
"""Outputs that are quantised at a time where each has one scale."""


class _Columns(NamedTuple):
    """A matrix of whole numbers with one scale an output."""

    data: NDArray[np.int8]  # [inputs, outputs]
    scales: Array  # [outputs]

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> _Columns:
        return cls(np.empty(shape, np.int8), np.empty(shape[1], np.float32))


class Nodes:
    """The nodes and weights written so far."""

    def __init__(
        self, precision: Precision, packing: Packing, weights: WeightWriter, read: Read
    ) -> None:
        """Start with nothing; ``read`` gives the tensors of the checkpoint."""
        self.read = read
        self._packing = packing
        self.kind: np.dtype[Any] = np.dtype(np.float16 if precision == "fp16" else np.float32)
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []

    @property
    def quantizes(self) -> bool:
        """Whether matrices are stored in few bits."""
        return self._packing.quantizes

    def node(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any
    ) -> str:
        """Append a node and return the name of its first output."""
        names = list(outputs) or [f"{op}_{len(self._nodes)}"]
        domain = "" if op in _STANDARD else "com.microsoft"
        self._nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0]

    def weight(self, name: str, array: NDArray[Any]) -> str:
        """Write a weight to the external file as it is and return its name."""
        self._begin(name, array.dtype, array.shape)
        self._weights.put(array)
        return name

    def whole(self, name: str) -> Array:
        """Return a tensor of the checkpoint in one piece."""
        parts = list(self.read(name))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def vector(self, name: str) -> str:
        """Write a bias or the gain of a norm as it is in the checkpoint."""
        values = self.whole(name)
        return self.floating(name, [values], values.shape)

    def floating(
        self,
        name: str,
        rows: Iterable[Array],
        shape: tuple[int, ...],
        kind: np.dtype[Any] | None = None,
    ) -> str:
        """Write a weight as floating point of ``kind`` or of this precision.

        ``rows`` are its parts, ``shape`` is what they make together; rows beyond it are left out,
        missing ones are zero. Raises :class:`CheckpointError`, now or later, where a number is too
        large for the type.
        """
        kind = kind or self.kind
        self._begin(name, kind, shape)
        for part in _exactly(rows, shape):
            if kind == part.dtype:
                self._weights.put(part)
            else:
                cast = np.empty(part.shape, kind)
                self._weights.put(cast, [self._weights.work(_cast, name, part, cast)])
        return name

    def constant(self, *values: int) -> str:
        """Add a list of whole numbers, inside the graph file; equal lists are one."""
        name = "const_" + "_".join(map(str, values))
        if all(tensor.name != name for tensor in self._initializers):
            array = np.array(values, np.int64)
            self._initializers.append(onnx.numpy_helper.from_array(array, name))
        return name

    def number(self, name: str, value: np.generic) -> str:
        """Add a number, inside the graph file; once under each name."""
        name = f"const_{name}"
        if all(tensor.name != name for tensor in self._initializers):
            self._initializers.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def linear(
        self, x: str, name: str, rows: Iterable[Array], shape: tuple[int, int], bias: str = ""
    ) -> str:
        """Return ``x @ weight (+ bias)``; weight [inputs, outputs], as GPT-2 keeps them."""
        inputs, outputs = shape
        storage = self._packing.layers
        if storage == FLOATING:
            product = self.node("MatMul", [x, self.floating(name, rows, shape)])
            return self.node("Add", [product, bias]) if bias else product
        if storage == COLUMNS:
            columns = _Columns.empty(shape)
            parts = list(_exactly(rows, shape))
            whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
            done = self._quantize_columns(columns, whole)
            return self._by_columns(x, name, columns, done, bias)
        bits, block = _blocks(storage)
        packed = empty(outputs, inputs, bits, block)
        done, start = [], 0  # block of inputs
        for part in _exactly(rows, shape):
            stop = start - (-len(part) // block)
            room = Packed(packed.data[:, start:stop], packed.scales[:, start:stop])
            done.append(self._weights.work(quantize_into, room, part.T, bits, block))
            start = stop
        self._begin(name, packed.data.dtype, packed.data.shape)
        self._weights.put(packed.data, done)
        return self._by_blocks(x, name, packed.scales, shape, storage, bias)

    def transposed(
        self, x: str, name: str, rows: Iterable[Array], shape: tuple[int, int], bias: str, out: str
    ) -> str:
        """Return ``x @ weight.T + bias`` as ``out``, quantised; weight [outputs, inputs]."""
        outputs, inputs = shape
        storage = self._packing.head
        if storage == COLUMNS:
            columns = _Columns.empty((inputs, outputs))
            done, start = [], 0
            for part in _exactly(rows, shape):
                done += self._quantize_columns(columns, part.T, start)
                start += len(part)
            return self._by_columns(x, name, columns, done, bias, out)
        bits, block = _blocks(storage)
        done, scales = [], []
        like = empty(0, inputs, bits, block).data
        shape3 = (outputs, *like.shape[1:])
        self._begin(name, like.dtype, shape3)
        for part in _exactly(rows, shape):
            packed = empty(len(part), inputs, bits, block)
            work = self._weights.work(quantize_into, packed, part, bits, block)
            self._weights.put(packed.data, [work])
            done.append(work)
            scales.append(packed.scales)
        for work in done:
            work.result()
        return self._by_blocks(
            x, name, np.concatenate(scales), (inputs, outputs), storage, bias, out
        )

    def _begin(self, name: str, kind: np.dtype[Any], shape: Sequence[int]) -> None:
        """Start a tensor in the external file, and point to it from inside the graph."""
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(kind),
            dims=shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in self._weights.begin(kind, shape)._asdict().items():
            tensor.external_data.add(key=key, value=str(value))
        self._initializers.append(tensor)

    def _quantize_columns(
        self, columns: _Columns, weight: Array, start: int = 0
    ) -> list[Future[None]]:
        """Have the columns of ``weight`` quantised, which are those from ``start`` on."""
        done = []
        for first in range(0, weight.shape[1], _AT_ONCE):
            part = weight[:, first : first + _AT_ONCE]
            place = slice(start + first, start + first + part.shape[1])
            room = columns.data[:, place], columns.scales[place]
            done.append(self._weights.work(quantize_columns, *room, part))
        return done

    def _by_columns(
        self,
        x: str,
        name: str,
        columns: _Columns,
        done: Sequence[Future[None]],
        bias: str = "",
        output: str = "",
    ) -> str:
        """Append the product with a matrix of whole numbers, which are ready once ``done`` is.

        Every row of ``x`` is divided by its largest number, rounded to -127..127 of 127 and, after
        the product, multiplied by that number again. So no row sees another, and the product itself
        is exact: neither the number of rows nor the processor changes a bit of it. A row of zeros
        is divided by zero; whatever integers it gets are multiplied by zero in the end.
        """
        self._begin(name, columns.data.dtype, columns.data.shape)
        self._weights.put(columns.data, done)
        scales = self.weight(f"{name}.scales", columns.scales)
        size = self.node("ReduceMax", [self.node("Abs", [x]), self.constant(-1)], keepdims=1)
        level = self.number("level", np.float32(1 / LEVELS))
        zero = self.number("zero", np.uint8(128))
        numbers = self.node("QuantizeLinear", [self.node("Div", [x, size]), level, zero])
        # MatMulIntegerToFloat would do this and the next two at once, and takes longer.
        product = self.node("MatMulInteger", [numbers, name, zero])
        product = self.node("Cast", [product], to=TensorProto.FLOAT)
        product = self.node("Mul", [product, scales])
        last = [output] if output else ()
        if not bias:
            return self.node("Mul", [product, size], last)
        return self.node("Add", [self.node("Mul", [product, size]), bias], last)

    def _by_blocks(
        self,
        x: str,
        name: str,
        scales: Array,
        shape: tuple[int, int],
        storage: Storage,
        bias: str,
        output: str = "",
    ) -> str:
        """Append the product with a quantised matrix whose data were written last."""
        bits, block = _blocks(storage)
        inputs = [x, name, self.weight(f"{name}.scales", scales)]
        if bias:
            inputs += ["", "", bias]
        # Level 4: activations as int8 by row and block. The others are many times slower.
        return self.node(
            "MatMulNBits",
            inputs,
            [output] if output else (),
            K=shape[0],
            N=shape[1],
            bits=bits,
            block_size=block,
            accuracy_level=4,
        )

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return the finished model."""
        graph = helper.make_graph(self._nodes, "gpt2", inputs, outputs, self._initializers)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=10, producer_name="sample-explorer"
        )


def _exactly(rows: Iterable[Array], shape: tuple[int, ...]) -> Iterator[Array]:
    """Yield as many rows as ``shape`` has: none beyond, and zeros for what is missing."""
    left = shape[0]
    for part in rows:
        if left:
            yield part[:left]
            left -= min(left, len(part))
    if left:
        yield np.zeros((left, *shape[1:]), np.float32)


def _blocks(storage: Storage) -> tuple[int, int]:
    """Return bits and block of a matrix that is stored in blocks."""
    if storage.bits is None or storage.block is None:
        raise ValueError(f"{storage} has no blocks")
    return storage.bits, storage.block


def _cast(name: str, values: Array, target: NDArray[Any]) -> None:
    """Fill ``target`` with ``values`` in its type, or raise where one is too large for it."""
    largest = float(max(values.max(initial=0), -values.min(initial=0)))
    if largest > float(np.finfo(target.dtype).max):
        raise CheckpointError(
            f"{name} holds {largest:.3g}, too large for {target.dtype.name}; "
            "choose another precision."
        )
    target[...] = values
