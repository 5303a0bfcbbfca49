"""``bench``: how fast a model runs here, measured on the work that the window does.

Tokens a second include everything that a step costs: the graph, drawing at top-k 40, bookkeeping.
Each figure is the median over the steps of three rounds; the time of a prompt is the best of five.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from time import perf_counter
from typing import Any

from explorer.commands.opening import Model, open_model
from explorer.errors import InputError
from explorer.paths import Paths
from explorer.recipe import Recipe
from explorer.studies.speed import (
    PROMPT,
    ROUNDS,
    STEPS,
    WARM_UP,
    random_prompt,
    tokens_a_second,
)

PROMPT_ROUNDS = 5


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Measure and print a table; with ``--json`` a line of JSON after it."""
    model = open_model(args, paths)
    manifest, build = model.session.manifest, model.session.build
    if manifest.context < PROMPT + WARM_UP + STEPS:
        raise InputError(
            f"{manifest.name} holds {manifest.context} tokens; measuring needs "
            f"{PROMPT + WARM_UP + STEPS}."
        )
    figures: dict[str, Any] = {}
    with closing(model.session):
        print(f"{manifest.name} ({manifest.parameters / 1e6:.0f} M parameters), {build.name}")
        print(f"{model.session.device_name}{f' ({model.reason})' if model.reason else ''}")
        figures["prompt64_ms"] = round(prompt_milliseconds(model), 2)
        print(f"prompt of {PROMPT} tokens  {figures['prompt64_ms']:8.1f} ms")
        for lanes in args.lanes:
            rate = tokens_a_second(model.session, model.tokens, lanes)
            figures[f"lanes{lanes}"] = round(rate, 1)
            print(
                f"{lanes:2d} lane{' ' if lanes == 1 else 's'}              {rate:8.1f} tokens/s"
                f"   {rate / lanes:8.1f} a lane",
                flush=True,
            )
    if args.json:
        figures |= model.describe() | {
            "precision": build.precision,
            "device": model.session.device,
            "device_name": model.session.device_name,
            "parameters": manifest.parameters,
            "bytes": build.bytes,
            "top_k": Recipe().top_k,
            "steps": STEPS * ROUNDS,
            "versions": model.versions,
        }
        print(json.dumps(figures))
    return 0


def prompt_milliseconds(model: Model) -> float:
    """Return how long a prompt of 64 tokens takes, from its ids to its logits."""
    times = []
    cache = model.session.cache(1)
    for seed in range(PROMPT_ROUNDS):
        ids = random_prompt(model.session, seed)
        began = perf_counter()
        model.session.prefill(cache, ids)
        times.append(perf_counter() - began)
    return min(times) * 1e3
