"""The sampling settings of a hunt, and what they mean.

One token is drawn from the logits of one position in this order (openai/gpt-2, ``src/sample.py``):

1. ids outside the drawable vocabulary never take part, nor does the token that ends a text
   (``<|endoftext|>``, or the model's own) when ``end_of_text`` is ``never``;
2. logits are divided by ``temperature``; 0 means greedy: the largest logit, the lowest id among
   equals;
3. ``top_k``: logits below the k-th largest are dropped, ties with the k-th are kept; 0 keeps all;
4. ``top_p``: candidates in descending order of probability are kept while the running sum stays
   within p. The token that crosses p is kept by the ``huggingface`` rule and dropped by the
   ``openai`` rule; at least one token always stays; 1 switches the filter off;
5. one uniform number chooses among what is left, by the inverse of the cumulative distribution.

There is no repetition penalty, on purpose: the program shows the model, not a cure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from explorer.core.bounded_reading import parse_json
from explorer.core.errors import RecipeError

TopPRule = Literal["huggingface", "openai"]
EndOfText = Literal["stop", "ignore", "never"]

MAX_TOP_K = 1_000_000
MAX_TEMPERATURE = 100.0
MAX_MAX_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """Sampling settings of one candidate; the seed belongs to the hunt and is not part of it.

    Raises :class:`RecipeError` with the allowed range when a value is outside it.
    """

    top_k: int = 40
    """Draw among the k likeliest tokens; 0 = all of them, 1 = greedy."""
    temperature: float = 1.0
    """Divides the logits; 1 = the model's own odds, 0 = greedy."""
    top_p: float = 1.0
    """Keep the likeliest tokens up to this summed probability; 1 = off."""
    top_p_rule: TopPRule = "huggingface"
    """Whether the token that crosses ``top_p`` is kept (huggingface) or dropped (openai)."""
    max_tokens: int = 200
    """Generated tokens at most; the context may end a candidate earlier."""
    end_of_text: EndOfText = "stop"
    """At the end of a text: end the candidate, run on into the next document, or never draw it."""

    def __post_init__(self) -> None:
        """Check ranges and bring numbers into one form, so that equal recipes are equal JSON."""
        _whole("top_k", self.top_k, 0, MAX_TOP_K, "0 switches it off")
        _whole(
            "max_tokens", self.max_tokens, 1, MAX_MAX_TOKENS, "a candidate has at least one token"
        )
        _number(
            "temperature",
            self.temperature,
            0.0,
            MAX_TEMPERATURE,
            "0 is greedy, 1 the model's odds",
        )
        _number("top_p", self.top_p, 0.0, 1.0, "1 switches it off")
        _choice("top_p_rule", self.top_p_rule, get_args(TopPRule))
        _choice("end_of_text", self.end_of_text, get_args(EndOfText))
        # -0.0 would be another JSON text for the same setting.
        object.__setattr__(self, "temperature", float(self.temperature) + 0.0)
        object.__setattr__(self, "top_p", float(self.top_p) + 0.0)

    @property
    def greedy(self) -> bool:
        """Whether every draw is the likeliest token, whatever the seed."""
        return self.temperature == 0 or self.top_k == 1

    def to_json(self) -> str:
        """Return canonical JSON: sorted keys, no spaces, the same text for equal recipes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read what :meth:`to_json` wrote; absent settings take their defaults.

        Raises :class:`RecipeError` for anything that is not a JSON object of known settings.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise RecipeError(f"The recipe is not readable JSON ({error}).") from error
        if not isinstance(values, dict):
            raise RecipeError('The recipe must be a JSON object such as {"top_k": 40}.')
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise RecipeError(
                f"Unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}."
            )
        return cls(**values)

    def describe(self) -> str:
        """Return the settings as people write them: ``k 40 · T 1.0``, then what is not default."""
        parts = ["top-k off" if self.top_k == 0 else f"k {self.top_k}"]
        parts.append(
            "greedy"
            if self.greedy
            else f"T {self.temperature:g}"
            if self.temperature % 1
            else f"T {self.temperature:.1f}"
        )
        if self.top_p < 1:
            parts.append(
                f"p {self.top_p:g} ({'OpenAI' if self.top_p_rule == 'openai' else 'Hugging Face'})"
            )
        if self.end_of_text != "stop":
            parts.append(
                {"ignore": "runs on at end of text", "never": "no end of text"}[self.end_of_text]
            )
        return " · ".join(parts)


def _whole(name: str, value: object, low: int, high: int, why: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RecipeError.of(
            name, f"must be a whole number from {low} to {high} ({why}), not {value!r}."
        )


def _number(name: str, value: object, low: float, high: float, why: str) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not low <= value <= high  # nor NaN; a whole number may be larger than any float
    ):
        raise RecipeError.of(
            name, f"must be a number from {low:g} to {high:g} ({why}), not {value!r}."
        )


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RecipeError.of(name, f"must be one of {', '.join(allowed)}, not {value!r}.")
