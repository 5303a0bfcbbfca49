"""``score``: log-probability, rank and entropy of every token of a text (RULES 13)."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing

from explorer.commands.open_model import open_model
from explorer.commands.prompt import warn_of_no_control_tokens
from explorer.commands.terminal import read_text
from explorer.core.errors import InputError
from explorer.engine.scoring import Scores, score_windows
from explorer.system.paths import Paths


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Score the text of a file and print one line a token."""
    text = read_text(args.file, "The text file")
    if not text:
        raise InputError(f"The text file {args.file} is empty; there is nothing to score.")
    model = open_model(args, paths)
    with closing(model.session):
        if args.control_tokens:
            warn_of_no_control_tokens(model.tokens, text)
        windows = score_windows(model.session, model.tokens, text, control=args.control_tokens)
        if args.jsonl:
            _print_json(windows)
        else:
            _print_table(windows, len(text.encode()))
    return 0


def _print_json(windows: Iterable[Scores]) -> None:
    for token, id_, logprob, rank, entropy in _rows(windows):
        values = {"token": token, "id": id_, "logprob": round(logprob, 6)}
        print(json.dumps(values | {"rank": rank, "entropy": round(entropy, 6)}))


def _print_table(windows: Iterable[Scores], size: int) -> None:
    print(f"{'logprob':>9} {'rank':>7} {'entropy':>8}  token")
    count, nats = 0, 0.0
    for token, _, logprob, rank, entropy in _rows(windows):
        # json.dumps shows spaces, line ends and control characters for what they are
        print(f"{logprob:9.3f} {rank:7d} {entropy:8.3f}  {json.dumps(token, ensure_ascii=False)}")
        count, nats = count + 1, nats - logprob
    print(
        f"{count} tokens, {size} bytes: perplexity {math.exp(nats / count):.2f} a token, "
        f"{nats / math.log(2) / size:.4f} bits a byte"
    )


def _rows(windows: Iterable[Scores]) -> Iterator[tuple[str, int, float, int, float]]:
    """Yield token, id, log-probability, rank and entropy as they are computed."""
    for scores in windows:
        sys.stdout.flush()  # of the window before: a long text takes hours
        columns = (scores.texts, scores.ids, scores.logprobs, scores.ranks, scores.entropies)
        for text, id_, logprob, rank, entropy in zip(*columns, strict=True):
            yield text, id_, float(logprob), int(rank), float(entropy)
