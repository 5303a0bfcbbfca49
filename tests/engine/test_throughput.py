"""Tokens a second, on a session whose steps take scripted times."""

import pytest

from explorer.engine import throughput
from explorer.engine.text.tokens import Tokens
from tests.engine.fake_session import FakeSession
from tests.tiny import make_tiny

STEPS = 9


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return Tokens.from_folder(make_tiny(tmp_path_factory.mktemp("tiny")))


class Scripted(FakeSession):
    """Every step after a prompt takes what ``seconds_of`` says of (round, step)."""

    def __init__(self, seconds_of, **options):
        super().__init__(**options)
        self.seconds_of, self.now = seconds_of, 0.0
        self.round, self.step_of_round = -1, 0

    def prefill(self, *args, **options):
        self.round, self.step_of_round = self.round + 1, 0
        return super().prefill(*args, **options)

    def step(self, cache, tokens, positions):
        self.now += self.seconds_of(self.round, self.step_of_round)
        self.step_of_round += 1
        return super().step(cache, tokens, positions)


def measured(monkeypatch, tokens, seconds_of, lanes=1, **options):
    session = Scripted(seconds_of, end_of_text=tokens.end_of_text)
    monkeypatch.setattr(throughput, "perf_counter", lambda: session.now)
    return throughput.tokens_a_second(session, tokens, lanes, STEPS, prompt=8, **options)


@pytest.mark.parametrize("quickest", range(3))
@pytest.mark.parametrize("lanes", [1, 4])
def test_the_quickest_round_counts(monkeypatch, tokens, quickest, lanes):
    rate = measured(monkeypatch, tokens, lambda turn, _: 0.5 if turn == quickest else 2.0, lanes)
    assert rate == pytest.approx(lanes / 0.5)


def test_of_a_round_the_median_step_counts_and_no_single_one(monkeypatch, tokens):
    def seconds_of(turn, step):
        return 0.1 if step % 3 == 0 else 1.0 + turn

    assert measured(monkeypatch, tokens, seconds_of) == pytest.approx(1.0)
    assert measured(monkeypatch, tokens, seconds_of, quantile=0.1) == pytest.approx(10.0)


def test_so_many_steps_count_and_none_before_them(monkeypatch, tokens):
    last = throughput.WARM_UP + STEPS - 2  # the first token comes from the prompt

    def seconds_of(turn, step):
        assert step <= last
        return 0.25 if step > last - STEPS else 50.0

    assert measured(monkeypatch, tokens, seconds_of, quantile=1.0) == pytest.approx(4.0)

    def first_is_slow(turn, step):
        return 9.0 if step == last - STEPS + 1 else 1.0

    slowest = measured(monkeypatch, tokens, first_is_slow, quantile=1.0)
    assert slowest == pytest.approx(1 / 9.0)
