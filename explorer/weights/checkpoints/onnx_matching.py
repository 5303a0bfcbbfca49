"""Which stored tensor is which weight: a GPT-2 graph followed from its embedding to its head.

Exporters fold names away (``onnx::MatMul_670``, ``val_374``), turn matrices and write a layer norm
in ten different ways. What stays is the trail: every operation that has a weight takes what the one
before it gave. So the graph is followed in the order in which it runs, each value remembers how
far along the trail it lies, and each weight that meets the newest value is held against what comes
next in a GPT-2: by its kind (matrix, factor or summand) and its shape. Nothing is executed. A graph
that does anything else with a weight is not the model that this program would make of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NoReturn

from explorer.core.errors import CheckpointError
from explorer.weights.formats.config import Config
from explorer.weights.formats.onnx_protobuf import Graph, Node, Tensor
from explorer.weights.formats.onnx_values import (
    NOTHING,
    Flow,
    Scope,
    Value,
    Weight,
    at,
    find,
    fits,
    flow_of,
    is_vector,
    is_view,
    merge,
    turn,
    view,
    weight_of,
)
from explorer.weights.formats.untrusted_folder import shorten, shown

EMBEDDING, POSITIONS, HEAD = "wte.weight", "wpe.weight", "lm_head.weight"

_QUANTISED = re.compile(
    r"QLinear|QGemm|QAttention|QEmbed|QMoE|MatMulInteger|ConvInteger|QuantizeLinear|DequantizeLinear"
    r"|DynamicQuantize|MatMulNBits|MatMulBnb4|GatherBlockQuantized|MatMulFpQ4|DequantizeBFP"
)
FLOATS = {1: "fp32", 10: "fp16", 16: "bf16"}
"""The types that weights may have, by their number in ``TensorProto.DataType``."""

_SMALL = frozenset((2, 3, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26))
"""Types of eight bits and fewer that hold rounded weights."""

_GPT2_NAME = re.compile(
    r"(?:.*[./])?((?:wte|wpe|lm_head|ln_f|h\.\d{1,5}\.(?:ln_1|ln_2|attn\.c_attn|attn\.c_proj"
    r"|mlp\.c_fc|mlp\.c_proj))\.(?:weight|bias))(?:_merged_\d+)?",
    re.DOTALL,
)
_ACTIVATIONS = re.compile(
    r"(?:com\.microsoft:)?(?:Tanh|Erf|Relu|Sigmoid|Gelu|BiasGelu|QuickGelu|Elu|Selu|LeakyRelu|Mish)"
)

Kind = Literal["matrix", "factor", "summand"]


@dataclass(slots=True)
class Trail:
    """What was found: the tensors of one GPT-2, some perhaps in several copies."""

    weights: dict[str, list[Weight]] = field(default_factory=dict)
    """Name in a GPT-2 -> the tensors that serve as it; more than one in a merged export."""
    epsilons: set[float] = field(default_factory=set)


def follow(graph: Graph, config: Config, name: str) -> Trail:
    """Return the weights of the GPT-2 in ``graph``; the file is called ``name`` in messages.

    All that ``config`` asks for are there and have their shapes; the head only where the graph has
    one. Raises :class:`CheckpointError` for quantised graphs and for those that are not plainly a
    GPT-2 of these sizes.
    """
    follower = _Follower(config, name)
    follower.run(graph, [])
    return follower.finish()


class _Follower:
    """One walk along the trail."""

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        self._name = name
        self._steps = _steps(config)
        self._stage = 0
        self._farthest = 0
        self._tables: list[Weight] = []
        self._trail = Trail()
        self._seen: dict[int, set[str]] = {}
        self._node: Node | None = None
        self._ops: dict[str, Callable[[Node, list[Value]], Flow]] = {
            "Gather": self._gather,
            "MatMul": self._matmul,
            "Gemm": self._gemm,
            "com.microsoft:FusedMatMul": self._matmul,
            "Add": self._add,
            "Mul": self._mul,
            "LayerNormalization": self._norm,
            "com.microsoft:Attention": self._attention,
            "com.microsoft:FastGelu": self._fast_gelu,
        }

    def run(self, graph: Graph, outer: list[Scope]) -> list[Flow]:
        """Follow a graph; ``outer`` are the values around it. Returns the flow of its outputs."""
        values: Scope = {name: weight_of(tensor) for name, tensor in graph.tensors.items()}
        scopes = [values, *outer]
        for node in graph.nodes:
            self._node = node
            if _QUANTISED.search(node.op):
                raise CheckpointError(
                    f"{self._name} is a quantised export (its graph has {shown(node.op)} nodes), "
                    "so the numbers of the model are rounded for good; choose the same model's "
                    "model.onnx or model_fp16.onnx, or its safetensors."
                )
            inputs = [find(name, scopes) for name in node.inputs]
            if node.branches:
                values.update(self._branches(node, scopes))
            elif node.op == "Constant" or is_view(node, inputs):
                turned = view(node, inputs)
                if turned is not None:
                    values |= dict.fromkeys(node.outputs, turned)
            elif node.op in _NORMS_WITH_SUM:
                values.update(self._fused_norm(node, inputs))
            else:
                flow = self._ops.get(node.op, self._other)(node, inputs)
                values |= dict.fromkeys(node.outputs, flow)
        return [flow_of(find(name, scopes)) for name in graph.outputs]

    def finish(self) -> Trail:
        """Return what was found once everything was walked."""
        needed = len(self._steps) - 1  # the head may be missing
        if self._farthest < needed:
            _, role, shape = self._steps[self._farthest]
            raise self._refusal(
                f"{role} of shape {list(shape)} does not follow where a GPT-2 of "
                f"n_layer {self._config.layers} has it"
            )
        self._check_activations()
        self._check_names()
        if wrong := {e for e in self._trail.epsilons if not _close(e, self._config.epsilon)}:
            raise self._refusal(
                f"its layer norms add {min(wrong):g}, config.json says layer_norm_epsilon "
                f"{self._config.epsilon:g}"
            )
        return self._trail

    # Weights that are met

    def _meet(self, kind: Kind, weight: Weight, flow: Flow) -> Flow:
        """Take the next weight of the trail; returns the value that comes out."""
        if not flow.rows:  # masks and positions are no part of the trail
            return flow
        if self._stage >= len(self._steps):
            self._refuse(weight, "nothing follows the head of a GPT-2")
        wanted, role, shape = self._steps[self._stage]
        if kind != wanted or not fits(weight, shape) or flow.stage != self._stage:
            self._refuse(weight, f"{role} of shape {list(shape)} is expected there")
        if flow.rows != 3:
            self._refuse(weight, "token and position embeddings must come before it")
        self._assign(role, weight)
        self._stage += 1
        self._farthest = max(self._farthest, self._stage)
        return Flow(self._stage, flow.rows)

    def _assign(self, role: str, weight: Weight) -> None:
        tensor = weight.tensor
        if tensor.type in _SMALL:
            raise CheckpointError(
                f"{self._name} is a quantised export ({role} is stored in eight bits or fewer), so "
                "the numbers of the model are rounded for good; choose the same model's "
                "model.onnx or model_fp16.onnx, or its safetensors."
            )
        if tensor.type not in FLOATS:
            raise CheckpointError(
                f"{self._name}: the tensor {shown(tensor.name)} ({role}) has ONNX's type "
                f"{tensor.type}; weights must be fp32, fp16 or bf16."
            )
        found = self._trail.weights.setdefault(role, [])
        if weight not in found:
            found.append(weight)

    def _table(self, table: Weight) -> Flow:
        """Take an embedding; which one, its shape tells."""
        rows, context, width = self._config.rows, self._config.context, self._config.width
        shapes = {EMBEDDING: (rows, width), POSITIONS: (context, width)}
        roles = [role for role, shape in shapes.items() if table.shape == shape]
        if len(roles) == 2:  # as many tokens as positions: only the name can tell
            named = _named(table.tensor)
            roles = [EMBEDDING if named == HEAD else named] if named else []
            if not set(roles) <= set(shapes) or not roles:
                raise self._refusal(
                    "it has as many tokens as positions and no names, so which embedding is which "
                    "cannot be told"
                )
        if not roles:
            if len(table.shape) == 2 and table.shape[1] == width and table.shape[0] < context:
                raise self._refusal(
                    f"it holds only {table.shape[0]} of the {context} position embeddings (it was "
                    "made for texts of one fixed length)"
                )
            self._refuse(
                table, f"embeddings of shape {[rows, width]} and {[context, width]} belong there"
            )
        self._assign(roles[0], table)
        return Flow(0, 1 if roles[0] == EMBEDDING else 2)

    # Operations

    def _gather(self, node: Node, inputs: list[Value]) -> Flow:
        table = at(inputs, 0)
        if (
            isinstance(table, Weight)
            and len(table.shape) == 2
            and min(table.shape) > 1
            and (
                table.tensor.type in FLOATS
                or (table.tensor.type in _SMALL and table.shape[1] == self._config.width)
            )
            and not node.numbers.get("axis", 0)
        ):
            return self._table(table)
        return merge(inputs)

    def _matmul(self, node: Node, inputs: list[Value]) -> Flow:
        left, right = at(inputs, 0), at(inputs, 1)
        if isinstance(right, Weight) and isinstance(left, Flow):
            if node.numbers.get("transA", 0) or node.numbers.get("alpha", 1.0) != 1:
                self._refuse(right, "GPT-2 has no scaled or turned products")
            if node.numbers.get("transB", 0):
                right = turn(right)
            return self._meet("matrix", right, left)
        if isinstance(left, Weight) and isinstance(right, Flow) and right.rows:
            self._refuse(left, "GPT-2 multiplies by its matrices from the right")
        return merge(inputs)

    def _gemm(self, node: Node, inputs: list[Value]) -> Flow:
        flow = self._matmul(node, inputs[:2])
        bias = at(inputs, 2)
        if isinstance(bias, Weight):
            if node.numbers.get("beta", 1.0) != 1:
                self._refuse(bias, "GPT-2 has no scaled sums")
            return self._meet("summand", bias, flow)
        return merge([flow, bias])

    def _add(self, node: Node, inputs: list[Value]) -> Flow:
        flow = merge(inputs)
        for weight in inputs:
            if isinstance(weight, Weight):
                if is_vector(weight):
                    return self._meet("summand", weight, flow)
                if flow == Flow(0, 1) and weight.shape[-1:] == (self._config.width,):
                    # An export for texts of one length: the position embeddings without a Gather.
                    return merge([flow, self._table(weight)])
        return flow

    def _mul(self, node: Node, inputs: list[Value]) -> Flow:
        flow = merge(inputs)
        for weight in inputs:
            if isinstance(weight, Weight) and is_vector(weight):
                return self._meet("factor", weight, flow)
        return self._other(node, inputs)

    def _norm(self, node: Node, inputs: list[Value]) -> Flow:
        self._trail.epsilons.add(float(node.numbers.get("epsilon", 1e-5)))
        return self._take(merge(inputs), [("factor", inputs, 1), ("summand", inputs, 2)])

    def _attention(self, node: Node, inputs: list[Value]) -> Flow:
        return self._take(flow_of(at(inputs, 0)), [("matrix", inputs, 1), ("summand", inputs, 2)])

    def _fast_gelu(self, node: Node, inputs: list[Value]) -> Flow:
        flow = self._take(flow_of(at(inputs, 0)), [("summand", inputs, 1)])
        self._seen.setdefault(flow.stage, set()).add("Tanh")
        return flow

    def _fused_norm(self, node: Node, inputs: list[Value]) -> Scope:
        """ONNX Runtime's sum and layer norm in one; the sum comes out as well."""
        # Its own default is 1e-12.
        self._trail.epsilons.add(float(node.numbers.get("epsilon", 1e-12)))
        if node.op.endswith("EmbedLayerNormalization"):
            tables = [at(inputs, i) for i in (2, 3, 4)]
            found = [self._table(t) if isinstance(t, Weight) else t for t in tables]
            total, scale = merge(found), 5
            ways = (0, 2)
        else:
            total, scale = merge([at(inputs, 0), at(inputs, 1)]), 2
            if isinstance(bias := at(inputs, 4), Weight):
                total = self._meet("summand", bias, total)
            ways = (0, 3)
        normed = self._take(total, [("factor", inputs, scale), ("summand", inputs, scale + 1)])
        outputs: Scope = dict.fromkeys(node.outputs, NOTHING)
        for place, flow in zip(ways, (normed, total), strict=True):
            if place < len(node.outputs):
                outputs[node.outputs[place]] = flow
        return outputs

    def _other(self, node: Node, inputs: list[Value]) -> Flow:
        if node.op in _SIZES:
            return NOTHING
        flow = merge(inputs)
        if _ACTIVATIONS.fullmatch(node.op):
            plain = node.op == "Gelu" and node.text.get("approximate") == "tanh"
            self._seen.setdefault(flow.stage, set()).add("Tanh" if plain else node.op)
        return flow

    def _take(self, flow: Flow, steps: list[tuple[Kind, list[Value], int]]) -> Flow:
        for kind, inputs, place in steps:
            weight = at(inputs, place)
            if isinstance(weight, Weight):
                flow = self._meet(kind, weight, flow)
        return flow

    def _branches(self, node: Node, scopes: list[Scope]) -> Scope:
        """Follow the branches of an If: of two that hold weights, each goes the same trail."""
        start = stop = self._stage
        results: list[list[Flow]] = []
        for branch in node.branches:
            self._stage = start
            results.append(self.run(branch, scopes))
            if self._stage > start and stop > start and self._stage != stop:
                raise self._refusal("the branches of its If hold different models")
            stop = max(stop, self._stage)
        self._stage = stop
        return {
            name: merge([found[i] for found in results if i < len(found)])
            for i, name in enumerate(node.outputs)
        }

    # Checks at the end

    def _check_activations(self) -> None:
        for stage, ((_, role, _), (_, following, _)) in enumerate(pairwise(self._steps), 1):
            if role.endswith("mlp.c_fc.bias"):
                seen = self._seen.get(stage, set())
                if seen != {"Tanh"}:
                    what = ", ".join(sorted(seen)) or "nothing"
                    raise self._refusal(
                        f"between {role} and {following} it has {shorten(what)}, where GPT-2 has "
                        "the gelu that is made with Tanh"
                    )

    def _check_names(self) -> None:
        """Refuse a tensor whose name says that it is another one than the trail says."""
        serves: dict[str, set[str]] = {}
        tensors: dict[str, Tensor] = {}
        for role, weights in self._trail.weights.items():
            for weight in weights:
                serves.setdefault(weight.tensor.name, set()).add(role)
                tensors[weight.tensor.name] = weight.tensor
        for name, roles in serves.items():
            named = _named(tensors[name])
            if named is None or named in roles:
                continue
            if {named, *roles} <= {EMBEDDING, HEAD}:
                continue
            raise self._refusal(
                f"the tensor {shown(name)} stands where {min(roles)} belongs, so which is meant "
                "cannot be told"
            )

    # Refusals

    def _refuse(self, weight: Weight, why: str) -> NoReturn:
        node = self._node
        where = shown((node.name or node.op) if node else "")
        raise self._refusal(
            f"its node {where} uses the tensor {shown(weight.tensor.name)} of shape "
            f"{list(weight.tensor.shape)}, but {why}"
        )

    def _refusal(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self._name}: its graph is not plainly a GPT-2 as config.json describes it: {why}; "
            "export it again with Optimum, or choose the model in safetensors format."
        )


_SIZES = ("Shape", "Size")
_NORMS_WITH_SUM = (
    "com.microsoft:SkipLayerNormalization",
    "com.microsoft:EmbedLayerNormalization",
)


def _steps(config: Config) -> list[tuple[Kind, str, tuple[int, ...]]]:
    """Return what lies on the trail, in order: kind, name and shape; the embeddings come before."""
    width, inner = config.width, config.inner
    steps: list[tuple[Kind, str, tuple[int, ...]]] = []

    def norm(name: str) -> None:
        steps.append(("factor", f"{name}.weight", (width,)))
        steps.append(("summand", f"{name}.bias", (width,)))

    def linear(name: str, rows: int, columns: int) -> None:
        steps.append(("matrix", f"{name}.weight", (rows, columns)))
        steps.append(("summand", f"{name}.bias", (columns,)))

    for i in range(config.layers):
        norm(f"h.{i}.ln_1")
        linear(f"h.{i}.attn.c_attn", width, 3 * width)
        linear(f"h.{i}.attn.c_proj", width, width)
        norm(f"h.{i}.ln_2")
        linear(f"h.{i}.mlp.c_fc", width, inner)
        linear(f"h.{i}.mlp.c_proj", inner, width)
    norm("ln_f")
    steps.append(("matrix", HEAD, (width, config.rows)))
    return steps


def _named(tensor: Tensor) -> str | None:
    found = _GPT2_NAME.fullmatch(tensor.name)
    return found[1] if found else None


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-3)
