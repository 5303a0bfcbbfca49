"""The folder of a build, looked at before and after it is opened.

Whoever made it may have left something out, or meant harm: what is wrong becomes one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from explorer.core.errors import ModelError
from explorer.core.manifest import Build, Manifest
from explorer.engine.buffers import Sizes


class Value(Protocol):
    """An input or output of an opened graph."""

    name: str
    type: str
    shape: Sequence[Any]


class Graph(Protocol):
    """An opened graph (``onnxruntime.InferenceSession`` is one)."""

    def get_inputs(self) -> Sequence[Value]:
        """Return its inputs."""
        ...

    def get_outputs(self) -> Sequence[Value]:
        """Return its outputs."""
        ...


def find_build(manifest: Manifest, folder: Path, name: str) -> Build:
    """Return a build by name; raise :class:`ModelError` with the names there are."""
    if name not in manifest.builds:
        there = ", ".join(sorted(manifest.builds)) or "none"
        raise ModelError(f"{manifest.name} in {folder} has no build {name}; it has: {there}.")
    return manifest.builds[name]


def graph_file(folder: Path) -> Path:
    """Return the graph of the build in ``folder``, after a look at its two files.

    Raises :class:`ModelError` where one is missing or leads elsewhere.
    """
    for path in (folder / "model.onnx", folder / "weights.bin"):
        if not path.is_file():
            raise ModelError(f"{path} is missing; remove the model and import it again.")
        # What onnxruntime refuses to follow out of the folder must not be a link out of it either.
        if path.resolve().parent != folder.resolve():
            raise ModelError(f"{path} leads out of its folder; remove the model.")
    return folder / "model.onnx"


def read_sizes(graph: Graph, manifest: Manifest, build: Build, folder: Path) -> Sizes:
    """Return the sizes of a graph; raise :class:`ModelError` where the manifest has others."""
    inputs = {value.name: value for value in graph.get_inputs()}
    outputs = {value.name: value for value in graph.get_outputs()}
    expected = (manifest.heads, manifest.context, build.kv_head_size)
    try:
        kv = inputs["past.0.key"]
        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        sizes = Sizes(
            sum(name.startswith("past.") for name in inputs),
            tuple(kv.shape[1:]),
            np.dtype(kinds[kv.type]),
            outputs["top_logits"].shape[1],
            outputs["logits"].shape[1],
            manifest.vocabulary,
            "probabilities" in outputs,
        )
        right = (
            sizes.kv_shape == expected
            and sizes.caches == 2 * manifest.layers
            and sizes.top == build.top
            and sizes.columns >= manifest.vocabulary
        )
    except (KeyError, IndexError, TypeError):
        right = False
    if not right:
        raise ModelError(
            f"{folder / build.name} does not fit {folder / 'model.json'}; import the model again."
        )
    return sizes
