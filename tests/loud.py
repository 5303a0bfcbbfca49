"""Models with channels that stand out behind every norm, which otherwise are what they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.tiny import write_weights


def norms(layers: int) -> list[str]:
    """Return the names of all norms of a GPT-2."""
    return [f"h.{layer}.ln_{number}" for layer in range(layers) for number in (1, 2)] + ["ln_f"]


def make_loud(source: Path, target: Path, by: float, channels: Sequence[int]) -> Path:
    """Copy a GPT-2 folder, some channels of its norms being ``by`` times as large.

    The weights that multiply them are as much smaller, so in exact arithmetic it is the same model.
    """
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    stored = load_file(target / "model.safetensors")
    weights = {
        name.removeprefix("transformer."): tensor.astype(np.float32)
        for name, tensor in stored.items()
    }
    places = list(channels)
    weights["lm_head.weight"] = weights.get("lm_head.weight", weights["wte.weight"]).copy()
    config = json.loads((target / "config.json").read_text("utf-8"))
    for norm in norms(config["n_layer"]):
        for part in ("weight", "bias"):
            weights[f"{norm}.{part}"][places] *= by
        layer, _, kind = norm.rpartition(".")
        if kind == "ln_f":
            weights["lm_head.weight"][:, places] /= by
        else:
            matrix = "attn.c_attn" if kind == "ln_1" else "mlp.c_fc"
            weights[f"{layer}.{matrix}.weight"][places] /= by
    write_weights(target, weights)
    config["tie_word_embeddings"] = False
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return target
