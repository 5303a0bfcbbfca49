"""Memory that runs out while tries stream, for real: a process that the system gives no more.

The model is random and small, its context long, so that the cache of a few lanes is what costs. The
limit is one of address space, set in the engine's process once the model is open: there is room for
the cache of four lanes beside that of the prompt, and none for eight.
"""

import re
import time
from pathlib import Path

import pytest

from explorer.core.recipe import Recipe
from explorer.engine.messages import Crashed, Load, Ready, Start, Steps
from explorer.engine.process.engine_main import open_model
from explorer.engine.process.engine_process import EngineProcess
from explorer.library.ledger import Ledger, ModelRef
from explorer.library.storage.database import Database
from explorer.review.review import Review
from explorer.system.paths import Paths
from explorer.weights.store.store import Store
from tests.tiny import make_tiny

PATIENCE = 60
ROOM = 600_000_000
LANE = 2 * 4 * 64 * 32_768 * 4  # layers, keys and values, width, positions, bytes: 67 MB
RECIPE = Recipe(max_tokens=30_000, end_of_text="never")
PROMPT = (5, 6, 7)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="needs /proc and a limit of address space"
)


def open_confined(load):
    """Open a model in earnest; from then on this process gets little more memory."""
    import resource

    opened = open_model(load)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    return opened


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    source = make_tiny(folder / "gpt2", layers=4, heads=4, width=64, context=32_768)
    store = Store(Paths.default(folder / "data"))
    return store.import_folder(source, "wide", "cpu-fp32", lambda fraction, words: None)


class Sitting:
    """A review on a library in a file, and the engine in its process, as the window has them."""

    def __init__(self, folder, model):
        self.model = model
        self.database = Database.open(folder / "library.sqlite")
        self.ledger = Ledger(self.database)
        self.review = Review(self.ledger, lanes=8)
        self.engine = EngineProcess(open_confined)
        self.seen = []
        self.crashes = []
        self.ready = None

    def load(self):
        self.engine.send(Load(self.model.folder, "cpu-fp32"))
        self.until(lambda: self.ready is not None)

    def generate(self, lanes):
        build = self.model.manifest.builds["cpu-fp32"]
        commands = self.review.generate(
            "Once",
            PROMPT,
            RECIPE,
            ModelRef(build.fingerprint, "wide", "cpu-fp32", "{}"),
            lanes=lanes,
            seed=1,
            device=self.ready.device,
            versions=self.ready.versions,
        )
        self.engine.send(*commands)
        return [command.key for command in commands if isinstance(command, Start)]

    def judge(self, lane, verdict):
        self.engine.send(*self.review.judge(lane, verdict))

    def until(self, done):
        """Do what the window does every frame until ``done``."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"nothing came but {self.seen[-5:]}"
            events = self.engine.poll(0.1)
            self.seen += [event for event in events if not isinstance(event, Steps)]
            for event in events:
                if isinstance(event, Crashed):
                    self.ready = None
                    self.crashes.append(event)
                elif isinstance(event, Ready):
                    self.ready = event
            if commands := self.review.receive(events):
                self.engine.send(*commands)

    def streaming(self):
        return [view.lane for view in self.review.views if view.state == "streaming"]

    def ends(self):
        """Return why each try ended, by its index; None while it streams."""
        tries = self.ledger.tries(self.review.hunt.id)
        return {each.index: each.end.reason if each.end else None for each in tries}


@pytest.fixture
def sitting(tmp_path, model):
    sitting = Sitting(tmp_path, model)
    yield sitting
    sitting.engine.close()
    sitting.database.close()


def test_lanes_are_raised_until_the_cache_cannot_be_had(sitting):
    sitting.load()
    sitting.generate(3)
    sitting.until(lambda: len(sitting.streaming()) == 3)
    # One rejected, whose lane goes on with the next try; one kept, which stays where it is.
    sitting.judge(0, "rejected")
    sitting.judge(1, "kept")
    sitting.until(lambda: len(sitting.streaming()) == 2)
    before = sitting.review.counts
    assert (before.kept, before.rejected, before.lost) == (1, 1, 0)

    sitting.generate(8)
    sitting.until(lambda: sitting.crashes)

    (crashed,) = sitting.crashes
    assert crashed.restarting
    said = re.fullmatch(
        r"The engine ran out of memory: wide \(cpu-fp32\) needs about (0\.\d) GB with 8 lanes,"
        r" (0\.\d) GB is free; choose fewer lanes or a smaller precision;"
        r" it is being started again\.",
        crashed.message,
    )
    assert said, crashed.message
    needed, free = float(said[1]), float(said[2])
    assert needed * 1e9 + 5e7 >= 8 * LANE
    assert free < needed  # what the process may have, not the machine
    # What streamed is lost to the crash; what was judged stands, with its text.
    counts = sitting.review.counts
    assert (counts.kept, counts.rejected, counts.streaming) == (1, 1, 0)
    assert counts.lost >= 2
    ends = sitting.ends()
    assert None not in ends.values()
    assert [ends[index] for index in (0, 1)] == ["dropped", "stopped"]
    assert {reason for index, reason in ends.items() if index > 1} == {"crash"}
    assert counts.lost == len(ends) - 2
    assert not sitting.review.running

    # The engine is there again by itself, and fewer lanes work, in the same hunt.
    sitting.until(lambda: sitting.ready is not None)
    hunt = sitting.review.hunt.id
    keys = sitting.generate(4)
    assert keys
    sitting.until(lambda: len(sitting.streaming()) == len(keys))
    assert sitting.review.hunt.id == hunt
    assert min(index for _, index in keys) > max(ends)
    sitting.engine.send(*sitting.review.stop())
    sitting.until(lambda: not sitting.review.running)
    assert len(sitting.crashes) == 1
    after = sitting.review.counts
    assert (after.kept, after.rejected, after.lost) == (1, 1, counts.lost)
    assert after.unjudged == len(keys)


def test_the_library_says_the_same_to_the_next_start(sitting, tmp_path):
    sitting.load()
    sitting.generate(4)
    sitting.until(lambda: len(sitting.streaming()) == 4)
    sitting.judge(0, "kept")
    sitting.generate(8)
    sitting.until(lambda: sitting.crashes)
    hunt, counts = sitting.review.hunt.id, sitting.review.counts
    sitting.database.close()
    with Database.open(tmp_path / "library.sqlite") as database:
        review = Review(Ledger(database), lanes=8)
        review.reopen(hunt)
        assert review.counts == counts
