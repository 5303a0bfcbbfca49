"""A program that judges without a window, until somebody kills it: run by test_kill.

``python -m tests.library.storage.writer LIBRARY SEED``. After every commit one line goes to
standard output, as a window would show it: ``kept 7``, or ``undone 7`` of the verdict on
try 7. It imports nothing but the library, because it is started fifty times.
"""

import os
import random
import sys
from pathlib import Path

from explorer.core.recipe import Recipe
from explorer.library.ledger import Ledger, ModelRef, TryEnd
from explorer.library.storage.database import Database

LANES = 4


def acknowledge(*words: object) -> None:
    """Say what is on disk now; one write, so that a line is whole or not there."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def text_of(try_id: int) -> str:
    """Return the completion of a try: another one each, from one line to several pages long."""
    return f"completion of try {try_id} " * (1 + try_id * 37 % 300)


def end_of(try_id: int, reason: str) -> TryEnd:
    ids = tuple(range(try_id % 50))
    return TryEnd(reason, ids, text_of(try_id), tuple(-0.5 for _ in ids), 0.5)


def main(path: str, seed: str) -> None:
    chance = random.Random(seed)
    ledger = Ledger(Database.open(Path(path)))
    acknowledge("lost", ledger.close_crashed())
    hunt = ledger.open_hunt("Once", (1, 2, 3), ModelRef("f", "demo", "cpu-int8", "{}"), Recipe())
    versions = {"program": "1.0"}
    while True:
        shown = []
        with ledger.transaction():
            for lane in range(LANES):
                index = ledger.reserve_index(hunt.id)
                shown.append(ledger.begin_try(hunt.id, index, lane, "cpu", versions))
        streaming = shown[chance.randrange(LANES) :]  # judged while they stream
        with ledger.transaction():
            for try_id in shown:
                if try_id not in streaming:
                    ledger.end_try(try_id, end_of(try_id, "max_tokens"))
        for try_id in shown:
            verdict = chance.choice(["kept", "rejected", "skipped"])
            ends = {try_id: end_of(try_id, "dropped")} if try_id in streaming else {}
            ledger.decide([(try_id, verdict)], ends, collection=1)
            acknowledge(verdict, try_id)
            if chance.random() < 0.2:
                (row,) = ledger.take_back(try_id)
                acknowledge("undone", row.try_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
