"""What a build will be like, before it is made: its sizes, how its matrices are packed, its files.

Apart from the graph itself, so that only the process that makes a build pays for the library that
writes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from explorer.core.manifest import Precision

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "weights.bin"

BUILD_REVISION = 5
"""Counts the ways in which builds were made, whatever changes a bit of what they compute.

One more has builds in the cache made anew, under other fingerprints: the same seed may give other
tokens."""

LOGIT_BLOCK = 64
"""Logits come in whole blocks of this many columns, so that every row starts aligned."""


class Storage(NamedTuple):
    """How the weights of a matrix are stored."""

    bits: int | None = None
    """Bits a weight, None where they are floating point."""
    block: int | None = None
    """Inputs whose weights share a scale; None where it is all of an output's, or no integers."""


FLOATING = Storage()
COLUMNS = Storage(8)
"""8 bits with one scale an output."""


class Packing(NamedTuple):
    """How the matrices of a build are stored."""

    layers: Storage = FLOATING
    head: Storage = FLOATING
    even_rows: bool = False
    """Whether the kernels give row-independent bits only for an even number of rows."""

    @property
    def quantizes(self) -> bool:
        """Whether matrices are stored in few bits."""
        return self.layers != FLOATING

    @property
    def head_bits(self) -> int | None:
        """Bits a weight of the head, with one scale an output; None where it is like the layers."""
        return self.head.bits if self.head != self.layers else None


PACKINGS: dict[Precision, Packing] = {
    "fp32": Packing(),
    "fp16": Packing(),
    "int8": Packing(COLUMNS, COLUMNS),
    "int4": Packing(Storage(4, 128), COLUMNS, even_rows=True),
}
"""Chosen by measuring speed, divergence from fp32 and row independence: docs/precision.md."""


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """The sizes of a GPT-2."""

    layers: int
    heads: int
    width: int
    """n_embd; a multiple of ``heads``."""
    context: int
    """C: the first C rows of ``wpe.weight`` are used."""
    vocabulary: int
    """V: the first V rows of ``wte.weight`` are used; a checkpoint may have more."""
    inner: int = 0
    """Width inside the feed-forward network; 0 = four times ``width``."""
    epsilon: float = 1e-5
    tied: bool = True
    """Whether the head is ``wte.weight``: in fp32 one table then serves twice."""
    exact_gelu: bool = False
    """Whether the activation is gelu itself instead of its tanh form."""
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
