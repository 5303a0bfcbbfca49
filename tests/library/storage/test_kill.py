"""Promise: a verdict that was shown survives a kill -9 at any moment (RULES 15)."""

import random
import subprocess
import sys
import time
from pathlib import Path

from explorer.core.counting import standing
from explorer.library.storage.database import Database
from tests.library.desk import FIRST, Desk
from tests.library.storage.writer import text_of

ROOT = Path(__file__).resolve().parents[3]
KILLS = 50


def run_until_killed(path: Path, chance: random.Random) -> list[tuple[str, int]]:
    """Start the writer, kill it at a random point, and return what it had acknowledged."""
    with subprocess.Popen(
        # Without site: it is started often, and needs none of the installed packages.
        [
            sys.executable,
            "-S",
            "-m",
            "tests.library.storage.writer",
            str(path),
            str(chance.random()),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chance.randrange(1, 16))]
        time.sleep(chance.random() * 0.004)  # about as long as a decision takes
        process.kill()
        lines += process.stdout.readlines()
    assert lines[0].startswith(b"lost ")
    return [(word, int(number)) for word, number in (line.decode().split() for line in lines[1:])]


def test_no_acknowledged_verdict_is_lost_by_kill_9(path: Path) -> None:
    chance = random.Random(20190214)
    shown: list[tuple[str, int]] = []  # what a screen would have said, over all the runs
    for _ in range(KILLS):
        shown += run_until_killed(path, chance)
        with Database.open(path) as database:
            desk = Desk(database)
            rows = [row for hunt in desk.history.ids() for row in desk.ledger.verdicts(hunt)]
            written = [(str(row.verdict), row.try_id) for row in rows]
            assert written[: len(shown)] == shown
            # The kill may have come after a commit and before its line: one decision at most.
            assert len(written) <= len(shown) + 1
            shown = written
            check_consistent(desk, {t: row.verdict for t, row in standing(rows).items()})
    assert len(shown) > 2 * KILLS  # the kills did not all come before the first verdicts


def check_consistent(desk: Desk, found: dict[int, str]) -> None:
    """What a decision writes is there as a whole, and nothing is damaged."""
    assert desk.database.value("PRAGMA integrity_check") == "ok"
    assert desk.database.row("PRAGMA foreign_key_check") is None
    tries = [t for hunt_id in desk.history.ids() for t in desk.ledger.tries(hunt_id)]
    for each in tries:
        if each.id in found:
            assert each.end is not None
            assert each.end.text == text_of(each.id)
    indices = [each.index for each in tries]
    assert len(set(indices)) == len(indices)
    kept = {try_id for try_id, verdict in found.items() if verdict == "kept"}
    assert set(desk.samples.ids(FIRST)) == kept


def test_the_writer_starts_anew_after_a_kill_without_help(path: Path) -> None:
    run_until_killed(path, random.Random(1))
    assert path.with_name("library.sqlite-wal").stat().st_size > 0
    with Database.open(path) as database:
        lost = Desk(database).ledger.close_crashed()
        assert 0 <= lost <= 4
        assert Desk(database).ledger.close_crashed() == 0
