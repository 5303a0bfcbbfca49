"""Models for benchmarks: a GPT-2 folder, one of 124M shapes with random weights, or a tiny one."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from explorer.engine.session import Session
from explorer.engine.text.tokens import FILE_NAME, Tokens
from tests.builds import make_builds
from tests.tiny import make_tiny, random_weights, write_tokenizer, write_weights

LAYERS, WIDTH, CONTEXT, VOCABULARY = 12, 768, 1024, 50257
"""Of the released model that has 124M parameters."""


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model to measure."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", type=Path, help="a GPT-2 folder with tokenizer.json")
    which.add_argument("--random", action="store_true", help="random weights, 124M shapes")
    which.add_argument("--tiny", action="store_true", help="a model that is made in a second")
    parser.add_argument("--build", default="cpu-int8")
    parser.add_argument("--threads", type=int, default=0, help="0 = physical cores")
    parser.add_argument("--keep", type=Path, help="where the build is kept for the next time")


@contextlib.contextmanager
def opened(args: argparse.Namespace) -> Iterator[tuple[Session, Tokens]]:
    """Open the build that was asked for; it is made below ``--keep``, or for this time only."""
    with tempfile.TemporaryDirectory() as scratch:
        session, tokens = _open(args, Path(scratch))
        with contextlib.closing(session):
            yield session, tokens


def _open(args: argparse.Namespace, scratch: Path) -> tuple[Session, Tokens]:
    if args.model and (args.model / "model.json").is_file():  # as the program keeps them
        folder = args.model
    else:
        kind = "random" if args.random else "tiny" if args.tiny else args.model.name
        folder = (args.keep or scratch) / f"{kind}-{args.build}"
        if not (folder / "model.json").is_file():  # written last
            source = args.model or _made(scratch / "source", tiny=args.tiny)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / FILE_NAME, folder)
            make_builds(source, folder, args.build)
    session = Session(folder, args.build, "cpu", args.threads)
    return session, Tokens.of_model(folder, session.manifest)


def _made(folder: Path, *, tiny: bool) -> Path:
    if tiny:
        return make_tiny(folder, layers=2, heads=2, width=32, context=512, vocabulary=600)
    folder.mkdir()
    write_weights(
        folder, random_weights(layers=LAYERS, width=WIDTH, context=CONTEXT, rows=VOCABULARY)
    )
    write_tokenizer(folder, VOCABULARY)
    config = {
        "n_layer": LAYERS,
        "n_head": LAYERS,
        "n_embd": WIDTH,
        "n_positions": CONTEXT,
        "vocab_size": VOCABULARY,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
