"""GPT-2's forward pass in plain numpy, float64: the oracle that every build is compared with.

Follows openai/gpt-2, ``src/model.py``: token and position embedding; in every layer a norm, causal
self-attention and residual, a norm, a two-layer network with the tanh form of gelu and residual; a
last norm; logits against the token embedding. Nothing is cached, batched or clever. ``n`` is the
number of tokens, ``e`` the width, ``h`` the heads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """A GPT-2 with its weights in float64."""

    weights: Mapping[str, Array]
    layers: int
    heads: int
    epsilon: float
    exact_gelu: bool = False

    def logits(self, ids: Sequence[int]) -> Array:
        """Return the logits that follow every token of ``ids``: [n, embedding rows]."""
        w = self.weights
        x = w["wte.weight"][list(ids)] + w["wpe.weight"][: len(ids)]  # [n, e]
        for i in range(self.layers):
            x = x + self._attention(f"h.{i}.attn", self._norm(f"h.{i}.ln_1", x))
            x = x + self._network(f"h.{i}.mlp", self._norm(f"h.{i}.ln_2", x))
        head = w.get("lm_head.weight", w["wte.weight"])  # [rows, e]
        return self._norm("ln_f", x) @ head.T

    def _norm(self, name: str, x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + self.epsilon)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _linear(self, name: str, x: Array) -> Array:
        return x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _attention(self, name: str, x: Array) -> Array:
        n, e = x.shape
        qkv = self._linear(f"{name}.c_attn", x)  # [n, 3e]
        q, k, v = qkv.reshape(n, 3, self.heads, e // self.heads).transpose(
            1, 2, 0, 3
        )  # [h, n, e/h]
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(e // self.heads)  # [h, n, n]
        scores[:, np.triu(np.ones((n, n), bool), k=1)] = -np.inf  # a token sees itself and the past
        mixed = softmax(scores) @ v  # [h, n, e/h]
        return self._linear(f"{name}.c_proj", mixed.transpose(1, 0, 2).reshape(n, e))

    def _network(self, name: str, x: Array) -> Array:
        inner = self._linear(f"{name}.c_fc", x)
        if self.exact_gelu:
            gelu = 0.5 * inner * (1 + np.vectorize(math.erf)(inner / np.sqrt(2)))
        else:
            gelu = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
        return self._linear(f"{name}.c_proj", gelu)


def softmax(x: Array) -> Array:
    """Return exponentials of the last axis, scaled to sum 1."""
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    """Return natural logarithms of :func:`softmax`."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def load_reference(folder: Path) -> Reference:
    """Read a GPT-2 folder in Hugging Face layout: config.json and all its safetensors files."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights: dict[str, Array] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  (not a dict)
                weights[name.removeprefix("transformer.")] = file.get_tensor(name).astype(
                    np.float64
                )
    epsilon = config.get("layer_norm_epsilon", 1e-5)
    exact = config.get("activation_function") == "gelu"
    return Reference(weights, config["n_layer"], config["n_head"], epsilon, exact)
