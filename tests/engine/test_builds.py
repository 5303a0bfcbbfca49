"""Lanes and scoring on the real session: every CPU build of a tiny model, against runs alone."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.core.recipe import Recipe
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Ended, Start, Steps, Stop
from explorer.engine.scoring import score
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from tests.builds import make_builds
from tests.engine.test_lanes import Record
from tests.reference import load_reference, log_softmax
from tests.tiny import make_tiny

BUILDS = ("cpu-fp32", "cpu-int8", "cpu-int4")
CONTEXT = 320
PROMPTS = [(10, 20, 30), (7,), (), tuple(range(40)), tuple(n % 299 for n in range(300))]
RECIPES = [
    Recipe(max_tokens=12),
    Recipe(top_k=0, max_tokens=9),
    Recipe(top_k=5, temperature=0.5, max_tokens=7),
    Recipe(top_k=100, top_p=0.6, end_of_text="never", max_tokens=15),
    Recipe(temperature=0, max_tokens=20),
    Recipe(top_k=0, top_p=0.9, top_p_rule="openai", temperature=1.3, max_tokens=40),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("tiny"), width=64, heads=4, context=CONTEXT)


@pytest.fixture(scope="module")
def tokens(source):
    return Tokens.from_folder(source)


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    folder = make_builds(source, tmp_path_factory.mktemp("models") / "tiny", *BUILDS)
    shutil.copy(source / "tokenizer.json", folder)
    return folder


@pytest.fixture(scope="module", params=BUILDS)
def session(request, folder):
    session = Session(folder, request.param, "cpu", threads=2)
    yield session
    session.close()


@pytest.fixture(scope="module")
def fp32(folder):
    session = Session(folder, "cpu-fp32", "cpu", threads=2)
    yield session
    session.close()


@pytest.fixture(scope="module")
def alone(session, tokens):
    """What each candidate is when nothing else runs, computed once."""
    known = {}

    def run(item):
        key = (item.key[1], item.seed, item.prompt, item.recipe)
        if key not in known:
            lanes = Lanes(session, tokens, 1)
            lanes.start(replace(item, lane=0))
            record = Record()
            while lanes.running:
                record.add(lanes.step())
            record.add(lanes.step())
            known[key] = (
                record.ids[item.key], record.figures[item.key], record.ends[item.key],
            )  # fmt: skip
        return known[key]

    return run


def start(index, lane=0, *, prompt=PROMPTS[0], recipe=RECIPES[0]):
    return Start((1, index), lane, 5, prompt, recipe)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_candidate_is_the_same_whatever_happens_beside_it(session, tokens, alone, data):
    lanes = Lanes(session, tokens, data.draw(st.integers(1, 16)))
    started, record = {}, Record()
    for index in range(data.draw(st.integers(1, 12))):
        lane = data.draw(st.integers(0, lanes.lanes - 1))
        prompt, recipe = data.draw(st.sampled_from(PROMPTS)), data.draw(st.sampled_from(RECIPES))
        item = start(index, lane, prompt=prompt, recipe=recipe)
        lanes.start(item)
        started[item.key] = item
        for _ in range(data.draw(st.integers(0, 5))):
            record.add(lanes.step())
        if data.draw(st.booleans()):
            lanes.drop((1, data.draw(st.integers(0, index))))
    while lanes.running:
        record.add(lanes.step())
    record.add(lanes.step())
    assert set(record.ends) == set(started)
    for key, item in started.items():
        ids, figures, reason = alone(item)
        got = record.ids.get(key, [])
        assert got == ids[: len(got)]
        assert record.figures.get(key, []) == figures[: len(got)]  # to the last bit
        if record.ends[key] != "dropped":
            assert (len(got), record.ends[key]) == (len(ids), reason)


def test_the_same_alone_among_seven_others_in_another_order_and_after_drops(session, tokens, alone):
    items = [start(n, n, recipe=replace(RECIPES[n % 6], max_tokens=16)) for n in range(8)]
    orders = [items, items[::-1], items[3:] + items[:3]]
    for round_, order in enumerate(orders):
        lanes, record = Lanes(session, tokens), Record()
        for lane, item in enumerate(order):
            lanes.start(replace(item, lane=lane))
        for step in range(20):
            record.add(lanes.step())
            if round_ == 2 and step in (2, 5, 6):
                lanes.drop(order[step].key)  # rows move: an even and an odd number stay
        record.add(lanes.step())
        for item in order:
            ids, figures, _ = alone(item)
            got = record.ids[item.key]
            assert got == ids[: len(got)]
            assert record.figures[item.key] == figures[: len(got)]
            assert record.ends[item.key] == "dropped" or len(got) == len(ids)


def test_the_context_may_be_filled_to_the_last_position(session, tokens):
    lanes = Lanes(session, tokens)
    prompt = tuple(n % 299 for n in range(CONTEXT - 5))
    for lane, size in enumerate((CONTEXT - 5, CONTEXT - 1, 3)):
        recipe = Recipe(max_tokens=1000, end_of_text="never")
        lanes.start(start(lane, lane, prompt=prompt[:size], recipe=recipe))
    record = Record()
    with pytest.raises(Exception, match=str(CONTEXT)):
        lanes.start(start(9, 9, prompt=(1,) * CONTEXT))
    while lanes.running:
        record.add(lanes.step())
    record.add(lanes.step())
    assert [len(record.ids[1, n]) for n in range(3)] == [5, 5, CONTEXT - 3]
    assert set(record.ends.values()) == {"context_full"}


def test_greedy_continuations_and_figures_equal_the_reference(fp32, tokens, source):
    reference = load_reference(source)
    lanes = Lanes(fp32, tokens)
    prompts = [p or (tokens.end_of_text,) for p in PROMPTS[:4]]
    for lane, prompt in enumerate(prompts):
        recipe = Recipe(temperature=0, max_tokens=25, end_of_text="ignore")
        lanes.start(start(lane, lane, prompt=prompt, recipe=recipe))
    steps = []
    while lanes.running:
        steps += [event for event in lanes.step() if isinstance(event, Steps)]
    for lane, prompt in enumerate(prompts):
        ids = list(prompt)
        for event in steps:
            for n in [n for n, at in enumerate(event.lanes) if at == lane]:
                logits = reference.logits(ids)[-1]
                logprobs = log_softmax(logits)
                token = int(event.tokens[n])
                assert token == logits.argmax()
                assert event.ranks[n] == 0
                assert event.logprobs[n] == pytest.approx(logprobs[token], abs=1e-4)
                order = np.argsort(-logits, kind="stable")[:10]
                assert event.top_ids[n].tolist() == order.tolist()
                assert event.top_logprobs[n] == pytest.approx(logprobs[order], abs=1e-4)
                ids.append(token)
        assert len(ids) == len(prompt) + 25


def test_reading_a_prompt_can_be_stopped_and_taken_up_again(session, tokens, alone):
    item = start(0, prompt=PROMPTS[4])
    coming = iter([(), (Stop(),), (Stop(),)])  # never carried out
    lanes = Lanes(session, tokens, coming=lambda: next(coming, ()))
    lanes.start(item)
    record = Record()
    for _ in range(30):
        record.add(lanes.step())
    ids, figures, _ = alone(item)
    assert (record.ids[item.key], record.figures[item.key]) == (ids, figures)


def test_a_text_is_scored_as_it_would_be_drawn(session, tokens):
    """Scoring reads many tokens in one call, drawing one: the figures agree."""
    # Rounding an activation to 8 bits turns a difference in the last place into one of 1/127.
    tolerance = 1e-4 if session.build.precision == "fp32" else 0.05
    result = score(session, tokens, "The lion and the mouse were in the house.")
    cache = session.cache(2)
    for at, token in enumerate((tokens.end_of_text, *result.ids[:-1])):
        output = session.step(cache, np.array([token]), np.array([at]))
        drawn = output.logits(0)[result.ids[at]] - output.logsumexp[0]
        assert result.logprobs[at] == pytest.approx(float(drawn), abs=tolerance)


def test_scores_equal_the_reference(fp32, tokens, source):
    text = "The lion and the mouse were in the house when the winter wind began to sing. " * 12
    result = score(fp32, tokens, text, 100)
    assert len(result.windows) > 1
    reference = load_reference(source)
    given = [tokens.end_of_text, *result.ids]
    for window, first in enumerate(result.windows):
        begin = window * 100
        last = [*result.windows, len(result.ids)][window + 1]
        logprobs = log_softmax(reference.logits(given[begin:last]))[first - begin :]
        ids = list(result.ids[first:last])
        chosen = logprobs[np.arange(len(ids)), ids]
        assert result.logprobs[first:last] == pytest.approx(chosen, abs=1e-4)
        entropy = -(np.exp(logprobs) * logprobs).sum(1)
        assert result.entropies[first:last] == pytest.approx(entropy, abs=1e-3)


def test_the_logsumexp_of_the_graph_is_within_the_bound_that_sampling_relies_on(session):
    cache = session.cache(1)
    output = session.prefill(cache, list(range(1, 41)), rows="all")
    for row in range(40):
        logits = output.logits(row).astype(np.float64)
        exact = logits.max() + np.log(np.exp(logits - logits.max()).sum())
        assert abs(float(output.logsumexp[row]) - exact) < 1e-5


def test_ended_says_how_long_it_took(session, tokens):
    lanes = Lanes(session, tokens)
    lanes.start(start(0))
    events = []
    while lanes.running:
        events += lanes.step()
    (ended,) = [event for event in events if isinstance(event, Ended)]
    assert 0 < ended.seconds < 60
