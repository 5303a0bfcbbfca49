"""Whatever a person does in whatever order: the review against a naive model of the rules.

The model keeps the standing verdicts as a plain list and undo as a stack of copies of it; it knows
no rows. After every step the screen, the library and the model must tell the same.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from explorer.engine.messages import Crashed
from explorer.errors import VerdictError
from explorer.library.statistics import costs, count
from explorer.library.tallies import Tallies
from explorer.review import Review
from tests.hunting import Clock, Desk

LANES = 3


@dataclass
class Said:
    """A verdict that stands."""

    index: int
    verdict: str
    moment: int


@dataclass
class Model:
    """What a person with a pencil would write down."""

    shown: dict[int, int] = field(default_factory=dict)  # index -> moment of its first token
    ended: dict[int, str] = field(default_factory=dict)  # index -> how
    stands: list[Said] = field(default_factory=list)
    before: list[list[Said]] = field(default_factory=list)  # what undo brings back
    after: list[list[Said]] = field(default_factory=list)  # what redo brings back
    moment: int = 0

    def tick(self) -> int:
        self.moment += 1
        return self.moment

    def verdict(self, index: int) -> str | None:
        return next((said.verdict for said in self.stands if said.index == index), None)

    def say(self, *verdicts: tuple[int, str]) -> None:
        self.before.append(list(self.stands))
        self.after.clear()
        moment = self.tick()
        for index, verdict in verdicts:
            self.stands = [said for said in self.stands if said.index != index]
            self.stands.append(Said(index, verdict, moment))
            self.ended.setdefault(index, "stopped" if verdict == "kept" else "dropped")

    def undo(self) -> None:
        self.after.append(self.stands)
        self.stands = self.before.pop()

    def redo(self) -> None:
        self.before.append(self.stands)
        self.stands = self.after.pop()

    def states(self) -> Counter[str]:
        states = Counter[str]()
        for index in self.shown:
            end = self.ended.get(index)
            unjudged = {None: "streaming", "crash": "crashed"}.get(end, "unread")
            states[self.verdict(index) or unjudged] += 1
        return states

    def captions(self) -> dict[int, tuple[int, int, int]]:
        """Return (rejected, skipped, unread) of every kept try."""
        unread = [
            self.shown[index]
            for index, end in self.ended.items()
            if index in self.shown and end != "crash" and self.verdict(index) is None
        ]
        found, since, last = {}, Counter[str](), 0
        for said in self.stands:
            since[said.verdict] += 1
            if said.verdict == "kept":
                meanwhile = sum(last < moment <= said.moment for moment in unread)
                found[said.index] = (since["rejected"], since["skipped"], meanwhile)
                since, last = Counter(), max(last, said.moment)
        return found


class Hunting(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.model = Model()
        self.open()
        self.desk.generate(lanes=LANES)

    def open(self) -> None:
        self.desk = Desk(self.folder, self.clock)
        self.desk.database.execute("PRAGMA synchronous=OFF")  # nobody pulls the plug here

    def teardown(self) -> None:
        self.desk.database.close()
        shutil.rmtree(self.folder)

    @property
    def review(self) -> Review:
        return self.desk.review

    lanes = st.integers(0, LANES - 1)
    verdicts = st.sampled_from(["kept", "rejected", "skipped"])

    # The engine

    @rule(lane=lanes)
    def token(self, lane: int) -> None:
        with contextlib.suppress(StopIteration):
            _, index = self.desk.key(lane)
            self.model.shown.setdefault(index, self.model.tick())
            self.desk.stream(lane)

    @rule(lane=lanes)
    def end(self, lane: int) -> None:
        with contextlib.suppress(StopIteration):
            _, index = self.desk.key(lane)
            self.model.shown.setdefault(index, self.model.tick())
            self.model.ended[index] = "max_tokens"
            self.desk.finish(lane)

    @rule()
    def crash(self) -> None:
        for _, index in self.desk.engine.running:
            self.model.ended[index] = "crash"
        self.desk.engine.running.clear()
        self.desk.do(self.review.receive([Crashed("It died.", True)]))

    # The person

    @rule()
    def generate(self) -> None:
        self.desk.generate(lanes=LANES)

    @rule(lane=lanes, verdict=verdicts)
    def judge(self, lane: int, verdict: str) -> None:
        seat = self.review.seat(lane)
        try:
            self.desk.judge(lane, verdict)
        except VerdictError:
            assert seat.state in ("empty", "waiting") or seat.end == "crash"
            return
        if seat.state != "waiting" and seat.verdict != verdict:
            self.model.say((seat.index, verdict))

    @rule(lane=lanes)
    def keep_this_reject_the_rest(self, lane: int) -> None:
        index = self.review.seat(lane).index
        rest = [
            other
            for other in sorted(self.model.shown)
            if other != index
            and self.model.verdict(other) is None
            and self.model.ended.get(other) != "crash"
        ]
        with contextlib.suppress(VerdictError):
            self.desk.do(self.review.keep_rest_rejected(lane))
            self.model.say(*((other, "rejected") for other in rest), (index, "kept"))

    @precondition(lambda self: self.model.before)
    @rule()
    def undo(self) -> None:
        self.desk.do(self.review.undo())
        self.model.undo()

    @precondition(lambda self: self.model.after)
    @rule()
    def redo(self) -> None:
        self.desk.do(self.review.redo())
        self.model.redo()

    @rule(lane=st.none() | lanes)
    def stop(self, lane: int | None) -> None:
        for (_, index), start in self.desk.engine.running.items():
            if lane in (None, start.lane):
                self.model.ended[index] = "stopped"
        self.desk.do(self.review.stop(lane))

    @rule(until_keep=st.booleans())
    def switch(self, until_keep: bool) -> None:
        self.desk.do(self.review.set_policy(until_keep, True))

    @rule(data=st.data(), lane=lanes)
    def show(self, data: st.DataObject, lane: int) -> None:
        tries = [s.try_id for s in self.review.tries() if s.state == "ended" and s.try_id]
        if tries:
            try_id = data.draw(st.sampled_from(tries))
            self.review.show(try_id, lane)
            assert self.review.seat(lane).try_id == try_id

    @rule()
    def restart(self) -> None:
        """Close as the window does, start again, reopen the hunt."""
        for _, index in self.desk.engine.running:
            self.model.ended[index] = "stopped"
        self.review.interrupt()
        self.reopen()

    @rule()
    def kill(self) -> None:
        for _, index in self.desk.engine.running:
            self.model.ended[index] = "crash"
        self.reopen()

    def reopen(self) -> None:
        lanes = self.review.seats
        self.desk.database.close()
        self.open()
        self.desk.do(self.review.reopen(1))
        self.desk.generate(lanes=len(lanes))

    # What must always hold

    @invariant()
    def counts_agree(self) -> None:
        counts, states = self.review.counts, self.model.states()
        for name in ("kept", "rejected", "skipped", "unread", "streaming", "crashed"):
            assert getattr(counts, name) == states[name], name
        assert self.review.prompt_tries == len(self.model.shown)

    @invariant()
    def verdicts_agree(self) -> None:
        shown = {seat.index: seat for seat in self.review.tries() if seat.try_id is not None}
        assert set(shown) == set(self.model.shown)
        for index, seat in shown.items():
            assert seat.verdict == self.model.verdict(index)
            assert seat.end == self.model.ended.get(index)

    @invariant()
    def costs_agree(self) -> None:
        found = {seat.index: seat.caption for seat in self.review.tries() if seat.verdict == "kept"}
        opened = self.review._screen.hunt
        told = {
            opened.of_try(try_id).index: (cost.rejected, cost.skipped, cost.unread)
            for try_id, cost in opened.costs.items()
        }
        assert told == self.model.captions()
        assert set(found) == set(told)

    @invariant()
    def the_library_tells_the_same(self) -> None:
        opened = self.review._screen.hunt
        tallies = Tallies(self.desk.database)
        assert tallies.counts(1) == self.review.counts == count(opened.shown, opened.verdicts)
        assert tallies.costs(1) == opened.costs == costs(opened.shown, opened.verdicts)

    @invariant()
    def undo_and_redo_are_offered_where_they_work(self) -> None:
        assert self.review.can_undo == bool(self.model.before)
        assert self.review.can_redo == bool(self.model.after)

    @invariant()
    def every_running_candidate_has_a_lane_of_its_own(self) -> None:
        starts = list(self.desk.engine.running.values())
        lanes = [start.lane for start in starts]
        assert len(set(lanes)) == len(lanes)
        running = {s.index: s for s in self.review.tries() if s.state in ("waiting", "streaming")}
        assert {start.key[1]: start.lane for start in starts} == {
            index: seat.lane for index, seat in running.items()
        }

    @invariant()
    def indices_are_never_given_twice(self) -> None:
        indices = [start.key[1] for start in self.desk.engine.started]
        assert len(set(indices)) == len(indices)
        assert indices == sorted(indices)


TestHunting = Hunting.TestCase
TestHunting.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)
