"""GPT-2 as an ONNX graph, written node by node: prompt, steps and scoring in one graph.

The same graph reads a prompt (one row, S tokens) and makes a step (B rows, one token each, each at
its own position). Keys and values live in buffers that the caller owns: ``past`` and ``present``
are the same memory, and GroupQueryAttention writes the new positions into it.

Inputs and outputs; V is the drawable vocabulary, V' is V rounded up to whole blocks
(``plan.LOGIT_BLOCK``), K the smaller of V and 64, C the context, D the head size rounded up to 8::

    input_ids              [B, S] int64
    positions              [B, S] int64
    seqlens_k              [B]    int32   cached tokens of the row, this call's included, minus 1
    total_sequence_length  []     int32   first part of a prompt: S; a step: 2..C, >= longest row
    rows                   [R]    int64   which of the B*S positions get logits
    past.{i}.key/value     [B, H, C, D]
    top_logits  [R, K] fp32   descending, ties by lower id
    top_ids     [R, K] int64
    logsumexp   [R, 1] fp32
    logits      [R, V'] fp32  -inf for ids that are never drawn
    probabilities  [R, V'] fp32  their softmax
    present.{i}.key/value     the same buffers as past

Nothing here mixes rows: every kernel chosen computes a row from that row alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from explorer.core.manifest import DeviceClass, Precision
from explorer.weights.builds.graph_nodes import Array, Nodes, Read
from explorer.weights.builds.packing import GRAPH_FILE, PACKINGS, WEIGHTS_FILE, GraphSpec, Packing
from explorer.weights.builds.weight_file import WeightWriter
from explorer.weights.checkpoints.checkpoint import HEAD

Progress = Callable[[float], None]
"""Is told how much is done, 0 to 1; may raise to cancel."""


_REGISTER = 16
"""Numbers in the widest register that there is."""


class Written(NamedTuple):
    """What was written."""

    packing: Packing
    hashes: dict[str, str]
    """Hex SHA-256 of both files by name."""


def write_graph(
    folder: Path,
    spec: GraphSpec,
    precision: Precision,
    device_class: DeviceClass,
    read: Read,
    progress: Progress | None = None,
    packing: Packing | None = None,
) -> Written:
    """Write ``model.onnx`` and ``weights.bin`` into ``folder``, which must exist.

    One tensor is in memory at a time. ``packing`` overrides :data:`PACKINGS`, for measurements.
    Raises what ``read`` and ``progress`` raise, :class:`CheckpointError` for numbers that the
    precision cannot hold, and OSError.
    """
    if (precision == "fp16") != (device_class == "cuda"):
        raise ValueError(f"{device_class}-{precision} is not a build")
    packing = packing or PACKINGS[precision]
    matrices = 4 * spec.layers + 2  # four a layer, the embedding, the head
    done = 0

    def counted(name: str) -> Iterable[Array]:
        nonlocal done
        if name.endswith(".weight") and "ln_" not in name and name != "wpe.weight":
            if progress is not None:
                progress(min(done / matrices, 1.0))
            done += 1
        return read(name)

    with WeightWriter(folder / WEIGHTS_FILE) as weights:
        model = build_graph(spec, Nodes(precision, packing, weights, counted))
    graph = model.SerializeToString()
    (folder / GRAPH_FILE).write_bytes(graph)
    if progress is not None:
        progress(1.0)
    hashes = {GRAPH_FILE: hashlib.sha256(graph).hexdigest(), WEIGHTS_FILE: weights.sha256}
    return Written(packing, hashes)


def build_graph(spec: GraphSpec, g: Nodes) -> onnx.ModelProto:
    """Return the graph of a GPT-2; its weights are written as they are needed."""
    x = _embeddings(spec, g)  # [B, S, width]
    normal = _first_norm(spec, g, x)
    for layer in range(spec.layers):
        name = f"h.{layer}"
        attended = _attention(spec, g, normal, layer)
        normal, x = _add_and_norm(spec, g, x, attended, f"{name}.attn.c_proj", f"{name}.ln_2")
        thought = _feed_forward(spec, g, normal, layer)
        following = f"h.{layer + 1}.ln_1" if layer + 1 < spec.layers else "ln_f"
        normal, x = _add_and_norm(spec, g, x, thought, f"{name}.mlp.c_proj", following)
    _head(spec, g, normal)
    _selection(spec, g)
    return g.model(*_signature(spec, g))


def _embeddings(spec: GraphSpec, g: Nodes) -> str:
    """Token plus position embedding: [B, S] -> [B, S, width]."""
    if spec.tied and not g.quantizes:
        kind: np.dtype[Any] = np.dtype(np.float32)
        table = _head_table(spec, g)  # serves twice
    else:
        # One row a token is read, so half precision is about size, not speed.
        kind = np.dtype(np.float16) if g.quantizes else g.kind
        shape = (spec.vocabulary, spec.width)
        table = g.floating("wte.weight", g.read("wte.weight"), shape, kind)
    x = g.node("Gather", [table, "input_ids"])
    if kind != g.kind:
        x = g.node("Cast", [x], to=helper.np_dtype_to_tensor_dtype(g.kind))
    positions = g.floating("wpe.weight", g.read("wpe.weight"), (spec.context, spec.width))
    return g.node("Add", [x, g.node("Gather", [positions, "positions"])])


def _first_norm(spec: GraphSpec, g: Nodes, x: str) -> str:
    """Layer norm ahead of the first attention."""
    inputs = [x, g.vector("h.0.ln_1.weight"), g.vector("h.0.ln_1.bias")]
    return g.node("LayerNormalization", inputs, axis=-1, epsilon=spec.epsilon)


def _add_and_norm(
    spec: GraphSpec, g: Nodes, x: str, change: str, layer: str, norm: str
) -> tuple[str, str]:
    """Add the output of ``layer`` and its bias to the residual stream: (norm of the sum, sum)."""
    gain, shift, bias = (g.vector(n) for n in (f"{norm}.weight", f"{norm}.bias", f"{layer}.bias"))
    if g.kind == np.float32:
        # A third of the time that the operator below takes on a CPU, which adds up one by one.
        total = g.node("Add", [g.node("Add", [x, change]), bias])
        normal = g.node("LayerNormalization", [total, gain, shift], axis=-1, epsilon=spec.epsilon)
        return normal, total
    outputs = [f"{norm}.normal", "", "", f"{norm}.sum"]
    inputs = [x, change, gain, shift, bias]
    g.node("SkipLayerNormalization", inputs, outputs, epsilon=spec.epsilon)
    return outputs[0], outputs[3]


def _attention(spec: GraphSpec, g: Nodes, x: str, layer: int) -> str:
    """Causal self-attention, without the bias of its output: [B, S, width] -> [B, S, width]."""
    name, inside = f"h.{layer}.attn", spec.heads * spec.kv_head_size
    bias = _pad_heads(spec, g.whole(f"{name}.c_attn.bias"), 3)
    bias_name = g.floating(f"{name}.c_attn.bias", [bias], bias.shape)
    rows = (_pad_heads(spec, part, 3) for part in g.read(f"{name}.c_attn.weight"))
    qkv = g.linear(x, f"{name}.c_attn.weight", rows, (spec.width, 3 * inside), bias_name)
    past = [f"past.{layer}.key", f"past.{layer}.value"]
    outputs = [f"{name}.attended", f"present.{layer}.key", f"present.{layer}.value"]
    g.node(
        "GroupQueryAttention",
        [qkv, "", "", *past, "seqlens_k", "total_sequence_length"],
        outputs,
        num_heads=spec.heads,
        kv_num_heads=spec.heads,
        do_rotary=0,
        scale=spec.head_size**-0.5,
    )
    projection = g.read(f"{name}.c_proj.weight")
    if inside != spec.width:  # the heads are in the rows here
        projection = [_pad_heads(spec, g.whole(f"{name}.c_proj.weight").T, 1).T]
    return g.linear(outputs[0], f"{name}.c_proj.weight", projection, (inside, spec.width))


def _pad_heads(spec: GraphSpec, array: NDArray[np.float32], parts: int) -> NDArray[np.float32]:
    """Pad every head of the last axis, [..., parts * H * head size], with zeros to D numbers."""
    missing = spec.kv_head_size - spec.head_size
    if not missing:
        return array
    heads = array.reshape(*array.shape[:-1], parts * spec.heads, spec.head_size)
    padded = np.pad(heads, [(0, 0)] * (heads.ndim - 1) + [(0, missing)])
    return padded.reshape(*array.shape[:-1], -1)


def _feed_forward(spec: GraphSpec, g: Nodes, x: str, layer: int) -> str:
    """Two linear layers with gelu, mostly its tanh form, between; the second without its bias."""
    name, width, wide = f"h.{layer}.mlp", spec.width, spec.inner or 4 * spec.width
    inner = g.linear(x, f"{name}.c_fc.weight", g.read(f"{name}.c_fc.weight"), (width, wide))
    active = g.node(
        "BiasGelu" if spec.exact_gelu else "FastGelu", [inner, g.vector(f"{name}.c_fc.bias")]
    )
    rows = g.read(f"{name}.c_proj.weight")
    return g.linear(active, f"{name}.c_proj.weight", rows, (wide, width))


def _head(spec: GraphSpec, g: Nodes, x: str) -> None:
    """Logits of the chosen rows: [B, S, width] -> [R, V'] fp32, -inf where no token is."""
    flat = g.node("Reshape", [x, g.constant(-1, spec.width)])
    chosen = g.node("Gather", [flat, "rows"])  # [R, width]
    bias = np.zeros(spec.logit_columns, np.float32)
    bias[spec.vocabulary :] = -np.inf
    bias[list(spec.undrawable)] = -np.inf
    drawable = g.weight("head.bias", bias)
    if g.quantizes:
        shape = (spec.logit_columns, spec.width)
        g.transposed(chosen, "head", g.read(HEAD), shape, drawable, "logits")
        return
    # In fp32 in every build: fp16 logits are so coarse that different tokens tie.
    if g.kind != np.float32:
        chosen = g.node("Cast", [chosen], to=TensorProto.FLOAT)
    table = "head" if spec.tied else _head_table(spec, g)
    g.node("Gemm", [chosen, table, drawable], ["logits"], transB=1)


def _head_table(spec: GraphSpec, g: Nodes) -> str:
    """Write the rows that make the logits, in fp32, with zeros up to whole blocks: [V', width]."""
    shape = (spec.logit_columns, spec.width)
    return g.floating("head", g.read(HEAD), shape, np.dtype(np.float32))


def _selection(spec: GraphSpec, g: Nodes) -> None:
    """The K likeliest tokens of each row, all probabilities, and logsumexp."""
    outputs = ["top_logits", "top_ids"]
    g.node("TopK", ["logits", g.constant(spec.top)], outputs, axis=-1, largest=1, sorted=1)
    # The probability of the likeliest token is one over the sum of exponentials relative to it.
    # ReduceSum would add up in an order that depends on the address of a row.
    g.node("Softmax", ["logits"], ["probabilities"], axis=-1)
    ends = [g.constant(0), g.constant(1), g.constant(1)]
    first_logit, first_id = (g.node("Slice", [name, *ends]) for name in outputs)  # [R, 1]
    share = g.node("GatherElements", ["probabilities", first_id], axis=1)
    # Whole registers of it: what is left over at the end of an array gets another logarithm, with
    # other last bits, and a row's would depend on how many rows there are.
    logarithms = g.node("Log", [g.node("Expand", [share, g.constant(1, _REGISTER)])])
    g.node("Sub", [first_logit, g.node("Slice", [logarithms, *ends])], ["logsumexp"])


def _signature(
    spec: GraphSpec, g: Nodes
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Inputs and outputs with their types and shapes."""
    value, kind = helper.make_tensor_value_info, helper.np_dtype_to_tensor_dtype(g.kind)
    int32, int64, fp32 = TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT
    kv: list[str | int | None] = ["B", spec.heads, spec.context, spec.kv_head_size]
    caches = [f"{i}.{part}" for i in range(spec.layers) for part in ("key", "value")]
    inputs = [
        value("input_ids", int64, ["B", "S"]),
        value("positions", int64, ["B", "S"]),
        value("seqlens_k", int32, ["B"]),
        value("total_sequence_length", int32, []),
        value("rows", int64, ["R"]),
        *(value(f"past.{name}", kind, kv) for name in caches),
    ]
    outputs = [
        value("top_logits", fp32, ["R", spec.top]),
        value("top_ids", int64, ["R", spec.top]),
        value("logsumexp", fp32, ["R", 1]),
        value("logits", fp32, ["R", spec.logit_columns]),
        value("probabilities", fp32, ["R", spec.logit_columns]),
        *(value(f"present.{name}", kind, kv) for name in caches),
    ]
    return inputs, outputs
