"""A build of a GPT-2 folder made straight from the graph writer, for tests below the conversion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

from explorer.core.manifest import Build, DeviceClass, Manifest, Precision
from explorer.weights.builds.graph import write_graph
from explorer.weights.builds.graph_nodes import Read
from explorer.weights.builds.packing import GraphSpec, Packing


def reader(source: Path) -> Read:
    """Return a function that reads the tensors of a GPT-2 folder by name."""
    tensors = {}
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  (not a dict)
                tensors[name.removeprefix("transformer.")] = file.get_tensor(name)
    if json.loads((source / "config.json").read_text("utf-8")).get("tie_word_embeddings", True):
        tensors["lm_head.weight"] = tensors["wte.weight"]
    return lambda name: [tensors[name].astype(np.float32)]


def spec_of(source: Path, **changes: object) -> GraphSpec:
    """Return the sizes that config.json states."""
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    values = {
        "layers": config["n_layer"],
        "heads": config["n_head"],
        "width": config["n_embd"],
        "context": config["n_positions"],
        "vocabulary": config["vocab_size"],
        "inner": config.get("n_inner") or 0,
        "tied": config.get("tie_word_embeddings", True),
    }
    return GraphSpec(**{**values, **changes})


def make_builds(
    source: Path,
    target: Path,
    *names: str,
    spec: GraphSpec | None = None,
    packing: Packing | None = None,
    read: Read | None = None,
) -> Path:
    """Write a model folder with the named builds (cpu-fp32, ...) and return it."""
    spec = spec or spec_of(source)
    target.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        name=source.name,
        fingerprint="0" * 64,
        layers=spec.layers,
        heads=spec.heads,
        width=spec.width,
        context=spec.context,
        vocabulary=spec.vocabulary,
        end_of_text=None,
        parameters=1,
        inner=spec.inner or None,
    )
    for name in names:
        (target / name).mkdir(exist_ok=True)
        device_class: DeviceClass = "cuda" if name.startswith("cuda") else "cpu"
        precision: Precision = name.split("-")[1]  # type: ignore[assignment]
        used = write_graph(
            target / name, spec, precision, device_class, read or reader(source), packing=packing
        ).packing
        build = Build(
            name,
            device_class,
            precision,
            "0" * 64,
            spec.kv_head_size,
            spec.top,
            used.layers.bits,
            used.layers.block,
            used.head_bits,
            used.even_rows,
        )
        manifest = manifest.with_build(build)
    manifest.write(target)
    return target
