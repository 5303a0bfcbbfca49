import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.recipe import Recipe
from explorer.settings import Settings


def test_what_was_saved_is_read_back(tmp_path):
    path = tmp_path / "deep" / "settings.json"
    settings = replace(
        Settings(),
        theme="dark",
        text_px=17.5,
        prompt="Ünïcødé \U0001f984\n\0 end",
        recipe=Recipe(top_k=7).to_json(),
        seed=2**64 - 1,
        lanes=8,
        hold=False,
        splitter=(300, 800, 0),
        collection=3,
    )
    assert settings.save(path) == ""
    assert Settings.load(path) == settings
    assert Settings.load(path).last_recipe() == Recipe(top_k=7)
    assert [p.name for p in path.parent.iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe\x00", b"{" * 100_000, b'{"lanes": 1e999}'],
)
def test_a_damaged_file_costs_the_settings_only(tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    assert Settings.load(path) == Settings()


def test_a_missing_file_gives_the_defaults(tmp_path):
    assert Settings.load(tmp_path / "none" / "settings.json") == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("theme", "pink"), ("text_px", 900), ("text_px", "12"), ("lanes", 0), ("lanes", 9),
        ("lanes", True), ("lanes", 2.5), ("seed", -1), ("seed", 2**64), ("hold", 1),
        ("splitter", [1, "2"]), ("splitter", "123"), ("splitter", [-1]), ("device", "tpu"),
        ("threads", -3), ("prompt", None), ("geometry", 7), ("collection", "1"),
    ],
)  # fmt: skip
def test_a_senseless_value_takes_its_default_and_leaves_the_others(tmp_path, name, value):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"model": "mine", name: value, "from the future": 1}))
    assert Settings.load(path) == replace(Settings(), model="mine")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_no_value_of_any_setting_is_an_error(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("s") / "settings.json"
    path.write_text(json.dumps(dict.fromkeys(Settings.__slots__, value)))
    settings = Settings.load(path)
    settings.last_recipe()
    assert settings.save(path) == ""
    assert Settings.load(path) == settings


def test_a_recipe_that_cannot_be_read_is_the_default_one():
    assert Settings(recipe="{").last_recipe() == Recipe()
    assert Settings(recipe='{"top_k": -1}').last_recipe() == Recipe()


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    problem = Settings().save(tmp_path / "file" / "settings.json")
    assert "settings.json cannot be written" in problem


def test_a_lone_surrogate_in_the_prompt_does_not_stop_saving(tmp_path):
    path = tmp_path / "settings.json"
    assert Settings(prompt="a\ud800b").save(path) == ""
    assert Settings.load(path).prompt == "a\ud800b"
