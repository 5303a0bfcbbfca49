"""Whether memory stays where it was through a long session.

    python -m tests.benchmarks.long_session --model models/demo --tokens 100000

Lanes stream as a person uses them: candidates end, are dropped half way and refilled, prompts grow,
change and come back, recipes differ. Their events are gathered and pickled as for a window. What is
resident after a tenth of the tokens, when everything has been used once, is compared with the end.
Ends with 1 where more than 5% was added. Linux only.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from explorer.core.recipe import Recipe
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Ended, Start, Steps
from explorer.engine.process.engine_main import Outbox
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from tests.benchmarks.memory import resident
from tests.benchmarks.models import add_model, opened

ALLOWED = 1.05
LONGEST = 200
WARM = 0.1
"""Share of the tokens after which memory is looked at for the first time."""

RECIPES = (
    Recipe(max_tokens=LONGEST),
    Recipe(max_tokens=LONGEST, top_k=0),
    Recipe(max_tokens=LONGEST, top_k=0, top_p=0.9, end_of_text="never"),
    Recipe(max_tokens=LONGEST, top_k=100, temperature=0.7, end_of_text="ignore"),
)


def main() -> None:
    """Run the session that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model(parser)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--lanes", type=int, default=8)
    args = parser.parse_args()
    with opened(args) as (session, tokens):
        begun = 0
        print("   tokens  resident")
        for done, held in run(session, tokens, args.lanes, args.tokens):
            begun = begun or held
            print(f"{done:9,} {held / 1e6:6.1f} MB", flush=True)
    print(f"{held / begun:.3f} times what it was")
    if held > ALLOWED * begun:
        sys.exit("Memory grew.")


def run(session: Session, tokens: Tokens, lanes: int, count: int) -> Iterator[tuple[int, int]]:
    """Draw ``count`` tokens; yield how many there are and what is resident, every tenth of them."""
    chance = random.Random(7)
    running = Lanes(session, tokens, lanes)
    prompts = _prompts(session.manifest.vocabulary, chance)
    prompt, hunt, index, done = next(prompts), 0, 0, 0
    due = WARM * count
    with Path(os.devnull).open("wb", buffering=0) as nowhere:
        outbox = Outbox(lambda events: nowhere.write(ForkingPickler.dumps(events)))
        free, streaming = set(range(lanes)), {}
        while done < count:
            for lane in sorted(free):
                if chance.random() < 0.1:
                    prompt, hunt = next(prompts), hunt + 1
                key = (hunt, index)
                running.start(Start(key, lane, 3, prompt, chance.choice(RECIPES)))
                streaming[lane], index = key, index + 1
            free.clear()
            if chance.random() < 0.02:
                running.drop(streaming[chance.randrange(lanes)])
            events = running.step()
            for event in events:
                if isinstance(event, Steps):
                    done += len(event.tokens)
                elif isinstance(event, Ended):
                    free.add(event.lane)
            outbox.add(events)
            if outbox.pause() == 0.0:
                outbox.flush()
            if done >= due:
                yield done, resident()["VmRSS"]
                due += WARM * count


def _prompts(vocabulary: int, chance: random.Random) -> Iterator[tuple[int, ...]]:
    """Yield prompts that grow by some tokens, and now and then other ones."""
    while True:
        prompt: tuple[int, ...] = ()
        for _ in range(chance.randrange(1, 5)):
            prompt += tuple([chance.randrange(vocabulary) for _ in range(chance.randrange(1, 25))])
            yield prompt


if __name__ == "__main__":
    main()
