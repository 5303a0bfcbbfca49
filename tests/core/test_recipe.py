"""The recipe: ranges, messages, one JSON text for equal settings."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.errors import RecipeError
from explorer.core.recipe import MAX_TEMPERATURE, MAX_TOP_K, Recipe

recipes = st.builds(
    Recipe,
    top_k=st.integers(0, MAX_TOP_K),
    temperature=st.floats(0, MAX_TEMPERATURE) | st.integers(0, 100),
    top_p=st.floats(0, 1) | st.integers(0, 1),
    top_p_rule=st.sampled_from(["huggingface", "openai"]),
    max_tokens=st.integers(1, 10_000),
    end_of_text=st.sampled_from(["stop", "ignore", "never"]),
)


@given(recipes)
def test_json_round_trip(recipe: Recipe):
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert again.to_json() == recipe.to_json()
    assert recipe.describe()


def test_equal_recipes_have_one_json():
    assert Recipe(temperature=1, top_p=1).to_json() == Recipe(temperature=1.0, top_p=1.0).to_json()
    assert Recipe(temperature=-0.0).to_json() == Recipe(temperature=0).to_json()


@pytest.mark.parametrize(
    ("values", "named", "allowed"),
    [
        ({"top_k": -1}, "top_k", "from 0 to"),
        ({"top_k": 1.5}, "top_k", "whole number"),
        ({"top_k": True}, "top_k", "whole number"),
        ({"temperature": -0.1}, "temperature", "from 0 to 100"),
        ({"temperature": float("nan")}, "temperature", "from 0 to 100"),
        ({"temperature": float("inf")}, "temperature", "from 0 to 100"),
        ({"top_p": 1.01}, "top_p", "from 0 to 1"),
        ({"top_p": "0.9"}, "top_p", "from 0 to 1"),
        ({"top_p_rule": "other"}, "top_p_rule", "huggingface, openai"),
        ({"max_tokens": 0}, "max_tokens", "from 1 to"),
        ({"end_of_text": "go"}, "end_of_text", "stop, ignore, never"),
        ({"repetition_penalty": 1.2}, "repetition_penalty", "known are"),
    ],
)
def test_a_bad_setting_is_named_with_its_range(values, named, allowed):
    with pytest.raises(RecipeError) as caught:
        Recipe.from_json(json.dumps(values))
    assert named in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "null", "[" * 100_000])
def test_a_recipe_that_is_no_json_object_is_refused(text):
    with pytest.raises(RecipeError):
        Recipe.from_json(text)


def test_the_description_names_what_differs():
    assert Recipe().describe() == "k 40 · T 1.0"
    assert Recipe(temperature=0).describe() == "k 40 · greedy"
    assert Recipe(top_k=0, temperature=0.85, top_p=0.9).describe() == (
        "top-k off · T 0.85 · p 0.9 (Hugging Face)"
    )


@pytest.mark.parametrize("name", ["top_k", "temperature", "top_p", "max_tokens"])
@pytest.mark.parametrize("number", ["9" * 400, "1e999", "9" * 50_000])
def test_a_number_of_any_length_is_refused(name, number):
    with pytest.raises(RecipeError):
        Recipe.from_json(f'{{"{name}": {number}}}')
    with pytest.raises(RecipeError):
        Recipe(**{name: 10**400})
