from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QGuiApplication, QTextOption
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from explorer.commands.console import read_prompt
from explorer.gui.presets import PromptGroup, PromptPreset
from explorer.gui.prompt_panel import END_OF_TEXT, PromptPanel
from tests.gui.controls_of import nameless

UNICORNS = PromptPreset("Unicorns", "In a shocking finding,", "OpenAI", "machine-written, 10 tries")
GROUPS = (
    PromptGroup("Nothing", "", (PromptPreset("Unconditional", ""),)),
    PromptGroup("Blog", "of 2019", (UNICORNS,)),
)


@pytest.fixture
def panel(qtbot):
    panel = PromptPanel(GROUPS)
    qtbot.addWidget(panel)
    panel.show()
    return panel


def choose(panel, name):
    actions = panel.presets.menu().actions()
    next(action for action in actions if action.text().startswith(name)).trigger()


def test_every_control_has_a_name(panel):
    assert nameless(panel) == []


# U+2028 and U+2029 are line ends to Qt; a prompt has line feeds for all of them.
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\u2028\u2029\0"))


@given(text=ANY)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_text_comes_back_exactly(panel, text):
    panel.set_text(text)
    if not {"\ufdd0", "\ufdd1"} & set(text):  # Qt's own marks, not characters
        assert panel.text() == text


def test_spaces_that_do_not_break_survive(panel):
    panel.set_text("10\u00a0000 \u202f a\tb\n\n \U0001f984 ")
    assert panel.text() == "10\u00a0000 \u202f a\tb\n\n \U0001f984 "


def test_typing_reports_the_text(panel, qtbot):
    with qtbot.waitSignal(panel.edited) as edited:
        qtbot.keyClicks(panel.editor, "a")
    assert edited.args == ["a"]


def test_tab_leaves_the_field_and_writes_nothing(qtbot):
    page = QWidget()
    column = QVBoxLayout(page)
    panel, after = PromptPanel(), QPushButton("after")
    column.addWidget(panel)
    column.addWidget(after)
    qtbot.addWidget(page)
    page.show()
    page.activateWindow()
    panel.editor.setFocus()
    qtbot.waitUntil(panel.editor.hasFocus)
    qtbot.keyClick(panel.editor, Qt.Key.Key_Tab)
    assert panel.text() == ""
    assert not panel.editor.hasFocus()


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_ctrl_enter_generates_and_writes_nothing(panel, qtbot, key):
    panel.set_text("x")
    with qtbot.waitSignal(panel.generate_requested):
        qtbot.keyClick(panel.editor, key, Qt.KeyboardModifier.ControlModifier)
    assert panel.text() == "x"
    qtbot.keyClick(panel.editor, key)
    assert panel.text() == "x\n"


def test_a_preset_can_be_taken_back(panel):
    panel.set_text("my own words")
    choose(panel, "Unicorns")
    assert panel.text() == UNICORNS.text
    panel.editor.undo()
    assert panel.text() == "my own words"


def test_a_preset_says_what_was_published_until_it_is_edited(panel, qtbot):
    choose(panel, "Unicorns")
    assert panel.origin.isVisible()
    assert "10 tries" in panel.origin.text()
    qtbot.keyClicks(panel.editor, "x")
    assert not panel.origin.isVisible()
    choose(panel, "Unconditional")
    assert panel.text() == ""
    assert not panel.origin.isVisible()


def test_headings_of_the_menu_cannot_be_chosen(panel):
    actions = {action.text(): action for action in panel.presets.menu().actions()}
    assert not actions["Blog"].isEnabled()
    assert actions["Unicorns\t10 tries"].isEnabled()


@pytest.mark.parametrize(
    ("tokens", "room", "problem", "left", "right"),
    [
        (46, 978, "", "46 tokens", "room for 978 more"),
        (1, 1023, "", "1 token", "room for 1,023 more"),
        (0, 1023, "", "empty: starts from <|endoftext|>", ""),
        (1200, -176, "Too long.", "1,200 tokens", "Too long."),
        (None, None, "", "", ""),
    ],
)
def test_count_and_room_are_said(panel, tokens, room, problem, left, right):
    panel.set_count(tokens, room, problem)
    assert (panel.tokens.text(), panel.room.text()) == (left, right)
    assert panel.room.property("role") == ("rejected" if problem else "muted")


def test_counts_are_read_out_with_what_they_count(panel):
    """A screen reader said "Tokens of the prompt" and not how many."""
    panel.set_count(46, 978)
    assert panel.tokens.accessibleName() == "Tokens of the prompt: 46 tokens"
    assert panel.room.accessibleName() == "Room left in the context: room for 978 more"


def test_a_model_with_a_token_of_its_own_starts_from_that(panel):
    panel.set_count(0, 1023, start="<|begin|>")
    assert panel.tokens.text() == "empty: starts from <|begin|>"


def test_the_control_token_is_ordinary_text_until_ticked(panel, qtbot):
    assert not panel.control.isVisible()
    panel.set_text(f"a{END_OF_TEXT}b")
    assert panel.control.isVisible()
    assert not panel.control_tokens()
    with qtbot.waitSignal(panel.edited):  # its tokens want to be counted again
        panel.control.click()
    assert panel.control_tokens()
    panel.set_text("ab")
    assert not panel.control_tokens()


def test_a_dropped_folder_is_left_to_the_model_picker(panel, tmp_path):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    mime.setText(str(tmp_path))
    assert not panel.editor.canInsertFromMimeData(mime)
    words = QMimeData()
    words.setText("words")
    assert panel.editor.canInsertFromMimeData(words)


def test_pasted_markup_is_text(panel):
    mime = QMimeData()
    mime.setText("<b>bold</b>")
    mime.setHtml("<b>bold</b>")
    panel.editor.insertFromMimeData(mime)
    assert panel.text() == "<b>bold</b>"


def test_a_paste_is_measured_without_what_it_replaces(panel, qtbot):
    """The selected text was counted too, though it goes."""
    panel.set_text("old " * 750)
    words = "new " * (49_000 // 4)
    QGuiApplication.clipboard().setText(words)
    with qtbot.waitSignal(panel.editor.refused):
        panel.editor.paste()
    panel.editor.selectAll()
    with qtbot.assertNotEmitted(panel.editor.refused):
        panel.editor.paste()
    assert panel.text() == words


def test_a_word_without_end_is_broken_anywhere_and_later_words_are_not(panel):
    modes = QTextOption.WrapMode
    usual = panel.editor.wordWrapMode()
    assert usual == modes.WrapAtWordBoundaryOrAnywhere
    QGuiApplication.clipboard().setText("a" * 20_000)
    panel.editor.paste()
    assert panel.text() == "a" * 20_000
    assert panel.editor.wordWrapMode() == modes.WrapAnywhere
    panel.set_text("a b c")
    panel.editor.replace("")
    panel.editor.replace("words again")
    assert panel.editor.wordWrapMode() == usual


def test_the_field_has_the_line_ends_of_a_prompt_file(panel, tmp_path: Path):
    editor = panel.editor
    file = tmp_path / "prompt.txt"
    ends = "\r\n|\n\r|\r\r\n|\x0b|\x0c|\x1c|\x1d|\x1e|\x85|\u2028|\u2029|\ufdd0|\ufdd1|\0|\ufeff|\r"
    for text in (ends, *ends.split("|"), "a\r\nb\r\n", "\r\n\r\n"):
        file.write_bytes(b"x" + text.encode())
        editor.replace("x" + text)
        assert editor.text() == read_prompt(str(file)), repr(text)
