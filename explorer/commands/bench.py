"""``bench``: how fast a model runs here, measured on the work that the window does.

Tokens a second include everything that a step costs: the graph, drawing at top-k 40, bookkeeping.
Each figure is the median step of the quickest of three rounds; the time of a prompt is the best of
five, of three where it is a long one. Beside them stands what the memory of this machine would
allow, which is measured too, at its best.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing, suppress
from time import perf_counter
from typing import Any

from explorer.commands.open_model import Model, open_model
from explorer.core.errors import InputError, OutOfMemoryError
from explorer.core.recipe import Recipe
from explorer.engine import memory_estimate
from explorer.engine.hardware import device
from explorer.engine.throughput import (
    PROMPT,
    ROUNDS,
    STEPS,
    WARM_UP,
    random_prompt,
    tokens_a_second,
)
from explorer.studies.speed import memory_bound
from explorer.system.paths import Paths

PROMPT_ROUNDS, LONG_ROUNDS = 5, 3

FEWEST_STEPS = 8
"""Steps that a figure is taken from, where the context ends soon after the prompt."""


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Measure and print tables; with ``--json`` a line of JSON after them."""
    model = open_model(args, paths)
    manifest, build = model.session.manifest, model.session.build
    least = PROMPT + WARM_UP + STEPS
    most = manifest.context - WARM_UP - FEWEST_STEPS
    if manifest.context < least:
        raise InputError(
            f"{manifest.name} holds {manifest.context} tokens; measuring needs {least}."
        )
    if max(args.context) > most:
        raise InputError(
            f"--context: {manifest.name} holds {manifest.context} tokens; a prompt to measure "
            f"behind may have at most {most}, not {max(args.context)}."
        )
    figures: dict[str, Any] = {}
    with closing(model.session):
        print(f"{manifest.name} ({manifest.parameters / 1e6:.0f} M parameters), {build.name}")
        print(f"{model.session.device_name}{f' ({model.reason})' if model.reason else ''}")
        bandwidth, on_cpu = None, model.session.device == "cpu"
        # To measure takes some memory, and without it the rest can be measured all the same.
        with suppress(MemoryError, OutOfMemoryError):
            bandwidth = (
                memory_bound.read_bandwidth(device.physical_cores())
                if on_cpu
                else model.session.copy_bandwidth()
            )
        if bandwidth is not None:
            weights = memory_bound.weight_bytes(manifest, build)
            print(
                f"memory {'reads' if on_cpu else 'moves'} {bandwidth / 1e9:,.1f} GB/s here; "
                f"a step reads {weights / 1e6:.1f} MB of weights"
            )
            figures |= {"bandwidth_gb_s": round(bandwidth / 1e9, 2), "step_bytes": weights}
        prompts = {}
        for size in dict.fromkeys((PROMPT, *args.context)):
            prompts[size] = round(prompt_milliseconds(model, size), 2)
            print(f"prompt of {size:4d} tokens  {prompts[size]:9,.1f} ms", flush=True)
        figures["prompt64_ms"] = prompts[PROMPT]
        tables = {size: _table(model, args.lanes, size, bandwidth) for size in args.context}
    size, first = next(iter(tables.items()))
    reached = None
    if bandwidth is not None:
        reached = max(
            rate / _allowed(model, lanes, size, bandwidth) for lanes, rate in first.items()
        )
    gpu = device.decide("auto", device.probe(provider=True)).device == "cuda"
    print(f"\n{memory_bound.faster(manifest, build, first, reached, gpu=gpu)}")
    if args.json:
        figures |= {f"lanes{lanes}": round(rate, 1) for lanes, rate in first.items()}
        figures |= model.describe() | {
            "prompts_ms": prompts,
            "contexts": {
                size: {lanes: round(rate, 1) for lanes, rate in table.items()}
                for size, table in tables.items()
            },
            "precision": build.precision,
            "device": model.session.device,
            "device_name": model.session.device_name,
            "parameters": manifest.parameters,
            "bytes": build.bytes,
            "top_k": Recipe().top_k,
            "steps": {size: _steps(model, size) for size in tables},
            "rounds": ROUNDS,
            "needs_mb": {
                size: {lanes: round(_needed(model, lanes, size) / 1e6) for lanes in table}
                for size, table in tables.items()
            },
            "versions": model.versions,
        }
        print(json.dumps(figures))
    return 0


def _table(
    model: Model, lane_numbers: list[int], prompt: int, bandwidth: float | None
) -> dict[int, float]:
    """Measure and print tokens a second behind a prompt; return them by number of lanes."""
    session = model.session
    steps = _steps(model, prompt)
    print(f"\nbehind a prompt of {prompt} token{'s' if prompt != 1 else ''}")
    print("lanes   tokens/s     a lane   memory allows          needs")
    rates = {}
    for lanes in lane_numbers:
        rate = tokens_a_second(session, model.tokens, lanes, steps, prompt=prompt)
        rates[lanes] = rate
        limit = "not measured"
        if bandwidth is not None:
            allowed = _allowed(model, lanes, prompt, bandwidth)
            reached = "cached" if rate > allowed else f"{rate / allowed:.0%}"
            limit = f"{allowed:,.0f} ({reached})"
        needed = _needed(model, lanes, prompt)
        print(
            f"{lanes:5d} {rate:10,.1f} {rate / lanes:10,.1f}   {limit:21} {needed / 1e6:,.0f} MB",
            flush=True,
        )
    return rates


def _steps(model: Model, prompt: int) -> int:
    """Return how many steps fit behind a prompt, of those that are to be timed."""
    return min(STEPS, model.session.manifest.context - WARM_UP - prompt)


def _needed(model: Model, lanes: int, prompt: int) -> int:
    """Return the bytes that so many lanes need once they have written behind a prompt."""
    session, length = model.session, prompt + WARM_UP + _steps(model, prompt)
    return memory_estimate.estimate(session.manifest, session.build.name, lanes, length).total


def _allowed(model: Model, lanes: int, prompt: int, bandwidth: float) -> float:
    """Return how many tokens a second memory allows, half-way through what is written."""
    position = prompt + WARM_UP + _steps(model, prompt) // 2
    session = model.session
    return (
        lanes
        * bandwidth
        / memory_bound.step_bytes(session.manifest, session.build, lanes, position)
    )


def prompt_milliseconds(model: Model, size: int) -> float:
    """Return how long a prompt of ``size`` tokens takes, from its ids to its logits."""
    times = []
    cache = model.session.cache(1)
    for seed in range(PROMPT_ROUNDS if size <= PROMPT else LONG_ROUNDS):
        ids = random_prompt(model.session, seed, size)
        began = perf_counter()
        model.session.prefill(cache, ids)
        times.append(perf_counter() - began)
    return min(times) * 1e3
