"""Continuous batching against candidates that run alone, on a fake session that notices misuse."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.core.errors import EngineError, OutOfMemoryError, PromptError, RecipeError
from explorer.core.recipe import Recipe
from explorer.engine.lanes import CHUNK, Lanes
from explorer.engine.messages import (
    Drop,
    Ended,
    Load,
    Prefill,
    Quit,
    Refused,
    Start,
    Steps,
    Stop,
)
from explorer.engine.sampling import uniforms
from explorer.engine.text.tokens import Tokens
from tests.engine.fake_session import FakeSession
from tests.tiny import make_tiny

PROMPT = (10, 20, 30)
RECIPES = [
    Recipe(),
    Recipe(top_k=0, max_tokens=30),
    Recipe(top_k=5, temperature=0.5, max_tokens=7),
    Recipe(top_p=0.6, end_of_text="never", max_tokens=50),
    Recipe(temperature=0, max_tokens=20),
    Recipe(top_k=0, top_p=0.9, top_p_rule="openai", end_of_text="ignore", max_tokens=1),
    Recipe(top_k=100, temperature=2.0, max_tokens=40),
]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return Tokens.from_folder(make_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def session(tokens):
    return FakeSession(end_of_text=tokens.end_of_text)


def start(index=0, lane=0, *, seed=5, prompt=PROMPT, recipe=RECIPES[1], hunt=1):
    return Start((hunt, index), lane, seed, prompt, recipe)


class Record:
    """What was received of each candidate."""

    def __init__(self):
        self.ids, self.text, self.figures, self.ends = {}, {}, {}, {}

    def add(self, events):
        for event in events:
            if isinstance(event, Steps):
                for n, key in enumerate(event.keys):
                    assert key not in self.ends, "a step after the end"
                    self.ids.setdefault(key, []).append(int(event.tokens[n]))
                    self.text[key] = self.text.get(key, "") + event.texts[n]
                    figures = (event.logprobs[n], event.ranks[n], *event.top_ids[n])
                    self.figures.setdefault(key, []).append(figures)
            elif isinstance(event, Ended):
                assert event.key not in self.ends
                assert event.tokens == len(self.ids.get(event.key, []))
                assert event.seconds >= 0
                self.ends[event.key] = event.reason
                self.text[event.key] = self.text.get(event.key, "") + event.text
        return self


def run(lanes, *starts):
    record = Record()
    for item in starts:
        lanes.start(item)
    while lanes.running:
        record.add(lanes.step())
    return record.add(lanes.step())


def alone(tokens, item, **options):
    session = FakeSession(end_of_text=tokens.end_of_text, **options)
    record = run(Lanes(session, tokens, 1), replace(item, lane=0))
    return record.ids[item.key], record.figures[item.key], record.ends[item.key]


@settings(max_examples=30)
@given(st.data())
def test_a_candidate_is_the_same_whatever_happens_beside_it(tokens, data):
    even_rows = data.draw(st.booleans())
    session = FakeSession(end_of_text=tokens.end_of_text, even_rows=even_rows)
    lanes = Lanes(session, tokens, data.draw(st.integers(1, 9)))
    prompts = [PROMPT, (7,), (), tuple(range(40))]
    started, dropped, record = {}, set(), Record()
    for index in range(data.draw(st.integers(1, 14))):
        item = start(
            index,
            data.draw(st.integers(0, lanes.lanes - 1)),
            seed=data.draw(st.integers(0, 3)),
            prompt=data.draw(st.sampled_from(prompts)),
            recipe=data.draw(st.sampled_from(RECIPES)),
        )
        lanes.start(item)  # drops whatever runs there
        started[item.key] = item
        for _ in range(data.draw(st.integers(0, 6))):
            record.add(lanes.step())
        if data.draw(st.booleans()):
            key = (1, data.draw(st.integers(0, index)))
            lanes.drop(key) if data.draw(st.booleans()) else lanes.stop(key)
    while lanes.running:
        record.add(lanes.step())
    record.add(lanes.step())
    assert set(record.ends) == set(started)
    assert lanes.step() == []
    for key, item in started.items():
        ids, figures, reason = alone(tokens, item)
        got = record.ids.get(key, [])
        if record.ends[key] in ("dropped", "stopped"):
            assert got == ids[: len(got)]
            assert record.figures.get(key, []) == figures[: len(got)]
            dropped.add(key)
        else:
            assert (got, record.figures[key], record.ends[key]) == (ids, figures, reason)


def test_eight_lanes_equal_eight_runs_in_any_order(tokens, session):
    items = [start(i, i, recipe=RECIPES[i % len(RECIPES)]) for i in range(8)]
    together = run(Lanes(session, tokens), *items)
    reverse = run(
        Lanes(FakeSession(end_of_text=tokens.end_of_text), tokens),
        *[replace(item, lane=7 - item.lane) for item in items[::-1]],
    )
    for item in items:
        ids, figures, reason = alone(tokens, item)
        for record in (together, reverse):
            assert record.ids[item.key] == ids
            assert record.figures[item.key] == figures
            assert record.ends[item.key] == reason


def test_a_refill_streams_in_the_very_next_step_without_reading_the_prompt_again(tokens, session):
    lanes = Lanes(session, tokens)
    for lane in range(4):
        lanes.start(start(lane, lane, recipe=RECIPES[3]))
    lanes.step()
    assert session.prefilled == [(0, 3)]
    lanes.drop((1, 2))
    lanes.start(start(4, 2, recipe=RECIPES[3]))
    steps, ended = lanes.step()
    assert ended == Ended((1, 2), 2, "dropped", "", 2, ended.seconds)
    assert {(1, 0), (1, 1), (1, 3), (1, 4)} == set(steps.keys)
    assert steps.lanes[steps.keys.index((1, 4))] == 2
    assert session.prefilled == [(0, 3)]


def test_lanes_that_wait_cost_nothing(tokens, session):
    lanes = Lanes(session, tokens)
    for lane in range(8):
        recipe = Recipe(max_tokens=4 if lane % 2 else 30, end_of_text="never")
        lanes.start(start(lane, lane, recipe=recipe))
    while lanes.running:
        lanes.step()
    assert session.steps == [8] * 3 + [4] * 26
    # Rows move by their used positions only: the prompt of each, then what two long rows had.
    assert session.moved == [3] * 8 + [6] * 2
    before = len(session.steps)
    assert lanes.step() == []
    assert len(session.steps) == before


def test_draws_are_those_of_seed_and_index(tokens, session):
    item = start(12, seed=77, recipe=Recipe(top_k=2, max_tokens=50))
    record = run(Lanes(session, tokens), item)
    drawn = uniforms(77, 12, 50)
    first = session.prefill(session.cache(1), PROMPT)
    odds = np.exp(first.top_logits[0, :2].astype(float) - float(first.top_logits[0, 0]))
    assert record.ids[item.key][0] == first.top_ids[0, int(drawn[0] >= odds[0] / odds.sum())]
    assert {rank for _, rank, *_ in record.figures[item.key]} == {0, 1}


def test_figures_are_those_of_the_full_vocabulary(tokens, session):
    for recipe in (Recipe(max_tokens=5), Recipe(top_k=0, max_tokens=5, temperature=3.0)):
        lanes = Lanes(session, tokens)
        lanes.start(start(recipe=recipe))
        (steps, *_) = lanes.step()
        logits = session.prefill(session.cache(1), PROMPT).logits(0).astype(np.float64)
        exact = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        token = steps.tokens[0]
        assert steps.logprobs[0] == pytest.approx(exact[token], abs=1e-5)
        assert steps.ranks[0] == np.count_nonzero(logits > logits[token])
        assert steps.top_ids[0].tolist() == np.argsort(-logits, kind="stable")[:10].tolist()
        assert steps.top_logprobs[0] == pytest.approx(exact[steps.top_ids[0]], abs=1e-5)
        assert steps.tokens.dtype == steps.ranks.dtype == steps.top_ids.dtype == np.int32
        assert steps.logprobs.dtype == steps.top_logprobs.dtype == np.float32


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "count", "reason"),
    [
        (3, 10, 10, "max_tokens"),
        (60, 10, 4, "context_full"),
        (63, 10, 1, "context_full"),
        (63, 1, 1, "max_tokens"),
        (60, 4, 4, "max_tokens"),
        (1, 1_000_000, 63, "context_full"),
        (3, 1, 1, "max_tokens"),
    ],
)
def test_ends(tokens, session, prompt, max_tokens, count, reason):
    item = start(
        prompt=tuple(range(prompt)), recipe=Recipe(max_tokens=max_tokens, end_of_text="never")
    )
    record = run(Lanes(session, tokens), item)
    assert (len(record.ids[item.key]), record.ends[item.key]) == (count, reason)


def test_end_of_text_stops_runs_on_or_is_never_drawn(tokens, session):
    session.top_logits[:, 1] = session.top_logits[:, 0]
    session.table[:, tokens.end_of_text] = session.top_logits[:, 0] - 1
    session.top_ids[:, 1], session.top_logits[:, 1] = (
        tokens.end_of_text,
        session.top_logits[:, 0] - 1,
    )
    recipes = {
        rule: Recipe(top_k=3, max_tokens=40, end_of_text=rule)
        for rule in ("stop", "ignore", "never")
    }
    items = [start(i, i, recipe=recipe) for i, recipe in enumerate(recipes.values())]
    record = run(Lanes(session, tokens), *items)
    stop, ignore, never = (record.ids[item.key] for item in items)
    assert stop.count(tokens.end_of_text) == 1
    assert stop[-1] == tokens.end_of_text
    assert record.ends[1, 0] == "end_of_text"
    assert record.text[1, 0] == tokens.decode(stop[:-1])  # the token is counted, not shown
    assert (len(ignore), record.ends[1, 1]) == (40, "max_tokens")
    assert tokens.end_of_text in ignore
    assert record.text[1, 1] == tokens.decode(ignore)
    assert (len(never), record.ends[1, 2]) == (40, "max_tokens")
    assert tokens.end_of_text not in never


def test_the_text_is_what_the_ids_decode_to(tokens, session):
    for index in range(20):
        item = start(index, recipe=Recipe(top_k=0, temperature=5.0, end_of_text="ignore"))
        record = run(Lanes(session, tokens), item)
        assert record.text[item.key] == tokens.decode(record.ids[item.key])


def test_an_empty_prompt_starts_from_end_of_text(tokens, session):
    empty, explicit = start(prompt=()), start(prompt=(tokens.end_of_text,))
    records = [run(Lanes(session, tokens), item) for item in (empty, explicit)]
    assert records[0].ids == records[1].ids


def test_a_model_without_end_of_text_cannot_start_from_nothing(tmp_path):
    tokens = Tokens.from_folder(make_tiny(tmp_path, end_of_text=False))
    lanes = Lanes(FakeSession(), tokens)
    with pytest.raises(PromptError, match="type a prompt"):
        lanes.start(start(prompt=()))
    record = run(lanes, start(recipe=Recipe(end_of_text="never", max_tokens=5)))
    assert record.ends[1, 0] == "max_tokens"


def test_a_prompt_without_room_is_refused_with_both_numbers(tokens, session):
    lanes = Lanes(session, tokens)
    lanes.start(start(0))
    for size in (64, 65, 1000):
        with pytest.raises(PromptError, match=rf"{size:,} tokens.* 64"):
            lanes.start(start(1, prompt=(1,) * size))
    assert lanes.running == 1  # what ran in the lane goes on


@pytest.mark.parametrize("holes", [0, 2])
def test_a_vocabulary_of_end_of_text_alone_cannot_do_without_it(holes):
    alone = Tokens(json.dumps({
        "model": {"type": "BPE", "vocab": {"<|endoftext|>": holes}, "merges": []},
        "added_tokens": [],
    }))  # fmt: skip
    lanes = Lanes(FakeSession(holes + 1, end_of_text=holes), alone)
    with pytest.raises(RecipeError, match=r"no other token.*let it stop the text or run on"):
        lanes.start(start(prompt=(), recipe=Recipe(end_of_text="never")))
    assert not lanes.running
    lanes.start(start(prompt=(), recipe=Recipe(end_of_text="stop")))
    assert lanes.running == 1


def test_what_cannot_be_started(tokens, session):
    lanes = Lanes(session, tokens, 2)
    lanes.start(start(0))
    with pytest.raises(EngineError, match="lane 2"):
        lanes.start(start(1, 2))
    with pytest.raises(EngineError, match="already"):
        lanes.start(start(0, 1))
    for wrong in (-1, 300):
        with pytest.raises(PromptError, match=f"id {wrong}"):
            lanes.start(start(1, prompt=(1, wrong)))


def test_stop_ends_one_or_all_at_once(tokens, session):
    lanes = Lanes(session, tokens)
    for lane in range(4):
        lanes.start(start(lane, lane, recipe=Recipe(end_of_text="never")))
    lanes.step()
    lanes.stop((1, 1))
    lanes.stop((9, 9))  # unknown: nothing happens
    assert lanes.running == 3
    lanes.stop()
    assert lanes.running == 0
    steps = len(session.steps)
    events = lanes.step()
    assert [(e.key, e.reason, e.tokens) for e in events] == [
        ((1, n), "stopped", 2) for n in (1, 0, 2, 3)
    ]
    assert len(session.steps) == steps
    assert lanes.step() == []


def test_a_candidate_dropped_before_its_first_token_ends_with_none(tokens, session):
    lanes = Lanes(session, tokens)
    lanes.start(start(0))
    lanes.start(start(1))  # the same lane
    lanes.drop((1, 1))
    events = lanes.step()
    assert [(e.key, e.reason, e.tokens) for e in events] == [
        ((1, 0), "dropped", 0), ((1, 1), "dropped", 0),
    ]  # fmt: skip
    assert session.prefilled == []


def test_long_prompts_are_read_in_chunks_while_others_stream(tokens):
    session = FakeSession(context=1024, end_of_text=tokens.end_of_text)
    lanes = Lanes(session, tokens)
    lanes.start(start(0, recipe=Recipe(max_tokens=100, end_of_text="never")))
    lanes.step()
    long = tuple(n % 299 for n in range(2 * CHUNK + 10))
    lanes.start(start(1, 1, prompt=long))
    seen = []
    for _ in range(3):
        events = lanes.step()
        seen += [(e.done, e.total) for e in events if isinstance(e, Prefill)]
        assert (1, 0) in events[0].keys
    assert seen == [(256, 522), (512, 522), (522, 522)]
    assert (1, 1) in events[0].keys
    assert session.prefilled[1:] == [(0, 256), (256, 256), (512, 10)]
    # A second candidate of the same prompt needs no reading, nor does the first prompt.
    lanes.start(start(2, 2, prompt=long))
    lanes.start(start(3, 3))
    lanes.step()
    assert len(session.prefilled) == 4


def test_many_short_prompts_start_together(tokens, session):
    lanes = Lanes(session, tokens)
    for lane in range(16):
        lanes.start(start(lane, lane, prompt=(lane, lane + 1)))
    (steps, *_) = lanes.step()
    assert set(steps.lanes) == set(range(16))


LONG = tuple(n % 299 for n in range(300))
GIVING_UP = [
    (Drop((1, 0)),),
    (Stop((1, 0)),),
    (Stop(),),
    (Quit(),),
    (Load(Path("other"), "cpu-fp32"),),
    (Start((1, 9), 0, 1, PROMPT, Recipe()),),
    (Drop((1, 5)), Drop((1, 0))),
]
OF_OTHERS = (
    Drop((1, 5)),
    Stop((2, 0)),
    Start((1, 6), 5, 1, PROMPT, Recipe()),
    Start((1, 7), 6, 1, LONG, Recipe()),
)


@pytest.mark.parametrize("commands", GIVING_UP)
def test_a_prompt_that_nobody_waits_for_is_not_read_to_its_end(tokens, commands):
    session = FakeSession(context=1024, end_of_text=tokens.end_of_text)
    answers = iter([(), commands, commands, (), (), ()])
    lanes = Lanes(session, tokens, coming=lambda: next(answers))
    item = start(prompt=LONG, recipe=Recipe(max_tokens=3))
    lanes.start(item)
    assert [type(e) for e in lanes.step()] == [Prefill]
    assert lanes.step() == []
    assert lanes.running == 1
    record = Record()
    while lanes.running:  # the commands were never carried out, so it is read on
        record.add(lanes.step())
    assert record.ids[item.key] == run(Lanes(session, tokens), item).ids[item.key]


def test_commands_about_others_do_not_keep_a_prompt_from_being_read(tokens):
    session = FakeSession(context=1024, end_of_text=tokens.end_of_text)
    lanes = Lanes(session, tokens, coming=lambda: OF_OTHERS)
    lanes.start(start(prompt=LONG))
    events = [*lanes.step(), *lanes.step()]
    assert [e.done for e in events if isinstance(e, Prefill)] == [256, 300]
    assert any(isinstance(e, Steps) for e in events)


def test_a_prompt_is_read_while_one_of_several_waits_for_it(tokens):
    session = FakeSession(context=1024, end_of_text=tokens.end_of_text)
    commands = [Drop((1, 0))]
    lanes = Lanes(session, tokens, coming=lambda: commands)
    for n in range(2):
        lanes.start(start(n, n, prompt=LONG))
    assert [e.done for e in lanes.step() if isinstance(e, Prefill)] == [256]
    commands.append(Start((1, 9), 1, 1, PROMPT, Recipe()))
    assert lanes.step() == []
    assert lanes.running == 2


@pytest.mark.parametrize("streaming", [1, 4])
def test_where_memory_runs_out_all_is_as_it_was(tokens, session, streaming):
    """For the cache of a prompt, or for rows beyond the first four."""
    lanes, record = Lanes(session, tokens), Record()
    mine = [start(n, n) for n in range(streaming)]
    for item in mine:
        lanes.start(item)
    record.add(lanes.step())
    honest = session.cache

    def full(rows):
        raise OutOfMemoryError("There is not enough memory.")

    session.cache = full
    late = start(8, 8, prompt=(1, 2) if streaming == 1 else PROMPT)
    lanes.start(late)
    for _ in range(2):
        with pytest.raises(OutOfMemoryError):
            lanes.step()
    assert lanes.running == streaming + 1
    session.cache = honest
    while lanes.running:
        record.add(lanes.step())
    for item in (*mine, late):
        assert record.ids[item.key] == alone(tokens, item)[0]


def test_a_prompt_that_fails_is_refused_and_the_others_go_on(tokens, session):
    lanes = Lanes(session, tokens)
    lanes.start(start(0))
    lanes.step()
    session.fails = "There is no memory left."
    lanes.start(start(1, 1, prompt=(1, 2)))
    events = lanes.step()
    assert Refused((1, 1), "There is no memory left.") in events
    assert isinstance(events[0], Steps)
    session.fails = None
    lanes.start(start(2, 1, prompt=(1, 2)))
    assert (1, 2) in lanes.step()[0].keys


def test_numbers_that_are_not_finite_are_an_error(tokens, session):
    session.logsumexp[:] = np.nan
    lanes = Lanes(session, tokens)
    lanes.start(start())
    with pytest.raises(EngineError, match="not finite"):
        lanes.step()
