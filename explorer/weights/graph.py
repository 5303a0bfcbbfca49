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
from typing import Any, NamedTuple

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
    raise NotImplementedError
