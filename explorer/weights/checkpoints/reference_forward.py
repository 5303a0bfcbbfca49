"""GPT-2's forward pass straight from a checkpoint: what the builds are judged by.

A build went through a graph writer, packing and a runtime; this goes through none of them. It reads
the files that the model was made from and computes in float64. Follows openai/gpt-2,
``src/model.py``. Nothing is cached: it is for a short sequence, and no more than one matrix of a
layer is ever in memory as a whole.

Weights and ids being given, the logits are within 1e-10 * max(1, |logit|) of exact arithmetic: a
sum of n products in float64 errs by at most n * 1.1e-16 of the sum of their sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from explorer.weights.checkpoints.checkpoint import EMBEDDING, HEAD, Checkpoint

Array = NDArray[np.float64]
_erf = np.frompyfunc(math.erf, 1, 1)
Matrix = Callable[[], Iterable[NDArray[np.float32]]]
"""Yields a matrix in parts, as often as it is called: [outputs, inputs], some outputs at a time."""
Observe = Callable[[str, Array, Matrix], None]
"""Takes a norm by its name, its result [S, E], and the matrix that multiplies this."""

_OUTPUTS = 1 << 9
"""Outputs of a layer's matrix that are shown at a time."""


def _unobserved(norm: str, x: Array, matrix: Matrix) -> None:
    """Look at nothing."""


def _untold(fraction: float) -> None:
    """Tell nobody."""


def logits(
    checkpoint: Checkpoint, ids: Sequence[int], progress: Callable[[float], None] = _untold
) -> Array:
    """Return the logits that follow every token of ``ids``: [S, V], float64.

    V counts the ids that have a token; columns of holes among them hold what the model says, a
    build has -inf there. ``progress`` is told the fraction done after every layer and may raise to
    cancel. Raises ``ValueError`` where the ids do not fit into the context or the vocabulary, and
    whatever reading raises.
    """
    layers = checkpoint.config.layers
    share = (layers + 1) / (layers + 2)
    x = _hidden(checkpoint, ids, lambda part: progress(share * part))
    found = np.empty((len(ids), checkpoint.tokenizer.vocabulary))
    start = 0
    for head in _head(checkpoint)():  # [rows, E]
        found[:, start : start + len(head)] = x @ head.T.astype(np.float64)
        start += len(head)
    progress(1.0)
    return found


def observe(
    checkpoint: Checkpoint,
    ids: Sequence[int],
    look: Observe,
    progress: Callable[[float], None] = _untold,
) -> None:
    """Show every norm with the matrix behind it to ``look``, in order; else like :func:`logits`."""
    x = _hidden(checkpoint, ids, progress, look)
    look("ln_f", x, _head(checkpoint))


def behind(norm: str) -> str:
    """Return the name of the matrix that multiplies the result of a norm."""
    layer, _, kind = norm.rpartition(".")
    followers = {"ln_1": f"{layer}.attn.c_attn.weight", "ln_2": f"{layer}.mlp.c_fc.weight"}
    return HEAD if kind == "ln_f" else followers[kind]


def _hidden(
    checkpoint: Checkpoint,
    ids: Sequence[int],
    progress: Callable[[float], None],
    look: Observe = _unobserved,
) -> Array:
    """Return what the head multiplies: [S, E]."""
    config, vocabulary = checkpoint.config, checkpoint.tokenizer.vocabulary
    if not 0 < len(ids) <= config.context or not 0 <= min(ids) <= max(ids) < vocabulary:
        raise ValueError(f"{len(ids)} ids do not fit into {config.context} and {vocabulary}")
    steps = config.layers + 1
    positions = range(len(ids))
    x = _rows(checkpoint, EMBEDDING, ids) + _rows(checkpoint, "wpe.weight", positions)  # [S, E]
    progress(1 / steps)
    for layer in range(config.layers):
        name = f"h.{layer}"
        x += _attention(checkpoint, name, x, look)
        x += _network(checkpoint, name, x, look)
        progress((layer + 2) / steps)
    return _norm(checkpoint, "ln_f", x)


def _head(checkpoint: Checkpoint) -> Matrix:
    return lambda: checkpoint.blocks(HEAD)


def _rows(checkpoint: Checkpoint, name: str, wanted: Sequence[int]) -> Array:
    """Return some rows of a matrix, in the order and as often as they are wanted."""
    places = np.asarray(wanted)
    found = np.empty((len(places), checkpoint.config.width))
    start = 0
    # To the end, whatever is wanted: the last part completes the tensor's hash.
    for block in checkpoint.blocks(name):
        here = (start <= places) & (places < start + len(block))
        found[here] = block[places[here] - start]
        start += len(block)
    return found


def _norm(checkpoint: Checkpoint, name: str, x: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(variance + checkpoint.config.epsilon)
    result: Array = scaled * checkpoint.read(f"{name}.weight") + checkpoint.read(f"{name}.bias")
    return result


def _linear(checkpoint: Checkpoint, name: str, x: Array) -> Array:
    """Return the output of a layer, its matrix [in, out] being read in parts."""
    result = checkpoint.read(f"{name}.bias").astype(np.float64)
    start = 0
    for block in checkpoint.blocks(f"{name}.weight"):  # [some of in, out]
        result = result + x[:, start : start + len(block)] @ block.astype(np.float64)
        start += len(block)
    return result


def _behind_norm(checkpoint: Checkpoint, norm: str, x: Array, look: Observe) -> Array:
    """Return what the layer behind a norm makes of the norm of x."""
    layer = behind(norm).removesuffix(".weight")
    normal = _norm(checkpoint, norm, x)
    # In one piece, for it is looked at more than once and may come from a slow disk.
    whole = np.concatenate(list(checkpoint.blocks(f"{layer}.weight")))

    def parts() -> Iterable[NDArray[np.float32]]:
        return (
            whole[:, start : start + _OUTPUTS].T for start in range(0, whole.shape[1], _OUTPUTS)
        )

    look(norm, normal, parts)
    product = [normal @ part.T.astype(np.float64) for part in parts()]
    result: Array = np.concatenate(product, axis=1) + checkpoint.read(f"{layer}.bias")
    return result


def _attention(checkpoint: Checkpoint, name: str, x: Array, look: Observe) -> Array:
    count, width = x.shape
    heads, size = checkpoint.config.heads, checkpoint.config.head_size
    qkv = _behind_norm(checkpoint, f"{name}.ln_1", x, look)  # [S, 3E]
    query, key, value = qkv.reshape(count, 3, heads, size).transpose(1, 2, 0, 3)  # [H, S, D] each
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(size)  # [H, S, S]
    scores[:, np.triu(np.ones((count, count), bool), k=1)] = -np.inf  # nobody sees what comes later
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    mixed = (shares @ value).transpose(1, 0, 2).reshape(count, width)  # [S, E]
    return _linear(checkpoint, f"{name}.attn.c_proj", mixed)


def _network(checkpoint: Checkpoint, name: str, x: Array, look: Observe) -> Array:
    inner = _behind_norm(checkpoint, f"{name}.ln_2", x, look)
    if checkpoint.config.exact_gelu:
        shares = _erf(inner / np.sqrt(2)).astype(np.float64)
    else:
        shares = np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner * inner * inner))
    gelu = 0.5 * inner * (1 + shares)
    return _linear(checkpoint, f"{name}.mlp.c_proj", gelu)
