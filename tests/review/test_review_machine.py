"""Whatever a person does in whatever order: the review against a naive model of the rules.

The model keeps the verdicts of every try as a plain stack, and undo as a stack of copies of all of
them; it knows no rows. What a kept try cost is held against a plain re-reading of the rows
(:mod:`tests.rereading`). After every step the screen, the library and the model must tell the same,
and no keep that still stands may have become cheaper.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from explorer.core.errors import VerdictError
from explorer.engine.messages import Crashed
from explorer.library.hunt_figures import HuntFigures
from explorer.library.samples import Samples
from explorer.review.review import Review
from tests.hunting import Clock, Desk
from tests.rereading import reread

LANES = 3


@dataclass
class Model:
    """What a person with a pencil would write down."""

    shown: set[int] = field(default_factory=set)  # by index
    ended: dict[int, str] = field(default_factory=dict)  # index -> how
    given: dict[int, list[str]] = field(default_factory=dict)  # verdicts, the one that stands last
    removed: set[int] = field(default_factory=set)  # kept, but in no collection
    before: list[tuple] = field(default_factory=list)  # what undo brings back
    after: list[tuple] = field(default_factory=list)  # what redo brings back

    def verdict(self, index: int) -> str | None:
        return self.given[index][-1] if self.given.get(index) else None

    def says(self, index: int, verdict: str) -> bool:
        """Whether giving this verdict changes nothing."""
        gone = verdict == "kept" and index in self.removed
        return self.verdict(index) == verdict and not gone

    def act(self) -> None:
        """Something is about to be done."""
        self.before.append(self._copy())
        self.after.clear()

    def say(self, *verdicts: tuple[int, str]) -> None:
        self.act()
        for index, verdict in verdicts:
            self.given.setdefault(index, []).append(verdict)
            self.ended.setdefault(index, "stopped" if verdict == "kept" else "dropped")
            if verdict == "kept":
                self.removed.discard(index)

    def undo(self) -> None:
        self.after.append(self._copy())
        self.given, self.removed = self.before.pop()

    def redo(self) -> None:
        self.before.append(self._copy())
        self.given, self.removed = self.after.pop()

    def states(self) -> Counter[str]:
        states = Counter[str]()
        for index in self.shown:
            end = self.ended.get(index)
            open_state = {None: "streaming", "crash": "lost"}.get(end, "ended")
            states[self.verdict(index) or open_state] += 1
        return states

    def _copy(self) -> tuple:
        return copy.deepcopy(self.given), set(self.removed)


class Hunting(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.model = Model()
        self.tries: dict[int, int] = {}  # of every standing keep, by try, as they were said last
        self.open()
        self.model_jobs.generate(lanes=LANES)

    def open(self) -> None:
        self.model_jobs = Desk(self.folder, self.clock)
        self.model_jobs.database.execute("PRAGMA synchronous=OFF")  # nobody pulls the plug here

    def teardown(self) -> None:
        self.model_jobs.database.close()
        shutil.rmtree(self.folder)

    @property
    def review(self) -> Review:
        return self.model_jobs.review

    lanes = st.integers(0, LANES - 1)
    verdicts = st.sampled_from(["kept", "rejected", "skipped"])

    # The engine

    @rule(lane=lanes)
    def token(self, lane: int) -> None:
        with contextlib.suppress(StopIteration):
            _, index = self.model_jobs.key(lane)
            self.model.shown.add(index)
            self.model_jobs.stream(lane)

    @rule(lane=lanes)
    def end(self, lane: int) -> None:
        with contextlib.suppress(StopIteration):
            _, index = self.model_jobs.key(lane)
            self.model.shown.add(index)
            self.model.ended[index] = "max_tokens"
            self.model_jobs.finish(lane)

    @rule()
    def crash(self) -> None:
        for _, index in self.model_jobs.engine.running:
            self.model.ended[index] = "crash"
        self.model_jobs.engine.running.clear()
        self.model_jobs.do(self.review.receive([Crashed("It died.", True)]))

    # The person

    @rule()
    def generate(self) -> None:
        self.model_jobs.generate(lanes=LANES)

    @rule(lane=lanes, verdict=verdicts)
    def judge(self, lane: int, verdict: str) -> None:
        view = self.review.view(lane)
        try:
            self.model_jobs.judge(lane, verdict)
        except VerdictError:
            assert view.state in ("empty", "waiting") or view.end == "crash"
            return
        if view.state != "waiting" and not self.model.says(view.index, verdict):
            self.model.say((view.index, verdict))

    @rule(lane=lanes)
    def keep_this_reject_the_rest(self, lane: int) -> None:
        best = self.review.view(lane)
        stacks = self.review._screen.stacks
        rest = sorted(
            candidate.index
            for other in range(LANES)
            for candidate in stacks.open_in(other)
            if candidate.shown and candidate.index != best.index
        )
        waiting = [s for s in self.review.views if s.state == "waiting" and s.index != best.index]
        with contextlib.suppress(VerdictError):
            self.model_jobs.do(self.review.keep_rest_rejected(lane))
            stands = self.model.says(best.index, "kept")
            best_too = [] if stands else [(best.index, "kept")]
            if rest or best_too:
                self.model.say(*((other, "rejected") for other in rest), *best_too)
            assert all(view.index not in self.model.shown for view in waiting)

    @rule(data=st.data(), verdict=verdicts)
    def judge_any(self, data: st.DataObject, verdict: str) -> None:
        """Judge tries in the list of all, wherever they are."""
        tries = {s.try_id: s for s in self.review.tries() if s.try_id and s.end != "crash"}
        if tries:
            chosen = data.draw(st.lists(st.sampled_from(sorted(tries)), min_size=1, unique=True))
            self.model_jobs.judge_tries(chosen, verdict)
            fresh = [i for i in chosen if not self.model.says(tries[i].index, verdict)]
            if fresh:
                self.model.say(*((tries[i].index, verdict) for i in fresh))

    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        judged = {s.try_id: s.index for s in self.review.tries() if s.verdict}
        if judged:
            try_id = data.draw(st.sampled_from(sorted(judged)))
            self.model_jobs.do(self.review.take_back(try_id))
            self.model.act()
            self.model.given[judged[try_id]].pop()

    @rule(data=st.data())
    def remove_sample(self, data: st.DataObject) -> None:
        kept = {s.try_id: s.index for s in self.review.tries() if s.verdict == "kept"}
        inside = sorted(i for i, index in kept.items() if index not in self.model.removed)
        if inside:
            try_id = data.draw(st.sampled_from(inside))
            Samples(self.model_jobs.database).remove(try_id)
            self.review.refresh()
            self.model.act()
            self.model.removed.add(kept[try_id])

    @rule(data=st.data())
    def bring_sample_back(self, data: st.DataObject) -> None:
        kept = {s.try_id: s.index for s in self.review.tries() if s.verdict == "kept"}
        outside = sorted(i for i, index in kept.items() if index in self.model.removed)
        if outside:
            try_id = data.draw(st.sampled_from(outside))
            Samples(self.model_jobs.database).restore(try_id)
            self.review.refresh()
            self.model.act()
            self.model.removed.remove(kept[try_id])

    @precondition(lambda self: self.model.before)
    @rule()
    def undo(self) -> None:
        self.model_jobs.do(self.review.undo())
        self.model.undo()

    @precondition(lambda self: self.model.after)
    @rule()
    def redo(self) -> None:
        self.model_jobs.do(self.review.redo())
        self.model.redo()

    @rule(lane=st.none() | lanes)
    def stop(self, lane: int | None) -> None:
        for (_, index), start in self.model_jobs.engine.running.items():
            if lane in (None, start.lane):
                self.model.ended[index] = "stopped"
        self.model_jobs.do(self.review.stop(lane))

    @rule(until_keep=st.booleans())
    def switch(self, until_keep: bool) -> None:
        self.model_jobs.do(self.review.set_policy(until_keep, True))

    @rule(data=st.data(), lane=lanes)
    def show(self, data: st.DataObject, lane: int) -> None:
        tries = [s.try_id for s in self.review.tries() if s.state == "ended" and s.try_id]
        if tries:
            try_id = data.draw(st.sampled_from(tries))
            self.review.show(try_id, lane)
            assert self.review.view(lane).try_id == try_id

    @rule()
    def restart(self) -> None:
        """Close as the window does, start again, reopen the hunt."""
        for _, index in self.model_jobs.engine.running:
            self.model.ended[index] = "stopped"
        self.review.interrupt()
        self.reopen()

    @rule()
    def kill(self) -> None:
        for _, index in self.model_jobs.engine.running:
            self.model.ended[index] = "crash"
        self.reopen()

    def reopen(self) -> None:
        lanes = self.review.views
        self.model_jobs.database.close()
        self.open()
        self.model_jobs.do(self.review.reopen(1))
        self.model_jobs.generate(lanes=len(lanes))

    # What must always hold

    @invariant()
    def counts_agree(self) -> None:
        counts, states = self.review.counts, self.model.states()
        for name in ("kept", "rejected", "skipped", "streaming", "lost"):
            assert getattr(counts, name) == states[name], name
        assert counts.passed_over + counts.unjudged == states["ended"]
        assert counts.tries == len(self.model.shown)
        assert self.review.prompt_tries == len(self.model.shown)

    @invariant()
    def verdicts_agree(self) -> None:
        shown = {view.index: view for view in self.review.tries() if view.try_id is not None}
        assert set(shown) == set(self.model.shown)
        for index, view in shown.items():
            assert view.verdict == self.model.verdict(index)
            assert view.end == self.model.ended.get(index)

    @invariant()
    def the_rows_tell_the_same(self) -> None:
        told, opened = reread(self.model_jobs.database, 1), self.review._screen.hunt
        fields = ("tries", "kept", "rejected", "skipped", "passed_over", "lost")
        assert told.costs == {
            try_id: {name: getattr(cost, name) for name in fields}
            for try_id, cost in opened.costs.items()
        }
        names = ("kept", "rejected", "skipped", "passed_over", "unjudged", "streaming", "lost")
        assert [told.counts.get(n, 0) for n in names] == [getattr(opened.counts, n) for n in names]
        assert told.rate == (opened.rate.kept, opened.rate.judged)
        for view in self.review.tries():
            assert (view.caption is not None) == (view.verdict == "kept")

    @invariant()
    def no_keep_that_stands_becomes_cheaper(self) -> None:
        tries = {i: cost.tries for i, cost in self.review._screen.hunt.costs.items()}
        for try_id, before in self.tries.items():
            assert tries.get(try_id, before) >= before
        self.tries = tries

    @invariant()
    def the_library_tells_the_same(self) -> None:
        opened = self.review._screen.hunt
        assert HuntFigures(self.model_jobs.database).figures(1) == opened.figures

    @invariant()
    def samples_lie_where_they_were_put(self) -> None:
        samples = Samples(self.model_jobs.database)
        kept = {s.try_id for s in self.review.tries() if s.verdict == "kept"}
        gone = {s.try_id for s in self.review.tries() if s.index in self.model.removed}
        assert set(samples.ids(self.model_jobs.collection)) == kept - gone

    @invariant()
    def undo_and_redo_are_offered_where_they_work(self) -> None:
        assert self.review.can_undo == bool(self.model.before)
        assert self.review.can_redo == bool(self.model.after)

    @invariant()
    def every_running_candidate_has_a_lane_of_its_own(self) -> None:
        starts = list(self.model_jobs.engine.running.values())
        lanes = [start.lane for start in starts]
        assert len(set(lanes)) == len(lanes)
        running = {s.index: s for s in self.review.tries() if s.state in ("waiting", "streaming")}
        assert {start.key[1]: start.lane for start in starts} == {
            index: view.lane for index, view in running.items()
        }

    @invariant()
    def indices_are_never_given_twice(self) -> None:
        indices = [start.key[1] for start in self.model_jobs.engine.started]
        assert len(set(indices)) == len(indices)
        assert indices == sorted(indices)


TestHunting = Hunting.TestCase
TestHunting.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)
