"""What a step costs beside the graph, and what drawing from the whole vocabulary adds.

    python -m tests.benchmarks.overhead --random --keep FOLDER

Three ways to draw take turns in one process, some steps each, all with as many rows at the same
positions: at top-k 40, from the whole vocabulary, and from that at top-p 0.9. A step is the graph
and what is beside it: drawing, bookkeeping, and the events on their way to a window (gathered,
joined, pickled, written). What is beside it is taken twice, by the clock and as processor time of
its thread; on a machine that others use as well only the second means anything. Between them the
graph alone is called again and again, as a loop without lanes would.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from explorer.core.recipe import Recipe
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Start
from explorer.engine.process.engine_main import Outbox
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.engine.throughput import random_prompt
from tests.benchmarks.models import add_model, opened

BLOCK = 8
"""Steps of one thing before the next has its turn; the first of them is not counted."""

RECIPES = {
    "top-k 40": Recipe(end_of_text="never", max_tokens=10**6),
    "top-k off": Recipe(top_k=0, end_of_text="never", max_tokens=10**6),
    "top-p 0.9": Recipe(top_k=0, top_p=0.9, end_of_text="never", max_tokens=10**6),
}


@dataclass
class Cost:
    """Seconds of each counted step."""

    wall: list[float] = field(default_factory=list)
    graph: list[float] = field(default_factory=list)
    """Of ``wall``, inside the graph."""
    beside: list[float] = field(default_factory=list)
    """Processor time of this thread, outside the graph."""


class Meter:
    """Takes the time of steps, and of what they spend inside the graph."""

    def __init__(self, session: Session) -> None:
        """Look at every run of ``session`` from now on."""
        self._run = session._run
        session._run = self._timed  # type: ignore[method-assign]
        self._wall = self._thread = 0.0

    def _timed(self, call: Any) -> Any:
        thread, wall = time.thread_time(), time.perf_counter()
        output = self._run(call)
        self._wall += time.perf_counter() - wall
        self._thread += time.thread_time() - thread
        return output

    def take(self, cost: Cost, work: Callable[[], object]) -> None:
        """Do ``work`` once uncounted, and then some more times."""
        work()
        for _ in range(BLOCK - 1):
            self._wall = self._thread = 0.0
            thread, wall = time.thread_time(), time.perf_counter()
            work()
            cost.wall.append(time.perf_counter() - wall)
            cost.beside.append(time.thread_time() - thread - self._thread)
            cost.graph.append(self._wall)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model(parser)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--turns", type=int, default=25)
    args = parser.parse_args()
    with opened(args) as (session, tokens):
        measure(session, tokens, args.lanes, args.turns)


def measure(session: Session, tokens: Tokens, lanes: int, turns: int) -> None:
    """Print a line for each way to draw, beside the graph alone."""
    meter = Meter(session)
    with Path(os.devnull).open("wb", buffering=0) as nowhere:
        outbox = Outbox(lambda events: nowhere.write(ForkingPickler.dumps(events)))
        streams = {name: _stream(session, tokens, lanes, r) for name, r in RECIPES.items()}
        costs = {name: Cost() for name in ("graph", *streams)}
        for _ in range(turns):
            for name, stream in streams.items():
                meter.take(costs[name], lambda stream=stream: _step(stream, outbox))
            call = session._steps[streams["top-k 40"]._cache][lanes, lanes]
            meter.take(costs["graph"], lambda call=call: session._run(call))
    alone = costs.pop("graph").wall
    print(f"{session.manifest.name}, {session.build.name}, {lanes} lanes, {turns} turns")
    print(f"the graph alone: {_times(alone)}")
    print("milliseconds: a step             beside the graph       its processor time")
    for name, cost in costs.items():
        outside = [wall - graph for wall, graph in zip(cost.wall, cost.graph, strict=True)]
        print(f"{name:10} {_times(cost.wall)} {_times(outside)} {_times(cost.beside)}")
    best = min(alone)
    forty = best + statistics.mean(costs["top-k 40"].beside)
    for name, cost in costs.items():
        beside = statistics.mean(cost.beside)
        print(
            f"{name:10} {beside / (best + beside):6.1%} of a step is beside the graph; "
            f"{forty / (best + beside):6.1%} of the speed at top-k 40"
        )


def _stream(session: Session, tokens: Tokens, lanes: int, recipe: Recipe) -> Lanes:
    stream = Lanes(session, tokens, lanes)
    for lane in range(lanes):
        stream.start(Start((0, lane), lane, 5, random_prompt(session, 5), recipe))
    stream.step()
    return stream


def _step(stream: Lanes, outbox: Outbox) -> None:
    outbox.add(stream.step())
    if outbox.pause() == 0.0:
        outbox.flush()


def _times(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:8.3f} (best {min(seconds) * 1e3:8.3f})"


if __name__ == "__main__":
    main()
