"""Makes the checkpoints of this folder with TensorFlow; see README.md."""

import json
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

from tests.release import original
from tests.tiny import random_weights, write_tokenizer

OUT = Path(__file__).resolve().parent
SIZES = {"n_vocab": 280, "n_ctx": 16, "n_embd": 8, "n_head": 2, "n_layer": 2}

v1 = tf.compat.v1
v1.disable_eager_execution()
weights = random_weights(layers=2, width=8, context=16, rows=280, seed=5)
named = dict(original(name, values) for name, values in weights.items())


def save(folder, dtype):
    """Write every variable with a Saver, as OpenAI's code did."""
    folder.mkdir(exist_ok=True)
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        variables = [
            v1.Variable(tf.cast(tf.constant(values), dtype), name=name)
            for name, values in named.items()
        ]
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(variables)
        saver.save(session, str(folder / "model.ckpt"), write_meta_graph=False)
    (folder / "checkpoint").unlink()


def save_in_parts(folder, prefix):
    """Write two data files, as training on several machines does, with what it adds."""
    folder.mkdir(exist_ok=True)
    items = list(named.items())
    slot = ("model/wte/Adam", np.zeros((2, 2), np.float32))
    parts = [
        [*items[::2], ("global_step", np.int64(7))],
        [*items[1::2], ("beta1_power", np.float32(0.9)), slot],
    ]
    prefixes = [str(folder / f"part{number}") for number in range(len(parts))]
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        for part, name in zip(parts, prefixes, strict=True):
            names, values = zip(*part, strict=True)
            tensors = list(map(tf.constant, values))
            slices = [""] * len(part)
            session.run(
                tf.raw_ops.SaveV2(
                    prefix=name, tensor_names=names, shape_and_slices=slices, tensors=tensors
                )
            )
        session.run(
            tf.raw_ops.MergeV2Checkpoints(
                checkpoint_prefixes=prefixes,
                destination_prefix=str(folder / prefix),
                delete_old_dirs=False,
            )
        )


save(OUT, tf.float32)
save(OUT / "fp16", tf.float16)
save(OUT / "bf16", tf.bfloat16)
save_in_parts(OUT / "training", "model-1000")
(OUT / "hparams.json").write_text(json.dumps(SIZES) + "\n")
write_tokenizer(OUT, 280, kind="vocab.json")
(OUT / "vocab.json").rename(OUT / "encoder.json")
(OUT / "merges.txt").rename(OUT / "vocab.bpe")
