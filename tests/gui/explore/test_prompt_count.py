"""The count of the prompt in the whole window: special tokens, loose spaces, too long a text."""

import json
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from explorer.engine.text.tokens import Tokens
from tests.gui.conftest import DEMO, demo
from tests.tiny import make_tiny

TALK = "<|user|>the lion<|bot|>"


@pytest.fixture
def chat(desk, tmp_path):
    """A window whose model has the special tokens of a chat."""
    folder = make_tiny(tmp_path / "chat", added=("<|user|>", "<|bot|>"))
    desk.window.engine_loop.loading.loaded = replace(demo(), tokens=Tokens.from_folder(folder))
    return desk


@pytest.fixture
def explore(desk):
    return desk.window.explore


def write(explore, text):
    explore.prompt.set_text(text)
    explore.counting.settle()


def ids(desk):
    return desk.review.hunt.prompt_ids


def test_special_tokens_are_letters_until_they_are_ticked(chat, explore):
    tokens = chat.window.engine_loop.loaded.tokens
    write(explore, "the lion")
    assert not explore.prompt.control.isVisible()
    write(explore, TALK)
    assert explore.prompt.control.isVisible()
    letters = len(tokens.encode(TALK))
    assert explore.prompt.tokens.text() == f"{letters} tokens"
    explore.prompt.control.click()
    explore.counting.settle()
    meant = len(tokens.encode(TALK, control=True))
    assert meant < letters
    assert explore.prompt.tokens.text() == f"{meant} tokens"
    assert explore.prompt.chips.words() == ["<|user|> = 1 token", "<|bot|> = 1 token"]


def test_the_choice_is_another_hunt_and_comes_back_with_it(chat, explore):
    tokens = chat.window.engine_loop.loaded.tokens
    chat.generate(TALK)
    chat.finish()
    letters = chat.review.hunt.id
    assert list(ids(chat)) == tokens.encode(TALK)
    explore.prompt.control.click()
    explore.counting.settle()
    assert "another hunt" in explore.recipe.note.text()
    chat.window.do("generate")
    chat.finish()
    meant = chat.review.hunt.id
    assert list(ids(chat)) == tokens.encode(TALK, control=True)
    for hunt, ticked in ((letters, False), (meant, True), (letters, False)):
        explore.reopen(hunt)
        assert explore.prompt.control.isChecked() == ticked
        assert explore.recipe.note.text() == "Goes on with this hunt"


def test_a_start_token_counts_belongs_to_the_hunt_and_hinders_no_reading(desk, explore, tmp_path):
    folder = make_tiny(tmp_path / "chat", added=("<|user|>", "<|bot|>"))
    tokens = Tokens.from_folder(folder, prefix_ids=(297,))
    desk.window.engine_loop.loading.loaded = replace(demo(), tokens=tokens)
    desk.generate(TALK)
    desk.finish()
    letters = desk.review.hunt.id
    assert ids(desk) == (297, *tokens.encode(TALK))
    assert explore.prompt.tokens.text() == f"{1 + len(tokens.encode(TALK))} tokens"
    explore.prompt.control.click()
    desk.window.do("generate")
    desk.finish()
    assert ids(desk) == (297, *tokens.encode(TALK, control=True))
    explore.reopen(letters)
    assert not explore.prompt.control.isChecked()
    assert explore.recipe.note.text() == "Goes on with this hunt"
    write(explore, "")
    assert explore.prompt.tokens.text().startswith("empty: starts from")


def test_the_choice_comes_back_when_the_model_does(chat, explore):
    loading = chat.window.engine_loop.loading
    chat.generate(TALK)
    chat.finish()
    letters = chat.review.hunt.id
    explore.prompt.control.click()
    chat.window.do("generate")
    chat.finish()
    loaded, loading.loaded = loading.loaded, None
    explore.reopen(letters)
    loading.loaded = loaded
    explore.counting.count()
    assert not explore.prompt.control.isChecked()


def test_the_choice_is_there_after_a_restart(desk):
    explore = desk.window.explore
    write(explore, "<|endoftext|>Once")
    explore.prompt.control.click()
    desk.close()
    explore = desk.open().explore
    explore.counting.settle()
    assert explore.prompt.control.isVisible()
    assert explore.prompt.control_tokens()
    assert explore.prompt.chips.words() == ["<|endoftext|> = 1 token"]


def test_a_space_at_the_end_is_said_and_changes_nothing_by_itself(desk, explore, qtbot):
    write(explore, "Once upon a time ")
    qtbot.waitUntil(explore.prompt.loose_line.isVisible)
    desk.window.do("generate")
    assert desk.review.hunt.prompt_text == "Once upon a time "
    explore.prompt.remove.click()
    explore.counting.settle()
    assert explore.prompt.text() == "Once upon a time"
    assert not explore.prompt.loose_line.isVisible()


def test_a_line_end_at_the_end_is_as_it_should_be(explore):
    write(explore, "Chapter One\n")
    assert not explore.prompt._loose_timer.isActive()


WORDS = " ".join(str(number) for number in range(2_000))


@pytest.mark.parametrize("number", [0, 1])
def test_a_prompt_that_is_too_long_offers_parts_that_fit(desk, explore, number):
    write(explore, WORDS)
    assert "too long" in explore.prompt.room.text()
    button = explore.prompt.offers[number]
    assert button.text() == f"Use the {['last', 'first'][number]} 312 tokens"  # 512 less 200
    button.click()
    explore.counting.settle()
    assert explore.prompt.tokens.text() == "312 tokens"
    assert explore.prompt.room.text() == "room for 200 more"
    assert (WORDS.endswith, WORDS.startswith)[number](explore.prompt.text())
    assert not button.isVisible()


def test_the_offer_leaves_what_the_recipe_wants(explore, qtbot):
    write(explore, WORDS)
    explore.recipe.max_tokens.setValue(12)
    explore.counting.settle()
    assert explore.prompt.offers[0].text() == "Use the last 500 tokens"


def paste(explore, text):
    QGuiApplication.clipboard().setText(text)
    QTest.keyClick(explore.prompt.editor, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)


def test_a_paste_that_is_too_long_is_no_dead_end(desk, explore):
    tokens = Tokens.from_folder(DEMO)
    write(explore, "Before ")
    long = "word after word " * 10_000
    paste(explore, long)
    assert explore.prompt.text() == "Before "
    assert explore.prompt.room.text().endswith("Nothing was pasted.")
    for number, whole in ((0, "Before " + long), (1, "Before " + long)):
        part = explore.prompt.offers[number]
        assert part.isVisible()
        paste(explore, long)
        part.click()
        explore.counting.settle()
        text = explore.prompt.text()
        assert (whole.endswith, whole.startswith)[number](text)
        assert 310 <= len(tokens.encode(text)) <= 312
        explore.prompt.editor.undo()
        assert explore.prompt.text() == "Before "
        paste(explore, long)
    QTest.keyClicks(explore.prompt.editor, "x")
    explore.counting.settle()
    assert not any(button.isVisible() for button in explore.prompt.offers)


def test_a_paste_is_offered_when_a_model_is_there_to_count_it(desk, explore):
    loading = desk.window.engine_loop.loading
    loaded, loading.loaded = loading.loaded, None
    paste(explore, "word " * 20_000)
    assert explore.prompt.room.text() == (
        "That text has 100,000 characters; the field takes 50,000. Nothing was pasted."
    )
    assert not explore.prompt.offers[0].isVisible()
    loading.loaded = loaded
    explore.counting.count()
    assert explore.prompt.offers[0].isVisible()


def test_a_refused_paste_does_not_change_what_the_hunt_is(desk, explore):
    desk.generate("Once")
    desk.finish()
    paste(explore, "word " * 20_000)
    assert explore.recipe.note.text() == "Goes on with this hunt"


def test_settings_of_an_earlier_choice_are_read(desk):
    desk.close()
    values = {"prompt": "a<|endoftext|>", "control_tokens": True}
    desk.paths.settings.write_text(json.dumps(values))
    explore = desk.open().explore
    explore.counting.settle()
    assert explore.prompt.control_tokens()
