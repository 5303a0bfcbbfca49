import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.recipe import Recipe
from explorer.system.settings import Settings


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
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe\x00", b"{" * 100_000, b"[" * 100_000,
        b'{"a":' * 100_000, b'{"lanes": 1e999}', '{"lanes": 4}'.encode("utf-16"), b"\0" * 100,
        b'{"lanes": ' + b"9" * 5000 + b"}", b'{"prompt": "\xff"}', b"NaN",
        b'{"lanes": [' + b"1," * 3_000_000 + b"1]}",
    ],
)  # fmt: skip
def test_a_damaged_file_costs_the_settings_only_and_is_said(tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    assert Settings.load(path) == Settings()
    problem = Settings.read(path)[1]
    assert str(path) in problem
    assert problem.endswith(".")
    assert len(problem) < 400


def test_a_file_without_an_end_is_not_read_to_it(tmp_path):
    path = tmp_path / "settings.json"
    with path.open("wb") as file:
        file.truncate(100_000_000_000)
    settings, problem = Settings.read(path)
    assert settings == Settings()
    assert "larger than 16 MB" in problem


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such devices there")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    path = tmp_path / "settings.json"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
    settings, problem = Settings.read(path)
    assert settings == Settings()
    assert str(path) in problem


def test_a_byte_order_mark_and_repeated_names_are_no_damage(tmp_path):
    path = tmp_path / "settings.json"
    path.write_bytes(b'\xef\xbb\xbf{"lanes": 2, "lanes": 3, "model": "mine"}')
    assert Settings.read(path) == (replace(Settings(), lanes=3, model="mine"), "")


def test_a_missing_file_gives_the_defaults(tmp_path):
    assert Settings.load(tmp_path / "none" / "settings.json") == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("theme", "pink"), ("text_px", 900), ("text_px", "12"), ("lanes", 0), ("lanes", 9),
        ("lanes", True), ("lanes", 2.5), ("seed", -1), ("seed", 2**64), ("hold", 1),
        ("splitter", [1, "2"]), ("splitter", "123"), ("splitter", [-1]), ("device", "tpu"),
        ("threads", -3), ("prompt", None), ("geometry", 7), ("collection", "1"),
        ("collection", -1), ("collection", 2**63), ("splitter", [1] * 4), ("splitter", [2**30] * 3),
        ("recipe", "{"), ("recipe", '{"top_k": -1}'), ("recipe", "[" * 100_000),
        ("recipe", '{"temperature": 1' + "0" * 400 + "}"), ("recipe", '{"temperature": NaN}'),
        *[(name, 10**400) for name in Settings.__slots__],
        *[(name, -(10**400)) for name in Settings.__slots__],
        *[(name, float("nan")) for name in Settings.__slots__],
        *[(name, float("inf")) for name in Settings.__slots__],
        *[(name, {"a": [1]}) for name in Settings.__slots__],
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_a_senseless_value_takes_its_default_and_leaves_the_others(tmp_path, name, value):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"model": "mine"} | {name: value, "from the future": 1}))
    wanted = Settings() if name == "model" else replace(Settings(), model="mine")
    settings, problem = Settings.read(path)
    assert settings == wanted
    assert name in problem


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


@pytest.mark.skipif(os.name != "posix", reason="links by everybody")
def test_settings_that_are_a_link_stay_one(tmp_path):
    real, link = tmp_path / "dotfiles" / "settings.json", tmp_path / "settings.json"
    real.parent.mkdir()
    link.symlink_to("dotfiles/settings.json")
    for lanes in (3, 5):
        assert replace(Settings(), lanes=lanes).save(link) == ""
        assert link.is_symlink()
        assert json.loads(real.read_text())["lanes"] == lanes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dotfiles", "settings.json"]
    assert [path.name for path in real.parent.iterdir()] == ["settings.json"]
