"""Measure what the precisions and block sizes of CPU builds cost: the table of docs/precision.md.

    python -m tests.benchmarks.precision --model models/demo
    python -m tests.benchmarks.precision --random

The first form compares every packing with fp32 as ``models compare`` does, on the text that ships
or on another one: Kullback-Leibler divergence of the next-token distribution, how often the
likeliest token stays the same, bits per byte. The second makes a GPT-2 of 124M shapes with random
weights, for speed alone. Both say for which numbers of rows (1 to 16) a row's bits differ from
those it has among 16. Speeds are tokens a second summed over lanes. All packings take turns, and of
all calls the time of the quickest tenth counts, so that a machine which others use as well gives
figures that can be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality import held_out_text
from explorer.studies.quality.divergence import compare
from explorer.studies.quality.held_out_text import HeldOut, shipped
from explorer.system.paths import Paths
from explorer.weights.builds.packing import COLUMNS, Packing, Storage
from tests.builds import make_builds
from tests.tiny import random_weights, write_weights

_BLOCKS = (16, 32, 64, 128)
PACKINGS = {
    "fp32": Packing(),
    "int8": Packing(COLUMNS, COLUMNS),
    **{f"int8/{block}": Packing(Storage(8, block), Storage(8, block)) for block in _BLOCKS},
    **{f"int4/{block}": Packing(Storage(4, block), COLUMNS) for block in _BLOCKS},
    **{f"int4/{block}/int4": Packing(Storage(4, block), Storage(4, block)) for block in _BLOCKS},
}
"""What stands behind the second stroke is the head, where it is not int8 by columns."""

WIDEST = 16


def main() -> None:
    """Run the comparison and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="GPT-2 folder to compare on a text")
    parser.add_argument("--random", action="store_true", help="random weights, 124M shapes")
    parser.add_argument("--text", type=Path, help="plain text, documents apart")
    parser.add_argument("--rounds", type=int, default=5, help="of speed; 0 leaves it out")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(PACKINGS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = _random_model(folder / "source") if arguments.random else arguments.model
        sessions = {
            name: _open(source, folder, name, arguments.threads)
            for name in PACKINGS
            if name in arguments.only
        }
        speeds = _speeds(sessions, arguments.rounds) if arguments.rounds else {}
        quality = {}
        if not arguments.random:
            quality = _quality(source, arguments.text, sessions)
        _print(sessions, speeds, quality)


def _random_model(folder: Path) -> Path:
    folder.mkdir()
    write_weights(folder, random_weights(layers=12, width=768, context=1024, rows=50257))
    config = {
        "n_layer": 12,
        "n_head": 12,
        "n_embd": 768,
        "n_positions": 1024,
        "vocab_size": 50257,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _open(source: Path, folder: Path, name: str, threads: int) -> Session:
    target = folder / name.replace("/", "-")
    build = f"cpu-{name.split('/')[0]}"
    make_builds(source, target, build, packing=PACKINGS[name])
    session = Session(target, build, "cpu", threads)
    session._even_rows = False  # what the kernels do by themselves
    return session


def _speeds(sessions: dict[str, Session], rounds: int) -> dict[str, list[float]]:
    """Return, a packing, seconds of: a step of 1, 2 and 8 rows at position 64, a prompt of 64."""
    seconds: dict[str, list[list[float]]] = {name: [[], [], [], []] for name in sessions}
    for _ in range(rounds):
        for name, session in sessions.items():
            for column, rows in enumerate((1, 2, 8)):
                seconds[name][column] += _time_steps(session, rows)
            cache, ids = session.cache(1), list(range(64))
            session.prefill(cache, ids)
            for _ in range(3):
                begin = time.perf_counter()
                session.prefill(cache, ids)
                seconds[name][3].append(time.perf_counter() - begin)
    return {
        name: [float(np.quantile(column, 0.1)) for column in columns]
        for name, columns in seconds.items()
    }


def _time_steps(session: Session, rows: int) -> list[float]:
    cache = session.cache(rows)
    tokens = np.arange(rows)
    seconds = []
    for position in range(64, 84):
        begin = time.perf_counter()
        session.step(cache, tokens, np.full(rows, position))
        seconds.append(time.perf_counter() - begin)
    return seconds[4:]


def _rows_that_differ(session: Session) -> list[int]:
    """Return the numbers of rows at which some row has other bits than among 16."""
    vocabulary = session.manifest.vocabulary
    tokens = np.random.default_rng(0).integers(0, vocabulary, (8, WIDEST))
    expected = _logits(session, tokens)
    return [
        rows
        for rows in range(1, WIDEST)
        if not np.array_equal(_logits(session, tokens[:, :rows]), expected[:, :rows])
    ]


def _logits(session: Session, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the logits of steps that feed ``tokens`` [steps, rows]."""
    rows = tokens.shape[1]
    cache = session.cache(rows)
    found = []
    for position, row in enumerate(tokens):
        output = session.step(cache, row, np.full(rows, position))
        found.append([output.logits(r).copy() for r in range(rows)])
    return np.array(found)  # [steps, rows, V]


def _quality(
    source: Path, path: Path | None, sessions: dict[str, Session]
) -> dict[str, list[float]]:
    """Return, a packing: mean and 99.9% quantile of KL from fp32, same top token, bits a byte."""
    tokens = Tokens.from_folder(source)
    text = (
        HeldOut(path.name, path.read_text(encoding="utf-8"))
        if path
        else shipped(Paths.default().resources)
    )
    windows = held_out_text.windows(text, tokens, sessions["fp32"].manifest.context)
    bits = math.log(2) * held_out_text.size_in_bytes(windows, tokens)
    found = {
        name: compare(sessions["fp32"], session, windows) for name, session in sessions.items()
    }
    return {
        name: [
            float(there.kl.mean()),
            float(np.quantile(there.kl, 0.999)),
            there.same,
            there.nats / bits,
        ]
        for name, there in found.items()
    }


def _print(
    sessions: dict[str, Session], speeds: dict[str, list[float]], quality: dict[str, list[float]]
) -> None:
    heads = ["packing", "MB", "rows that differ"]
    if speeds:
        heads += ["1 lane", "2 lanes", "8 lanes", "prompt 64"]
    if quality:
        heads += ["KL mean", "KL 99.9%", "same top", "bits/byte"]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for name, session in sessions.items():
        weights = session.folder / session.build.name / "weights.bin"
        differing = _rows_that_differ(session)
        cells = [
            name,
            f"{weights.stat().st_size / 1e6:.0f}",
            ", ".join(map(str, differing)) or "none",
        ]
        if speeds:
            one, two, eight, prompt = speeds[name]
            rates = [f"{rows / seconds:.0f}" for rows, seconds in ((1, one), (2, two), (8, eight))]
            cells += [*rates, f"{prompt * 1e3:.1f} ms"]
        if quality:
            mean, tail, same, bits = quality[name]
            cells += [f"{mean:.2e}", f"{tail:.2e}", f"{same:.2%}", f"{bits:.4f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
