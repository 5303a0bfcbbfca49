"""A prompt that begins like one that was read before: only the rest is read, with the same bits."""

from itertools import product

import numpy as np
import pytest

from explorer.core.recipe import Recipe
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Start
from explorer.engine.prompt_cache import Prompts, goes_on_at
from explorer.engine.session import Session
from tests.builds import make_builds
from tests.engine.fake_session import FakeSession
from tests.tiny import make_tiny

CONTEXT = 640
BUILDS = ("cpu-fp32", "cpu-int8", "cpu-int4")


@pytest.mark.parametrize(
    ("read", "shared", "total", "at"),
    [
        (40, 40, 45, 40),
        (40, 30, 50, 30),  # another end
        (40, 40, 40, 38),  # the last is read for its logits, but not alone
        (60, 40, 40, 38),
        (49, 49, 63, 48),  # the last of 41 was alone
        (40, 40, 49, 0),  # and so is that of 49
        (40, 40, 57, 39),  # 17 left: one of them would be
        (10, 10, 60, 0),  # not worth it
        (300, 300, 310, 300),
        (300, 260, 310, 256),
        (300, 300, 257, 256),
        (257, 257, 300, 256),
        (256, 256, 300, 256),
        (600, 512, 530, 512),
        (0, 20, 30, 0),
        (1, 1, 2, 0),
    ],
)
def test_where_a_prompt_goes_on(read, shared, total, at):
    assert goes_on_at(read, min(shared, total), total) == at


def test_nothing_is_left_out_of_a_prompt():
    for read, total in product(range(0, 600, 7), range(1, 600, 11)):
        for shared in {0, min(read, total) // 2, min(read, total)}:
            at = goes_on_at(read, shared, total)
            assert 0 <= at <= min(read, shared)
            assert at < total


def tokens_of(count, seed=0):
    return tuple(np.random.default_rng(seed).integers(0, 300, count).tolist())


class OneReader:
    """A session of which one prompt after the other is read, and how many tokens that took."""

    def __init__(self, session):
        self.session = session
        self.prompts = Prompts(session)

    def read(self, ids):
        prompt, taken = self.prompts.get(ids, make=True), 0
        while not prompt.ready:
            taken += self.prompts.read(prompt, None)
        return prompt, taken


def test_what_was_read_is_not_read_again():
    session = FakeSession(context=1024)
    reader = OneReader(session)
    first = tokens_of(100)
    assert reader.read(first)[1] == 100
    assert reader.read(first)[1] == 0
    assert reader.read((*first, 1, 2, 3))[1] == 3
    assert reader.read(first)[1] == 0  # still there
    assert reader.read((*first, 1, 2, 4, 5))[1] == 2  # goes on from the longer one
    assert reader.read(first[:50])[1] == 2
    long = tokens_of(700, 1)
    assert reader.read(long)[1] == 700
    assert reader.read((*long[:600], *first))[1] == 100
    session.prompts_go_on = False
    assert reader.read((*long[:600], *first, 7))[1] == 701 - 512  # whole chunks only


def test_a_prompt_that_grew_draws_what_it_would_have_drawn_alone(tmp_path):
    from explorer.engine.text.tokens import Tokens

    tokens = Tokens.from_folder(make_tiny(tmp_path))
    words = tokens_of(60)
    recipe = Recipe(max_tokens=3, end_of_text="never")
    together = Lanes(FakeSession(context=128), tokens)
    for index, size in enumerate((30, 34, 60, 33)):
        start = Start((1, index), 0, 5, words[:size], recipe)
        seen = []
        for lanes in (together, Lanes(FakeSession(context=128), tokens)):
            lanes.start(start)
            drawn = []
            while lanes.running:
                drawn += [int(token) for event in lanes.step()[:1] for token in event.tokens]
            seen.append(drawn)
        assert seen[0] == seen[1]
    assert sum(count for _, count in together._session.prefilled) < 30 + 34 + 60 + 33


@pytest.fixture(scope="module", params=[1, 4], ids=["head 64", "head 16"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    source = make_tiny(folder, width=64, heads=request.param, context=CONTEXT)
    return make_builds(source, tmp_path_factory.mktemp("models") / "tiny", *BUILDS)


@pytest.fixture(scope="module", params=BUILDS)
def session(request, folder):
    session = Session(folder, request.param, "cpu", threads=2)
    yield session
    session.close()


def kv_of(prompt):
    return [array[0, :, : len(prompt.ids)].tobytes() for array in prompt.cache._arrays]


def test_a_prompt_that_grew_has_the_bits_of_one_that_was_read_at_once(session):
    words, other = tokens_of(CONTEXT - 1), tokens_of(CONTEXT - 1, 1)
    rng = np.random.default_rng(2)
    # Around the sizes at which kernels leave one token over, and wherever else.
    sizes = [17, 33, 64, 65, 66, 128, 129, 130, 256, 257, 258, 321, 385, 513, 600]
    sizes += rng.integers(20, CONTEXT - 1, 10).tolist()
    saved = 0
    for before, after in zip(rng.permutation(sizes), rng.permutation(sizes), strict=True):
        shared = int(rng.integers(16, before + 1))
        reader = OneReader(session)
        reader.read(words[:before])
        ids = words[: min(shared, after)] + other[shared:after]
        grown, taken = reader.read(ids)
        fresh, all_of_it = OneReader(session).read(ids)
        assert kv_of(grown) == kv_of(fresh)
        assert grown.logits.tobytes() == fresh.logits.tobytes()
        assert grown.logsumexp == fresh.logsumexp
        saved += all_of_it - taken
    assert saved > 0 or not session.prompts_go_on


def test_the_look_at_the_cpu_notices_parts_that_differ(folder, monkeypatch):
    session = Session(folder, "cpu-fp32", "cpu", threads=2)
    assert isinstance(session.prompts_go_on, bool)
    del session.prompts_go_on
    prefill = session.prefill

    def other(cache, ids, start=0, **options):
        output = prefill(cache, ids, start, **options)
        output._logits.hosts["logits"][0, 0] += start
        return output

    monkeypatch.setattr(session, "prefill", other)
    assert session.prompts_go_on is False
    session.close()
