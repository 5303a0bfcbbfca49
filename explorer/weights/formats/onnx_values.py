"""What a value in somebody's ONNX graph is to one who only looks for weights.

Either a stored tensor, seen through whatever turns or renames it on the way, or something that the
graph computes, of which only matters how far along the trail of weights it lies. None stands for an
input that was left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from explorer.weights.formats.onnx_protobuf import Node, Tensor

_VIEWS = frozenset(("Identity", "Cast", "CastLike", "Transpose", "Squeeze", "Unsqueeze", "Reshape"))


@dataclass(frozen=True, slots=True)
class Weight:
    """A stored tensor as the graph uses it."""

    tensor: Tensor
    shape: tuple[int, ...]
    """As it is used: axes of length 1 in front left out, turned if it is."""
    turned: bool = False
    """Rows and columns change places on the way."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A value that the graph computes."""

    stage: int = 0
    """Weights of the trail, the two embeddings apart, that it depends on."""
    rows: int = 0
    """Which embeddings it depends on, one bit each."""


NOTHING = Flow()

Value = Weight | Flow | None
Scope = dict[str, Flow | Weight]
"""Values by name: of one graph, or of one branch of an If."""


def find(name: str, scopes: list[Scope]) -> Value:
    """Return the value of a name in the innermost scope that has it."""
    if not name:
        return None
    for scope in scopes:
        if name in scope:
            return scope[name]
    return NOTHING  # an input of the graph


def at(inputs: list[Value], place: int) -> Value:
    """Return an input, or None where a node has not so many."""
    return inputs[place] if place < len(inputs) else None


def flow_of(value: Value) -> Flow:
    """Return what a value depends on; a stored tensor depends on nothing."""
    return value if isinstance(value, Flow) else NOTHING


def merge(inputs: Sequence[Value]) -> Flow:
    """Return what depends on all of these."""
    flows = [value for value in inputs if isinstance(value, Flow)]
    rows = 0
    for flow in flows:
        rows |= flow.rows
    return Flow(max((flow.stage for flow in flows), default=0), rows)


def weight_of(tensor: Tensor) -> Weight:
    """Return a stored tensor as it is before anything was done to it."""
    shape = tensor.shape
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return Weight(tensor, shape)


def turn(weight: Weight) -> Weight:
    """Return a matrix with rows and columns exchanged."""
    return Weight(weight.tensor, weight.shape[::-1], not weight.turned)


def is_vector(weight: Weight) -> bool:
    """Return whether this can be a factor or summand of every position."""
    return len(weight.shape) == 1 and weight.shape[0] > 1


def fits(weight: Weight, shape: tuple[int, ...]) -> bool:
    """Return whether a weight is used with this shape."""
    return weight.shape == shape and math.prod(weight.tensor.shape) == math.prod(shape)


def is_view(node: Node, inputs: list[Value]) -> bool:
    """Return whether a node only shows a stored tensor in another way."""
    return node.op in _VIEWS and isinstance(at(inputs, 0), Weight)


def view(node: Node, inputs: list[Value]) -> Weight | None:
    """Return the same tensor seen through a node; None where what comes out cannot be told."""
    if node.op == "Constant":
        value = node.value
        if value is None:
            return None
        name = value.name or (node.outputs[0] if node.outputs else "")
        named = Tensor(name, value.type, value.shape, value.spans, value.external)
        return weight_of(named)
    weight = inputs[0]
    assert isinstance(weight, Weight)
    match node.op:
        case "Transpose":
            if len(weight.tensor.shape) == 2 and node.perm in (None, (), (1, 0)):
                return turn(weight)
            return weight if len(weight.shape) == 1 or node.perm == (0, 1) else None
        case "Reshape":
            return weight if is_vector(weight) else None
        case _:
            return weight
