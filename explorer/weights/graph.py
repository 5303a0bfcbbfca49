"""GPT-2 as an ONNX graph, written node by node: prompt, steps and scoring in one graph.

The same graph reads a prompt (one row, S tokens) and makes a step (B rows, one token each, each at its own
position). Keys and values live in buffers that the caller owns: ``past`` and ``present`` are the same memory, and
GroupQueryAttention writes the new positions into it.

Inputs and outputs (V is the drawable vocabulary, V' is V rounded up to :data:`LOGIT_BLOCK`, K = min(64, V),
C the context, D the head size rounded up to 8)::

    input_ids              [B, S] int64
    positions              [B, S] int64
    seqlens_k              [B]    int32   cached tokens of the row, this call's included, minus 1
    total_sequence_length  []     int32   first part of a prompt: S; a step: 2..C, at least the longest row
    rows                   [R]    int64   which of the B*S positions get logits
    past.{i}.key/value     [B, H, C, D]
    top_logits  [R, K] fp32   descending, ties by lower id
    top_ids     [R, K] int64
    logsumexp   [R, 1] fp32
    logits      [R, V'] fp32  -inf for ids that are never drawn
    present.{i}.key/value     the same buffers as past

Nothing here mixes rows: every kernel chosen computes a row from that row alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from explorer.manifest import DeviceClass, Precision
from explorer.weights.quantize import quantize

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "weights.bin"

LOGIT_BLOCK = 64
"""Logits come in whole blocks of this many columns, so that every row starts at an aligned address."""

_ALIGNMENT = 4096

Read = Callable[[str], NDArray[np.float32]]
"""Returns a tensor by its Hugging Face name without prefix, as float32 (``h.0.attn.c_attn.weight``, ...)."""

Progress = Callable[[float], None]
"""Is told how much is done, 0 to 1; may raise to cancel."""


class Packing(NamedTuple):
    """How the matrices of a build are stored."""

    bits: int | None
    """Bits a weight, None where they are floating point."""
    block: int | None
    """Weights that share a scale, None where they are floating point."""
    even_rows: bool
    """Whether the kernels give row-independent bits only for an even number of rows."""


# Measured in docs/precision.md: speed, divergence from fp32, and bits that do not depend on other rows.
PACKINGS: dict[Precision, Packing] = {
    "fp32": Packing(None, None, False),
    "fp16": Packing(None, None, False),
    "int8": Packing(8, 32, False),
    "int4": Packing(4, 32, False),
}


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """The sizes of a GPT-2."""

    layers: int
    heads: int
    width: int
    """n_embd; a multiple of ``heads``."""
    context: int
    """C: rows of ``wpe.weight`` that are used."""
    vocabulary: int
    """V: the first V rows of ``wte.weight`` are used; a checkpoint may have more."""
    inner: int = 0
    """Width of the feed-forward layer; 0 = four times ``width``."""
    epsilon: float = 1e-5
    tied: bool = True
    """Whether the head is ``wte.weight``; otherwise ``lm_head.weight`` is read."""
    undrawable: tuple[int, ...] = ()
    """Ids below V that no token has; their logits are -inf."""

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def kv_head_size(self) -> int:
        """D: the head size padded to a multiple of 8, as the attention kernels want it."""
        return -(-self.head_size // 8) * 8

    @property
    def top(self) -> int:
        """K: entries of ``top_logits``."""
        return min(64, self.vocabulary)

    @property
    def logit_columns(self) -> int:
        """V': the vocabulary in whole blocks."""
        return -(-self.vocabulary // LOGIT_BLOCK) * LOGIT_BLOCK


def write_graph(
    folder: Path,
    spec: GraphSpec,
    precision: Precision,
    device_class: DeviceClass,
    read: Read,
    progress: Progress | None = None,
) -> Packing:
    """Write ``model.onnx`` and ``weights.bin`` into ``folder``, which must exist.

    One tensor is in memory at a time. Raises what ``read`` and ``progress`` raise, and OSError.
    """
    packing = PACKINGS[precision]
    # Weights carry the work: embeddings, four matrices a layer, the head.
    steps = 4 * spec.layers + 3
    done = 0

    def counted(name: str) -> NDArray[np.float32]:
        nonlocal done
        if progress is not None and not name.endswith("bias"):
            progress(min(done / steps, 1.0))
        done += name in ("wte.weight", "lm_head.weight") or ".c_" in name and "weight" in name
        return read(name)

    with WeightWriter(folder / WEIGHTS_FILE) as weights:
        model = build_graph(spec, precision, device_class, weights, counted)
    (folder / GRAPH_FILE).write_bytes(model.SerializeToString())
    if progress is not None:
        progress(1.0)
    return packing


class WeightWriter:
    """Appends tensors to the external data file of a graph."""

    def __init__(self, path: Path) -> None:
        """Create ``path``, replacing what is there."""
        self._file = path.open("wb")
        self._location = path.name

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def add(self, name: str, array: NDArray[Any]) -> TensorProto:
        """Write ``array`` and return the initializer that points to it."""
        # Page-aligned, so that it can be mapped instead of read.
        offset = -(-self._file.tell() // _ALIGNMENT) * _ALIGNMENT
        self._file.seek(offset)
        contiguous = np.ascontiguousarray(array)
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


def build_graph(
    spec: GraphSpec,
    precision: Precision,
    device_class: DeviceClass,
    weights: WeightWriter,
    read: Read,
) -> onnx.ModelProto:
    """Return the graph of a GPT-2; its weights go to ``weights`` as they are needed."""
    g = _Graph(spec, precision, weights, read)
    x = _embeddings(g)  # [B, S, width]
    normal = _first_norm(g, x)
    for layer in range(spec.layers):
        name = f"h.{layer}"
        attended = _attention(g, normal, layer)
        normal, x = _add_and_norm(g, x, attended, f"{name}.attn.c_proj.bias", f"{name}.ln_2")
        thought = _feed_forward(g, normal, layer)
        following = f"h.{layer + 1}.ln_1" if layer + 1 < spec.layers else "ln_f"
        normal, x = _add_and_norm(g, x, thought, f"{name}.mlp.c_proj.bias", following)
    _head(g, normal)
    _selection(g)
    return g.model()


class _Graph:
    """The nodes and weights written so far."""

    def __init__(
        self, spec: GraphSpec, precision: Precision, weights: WeightWriter, read: Read
    ) -> None:
        self.spec = spec
        self.read = read
        self.packing = PACKINGS[precision]
        self.kind = np.dtype(np.float16 if precision == "fp16" else np.float32)
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str] = (),
        *,
        ms: bool = False,
        **attributes: Any,
    ) -> str:
        """Append a node and return its first output; ``ms`` marks ONNX Runtime's own operators."""
        names = list(outputs) or [f"{op}_{len(self._nodes)}"]
        domain = "com.microsoft" if ms else ""
        self._nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0]

    def weight(self, name: str, array: NDArray[Any]) -> str:
        """Write a weight to the external file and return its name."""
        self._initializers.append(self._weights.add(name, array))
        return name

    def vector(self, name: str) -> str:
        """Write a bias or the gain of a norm as it is in the checkpoint."""
        return self.weight(name, self.read(name).astype(self.kind))

    def constant(self, values: Sequence[int]) -> str:
        """Add a small list of whole numbers, inside the graph file."""
        name = "const_" + "_".join(str(value) for value in values)
        if all(tensor.name != name for tensor in self._initializers):
            array = np.array(values, np.int64)
            self._initializers.append(onnx.numpy_helper.from_array(array, name))
        return name

    def linear(self, x: str, name: str, weight: NDArray[np.float32], bias: str = "") -> str:
        """Return ``x @ weight (+ bias)``; weight [inputs, outputs], as GPT-2 keeps them."""
        if self.packing.bits is not None:
            return self.quantized(x, name, weight.T, bias)
        product = self.node("MatMul", [x, self.weight(name, weight.astype(self.kind))])
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
        bits, block = self.packing.bits, self.packing.block
        if bits is None or block is None:
            raise ValueError("this precision has no quantised matrices")
        packed = quantize(weight, bits, block)
        inputs = [x, self.weight(name, packed.data), self.weight(f"{name}.scales", packed.scales)]
        if bias:
            inputs += ["", "", bias]
        # accuracy_level 4: activations as int8 by row and block. The other levels are many times slower.
        return self.node(
            "MatMulNBits",
            inputs,
            [output] if output else (),
            ms=True,
            K=weight.shape[1],
            N=weight.shape[0],
            bits=bits,
            block_size=block,
            accuracy_level=4,
        )

    def model(self) -> onnx.ModelProto:
        """Return the finished model."""
        spec, kind = self.spec, helper.np_dtype_to_tensor_dtype(self.kind)
        int32, int64, fp32 = TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT
        kv = ["B", spec.heads, spec.context, spec.kv_head_size]
        value = helper.make_tensor_value_info
        caches = [f"{i}.{part}" for i in range(spec.layers) for part in ("key", "value")]
        graph = helper.make_graph(
            self._nodes,
            "gpt2",
            [
                value("input_ids", int64, ["B", "S"]),
                value("positions", int64, ["B", "S"]),
                value("seqlens_k", int32, ["B"]),
                value("total_sequence_length", int32, []),
                value("rows", int64, ["R"]),
                *(value(f"past.{name}", kind, kv) for name in caches),
            ],
            [
                value("top_logits", fp32, ["R", spec.top]),
                value("top_ids", int64, ["R", spec.top]),
                value("logsumexp", fp32, ["R", 1]),
                value("logits", fp32, ["R", spec.logit_columns]),
                *(value(f"present.{name}", kind, kv) for name in caches),
            ],
            self._initializers,
        )
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=10, producer_name="sample-explorer"
        )


def _embeddings(g: _Graph) -> str:
    """Token plus position embedding: [B, S] -> [B, S, width]."""
    spec = g.spec
    if g.packing.bits is None and spec.tied:
        table = _token_table(g)  # one table serves as the head too
        kind = np.dtype(np.float32)
    else:
        # Only one row a token is read, so half precision is about size, not speed.
        kind = np.dtype(np.float16) if g.packing.bits else g.kind
        table = g.weight("wte.weight", g.read("wte.weight")[: spec.vocabulary].astype(kind))
    x = g.node("Gather", [table, "input_ids"])
    if kind != g.kind:
        x = g.node("Cast", [x], to=helper.np_dtype_to_tensor_dtype(g.kind))
    positions = g.read("wpe.weight")[: spec.context].astype(g.kind)
    place = g.node("Gather", [g.weight("wpe.weight", positions), "positions"])
    return g.node("Add", [x, place])


def _token_table(g: _Graph) -> str:
    """Write the rows that make the logits, padded with zeros to V' rows: [V', width] fp32."""
    return g.weight("head", _head_rows(g))


def _head_rows(g: _Graph) -> NDArray[np.float32]:
    name = "wte.weight" if g.spec.tied else "lm_head.weight"
    rows = np.zeros((g.spec.logit_columns, g.spec.width), np.float32)
    rows[: g.spec.vocabulary] = g.read(name)[: g.spec.vocabulary]
    return rows


def _first_norm(g: _Graph, x: str) -> str:
    """Layer norm ahead of the first attention."""
    inputs = [x, g.vector("h.0.ln_1.weight"), g.vector("h.0.ln_1.bias")]
    return g.node("LayerNormalization", inputs, axis=-1, epsilon=g.spec.epsilon)


def _add_and_norm(g: _Graph, x: str, change: str, bias: str, norm: str) -> tuple[str, str]:
    """Add a sublayer's output and its bias to the residual stream; return (norm of the sum, sum)."""
    inputs = [x, change, g.vector(f"{norm}.weight"), g.vector(f"{norm}.bias"), g.vector(bias)]
    outputs = [f"{norm}.normal", "", "", f"{norm}.sum"]
    g.node("SkipLayerNormalization", inputs, outputs, ms=True, epsilon=g.spec.epsilon)
    return outputs[0], outputs[3]


def _attention(g: _Graph, x: str, layer: int) -> str:
    """Causal self-attention over the cache, without the output's bias: [B, S, width] -> the same."""
    spec, name = g.spec, f"h.{layer}.attn"
    weight = _pad_heads(g.read(f"{name}.c_attn.weight"), spec, 3)  # [width, 3 * heads * D]
    bias = _pad_heads(g.read(f"{name}.c_attn.bias"), spec, 3).astype(g.kind)
    qkv = g.linear(x, f"{name}.c_attn.weight", weight, g.weight(f"{name}.c_attn.bias", bias))
    attended = f"{name}.attended"
    g.node(
        "GroupQueryAttention",
        [qkv, "", "", f"past.{layer}.key", f"past.{layer}.value", "seqlens_k"]
        + ["total_sequence_length"],
        [attended, f"present.{layer}.key", f"present.{layer}.value"],
        ms=True,
        num_heads=spec.heads,
        kv_num_heads=spec.heads,
        do_rotary=0,
        scale=spec.head_size**-0.5,
    )
    output = _pad_heads(g.read(f"{name}.c_proj.weight").T, spec, 1).T  # [heads * D, width]
    return g.linear(attended, f"{name}.c_proj.weight", output)


def _pad_heads(array: NDArray[np.float32], spec: GraphSpec, parts: int) -> NDArray[np.float32]:
    """Pad every head of the last axis [parts * heads * head_size] with zeros to the cache's head size."""
    missing = spec.kv_head_size - spec.head_size
    if not missing:
        return array
    heads = array.reshape(*array.shape[:-1], parts * spec.heads, spec.head_size)
    padded = np.pad(heads, [(0, 0)] * (heads.ndim - 1) + [(0, missing)])
    return padded.reshape(*array.shape[:-1], -1)


def _feed_forward(g: _Graph, x: str, layer: int) -> str:
    """Two linear layers with GPT-2's tanh gelu between, without the last bias."""
    name = f"h.{layer}.mlp"
    inner = g.linear(x, f"{name}.c_fc.weight", g.read(f"{name}.c_fc.weight"))
    active = g.node("FastGelu", [inner, g.vector(f"{name}.c_fc.bias")], ms=True)
    return g.linear(active, f"{name}.c_proj.weight", g.read(f"{name}.c_proj.weight"))


def _head(g: _Graph, x: str) -> None:
    """Logits of the chosen rows: [B, S, width] -> [R, V'] fp32, -inf where no token is."""
    spec = g.spec
    flat = g.node("Reshape", [x, g.constant([-1, spec.width])])
    chosen = g.node("Gather", [flat, "rows"])  # [R, width]
    drawable = np.zeros(spec.logit_columns, np.float32)
    drawable[spec.vocabulary :] = -np.inf
    drawable[list(spec.undrawable)] = -np.inf
    bias = g.weight("head.bias", drawable)
    if g.packing.bits is not None:
        g.quantized(chosen, "head", _head_rows(g), bias, "logits")
        return
    # In fp32 in every build: fp16 logits are so coarse that different tokens tie.
    if g.kind != np.float32:
        chosen = g.node("Cast", [chosen], to=TensorProto.FLOAT)
    table = "head" if spec.tied else _token_table(g)
    g.node("Gemm", [chosen, table, bias], ["logits"], transB=1)


def _selection(g: _Graph) -> None:
    """The K likeliest tokens of each row and the logarithm of the sum of all exponentials."""
    k = g.constant([g.spec.top])
    g.node("TopK", ["logits", k], ["top_logits", "top_ids"], axis=-1, largest=1, sorted=1)
    # log_softmax of the likeliest token is minus the logarithm of the sum of exponentials relative to it.
    # ReduceSum is not used: its order of summing depends on where in memory a row starts.
    relative = g.node("LogSoftmax", ["logits"], axis=-1)
    first_id = g.node("Slice", ["top_ids", *(g.constant([n]) for n in (0, 1, 1))])  # [R, 1]
    first = g.node("Slice", ["top_logits", *(g.constant([n]) for n in (0, 1, 1))])
    g.node("Sub", [first, g.node("GatherElements", [relative, first_id], axis=1)], ["logsumexp"])
