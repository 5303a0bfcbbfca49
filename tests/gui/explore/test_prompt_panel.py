from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QGuiApplication, QTextOption
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from explorer.commands.terminal import read_prompt
from explorer.engine.text.prompt_text import Named
from explorer.gui.explore.presets import PromptGroup, PromptPreset
from explorer.gui.explore.prompt_panel import MOST_CHIPS, PromptPanel
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
    assert panel.room.property("tone") == ("rejected" if problem else "muted")


def test_counts_are_read_out_with_what_they_count(panel):
    """A screen reader said "Tokens of the prompt" and not how many."""
    panel.set_count(46, 978)
    assert panel.tokens.accessibleName() == "Tokens of the prompt: 46 tokens"
    assert panel.room.accessibleName() == "Room left in the context: room for 978 more"


def test_a_model_with_a_token_of_its_own_starts_from_that(panel):
    panel.set_count(0, 1023, start="<|begin|>")
    assert panel.tokens.text() == "empty: starts from <|begin|>"


USER, BOT = Named("<|user|>", 5), Named("<|bot|>", 1)


def test_a_special_token_is_ordinary_text_until_ticked(panel, qtbot):
    assert not panel.control.isVisible()
    panel.set_names([USER])
    assert panel.control.isVisible()
    assert panel.control.text() == "Read <|user|> as a token"
    assert panel.chips.words() == ["<|user|> = 5 tokens"]
    assert panel.chips.accessibleDescription().endswith("Read as letters")
    assert not panel.control_tokens()
    with qtbot.waitSignal(panel.edited):  # its tokens want to be counted again
        panel.control.click()
    assert panel.control_tokens()
    assert panel.chips.words() == ["<|user|> = 1 token"]
    panel.set_names([])
    assert not panel.control_tokens()
    assert not panel.control.isVisible()
    assert not panel.chips.isVisible()


def test_several_special_tokens_share_a_tick_and_have_a_chip_each(panel):
    panel.set_names([USER, BOT])
    assert panel.control.text() == "Read these names as tokens"
    assert panel.control.accessibleName() == "Read these names as tokens: <|user|>, <|bot|>"
    assert panel.chips.words()[1] == "<|bot|> = 1 token"
    panel.set_names([Named(f"<{number}>", 3) for number in range(9)])
    assert panel.control.accessibleName().endswith("<4>, <5>")
    assert len(panel.chips.words()) == MOST_CHIPS + 1
    assert panel.chips.words()[-1] == "3 more"


def test_chips_take_the_rows_that_they_need(panel, qtbot):
    panel.resize(900, 600)
    panel.set_names([Named(f"<|number {number}|>", 9) for number in range(6)])
    qtbot.waitUntil(lambda: panel.chips.height() > 0)
    wide = panel.chips.height()
    panel.resize(260, 600)
    chips = panel.chips.findChildren(QLabel)

    def fits():
        lowest = max(chip.geometry().bottom() for chip in chips)
        return wide < lowest < panel.chips.height()

    qtbot.waitUntil(fits)
    assert all(chip.width() >= chip.sizeHint().width() for chip in chips)


@pytest.mark.parametrize(("text", "spaces"), [("Once ", 1), ("Once \U0001f984   ", 3)])
def test_a_loose_space_is_said_after_a_pause_and_removed_by_its_button(panel, qtbot, text, spaces):
    panel.set_text(text)
    panel.set_loose_spaces(spaces)
    assert not panel.loose_line.isVisible()  # the next word may be on its way
    qtbot.waitUntil(panel.loose_line.isVisible)
    assert panel.text() == text
    panel.remove.click()
    assert panel.text() == text.rstrip()
    panel.editor.undo()
    assert panel.text() == text
    panel.set_loose_spaces(0)
    assert not panel.loose_line.isVisible()


def test_a_space_that_is_followed_by_a_word_is_never_mentioned(panel, qtbot):
    panel.set_loose_spaces(1)
    panel.set_loose_spaces(0)
    assert not panel._loose_timer.isActive()
    assert not panel.loose_line.isVisible()


def test_offers_put_their_part_into_the_field(panel, qtbot):
    assert not any(button.isVisible() for button in panel.offers)
    panel.set_text("whole")
    panel.set_offers([("Use the last 3 tokens", "last"), ("Use the first 4 tokens", "first")])
    assert [button.text() for button in panel.offers] == [
        "Use the last 3 tokens",
        "Use the first 4 tokens",
    ]
    panel.offers[1].click()
    assert panel.text() == "first"
    panel.editor.undo()
    assert panel.text() == "whole"
    panel.set_offers([])
    assert not any(button.isVisible() for button in panel.offers)


def test_a_refused_paste_says_what_the_prompt_would_be(panel, qtbot):
    panel.set_text("\U0001f984 before\nMIDDLE\u00a0after")
    cursor = panel.editor.document().find("MIDDLE")
    panel.editor.setTextCursor(cursor)
    words = "new\r\n" * 20_000
    QGuiApplication.clipboard().setText(words)
    with qtbot.waitSignal(panel.editor.refused) as refused:
        panel.editor.paste()
    pasted = words.replace("\r\n", "\n")
    assert refused.args[1] == "\U0001f984 before\n" + pasted + "\u00a0after"


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
