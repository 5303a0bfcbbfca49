"""How many tokens a second a build makes, measured on the work that the window does.

A step counts everything that it costs: the graph, drawing at top-k 40, bookkeeping.
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from explorer.core.recipe import Recipe
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Event, Start, Steps
from explorer.engine.text.tokens import Tokens

if TYPE_CHECKING:
    from explorer.engine.session import Session

PROMPT = 64
STEPS = 64
WARM_UP = 8
ROUNDS = 3


def tokens_a_second(
    session: Session,
    tokens: Tokens,
    lanes: int,
    steps: int = STEPS,
    rounds: int = ROUNDS,
    quantile: float = 0.5,
    prompt: int = PROMPT,
) -> float:
    """Return tokens a second, summed over ``lanes`` that stream at once.

    ``steps`` steps of each of ``rounds`` rounds are timed, behind a prompt of ``prompt`` tokens.
    The quickest round counts, and of its steps the ``quantile``: whatever else runs on a machine
    only ever adds to the time. The context must hold ``prompt`` + 8 + ``steps`` tokens.
    """
    recipe = Recipe(max_tokens=WARM_UP + steps, end_of_text="never")
    quickest = math.inf
    for seed in range(rounds):
        running = Lanes(session, tokens, lanes)
        ids = random_prompt(session, seed, prompt)
        for lane in range(lanes):
            running.start(Start((0, lane), lane, seed, ids, recipe))
        while running.running and not _begun(running.step()):
            pass  # a long prompt takes several steps to read
        seconds = []
        while running.running:
            began = perf_counter()
            running.step()
            seconds.append(perf_counter() - began)
        quickest = min(quickest, float(np.quantile(seconds[-steps:], quantile)))
    return lanes / quickest


def _begun(events: list[Event]) -> bool:
    return any(isinstance(event, Steps) for event in events)


def random_prompt(session: Session, seed: int, size: int = PROMPT) -> tuple[int, ...]:
    """Return ``size`` ids of the model's vocabulary."""
    drawn = np.random.default_rng(seed).integers(session.manifest.vocabulary, size=size)
    return tuple(drawn.tolist())
