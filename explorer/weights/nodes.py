"""A graph under construction: nodes in memory, weights straight into the external data file.

Matrices come in the form that the precision asks for; whoever adds a layer need not know which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from explorer.errors import CheckpointError
from explorer.manifest import Precision
from explorer.weights.quantize import quantize

Read = Callable[[str], NDArray[np.float32]]
"""Returns a tensor by its Hugging Face name without prefix (``h.0.attn.c_attn.weight``, ...)."""

_ALIGNMENT = 4096
"""Tensors start on a page of the weights file, so that they can be mapped."""

_STANDARD = frozenset(
    {"Add", "Cast", "Gather", "GatherElements", "Gemm", "LayerNormalization", "LogSoftmax"}
    | {"MatMul", "Reshape", "Slice", "Sub", "TopK"}
)
"""Operators of ONNX itself; the others are ONNX Runtime's own."""


class Packing(NamedTuple):
    """How the matrices of a build are stored."""

    bits: int | None
    """Bits a weight, None where they are floating point."""
    block: int | None
    """Weights that share a scale, None where they are floating point."""
    even_rows: bool
    """Whether the kernels give row-independent bits only for an even number of rows."""


class WeightWriter:
    """Appends tensors to the external data file of a graph."""

    def __init__(self, path: Path) -> None:
        """Create ``path``, replacing what is there."""
        self._file = path.open("wb")
        self._location = path.name
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    @property
    def sha256(self) -> str:
        """Hex digest of what was written so far."""
        return self._digest.hexdigest()

    def add(self, name: str, array: NDArray[Any]) -> TensorProto:
        """Write ``array`` and return the initializer that points to it."""
        end = self._file.tell()
        offset = -(-end // _ALIGNMENT) * _ALIGNMENT
        self._file.seek(offset)
        self._digest.update(bytes(offset - end))
        contiguous = np.ascontiguousarray(array)
        self._digest.update(contiguous.data)
        self._file.write(contiguous.data)
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            dims=array.shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (
            ("location", self._location),
            ("offset", str(offset)),
            ("length", str(contiguous.nbytes)),
        ):
            tensor.external_data.add(key=key, value=value)
        return tensor


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
        """Write a weight to the external file and return its name."""
        self._initializers.append(self._weights.add(name, array))
        return name

    def vector(self, name: str) -> str:
        """Write a bias or the gain of a norm as it is in the checkpoint."""
        return self.floating(name, self.read(name))

    def floating(
        self, name: str, array: NDArray[np.float32], kind: np.dtype[Any] | None = None
    ) -> str:
        """Write a weight as floating point of ``kind`` or of this precision.

        Raises :class:`CheckpointError` where a number is too large for it.
        """
        kind = kind or self.kind
        largest = float(np.abs(array).max(initial=0))
        if largest > float(np.finfo(kind).max):
            raise CheckpointError(
                f"{name} holds {largest:.3g}, too large for {kind.name}; choose another precision."
            )
        return self.weight(name, array.astype(kind))

    def constant(self, *values: int) -> str:
        """Add a list of whole numbers, inside the graph file; equal lists are one."""
        name = "const_" + "_".join(map(str, values))
        if all(tensor.name != name for tensor in self._initializers):
            array = np.array(values, np.int64)
            self._initializers.append(onnx.numpy_helper.from_array(array, name))
        return name

    def linear(self, x: str, name: str, weight: NDArray[np.float32], bias: str = "") -> str:
        """Return ``x @ weight (+ bias)``; weight [inputs, outputs], as GPT-2 keeps them."""
        if self.quantizes:
            return self.quantized(x, name, weight.T, bias)
        product = self.node("MatMul", [x, self.floating(name, weight)])
        return self.node("Add", [product, bias]) if bias else product

    def quantized(
        self,
        x: str,
        name: str,
        weight: NDArray[np.float32],
        bias: str = "",
        output: str = "",
    ) -> str:
        """Return ``x @ weight.T (+ bias)`` with quantised weight [outputs, inputs]."""
        bits, block = self._packing.bits, self._packing.block
        if bits is None or block is None:
            raise ValueError("this precision has no quantised matrices")
        packed = quantize(weight, bits, block)
        inputs = [x, self.weight(name, packed.data), self.weight(f"{name}.scales", packed.scales)]
        if bias:
            inputs += ["", "", bias]
        # Level 4: activations as int8 by row and block. The others are many times slower.
        return self.node(
            "MatMulNBits",
            inputs,
            [output] if output else (),
            K=weight.shape[1],
            N=weight.shape[0],
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
