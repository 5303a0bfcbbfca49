"""The record of tries and verdicts: what goes in comes out, and nothing is ever rewritten."""

import math
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from explorer.core.counting import standing
from explorer.core.errors import LibraryError, RecipeError
from explorer.core.recipe import Recipe
from explorer.library.ledger import ModelRef, TryEnd
from tests.library.desk import FIRST, MODEL, Desk, ended

OTHER_MODEL = ModelRef("another", "demo", "cpu-int4", "{}")


# Hunts


def test_generating_again_under_the_same_key_goes_on_with_the_hunt(desk: Desk) -> None:
    first = desk.hunt()
    assert desk.hunt() == first
    assert desk.ledger.hunt(first.id) == first


@pytest.mark.parametrize(
    "other",
    [
        lambda ledger: ledger.open_hunt("once", (1, 2), MODEL, Recipe()),
        lambda ledger: ledger.open_hunt("once", (1,), OTHER_MODEL, Recipe()),
        lambda ledger: ledger.open_hunt("once", (1,), MODEL, Recipe(top_k=41)),
        lambda ledger: ledger.open_hunt("once", (1,), MODEL, Recipe(), seed=8),
        lambda ledger: ledger.open_hunt("once", (1,), MODEL, Recipe(), new=True),
    ],
    ids=["ids", "build", "recipe", "seed", "asked for"],
)
def test_another_key_is_another_hunt(desk: Desk, other) -> None:
    first = desk.ledger.open_hunt("once", (1,), MODEL, Recipe(), seed=7)
    assert other(desk.ledger).id != first.id


def test_a_new_hunt_that_was_asked_for_is_recorded_as_such_and_goes_on(desk: Desk) -> None:
    first, second = desk.hunt(), desk.hunt(new=True)
    assert (first.deliberate, second.deliberate) == (False, True)
    assert desk.hunt() == second


def test_a_fixed_seed_goes_on_where_it_was_used_before(desk: Desk) -> None:
    seven = desk.hunt(seed=7)
    eight = desk.hunt(seed=8)
    assert desk.hunt(seed=7) == seven  # anything else would draw the same candidates again
    assert desk.hunt() == eight


def test_a_drawn_seed_is_remembered_and_another_one_each_time(desk: Desk) -> None:
    seeds = {desk.hunt(new=True).seed for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**53 for seed in seeds)
    assert not desk.hunt().seed_fixed


@pytest.mark.parametrize("seed", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_every_seed_of_64_bits_comes_back(desk: Desk, seed: int) -> None:
    hunt = desk.hunt(seed=seed)
    assert desk.ledger.hunt(hunt.id).seed == seed
    assert desk.hunt(seed=seed).id == hunt.id
    assert hunt.seed_fixed


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused_with_the_range(desk: Desk, seed: int) -> None:
    with pytest.raises(RecipeError, match="0 to 18446744073709551615"):
        desk.hunt(seed=seed)


def test_a_hunt_that_is_not_there_is_an_error_for_a_person(desk: Desk) -> None:
    with pytest.raises(LibraryError, match="deleted"):
        desk.ledger.hunt(404)


def test_an_index_is_never_given_twice(desk: Desk) -> None:
    first, second = desk.hunt(), desk.hunt("other")
    assert [desk.ledger.reserve_index(first.id) for _ in range(3)] == [0, 1, 2]
    assert desk.ledger.reserve_index(second.id) == 0
    desk.database.close()
    again = Desk.at(desk.database.path)
    assert again.ledger.reserve_index(first.id) == 3
    again.database.close()


def test_tries_on_a_prompt_are_counted_over_all_its_hunts(desk: Desk) -> None:
    once, other = desk.hunt("Once"), desk.hunt("Twice")
    desk.kept(once, rejected=2)
    desk.shown(desk.hunt("Once", Recipe(temperature=0.5)))
    desk.attempt(other)
    # Another vocabulary, other ids, the same words.
    elsewhere = desk.ledger.open_hunt("Once", (9, 9), OTHER_MODEL, Recipe())
    desk.attempt(elsewhere)
    assert desk.ledger.tries_on_prompt(once.prompt_ids) == 5
    assert desk.ledger.tries_on_prompt((9, 9)) == 5
    assert desk.ledger.tries_on_prompt(other.prompt_ids) == 1
    assert desk.ledger.tries_on_prompt((404,)) == 0


def test_equal_ids_under_two_vocabularies_are_two_prompts(desk: Desk) -> None:
    first = desk.ledger.open_hunt("cat", (5, 7), MODEL, Recipe())
    second = desk.ledger.open_hunt("dog", (5, 7), OTHER_MODEL, Recipe())
    assert (desk.ledger.hunt(first.id).prompt_text, second.prompt_text) == ("cat", "dog")


def test_switching_refill_is_recorded_once_a_change(desk: Desk) -> None:
    hunt = desk.hunt()
    for until_keep, hold in [(True, True), (True, True), (False, True), (True, True)]:
        desk.ledger.set_policy(hunt.id, until_keep, hold)
    assert [(p.until_keep, p.hold) for p in desk.ledger.policies(hunt.id)] == [
        (True, True),
        (False, True),
        (True, True),
    ]


# Tries

WRITTEN = st.text(st.characters(exclude_categories=("Cs",)))
FLOAT32 = st.floats(width=32, allow_nan=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompt=WRITTEN,
    prompt_ids=st.lists(st.integers(0, 2**31 - 1)),
    text=WRITTEN,
    tokens=st.lists(st.tuples(st.integers(0, 2**31 - 1), FLOAT32)),
    seconds=st.floats(0, 1e6),
    versions=st.dictionaries(WRITTEN, WRITTEN),
)
def test_whatever_was_tried_comes_back_as_it_was(
    desk: Desk, prompt, prompt_ids, text, tokens, seconds, versions
) -> None:
    hunt = desk.ledger.open_hunt(prompt, prompt_ids, MODEL, Recipe(), new=True)
    index = desk.ledger.reserve_index(hunt.id)
    try_id = desk.ledger.begin_try(hunt.id, index, 3, "cuda", versions)
    end = TryEnd(
        "end_of_text", tuple(t for t, _ in tokens), text, tuple(p for _, p in tokens), seconds
    )
    desk.ledger.end_try(try_id, end)
    found = next(t for t in desk.ledger.tries(hunt.id) if t.id == try_id)
    assert (hunt.prompt_text, hunt.prompt_ids) == (prompt, tuple(prompt_ids))
    assert (found.index, found.lane, found.device, found.versions) == (index, 3, "cuda", versions)
    assert found.end == end


def test_log_probabilities_are_kept_as_float32(desk: Desk) -> None:
    hunt = desk.hunt()
    try_id = desk.shown(hunt)
    desk.ledger.end_try(try_id, TryEnd("stopped", (1, 2, 3), "", (-0.1, -math.inf, math.nan), 0.0))
    (found,) = desk.ledger.tries(hunt.id)
    assert found.end is not None
    tenth, infinite, none = found.end.logprobs
    assert tenth == struct.unpack("<f", struct.pack("<f", -0.1))[0]
    assert infinite == -math.inf
    assert math.isnan(none)


def test_a_lone_surrogate_does_not_lose_a_try(desk: Desk) -> None:
    hunt = desk.hunt("half \ud83d of a sign")
    desk.attempt(hunt, "and \udc00 another")
    assert desk.ledger.hunt(hunt.id).prompt_text == "half \ufffd of a sign"
    assert [t.end.text for t in desk.ledger.tries(hunt.id) if t.end] == ["and \ufffd another"]


def test_what_a_killed_program_left_open_is_lost_to_a_crash_not_rejected(desk: Desk) -> None:
    hunt = desk.hunt()
    desk.attempt(hunt)
    desk.shown(hunt)
    desk.shown(hunt)
    assert desk.ledger.close_crashed() == 2
    assert desk.ledger.close_crashed() == 0
    reasons = [t.end.reason for t in desk.ledger.tries(hunt.id) if t.end]
    assert reasons == ["max_tokens", "crash", "crash"]
    assert desk.ledger.verdicts(hunt.id) == []


# Verdicts


def test_a_decision_is_one_transaction_with_the_ends_it_caused(desk: Desk) -> None:
    hunt = desk.hunt()
    first, second = desk.shown(hunt), desk.shown(hunt)
    with pytest.raises(LibraryError, match="deleted"):
        desk.ledger.decide([(first, "kept")], {first: ended()}, collection=404)
    assert [t.end for t in desk.ledger.tries(hunt.id)] == [None, None]
    assert desk.ledger.verdicts(hunt.id) == []
    desk.ledger.decide([(first, "kept"), (second, "rejected")], {first: ended(), second: ended()})
    cut = replace(ended(), cut=True)
    assert [t.end for t in desk.ledger.tries(hunt.id)] == [cut, cut]
    assert len({v.action for v in desk.ledger.verdicts(hunt.id)}) == 1


def test_a_decision_is_about_one_hunt(desk: Desk) -> None:
    here, there = desk.attempt(desk.hunt("here")), desk.attempt(desk.hunt("there"))
    with pytest.raises(ValueError, match="one hunt"):
        desk.ledger.decide([(here, "kept"), (there, "rejected")])
    with pytest.raises(ValueError, match="at least one"):
        desk.ledger.decide([])


def test_keeping_again_brings_a_removed_sample_back(desk: Desk) -> None:
    other = desk.collections.create("other")
    try_id = desk.kept(desk.hunt())
    desk.samples.remove(try_id)
    desk.judge(try_id, "rejected")
    desk.judge(try_id, "kept", other.id)
    assert desk.samples.ids(FIRST) == []
    assert desk.samples.ids(other.id) == [try_id]


def test_undo_and_redo_go_across_a_restart(desk: Desk) -> None:
    hunt = desk.hunt()
    try_id = desk.kept(hunt)
    assert [v.verdict for v in undone(desk)] == ["undone"]
    desk.database.close()
    again = Desk.at(desk.database.path)
    assert again.samples.ids(FIRST) == []
    (redone,) = again.ledger.redo().verdicts
    assert (redone.try_id, redone.verdict) == (try_id, "kept")
    assert again.samples.ids(FIRST) == [try_id]
    assert again.ledger.redo() is None
    again.database.close()


def undone(desk: Desk):
    reversal = desk.ledger.undo()
    return reversal.verdicts if reversal else ()


def test_undo_takes_the_newest_of_the_library_whatever_its_hunt(desk: Desk) -> None:
    here, there = desk.hunt("here"), desk.hunt("there")
    desk.kept(there)
    desk.kept(here)
    assert [desk.ledger.undo().hunts for _ in range(2)] == [{here.id}, {there.id}]
    assert desk.ledger.undo() is None


def test_taking_one_back_is_an_action_that_undo_reverses(desk: Desk) -> None:
    hunt = desk.hunt()
    first, second = desk.attempt(hunt), desk.attempt(hunt)
    desk.ledger.decide([(first, "rejected"), (second, "kept")], collection=FIRST)
    desk.ledger.take_back(first)
    assert {t: s.verdict for t, s in standing(desk.ledger.verdicts(hunt.id)).items()} == {
        second: "kept"
    }
    (given,) = undone(desk)
    assert (given.try_id, given.verdict) == (first, "rejected")
    # The decision is undone in its present rows, whoever gave them last.
    assert {row.try_id for row in undone(desk)} == {first, second}
    assert standing(desk.ledger.verdicts(hunt.id)) == {}
    assert desk.ledger.take_back(first) == []


def test_a_deleted_hunt_leaves_nothing_to_undo(desk: Desk) -> None:
    gone, stays = desk.hunt("gone"), desk.hunt("stays")
    kept = desk.kept(stays)
    sample = desk.kept(gone)
    desk.samples.set_note(sample, "private")
    desk.samples.remove(sample)
    desk.ledger.undo()
    desk.history.delete(gone.id)
    assert {row.try_id for row in undone(desk)} == {kept}
    assert desk.ledger.undo() is None
    assert not desk.database.rows("SELECT * FROM annotations")


class UndoAndRedo(RuleBasedStateMachine):
    """Any order of judging, undoing and redoing, against a plain pair of stacks."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model_jobs = Desk.at(Path(self.folder.name) / "library.sqlite")
        self.model_jobs.database.execute(
            "PRAGMA synchronous=OFF"
        )  # thousands of commits, none to lose
        self.hunt = self.model_jobs.hunt()
        self.tries = [self.model_jobs.attempt(self.hunt) for _ in range(4)]
        self.done: list[dict[int, str]] = []
        self.undone: list[dict[int, str]] = []

    @rule(
        judged=st.dictionaries(
            st.integers(0, 3), st.sampled_from(["kept", "rejected", "skipped"]), min_size=1
        )
    )
    def judge(self, judged) -> None:
        verdicts = {self.tries[place]: verdict for place, verdict in judged.items()}
        self.model_jobs.ledger.decide(list(verdicts.items()), collection=FIRST)
        self.done.append(verdicts)
        self.undone.clear()

    @rule()
    def undo(self) -> None:
        rows = undone(self.model_jobs)
        assert len(rows) == (len(self.done[-1]) if self.done else 0)
        if self.done:
            self.undone.append(self.done.pop())

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self) -> None:
        rows = self.model_jobs.ledger.redo().verdicts
        assert {row.try_id: row.verdict for row in rows} == self.undone[-1]
        self.done.append(self.undone.pop())

    @precondition(lambda self: not self.undone)
    @rule()
    def redo_of_nothing(self) -> None:
        assert self.model_jobs.ledger.redo() is None

    @invariant()
    def what_stands_is_what_was_not_undone(self) -> None:
        expected: dict[int, str] = {}
        for decision in self.done:
            expected.update(decision)
        verdicts = self.model_jobs.ledger.verdicts(self.hunt.id)
        assert {t: row.verdict for t, row in standing(verdicts).items()} == expected
        # The view that lists use says the same as the function that counts.
        in_sql = self.model_jobs.database.rows("SELECT try_id, verdict FROM standing")
        assert {row[0]: row[1] for row in in_sql} == expected
        kept = {t for t, verdict in expected.items() if verdict == "kept"}
        assert set(self.model_jobs.samples.ids(FIRST)) == kept
        (summary,) = self.model_jobs.history.page([self.hunt.id])
        assert summary.counts.kept == len(kept)
        assert summary.counts.tries == len(self.tries)
        actions = self.model_jobs.ledger.actions
        assert (actions.next_undo() is not None) == bool(self.done)
        assert (actions.next_redo() is not None) == bool(self.undone)

    def teardown(self) -> None:
        self.model_jobs.database.close()
        self.folder.cleanup()


TestUndoAndRedo = UndoAndRedo.TestCase
TestUndoAndRedo.settings = settings(max_examples=60, stateful_step_count=25)
