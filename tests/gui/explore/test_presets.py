import json
from pathlib import Path

import pytest

from explorer.core.errors import ExplorerError
from explorer.core.recipe import Recipe
from explorer.gui.explore.presets import RECIPE_PRESETS, preset_name, read_prompts

SHIPPED = Path(__file__).parents[3] / "resources" / "prompts.json"
ANNOUNCEMENT = Path(__file__).parents[4] / "shared/data/prompts/openai_blog_2019.json"


def prompts():
    return [prompt for group in read_prompts(SHIPPED) for prompt in group.prompts]


def test_shipped_prompts_have_distinct_names_and_end_where_a_model_can_go_on():
    names = [prompt.name for prompt in prompts()]
    assert len(set(names)) == len(names) > 15
    for prompt in prompts():
        assert prompt.text == prompt.text.rstrip(), prompt.name
    assert [prompt.text for prompt in prompts()].count("") == 1


def test_only_captions_that_are_certain_are_shown():
    captions = {prompt.name: prompt.published for prompt in prompts() if prompt.published}
    assert captions == {
        "Unicorns in the Andes": "machine-written, 10 tries",
        "Legolas and Gimli": "machine-written, first try",
    }


@pytest.mark.skipif(not ANNOUNCEMENT.exists(), reason="the shared data is not here")
def test_prompts_of_the_announcement_are_there_word_for_word():
    published = {entry["prompt"] for entry in json.loads(ANNOUNCEMENT.read_text("utf-8"))}
    assert len(published) == 8
    assert published <= {prompt.text for prompt in prompts()}


def test_a_note_names_source_and_published_caption():
    unicorns = next(prompt for prompt in prompts() if prompt.published.endswith("10 tries"))
    assert unicorns.note == (
        "OpenAI, 2019: one completion was published as “machine-written, 10 tries”"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 2, "groups": []}',
        '{"schema": 1, "groups": [{"title": "x"}]}',
        '{"schema": 1, "groups": [{"title": "", "note": "", "prompts": [{"nane": "x"}]}]}',
    ],
)
def test_a_broken_prompts_file_is_explained(tmp_path, text):
    path = tmp_path / "prompts.json"
    path.write_text(text)
    with pytest.raises(ExplorerError, match=r"prompt presets cannot be read .* install"):
        read_prompts(path)
    with pytest.raises(ExplorerError):
        read_prompts(tmp_path / "missing.json")


def test_presets_change_what_they_name_and_nothing_else():
    start = Recipe(top_k=3, temperature=0.3, top_p=0.5, max_tokens=7, end_of_text="never")
    for preset in RECIPE_PRESETS:
        changed = preset.apply(start)
        assert preset.matches(changed)
        for name in ("max_tokens", "end_of_text", "top_p_rule"):
            if name not in preset.settings:
                assert getattr(changed, name) == getattr(start, name)
    assert preset_name(start) == "Own"


def test_every_preset_can_be_recognised_again():
    for preset in RECIPE_PRESETS[:-1]:
        assert preset_name(preset.apply(Recipe())) == preset.name
    assert preset_name(Recipe()) == "OpenAI 2019"
    assert RECIPE_PRESETS[-1].apply(Recipe(top_k=3)) == Recipe()
