"""A graph under construction: nodes in memory, weights straight into the external data file.

Matrices come in the form that the precision asks for; whoever adds a layer need not know which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from explorer.errors import CheckpointError
from explorer.manifest import Precision
from explorer.weights.plan import Packing
from explorer.weights.quantize import Packed, empty, quantize_into
from explorer.weights.writing import WeightWriter

Array = NDArray[np.float32]
Read = Callable[[str], Iterable[Array]]
"""Returns a tensor by its Hugging Face name without prefix (``h.0.attn.c_attn.weight``, ...).

In parts of whole rows; all but the last have a multiple of 128 rows."""

_STANDARD = frozenset(
    {"Add", "Cast", "Gather", "GatherElements", "Gemm", "LayerNormalization", "LogSoftmax"}
    | {"MatMul", "Reshape", "Slice", "Sub", "TopK"}
)
"""Operators of ONNX itself; the others are ONNX Runtime's own."""


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
        return self._packing.bits is not None

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

    def linear(
        self, x: str, name: str, rows: Iterable[Array], shape: tuple[int, int], bias: str = ""
    ) -> str:
        """Return ``x @ weight (+ bias)``; weight [inputs, outputs], as GPT-2 keeps them."""
        inputs, outputs = shape
        if not self.quantizes:
            product = self.node("MatMul", [x, self.floating(name, rows, shape)])
            return self.node("Add", [product, bias]) if bias else product
        bits, block = self._bits
        packed = empty(outputs, inputs, bits, block)
        done, start = [], 0  # block of inputs
        for part in _exactly(rows, shape):
            stop = start - (-len(part) // block)
            room = Packed(packed.data[:, start:stop], packed.scales[:, start:stop])
            done.append(self._weights.work(quantize_into, room, part.T, bits, block))
            start = stop
        self._begin(name, packed.data.dtype, packed.data.shape)
        self._weights.put(packed.data, done)
        return self._by_bits(x, name, packed.scales, shape, bias)

    def transposed(
        self, x: str, name: str, rows: Iterable[Array], shape: tuple[int, int], bias: str, out: str
    ) -> str:
        """Return ``x @ weight.T + bias`` as ``out``, quantised; weight [outputs, inputs]."""
        outputs, inputs = shape
        bits, block = self._bits
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
        return self._by_bits(x, name, np.concatenate(scales), (inputs, outputs), bias, out)

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

    @property
    def _bits(self) -> tuple[int, int]:
        bits, block = self._packing.bits, self._packing.block
        if bits is None or block is None:
            raise ValueError("this precision has no quantised matrices")
        return bits, block

    def _by_bits(
        self,
        x: str,
        name: str,
        scales: Array,
        shape: tuple[int, int],
        bias: str,
        output: str = "",
    ) -> str:
        """Append the product with a quantised matrix whose data were written last."""
        bits, block = self._bits
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


def _cast(name: str, values: Array, target: NDArray[Any]) -> None:
    """Fill ``target`` with ``values`` in its type, or raise where one is too large for it."""
    largest = float(max(values.max(initial=0), -values.min(initial=0)))
    if largest > float(np.finfo(target.dtype).max):
        raise CheckpointError(
            f"{name} holds {largest:.3g}, too large for {target.dtype.name}; "
            "choose another precision."
        )
    target[...] = values
