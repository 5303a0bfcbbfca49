"""What channels that stand out cost in quality, with and without bringing them down.

    python -m tests.benchmarks.loud [--model models/demo] [--by 1 10 30] [--builds cpu-int8 ...]

Three channels of every norm are made larger and the weights behind them smaller; in exact
arithmetic it stays the same model. Prints the mean divergence from fp32 on a text, nats a token.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality import held_out_text
from explorer.studies.quality.divergence import compare
from explorer.studies.quality.held_out_text import HeldOut, shipped
from explorer.system.paths import Paths
from explorer.weights.builds import smoothing
from explorer.weights.builds.convert import convert
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from tests.loud import make_loud

_CHANNELS = 3


def main() -> None:
    """Run the comparison and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/demo"), help="GPT-2 folder")
    parser.add_argument("--by", type=float, nargs="*", default=[1.0, 10.0, 30.0])
    parser.add_argument("--builds", nargs="*", default=["cpu-int8", "cpu-int4"])
    parser.add_argument("--text", type=Path, help="plain text, documents apart")
    arguments = parser.parse_args()
    print("| build | channels, times | left alone | brought down |\n|" + " --- |" * 4)
    for by in arguments.by:
        with tempfile.TemporaryDirectory() as scratch:
            for row in _rows(Path(scratch), arguments, by):
                print("| " + " | ".join(row) + " |", flush=True)


def _rows(folder: Path, arguments: argparse.Namespace, by: float) -> list[list[str]]:
    tokens = Tokens.from_folder(arguments.model)
    text = (
        HeldOut(arguments.text.name, arguments.text.read_text(encoding="utf-8"))
        if arguments.text
        else shipped(Paths.default().resources)
    )
    source = folder / "source"
    with open_checkpoint(arguments.model) as checkpoint:
        width = checkpoint.config.width
    channels = np.random.default_rng(1).permutation(width)[:_CHANNELS]
    make_loud(arguments.model, source, by, channels.tolist())
    found: dict[str, list[str]] = {build: [] for build in arguments.builds}
    usual = smoothing.WORTH
    for worth in (0.0, usual):  # nothing is worth it, as it should be
        smoothing.WORTH = worth
        target = folder / f"made-{worth}"
        convert(source, target, ["cpu-fp32", *found], "loud", lambda *_: None, copy_source=False)
        exact = Session(target, "cpu-fp32", "cpu", 0)
        windows = held_out_text.windows(text, tokens, exact.manifest.context)
        for build, cells in found.items():
            session = Session(target, build, "cpu", 0)
            cells.append(f"{compare(exact, session, windows).kl.mean():.2g}")
            session.close()
        exact.close()
    return [[build, f"{by:g}", *cells] for build, cells in found.items()]


if __name__ == "__main__":
    main()
