"""Draws from a whole vocabulary: what float32 settles must be what float64 says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.engine import full_vocabulary
from explorer.engine.full_vocabulary import FullVocabularyDraw, draw_whole
from explorer.engine.sampling import rank


def logits_of(vocabulary, spread, seed, step=0.0):
    logits = np.random.default_rng(seed).normal(-70, spread, vocabulary)
    return (np.round(logits / step) * step if step else logits).astype(np.float32)


def softmax(logits):
    """As a graph hands them over: in float32, each off by a little."""
    exponentials = np.exp(logits - logits.max())
    return exponentials * np.float32(1 / exponentials.sum())


def exact(logits, temperature, top_p, uniform, *, openai, banned=-1):
    return FullVocabularyDraw(logits, temperature, banned, quick=False).draw(
        top_p, uniform, openai=openai
    )


@given(
    st.integers(0, 2**32),
    st.sampled_from([300, 5000]),
    st.sampled_from([0.0, 0.5, 2.0, 8.0]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([0.01, 0.3, 0.7, 1.0, 1.0, 1.7, 100.0]),
    st.sampled_from([0.0, 0.3, 0.9, 1.0, 1.0]),
    st.booleans(),
)
def test_float32_draws_what_float64_does(
    seed, vocabulary, spread, step, temperature, top_p, openai
):
    logits = logits_of(vocabulary, spread, seed, step)
    rng = np.random.default_rng([seed, 1])
    banned = int(rng.choice([-1, logits.argmax(), rng.integers(vocabulary)]))
    weights = np.sort(np.exp((logits.astype(np.float64) - logits.max()) / temperature))[::-1]
    edges = np.cumsum(weights) / weights.sum()
    near = rng.choice(edges, 20) * (1 + rng.normal(0, 1e-7, 20))
    for uniform in np.clip([*near, *rng.random(20), 0, 1 - 2**-53], 0, 1 - 2**-53):
        settings = (logits, temperature, top_p, float(uniform))
        token, place = draw_whole(*settings, openai=openai, banned=banned)
        assert (token, place) == exact(*settings, openai=openai, banned=banned)
        shares = softmax(logits)
        again = draw_whole(*settings, openai=openai, banned=banned, probabilities=shares)
        assert again == (token, place)
        assert token != banned
        assert place == rank(logits, token)


def test_a_banned_token_is_one_that_has_no_logit():
    for seed in range(40):
        logits = logits_of(2000, 2.0, seed)
        banned = int(logits.argmax()) if seed % 2 else seed
        without = logits.copy()
        without[banned] = -np.inf
        uniform = (seed + 0.5) / 40
        for top_p in (0.8, 1.0):
            drawn, _ = draw_whole(logits, 1.0, top_p, uniform, openai=False, banned=banned)
            assert drawn == draw_whole(without, 1.0, top_p, uniform, openai=False)[0]


@pytest.mark.parametrize("spread", [0.5, 2.5])
@pytest.mark.parametrize("given", [False, True])
def test_few_draws_need_float64(spread, given):
    logits = logits_of(50257, spread, 3)
    row = FullVocabularyDraw(
        logits, 1.0, quick=True, probabilities=softmax(logits) if given else None
    )
    uniforms = np.random.default_rng(0).random(500).tolist()
    left_open = [row.draw(1.0, uniform, openai=False) is None for uniform in uniforms]
    assert sum(left_open) < 50


@pytest.mark.parametrize("temperature", [0.01, 0.3, 1.0, 1.7, 100.0])
@pytest.mark.parametrize("spread", [0.1, 2.0, 10.0])
def test_weights_are_within_their_error(temperature, spread):
    logits = logits_of(50257, spread, 7)
    row = FullVocabularyDraw(logits, temperature, quick=True)
    true = FullVocabularyDraw(logits, temperature, quick=False)._weights
    near = (logits.max() - logits) / temperature < full_vocabulary._DEEP
    assert np.abs(row._weights[near] / true[near] - 1).max() < row._error
    deep = np.abs(row._weights - true)[~near].sum()
    assert deep < full_vocabulary._SUM_ERROR * true.sum() / 2
