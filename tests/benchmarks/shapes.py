"""Write GPT-2 folders of the four released sizes with random weights, to measure with.

    python -m tests.benchmarks.shapes FOLDER --tokenizer DIR [--only 124M 1558M]

Each folder is as Hugging Face lays it out: config.json, vocab.json, merges.txt, and fp32 weights in
one safetensors file, written tensor by tensor. Matrices are drawn from N(0, 0.02), norms are 1 and
0, as in a GPT-2 before its training, so that activations stay in range. ``DIR`` holds encoder.json
and vocab.bpe of the original release.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from explorer.weights.checkpoints.checkpoint import HEAD, expected_shapes
from explorer.weights.formats.config import Config

VOCABULARY = 50257
CONTEXT = 1024


class Shape(NamedTuple):
    """What distinguishes the released sizes."""

    layers: int
    heads: int
    width: int


SHAPES = {
    "124M": Shape(12, 12, 768),
    "355M": Shape(24, 16, 1024),
    "774M": Shape(36, 20, 1280),
    "1558M": Shape(48, 25, 1600),
}

_SLAB = 1 << 22
"""Numbers drawn and written at a time."""


def main() -> None:
    """Write the folders that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="encoder.json, vocab.bpe")
    parser.add_argument("--only", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    arguments = parser.parse_args()
    for name in arguments.only:
        folder = arguments.folder / name
        if not (folder / "config.json").exists():  # written last
            write_shape(folder, SHAPES[name], arguments.tokenizer)
        print(folder, flush=True)


def write_shape(folder: Path, shape: Shape, tokenizer: Path) -> None:
    """Write one folder; ``tokenizer`` holds encoder.json and vocab.bpe."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(tokenizer / "encoder.json", folder / "vocab.json")
    shutil.copy(tokenizer / "vocab.bpe", folder / "merges.txt")
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_embd": shape.width,
        "n_positions": CONTEXT,
        "n_ctx": CONTEXT,
        "vocab_size": VOCABULARY,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": VOCABULARY - 1,
        "eos_token_id": VOCABULARY - 1,
    }
    _write_weights(folder / "model.safetensors", shape)
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _write_weights(path: Path, shape: Shape) -> None:
    config = Config(
        layers=shape.layers,
        heads=shape.heads,
        width=shape.width,
        context=CONTEXT,
        rows=VOCABULARY,
        inner=4 * shape.width,
        epsilon=1e-5,
        ends=(VOCABULARY - 1,),
        start=VOCABULARY - 1,
        own_head=False,
    )
    shapes = expected_shapes(config)
    del shapes[HEAD]
    header, offset = {}, 0
    for name, sizes in shapes.items():
        end = offset + 4 * math.prod(sizes)
        header[name] = {"dtype": "F32", "shape": list(sizes), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, sizes in shapes.items():
            size = math.prod(sizes)
            if len(sizes) == 1:  # norms and biases
                gain = name.endswith(".weight")
                file.write(np.full(size, float(gain), "<f4").tobytes())
                continue
            for start in range(0, size, _SLAB):
                part = generator.standard_normal(min(_SLAB, size - start), np.float32)
                part *= np.float32(0.02)
                file.write(part.astype("<f4", copy=False).data)


if __name__ == "__main__":
    main()
