"""Sampling against a plain definition, and against the exact distribution."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from explorer.core.recipe import Recipe
from explorer.engine import sampling
from explorer.engine.sampling import Settings, draw, rank, uniforms
from tests.engine.one_draw import Draw, draw_one

# The definition, as slow and plain as it can be.


def distribution(logits, recipe, end_of_text=None):
    """Return (ids in drawing order, probabilities) of what one position may draw."""
    allowed = [
        i for i in range(len(logits)) if not (recipe.end_of_text == "never" and i == end_of_text)
    ]
    order = sorted(allowed, key=lambda i: (-float(logits[i]), i))
    if recipe.greedy:
        return order[:1], np.ones(1)
    if recipe.top_k:
        kth = logits[order[min(recipe.top_k, len(order)) - 1]]
        order = [i for i in order if logits[i] >= kth]
    values = np.array([float(logits[i]) for i in order])
    with np.errstate(over="ignore"):
        weights = np.exp((values - values[0]) / recipe.temperature)
    if recipe.top_p < 1:
        running, keep = np.cumsum(weights), 0
        for position, mass in enumerate(running):
            if mass <= recipe.top_p * running[-1]:
                keep = position + 1
        if recipe.top_p_rule == "huggingface" and (
            keep == 0 or running[keep - 1] < recipe.top_p * running[-1]
        ):
            keep += 1
        order, weights = order[: max(keep, 1)], weights[: max(keep, 1)]
    return order, weights / weights.sum()


def by_definition(logits, recipe, uniform, end_of_text=None):
    order, probabilities = distribution(logits, recipe, end_of_text)
    running = np.cumsum(probabilities)
    position = min(int(np.searchsorted(running, uniform * running[-1], "right")), len(order) - 1)
    return order[position]


def top(logits, k):
    """Return what the graph would: [B, K] logits and ids, [B] logsumexp in float32."""
    ids = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    peak = logits.max(1).astype(np.float64)
    logsumexp = peak + np.log(np.exp(logits - peak[:, None]).sum(1))
    return np.take_along_axis(logits, ids, 1), ids, logsumexp.astype(np.float32)


def draw_rows(logits, recipes, uniform, k=64, end_of_text=None):
    asked = []

    def full(row):
        asked.append(row)
        return logits[row]

    draws = draw(
        *top(logits, min(k, logits.shape[1])),
        full,
        logits.shape[1],
        Settings(recipes, end_of_text),
        np.asarray(uniform, np.float64),
    )
    return draws, asked


recipes = st.builds(
    Recipe,
    top_k=st.sampled_from([0, 0, 1, 2, 3, 7, 8, 40, 100, 1000]),
    temperature=st.sampled_from([0.0, 1e-300, 0.3, 0.7, 1.0, 1.0, 1.5, 100.0]),
    top_p=st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999, 1.0, 1.0]),
    top_p_rule=st.sampled_from(["huggingface", "openai"]),
    end_of_text=st.sampled_from(["stop", "ignore", "never"]),
)


@st.composite
def rows_of_logits(draw_from, max_rows=4):
    """Logits [B, V], often with ties (few distinct values), sometimes with ids without a token."""
    rows = draw_from(st.integers(1, max_rows))
    vocabulary = draw_from(st.sampled_from([2, 3, 7, 8, 9, 30, 200]))
    rng = np.random.default_rng(draw_from(st.integers(0, 2**32)))
    logits = rng.normal(-60, draw_from(st.sampled_from([0.5, 2.0, 6.0])), (rows, vocabulary))
    step = draw_from(st.sampled_from([0.0, 0.5, 3.0]))
    if step:
        logits = np.round(logits / step) * step
    if vocabulary > 7 and draw_from(st.booleans()):
        logits[:, rng.integers(0, vocabulary, 3)] = -np.inf
    return logits.astype(np.float32)


@given(rows_of_logits(), st.data())
def test_rows_are_drawn_as_the_definition_says(logits, data):
    chosen = [data.draw(recipes) for _ in logits]
    uniform = [data.draw(st.floats(0, 1, exclude_max=True)) for _ in logits]
    end_of_text = data.draw(st.sampled_from([None, 0, logits.shape[1] - 1]))
    draws, _ = draw_rows(logits, chosen, uniform, k=8, end_of_text=end_of_text)
    for row, (recipe, u) in enumerate(zip(chosen, uniform, strict=True)):
        token = int(draws.tokens[row])
        order, probabilities = distribution(logits[row], recipe, end_of_text)
        # The definition sums in another order: at a border, rounding may decide either way.
        running = np.concatenate([[0.0], np.cumsum(probabilities)])
        at = order.index(token)
        assert running[at] - 1e-9 <= u <= running[at + 1] + 1e-9
        assert probabilities[at] > 0
        assert draws.ranks[row] == sorted(
            range(logits.shape[1]), key=lambda i, row=row: (-float(logits[row, i]), i)
        ).index(token)
        one = draw_one(logits[row], recipe, u, end_of_text)
        assert one.token == token
        assert one.rank == draws.ranks[row]
        assert one.logprob == pytest.approx(draws.logprobs[row], abs=1e-4)


@given(rows_of_logits(max_rows=8), st.data())
def test_a_row_does_not_see_its_neighbours(logits, data):
    chosen = [data.draw(recipes) for _ in logits]
    uniform = [data.draw(st.floats(0, 1, exclude_max=True)) for _ in logits]
    together, asked = draw_rows(logits, chosen, uniform, k=8, end_of_text=1)
    order = data.draw(st.permutations(range(len(logits))))
    shuffled, _ = draw_rows(
        logits[order], [chosen[i] for i in order], [uniform[i] for i in order], k=8, end_of_text=1
    )
    for position, row in enumerate(order):
        alone, asked_alone = draw_rows(
            logits[row : row + 1], [chosen[row]], [uniform[row]], k=8, end_of_text=1
        )
        for draws, at in ((alone, 0), (shuffled, position)):
            assert draws.tokens[at] == together.tokens[row]
            assert draws.logprobs[at] == together.logprobs[row]
            assert draws.ranks[at] == together.ranks[row]
        assert bool(asked_alone) == (row in asked)


def test_top_k_keeps_exactly_k_and_ties_with_the_last():
    logits = np.array([1, 5, 3, 3, 3, 0, 2, -1], np.float32)
    everything = np.linspace(0, 1, 301)[:-1]
    for k, kept in ((2, {1, 2, 3, 4}), (4, {1, 2, 3, 4}), (5, {1, 2, 3, 4, 6}), (1, {1})):
        assert {draw_one(logits, Recipe(top_k=k), u).token for u in everything} == kept
    assert draw_one(logits, Recipe(top_k=99), 1 - 2**-53).token == 7


def test_ties_at_the_end_of_the_list_ask_for_the_full_row():
    logits = np.zeros((1, 100), np.float32)
    logits[0, 50] = 1
    draws, asked = draw_rows(logits, [Recipe(top_k=3)], [0.999])
    assert (draws.tokens[0], asked) == (99, [0])
    # Without the tie the list is enough.
    logits[0] = np.arange(100)
    draws, asked = draw_rows(logits, [Recipe(top_k=63)], [0.0])
    assert (draws.tokens[0], asked) == (99, [])


def test_equal_logits_stand_by_lower_id():
    logits = np.array([0, 7, 7, 7, 0], np.float32)
    thirds = [draw_one(logits, Recipe(top_k=2), u) for u in (0.1, 0.4, 0.9)]
    assert [(d.token, d.rank) for d in thirds] == [(1, 0), (2, 1), (3, 2)]
    # A kernel that lists equals in another order is put right.
    draws = draw(
        np.array([[7, 7, 7, 0, 0]], np.float32),
        np.array([[3, 1, 2, 4, 0]]),
        np.array([8.1], np.float32),
        lambda _: logits,
        5,
        Settings([Recipe(top_k=2)], None),
        np.array([0.1]),
    )
    assert draws.tokens[0] == 1
    assert draws.top_ids[0].tolist() == [1, 2, 3, 0, 4]


@pytest.mark.parametrize(
    "recipe", [Recipe(temperature=0), Recipe(top_k=1), Recipe(top_k=1, top_p=0.3)]
)
def test_greedy_takes_the_lowest_id_among_equals(recipe):
    logits = np.array([3, 9, 9, 2] + [9] * 96, np.float32)
    for u in (0.0, 0.5, 1 - 2**-53):
        assert draw_one(logits, recipe, u) == Draw(1, pytest.approx(-np.log(98), abs=1e-2), 0)
        draws, _ = draw_rows(logits[None], [recipe], [u])
        assert draws.tokens[0] == 1


def test_the_two_top_p_rules_differ_by_the_token_that_crosses():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05])).astype(np.float32)
    everything = np.linspace(0, 1, 301)[:-1]

    def kept(p, rule):
        recipe = Recipe(top_k=0, top_p=p, top_p_rule=rule)
        return {draw_one(logits, recipe, u).token for u in everything}

    assert kept(0.9, "huggingface") == {0, 1, 2}
    assert kept(0.9, "openai") == {0, 1}
    assert kept(0.7, "huggingface") == {0, 1}
    assert kept(0.7, "openai") == {0}
    # At least one token always stays.
    assert kept(0.2, "huggingface") == kept(0.2, "openai") == kept(0.0, "openai") == {0}
    assert kept(0.0, "huggingface") == {0}


def test_top_p_comes_after_top_k_and_temperature():
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.1])).astype(np.float32)
    everything = np.linspace(0, 1, 301)[:-1]
    # After top-k 2 the first token has 4/7 = 0.57: alone it reaches 0.5, of all four it would not.
    recipe = Recipe(top_k=2, top_p=0.5)
    assert {draw_one(logits, recipe, u).token for u in everything} == {0}
    assert {draw_one(logits, Recipe(top_k=0, top_p=0.5), u).token for u in everything} == {0, 1}
    # Halving the temperature squares the odds: 16/30 reaches 0.5.
    cold = Recipe(top_k=0, top_p=0.5, temperature=0.5)
    assert {draw_one(logits, cold, u).token for u in everything} == {0}


def test_never_masks_the_draw_but_not_the_figures():
    logits = np.array([[5, 1, 4, 0, 3]], np.float32)
    recipe = Recipe(top_k=2, end_of_text="never")
    draws, _ = draw_rows(logits, [recipe], [0.0], end_of_text=0)
    assert draws.tokens[0] == 2
    assert draws.ranks[0] == 1
    assert draws.logprobs[0] == pytest.approx(4 - np.log(np.exp(logits).sum()), abs=1e-6)
    assert draws.top_ids[0].tolist() == [0, 2, 4, 1, 3]
    seen = {draw_one(logits[0], recipe, u, 0).token for u in np.linspace(0, 0.999, 50)}
    assert seen == {2, 4}


# Value 1 - 2**-53 is the largest uniform; products with it may round up to the total.
@given(rows_of_logits(max_rows=1), recipes)
@example(  # whose kept tokens weigh more, by rounding, than all tokens of their bucket and before
    np.array([[-60.5, -59.0, -60.5, -59.0, -61.0, -60.0, -60.5]], np.float32),
    Recipe(top_k=0, temperature=0.3, top_p=0.999),
)
def test_the_largest_uniform_draws_a_token_that_has_weight(logits, recipe):
    order, probabilities = distribution(logits[0], recipe)
    token = draw_one(logits[0], recipe, 1 - 2**-53).token
    assert probabilities[order.index(token)] > 0


def likely(vocabulary, rng, exponent=1.1):
    """Logits that fall off as those of a language model: a few likely tokens and a long tail."""
    logits = -exponent * np.log(np.arange(1, vocabulary + 1)) + rng.normal(0, 0.3, vocabulary)
    return rng.permutation(logits).astype(np.float32)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(top_k=0),
        Recipe(top_k=0, temperature=0.7),
        Recipe(top_k=0, temperature=1.2),
        Recipe(top_k=0, top_p=0.5),
        Recipe(top_k=0, top_p=0.95, top_p_rule="openai"),
        Recipe(top_k=3000),
        Recipe(top_k=0, end_of_text="never"),
    ],
    ids=Recipe.to_json,
)
def test_a_large_vocabulary_is_drawn_as_the_definition_says(recipe):
    rng = np.random.default_rng(5)
    vocabulary = 9000
    logits = np.stack([likely(vocabulary, rng) for _ in range(60)])
    uniform = rng.random(60)
    draws, asked = draw_rows(logits, [recipe] * 60, uniform, end_of_text=17)
    expected = [by_definition(row, recipe, u, 17) for row, u in zip(logits, uniform, strict=True)]
    assert draws.tokens.tolist() == expected
    assert draws.ranks.tolist() == [rank(x, t) for x, t in zip(logits, expected, strict=True)]
    if recipe.temperature < 1 or recipe.top_p == 0.5:
        assert len(asked) < 60  # the list alone settles some of them


def critical_value(freedom, z=3.719):
    """Upper 1e-4 quantile of chi-square, by Wilson and Hilferty (1931)."""
    return freedom * (1 - 2 / (9 * freedom) + z * np.sqrt(2 / (9 * freedom))) ** 3


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(top_k=0),
        Recipe(top_k=40),
        Recipe(top_k=100),
        Recipe(top_k=0, temperature=0.6),
        Recipe(top_k=20, temperature=1.7),
        Recipe(top_k=0, top_p=0.8),
        Recipe(top_k=0, top_p=0.8, top_p_rule="openai"),
        Recipe(top_k=50, top_p=0.9, temperature=0.8, end_of_text="never"),
    ],
    ids=Recipe.to_json,
)
def test_sampled_frequencies_pass_chi_square(recipe):
    logits = likely(300, np.random.default_rng(11))
    steps, rows = 100, 250
    lists = top(np.repeat(logits[None], rows, 0), 64)
    settings = Settings([recipe] * rows, 3)
    streams = np.stack([uniforms(2019, index, steps) for index in range(rows)])  # [rows, steps]
    counts = np.zeros(300)
    for uniform in streams.T:
        drawn = draw(*lists, lambda _: logits, 300, settings, uniform)
        counts += np.bincount(drawn.tokens, minlength=300)
    order, probabilities = distribution(logits, recipe, 3)
    assert counts.sum() == counts[order].sum()  # nothing else was drawn
    expected = probabilities * counts.sum()
    small = expected < 5  # pooled into one cell
    observed = np.append(counts[order][~small], counts[order][small].sum())
    expected = np.append(expected[~small], expected[small].sum())
    observed, expected = observed[expected > 0], expected[expected > 0]
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert statistic < critical_value(len(expected) - 1)


def test_uniforms_are_what_they_were_and_depend_on_seed_index_and_position():
    first = uniforms(42, 7, 3).tolist()
    assert first == [0.649420079613736, 0.8848813535936771, 0.5537339411764371]
    assert uniforms(42, 7, 2).tolist() == first[:2]
    assert not set(uniforms(42, 8, 100)) & set(uniforms(42, 7, 100))
    assert not set(uniforms(43, 7, 100)) & set(uniforms(42, 7, 100))
    assert uniforms(2**64 - 1, 2**64 - 1, 1)[0] < 1


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_uniforms_lie_in_the_unit_interval(seed, index):
    values = uniforms(seed, index, 64)
    assert values.min() >= 0
    assert values.max() < 1
    assert 0.2 < values.mean() < 0.8


def test_alternatives_are_the_ten_likeliest():
    logits = likely(500, np.random.default_rng(3))[None]
    draws, _ = draw_rows(logits, [Recipe()], [0.5])
    order = np.argsort(-logits[0], kind="stable")[:10]
    assert draws.top_ids[0].tolist() == order.tolist()
    exact = logits[0].astype(np.float64) - np.log(np.exp(logits[0].astype(np.float64)).sum())
    assert draws.top_logprobs[0] == pytest.approx(exact[order], abs=1e-6)
    few, _ = draw_rows(logits[:, :4], [Recipe()], [0.5])
    assert few.top_ids.shape == few.top_logprobs.shape == (1, 4)


def test_the_bounds_on_errors_have_room():
    logits = likely(50257, np.random.default_rng(9)) - np.float32(90)
    exact = np.exp(logits.astype(np.float64) + 90).sum()
    logsumexp = np.float32(np.log(exact) - 90)
    assert abs(np.exp(np.float64(logsumexp) + 90) / exact - 1) < sampling._LOGSUMEXP_ERROR / 5
