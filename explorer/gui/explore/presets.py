"""What the two Presets menus offer: prompts of ``resources/prompts.json`` and recipes.

Schema of ``prompts.json`` (version 1)::

    {"schema": 1, "about": "...",
     "groups": [{"title": "...", "note": "...",
                 "prompts": [{"name": "...", "text": "...", "source": "...", "published": "..."}]}]}

``note`` says where a group comes from. ``text`` is the exact prompt, empty for an unconditional
start. ``source`` (optional) names author and year. ``published`` (optional) is the caption that a
published completion of the prompt carried, given only where it is known for certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from explorer.core.bounded_reading import read_json
from explorer.core.errors import ExplorerError
from explorer.core.recipe import Recipe

SCHEMA = 1
_LIMIT = 4_000_000


@dataclass(frozen=True, slots=True)
class PromptPreset:
    """A prompt to start from."""

    name: str
    text: str
    source: str = ""
    published: str = ""

    @property
    def note(self) -> str:
        """One line on where it comes from and what its published completion cost; may be empty."""
        shown = f"one completion was published as “{self.published}”" if self.published else ""
        return ": ".join(part for part in (self.source, shown) if part)


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """Prompts of one origin."""

    title: str
    note: str
    prompts: tuple[PromptPreset, ...]


@dataclass(frozen=True, slots=True)
class RecipePreset:
    """Some settings of a recipe; those it does not name stay as they are."""

    name: str
    note: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, recipe: Recipe) -> Recipe:
        """Return ``recipe`` with the settings of this preset."""
        return replace(recipe, **self.settings)

    def matches(self, recipe: Recipe) -> bool:
        """Whether ``recipe`` has every setting of this preset."""
        return self.apply(recipe) == recipe


# Sources: openai/gpt-2 src/sample.py, and the documentation of the programs that are named.
# The order matters: the first that matches gives the menu its name.
RECIPE_PRESETS = (
    RecipePreset(
        "OpenAI 2019",
        "Top-k 40 at temperature 1: how the samples of the announcement were drawn.",
        {"top_k": 40, "temperature": 1.0, "top_p": 1.0},
    ),
    RecipePreset(
        "The model itself",
        "Nothing cut off, temperature 1: the model's own odds over the whole vocabulary.",
        {"top_k": 0, "temperature": 1.0, "top_p": 1.0},
    ),
    RecipePreset(
        "Hugging Face generate",
        "Top-k 50, which its sampling applies unless told otherwise.",
        {"top_k": 50, "temperature": 1.0, "top_p": 1.0},
    ),
    RecipePreset(
        "Nucleus 0.9",
        "Top-p 0.9, the crossing token kept, as many later systems do.",
        {"top_k": 0, "temperature": 1.0, "top_p": 0.9, "top_p_rule": "huggingface"},
    ),
    RecipePreset(
        "Loom",
        "Short tries to choose among: 100 tokens at temperature 0.9.",
        {"top_k": 0, "temperature": 0.9, "top_p": 1.0, "max_tokens": 100},
    ),
    RecipePreset(
        "KoboldAI",
        "80 tokens at temperature 0.5, top-p 0.9; without its repetition penalty.",
        {
            "top_k": 0,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_p_rule": "huggingface",
            "max_tokens": 80,
        },
    ),
    RecipePreset(
        "Greedy",
        "Always the likeliest token: one answer, whatever the seed.",
        {"top_k": 0, "temperature": 0.0, "top_p": 1.0},
    ),
    RecipePreset("All defaults", "Every setting as on the first day.", asdict(Recipe())),
)


def preset_name(recipe: Recipe) -> str:
    """Return the name of the first preset that ``recipe`` matches, or ``Own``."""
    return next((preset.name for preset in RECIPE_PRESETS if preset.matches(recipe)), "Own")


def read_prompts(path: Path) -> tuple[PromptGroup, ...]:
    """Read ``prompts.json``; see the module for its schema.

    Raises :class:`ExplorerError` where the file is missing or does not follow the schema.
    """
    try:
        values = read_json(path, _LIMIT)
        if values["schema"] != SCHEMA:
            raise ValueError(f"schema {values['schema']!r}, expected {SCHEMA}")
        return tuple(_group(group) for group in values["groups"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExplorerError(
            f"The prompt presets cannot be read from {path} ({error}); install the program again."
        ) from error


def _group(values: Mapping[str, Any]) -> PromptGroup:
    prompts = tuple(PromptPreset(**prompt) for prompt in values["prompts"])
    return PromptGroup(values["title"], values["note"], prompts)
