"""The whole window, driven by keys and clicks, on a scripted engine and a real library."""

import json
import re
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QLabel

from explorer.core.recipe import Recipe
from explorer.engine.messages import Drop, Load, Start, Stop
from explorer.gui.explore.explore_page import NO_MODEL
from explorer.gui.widgets.controls import Fold, Number
from explorer.gui.window.main_window import SMALLEST, USUAL
from tests.gui.conftest import demo
from tests.gui.controls_of import nameless
from tests.gui.scripted_engine import Script
from tests.gui.settling import settle


def key(desk, key, modifiers=Qt.KeyboardModifier.NoModifier):
    """Press a key wherever the focus is."""
    QTest.keyClick(desk.window.focusWidget() or desk.window, key, modifiers)
    desk.tick()


def verdicts(desk):
    return [view.verdict for view in desk.review.views]


def figures(desk):
    strip = desk.window.explore.strip.figures
    return {name: int(label.text()) for name, label in strip.items() if label.text() != "0"}


def test_the_main_job_reject_two_keep_one_and_find_it_again(desk):
    desk.generate("The king said", "one two", "three four", "five six", "seven eight")
    desk.engine.enqueue("nine ten", "eleven twelve")
    assert len(desk.engine.sent[-1]) == 4
    assert desk.lanes[0].text.hasFocus()
    desk.finish()
    assert desk.lanes[0].text.toPlainText() == "The king saidone two"
    key(desk, Qt.Key.Key_X)
    desk.finish()
    assert desk.lanes[0].text.machine_text() == "nine ten"
    key(desk, Qt.Key.Key_X)
    desk.finish()
    key(desk, Qt.Key.Key_A)
    assert desk.lanes[0]._verdict.text() == (
        "✓ Kept — machine-written, 6 tries (2 rejected; 3 passed over)"
    )
    assert figures(desk) == {
        "tries": 6, "kept": 1, "rejected": 2, "passed_over": 3, "everywhere": 6,
    }  # fmt: skip
    panel = desk.window.panel
    assert panel.amount.text() == "1 sample"
    assert panel.list.model.card(0).words == "eleven twelve"
    desk.close()
    desk.open()
    panel = desk.window.panel
    assert (panel.list.model.card(0).words, panel.list.model.card(0).lead) == (
        "eleven twelve", "6 tries",
    )  # fmt: skip
    assert desk.window.explore.prompt.text() == "The king said"


def test_rule_1_generating_again_goes_on_with_the_same_hunt(desk):
    desk.generate("Hello")
    desk.finish()
    first = desk.review.hunt.id
    assert desk.window.explore.recipe.note.text() == "Goes on with this hunt"
    desk.window.do("generate")
    assert desk.review.hunt.id == first
    indices = [c.key[1] for message in desk.engine.sent for c in message if isinstance(c, Start)]
    assert indices == sorted(set(indices))
    desk.window.explore.recipe.top_k.number.setValue(7)
    assert "another hunt" in desk.window.explore.recipe.note.text()
    desk.window.do("generate")
    assert desk.review.hunt.id != first


def test_rule_1_the_note_goes_by_the_ids_of_the_prompt_and_not_by_its_text(desk, qtbot):
    prompt = desk.window.explore.prompt
    desk.generate("Once<|endoftext|>upon")
    desk.finish()
    note = desk.window.explore.recipe.note
    assert note.text() == "Goes on with this hunt"
    prompt.control.setChecked(True)  # the same text, other ids
    qtbot.waitUntil(lambda: "another hunt" in note.text())
    desk.window.do("generate")
    desk.finish()
    assert len(desk.window.history._history.ids()) == 2
    qtbot.waitUntil(lambda: note.text() == "Goes on with this hunt")
    prompt.set_text("Once<|endoftext|>upon a time")
    qtbot.waitUntil(lambda: "another hunt" in note.text())


def test_the_note_of_a_second_window_says_that_its_hunt_is_another_one(desk):
    """It promised to go on with a hunt of the library, which only the first window writes."""
    desk.generate("Hello")
    desk.finish()
    desk.open()
    note = desk.window.explore.recipe.note
    assert desk.review.hunt.prompt_text == "Hello"
    assert note.text() == "Another hunt, which is not recorded"
    desk.window.do("generate")
    desk.finish()
    assert desk.review.counts.tries == 4
    assert note.text() == "Goes on with this hunt"


def test_rule_8_a_reject_refills_its_lane_at_once_and_a_keep_stops_that(desk):
    desk.generate("Hello")
    desk.step(2)
    key(desk, Qt.Key.Key_2)
    assert desk.window.explore.lanes.chosen == 1
    desk.engine.sent.clear()
    key(desk, Qt.Key.Key_X)
    (message,) = desk.engine.sent
    assert {type(command) for command in message} <= {Drop, Stop, Start}
    assert [c.lane for c in message if isinstance(c, Start)] == [1]
    desk.step(1)
    key(desk, Qt.Key.Key_A)
    desk.engine.sent.clear()
    key(desk, Qt.Key.Key_3)
    key(desk, Qt.Key.Key_X)
    assert not any(isinstance(c, Start) for message in desk.engine.sent for c in message)
    assert verdicts(desk)[1:3] == ["kept", "rejected"]


def test_keep_this_reject_the_rest(desk):
    desk.generate("Hello")
    desk.finish()
    key(desk, Qt.Key.Key_A, Qt.KeyboardModifier.ShiftModifier)
    assert verdicts(desk) == ["kept", "rejected", "rejected", "rejected"]
    assert "4 tries (3 rejected)" in desk.lanes[0]._verdict.text()


def test_rule_7_undo_and_redo_as_far_back_as_one_likes(desk):
    desk.generate("Hello")
    desk.finish()
    for number, letter in ((1, "A"), (2, "X"), (3, "X")):
        key(desk, Qt.Key(Qt.Key.Key_0 + number))
        key(desk, getattr(Qt.Key, f"Key_{letter}"))
    assert verdicts(desk) == ["kept", "rejected", "rejected", None]
    for expected in (["kept", "rejected", None], ["kept", None, None], [None, None, None]):
        key(desk, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert verdicts(desk)[:3] == expected
    assert desk.window.panel.amount.text() == "0 samples"
    assert not desk.window.actions_.by_name["undo"].isEnabled()
    for _ in range(3):
        key(desk, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert verdicts(desk) == ["kept", "rejected", "rejected", None]
    assert desk.window.panel.amount.text() == "1 sample"


def test_no_letter_judges_while_somebody_types(desk):
    desk.generate("Hello")
    desk.finish()
    prompt = desk.window.explore.prompt
    prompt.editor.setFocus()
    before = prompt.text()
    for letter in "axzAX 12":
        QTest.keyClicks(prompt.editor, letter)
    assert verdicts(desk) == [None] * 4
    assert len(prompt.text()) == len(before) + 8
    for number in desk.window.findChildren(Number):
        if number.isVisible() and number.isEnabled():
            number.setFocus()
            QTest.keyClicks(number, "ax ")
    assert verdicts(desk) == [None] * 4


def test_one_can_type_at_once_and_undo_across_a_restart_with_the_first_key(desk):
    desk.window.activateWindow()
    QTest.keyClicks(desk.window.focusWidget(), "a x ")
    assert desk.window.explore.prompt.text() == "a x "
    desk.generate("Once", "one two")
    desk.finish()
    desk.window.do("reject")
    desk.close()
    desk.open()
    field = desk.window.focusWidget()
    assert field is desk.window.explore.prompt.editor
    QTest.keyClick(field, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert figures(desk).get("rejected", 0) == 0
    assert desk.window.explore.prompt.text() == "Once"
    # Of what was typed since, it takes back the typing and never a verdict.
    QTest.keyClick(field, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    desk.window.do("redo")
    QTest.keyClicks(field, "!")
    for _ in range(3):
        QTest.keyClick(field, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert desk.window.explore.prompt.text() == "Once"
    assert figures(desk)["rejected"] == 1


def test_a_key_that_is_held_down_judges_once(desk):
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QKeyEvent
    from PySide6.QtWidgets import QApplication

    desk.generate("Hello")
    desk.finish()
    key(desk, Qt.Key.Key_X)
    desk.finish()
    again = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_X, Qt.KeyboardModifier.NoModifier, "x", True)
    QApplication.sendEvent(desk.lanes[0].text, again)
    assert figures(desk)["rejected"] == 1


def test_space_presses_a_button_that_has_the_focus(desk):
    desk.generate("Hello")
    desk.finish()
    desk.lanes[1].reject.setFocus()
    key(desk, Qt.Key.Key_Space)
    assert figures(desk)["rejected"] == 1
    assert "skipped" not in figures(desk)


def test_escape_stops_the_focused_lane_first_and_then_all(desk):
    desk.generate("Hello")
    desk.step(2)
    desk.window.explore.lanes.choose(2)
    desk.window.do("stop")
    desk.tick()
    states = [view.state for view in desk.review.views]
    assert states == ["streaming", "streaming", "ended", "streaming"]
    desk.window.do("stop")
    desk.tick()
    assert [view.end for view in desk.review.views] == ["stopped"] * 4
    assert not desk.window.actions_.by_name["stop"].isEnabled()


def test_generate_turns_into_stop_and_back(desk):
    recipe = desk.window.explore.recipe
    assert recipe.generate.isVisible()
    desk.generate("Hello")
    assert recipe.stop.isVisible()
    desk.finish()
    assert recipe.generate.isVisible()


def test_a_field_that_cannot_be_read_starts_nothing(desk):
    recipe = desk.window.explore.recipe
    recipe.temperature.number.lineEdit().setText("0.7.1")
    assert recipe.note.text().startswith("Temperature: Write the number without")
    desk.generate("Hello")
    assert not desk.review.running
    recipe.temperature.number.lineEdit().setText("0,7")
    assert not recipe.note.text()
    desk.generate("Hello")
    assert desk.review.hunt.recipe.temperature == 0.7


def test_a_crash_is_said_and_its_tries_are_lost_not_rejected(desk):
    desk.generate("Hello")
    desk.step(2)
    desk.engine.crash("The engine stopped; it is being started again.", ready=False)
    desk.tick()
    notices = desk.window.explore.notices
    assert notices.sentences() == ["The engine stopped; it is being started again."]
    desk.engine.say_ready()
    desk.tick()
    assert notices.sentences() == ["The engine stopped; it was started again."]
    assert figures(desk) == {"tries": 4, "lost": 4, "everywhere": 4}
    assert [lane._state.text() for lane in desk.lanes] == ["lost to a crash"] * 4
    desk.window.do("generate")
    desk.finish()
    assert figures(desk)["unjudged"] == 4


def test_a_prompt_without_room_is_refused_with_the_sentence(desk):
    desk.generate("Hello")
    for key_ in [s.key for s in desk.engine.sent[-1]]:
        desk.engine.refuse(key_, "The prompt has 600 tokens and there is room for 511.")
    desk.tick()
    assert "600 tokens" in desk.window.explore.notices.sentences()[0]
    assert not desk.review.running


def test_a_prompt_that_is_too_long_is_refused_before_the_hunt_is_left(desk):
    """The lanes went empty, and a hunt of no tries stayed in the history for good."""
    desk.generate("Hello")
    desk.finish()
    hunt, views, sent = desk.review.hunt.id, desk.review.views, len(desk.engine.sent)
    desk.generate("word " * 600)
    (sentence,) = desk.window.explore.notices.sentences()
    tokens = len(demo().tokens.encode("word " * 600))
    assert sentence == (
        f"The prompt has {tokens:,} tokens and the model's context holds 512, so nothing is left to"
        " write; shorten the prompt."
    )
    assert desk.review.hunt.id == hunt
    assert desk.review.views == views
    assert len(desk.engine.sent) == sent
    assert desk.window.history._history.ids() == [hunt]
    assert "another hunt" in desk.window.explore.recipe.note.text()


def test_no_prompt_is_refused_before_the_hunt_is_left_where_nothing_starts_a_text(desk):
    desk.generate("Hello")
    desk.finish()
    desk.window.engine_loop.loaded.tokens.start_of_text = None
    desk.generate("")
    assert desk.review.hunt.prompt_text == "Hello"
    assert desk.window.explore.notices.sentences() == [
        "This model has no <|endoftext|> token to start from; type a prompt."
    ]


@pytest.mark.parametrize("generate", [True, False])
def test_the_refusal_of_a_prompt_goes_with_that_prompt(desk, generate):
    """It went on standing above the tries of a prompt that was not too long."""
    desk.window._on_message("The settings cannot be written.", "problem")
    desk.generate("word " * 600)
    assert len(desk.window.explore.notices.sentences()) == 2
    if generate:  # the same prompt, with a model that has room for it
        manifest = replace(demo().manifest, context=1024)
        desk.window.engine_loop.loading.loaded = replace(demo(), manifest=manifest)
        desk.window.do("generate")
        assert desk.review.running
    else:
        QTest.keyClicks(desk.window.explore.prompt.editor, "!")
    assert desk.window.explore.notices.sentences() == ["The settings cannot be written."]


def test_tokens_are_counted_as_one_types(desk):
    prompt = desk.window.explore.prompt
    QTest.keyClicks(prompt.editor, "Once upon a time")
    desk.qtbot.waitUntil(lambda: prompt.tokens.text() != "" and "empty" not in prompt.tokens.text())
    count = len(demo().tokens.encode("Once upon a time"))
    assert prompt.tokens.text() == f"{count} tokens"
    assert prompt.room.text() == f"room for {512 - count} more"
    prompt.set_text("word " * 600)
    desk.qtbot.waitUntil(lambda: "too long" in prompt.room.text())


def test_unsent_prompt_text_is_on_disk_soon_after_typing(desk):
    QTest.keyClicks(desk.window.explore.prompt.editor, "a draft")
    saved = desk.paths.settings

    def written():
        return saved.exists() and json.loads(saved.read_text())["prompt"] == "a draft"

    desk.qtbot.waitUntil(written)


def test_everything_that_was_set_is_there_again(desk):
    window = desk.window
    window.explore.recipe.set_lanes(8)
    window.explore.recipe.top_k.number.setValue(3)
    window.do("theme_dark")
    window.do("larger")
    window.explore.recipe.after_keep.choose(False)
    desk.close()
    window = desk.open()
    assert window.explore.recipe.lanes() == 8
    assert len(desk.lanes) == 8
    assert window.explore.recipe.recipe().top_k == 3
    assert window.explore.recipe.policy() == (False, True)
    settings = window.settings_store.settings
    assert (settings.theme, settings.text_px) == ("dark", 15.5)
    assert window.actions_.by_name["theme_dark"].isChecked()
    assert window.explore.strip.policy.text().startswith("goes on after a keep")


def test_text_size_has_ends(desk):
    for _ in range(40):
        desk.window.do("larger")
    assert desk.window.settings_store.settings.text_px == 28
    desk.window.do("normal_size")
    assert desk.window.settings_store.settings.text_px == 14.5


def test_the_first_window_is_no_larger_than_the_screen(desk):
    """On a screen of 1280x800 its right and lower edges lay outside."""
    desk.window._restore_place()
    room = desk.window.screen().availableSize().expandedTo(SMALLEST)
    assert desk.window.size() == USUAL.boundedTo(room)


def test_larger_text_fits_into_the_rail(desk, qtbot):
    """The pages read "Col…ion" and "Se…gs"."""
    for _ in range(5):
        desk.window.do("larger")
    button = desk.window.navigation.buttons[1]
    qtbot.waitUntil(
        lambda: button.fontMetrics().horizontalAdvance("Collection") < button.width() - 4,
    )


@pytest.mark.parametrize("steps", [5, 14])
def test_no_line_of_the_settings_is_crushed_by_larger_text(desk, qtbot, steps):
    """Paths took a second line, for which the list of devices had to give its room."""
    desk.window.resize(1280, 800)
    desk.window.do("page_4")
    for _ in range(steps):
        desk.window.do("larger")

    def crushed():
        settings = desk.window.settings
        return [
            each.text()
            for each in settings.findChildren(QLabel) + settings.findChildren(QAbstractButton)
            if each.isVisible()
            and each.height() < max(each.heightForWidth(each.width()), each.fontMetrics().height())
        ]

    qtbot.waitUntil(lambda: not crushed())


@pytest.mark.parametrize(("steps", "width"), [(0, 1280), (8, 1280), (13, 900)])
def test_no_number_of_the_recipe_is_cut_by_larger_text(desk, qtbot, steps, width):
    """They went on below the scroll bar."""
    desk.window.resize(width, 800)
    for _ in range(steps):
        desk.window.do("larger")
    recipe = desk.window.explore.recipe
    (fold,) = recipe.findChildren(Fold)

    def right(field):
        return field.mapTo(fold.viewport(), field.rect().topRight()).x()

    numbers = (recipe.top_k.number, recipe.temperature.number, recipe.end_of_text)
    qtbot.waitUntil(lambda: max(map(right, numbers)) < fold.viewport().width())


def test_every_field_of_the_recipe_is_in_sight_in_a_window_of_800(desk, qtbot):
    """Below the note on top-p the last ones lay behind Generate."""
    desk.window.resize(1280, 800)
    explore = desk.window.explore
    explore.recipe.set_recipe(Recipe(top_k=0, top_p=0.9))
    explore.prompt.origin.setText("Kenneth Grahame, 1908")
    explore.prompt.origin.show()
    settle(desk.window)
    (fold,) = explore.recipe.findChildren(Fold)
    assert fold.verticalScrollBar().maximum() == 0
    assert fold._goes_on.isHidden()


def test_a_column_that_goes_on_below_says_so(desk, qtbot):
    desk.window.resize(1280, 600)
    (fold,) = desk.window.explore.recipe.findChildren(Fold)
    qtbot.waitUntil(fold._goes_on.isVisible)
    fold.verticalScrollBar().setValue(fold.verticalScrollBar().maximum())
    assert fold._goes_on.isHidden()


def test_the_hint_on_top_k_knows_the_model(desk):
    desk.window.explore.recipe.top_k.number.setValue(99_999)
    assert desk.window.explore.recipe.top_k.note.text().endswith("this model has 8,192.")


def test_the_lanes_keep_their_room_where_text_is_large_and_the_window_small(desk, qtbot):
    desk.window.resize(SMALLEST)
    for _ in range(8):
        desk.window.do("larger")
    settle(desk.window)
    assert desk.window.explore.widths()[1] >= desk.window.explore.widget(1).minimumWidth()


def test_every_entry_of_the_menus_does_something(desk):
    assert set(desk.window.actions_.by_name) <= set(desk.window._commands)
    harmless = set(desk.window.actions_.by_name) - {"quit", "import_model"}
    desk.generate("Hello")
    desk.finish()
    for name in sorted(harmless):
        desk.window.actions_.by_name[name].trigger()
        desk.tick()
    desk.window.show_page(0)


def test_pages_and_the_collection_that_moves_between_them(desk):
    window = desk.window
    for page in (1, 2, 3, 4, 0):
        window.navigation.buttons[page].click()
        assert window.pages.currentIndex() == page
        assert window.panel.isVisible() == (page in (0, 1))


@pytest.mark.parametrize("page", [1, 2, 3, 4])
def test_the_keyboard_is_back_in_the_lane_that_was_left(desk, page):
    """From the collection it came back to the rail: Space and arrows did nothing to a lane."""
    desk.generate("Hello")
    desk.finish()
    desk.window.explore.lanes.choose(1)
    desk.window.do(f"page_{page}")
    assert not desk.window.explore.lanes.has_focus()
    desk.window.do("page_0")
    assert desk.lanes[1].text.hasFocus()
    key(desk, Qt.Key.Key_Space)
    assert figures(desk)["skipped"] == 1


def test_verdict_keys_are_for_the_page_with_the_lanes(desk):
    desk.generate("Hello")
    desk.finish()
    desk.window.show_page(3)
    QTest.keyClick(desk.window, Qt.Key.Key_X)
    assert verdicts(desk) == [None] * 4


@pytest.mark.parametrize(
    ("width", "collection", "words"), [(1440, True, True), (1000, False, True), (860, False, False)]
)
def test_what_does_not_fit_folds_away(desk, width, collection, words):
    desk.window.resize(width, 760)
    assert desk.window.width() == width
    assert desk.window.explore.right.isVisible() == collection
    style = desk.window.navigation.buttons[0].toolButtonStyle()
    assert (style == Qt.ToolButtonStyle.ToolButtonTextUnderIcon) == words


def test_eight_lanes_fold_the_collection_for_their_columns(desk):
    desk.window.resize(1280, 800)
    assert desk.window.explore.right.isVisible()
    desk.window.explore.recipe.set_lanes(8)
    assert not desk.window.explore.right.isVisible()
    desk.window.actions_.by_name["collection"].trigger()
    assert desk.window.explore.right.isVisible()


def test_eight_lanes_have_their_columns_after_a_restart(desk):
    """Beside the collection they stood two by four until the next Generate."""
    desk.window.resize(1280, 800)
    desk.window.explore.recipe.set_lanes(8)
    desk.generate("Hello")
    desk.finish()
    desk.close()
    desk.open(size=(1280, 800))
    assert not desk.window.explore.right.isVisible()
    desk.qtbot.waitUntil(lambda: desk.window.explore.lanes._columns == 4)


def test_a_collection_that_was_put_away_stays_away(desk):
    desk.window.actions_.by_name["collection"].trigger()
    desk.close()
    desk.open()
    assert not desk.window.explore.right.isVisible()
    desk.window.resize(1000, 760)
    desk.window.resize(1440, 900)
    assert not desk.window.explore.right.isVisible()
    desk.window.actions_.by_name["collection"].trigger()
    desk.close()
    desk.open()
    assert desk.window.explore.right.isVisible()


def test_a_look_at_the_collection_where_it_does_not_fit_is_not_remembered(desk):
    desk.window.resize(1000, 760)
    for _ in range(2):  # show it, put it away again
        desk.window.actions_.by_name["collection"].trigger()
    desk.window.resize(1440, 900)
    assert desk.window.explore.right.isVisible()


def test_history_brings_a_hunt_back_with_all_its_tries(desk):
    desk.generate("First prompt", "a", "b", "c", "d")
    desk.finish()
    key(desk, Qt.Key.Key_X)
    desk.finish()
    first = desk.review.hunt.id
    desk.generate("Second prompt")
    desk.finish()
    desk.window.show_page(2)
    desk.window.history.reopen.emit(first)
    assert desk.review.hunt.id == first
    assert desk.window.explore.prompt.text() == "First prompt"
    assert figures(desk)["rejected"] == 1
    desk.window.do("all_tries")
    cards = [desk.window.tries.list.model.card(row).lead for row in range(5)]
    assert cards == [*(f"try {n} unjudged" for n in (5, 4, 3, 2)), "try 1 ✕ rejected"]
    rejected = next(view for view in desk.review.tries() if view.verdict == "rejected")
    desk.window.tries.try_chosen.emit(rejected.try_id)
    assert desk.lanes[desk.window.explore.lanes.chosen]._index.text() == "Lane 1 · try 1"


@pytest.mark.parametrize("part", ["word ", "line\n", "a", "😀👩‍👩‍👧 ", "مرحبا "])
def test_a_paste_of_megabytes_is_refused_with_both_numbers_before_it_is_laid_out(desk, part):
    prompt = desk.window.explore.prompt
    prompt.set_text("As it was")
    QGuiApplication.clipboard().setText(part * (2_000_000 // len(part)))
    QTest.keyClick(prompt.editor, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    assert prompt.text() == "As it was"
    words = prompt.room.text()
    assert re.search(r"has (at least )?[\d,]{5,} tokens", words)
    assert "512" in words
    assert words.endswith("Nothing was pasted.")
    assert not desk.window.explore.counting.pending  # it stays until the next key
    QTest.keyClicks(prompt.editor, "!")
    desk.window.explore.counting.count()
    assert prompt.tokens.text() == "4 tokens"


def test_a_remembered_prompt_of_megabytes_does_not_come_back(desk):
    desk.close()
    desk.paths.settings.write_text(json.dumps({"prompt": "a" * 2_000_000}))
    desk.open()
    assert desk.window.explore.prompt.text() == ""


def test_rule_16_a_deleted_prompt_leaves_the_field_and_the_settings(desk):
    secret = "A very secret beginning"
    files = desk.paths.settings.parent
    desk.generate("Another prompt")
    desk.finish()
    desk.generate(secret)
    desk.finish()
    desk.window.settings_store.flush()
    (files / "settings.json.part").write_text(secret)  # as a crash leaves it
    history, prompt = desk.window.history, desk.window.explore.prompt
    desk.window.do("page_2")

    def delete(hunt):
        history.list.choose(hunt)
        history.delete_button.click()
        history.question.act_button.click()

    newest, older = desk.window.history._history.ids()
    delete(older)
    assert prompt.text() == secret  # the field shows another one
    delete(newest)
    assert prompt.text() == ""
    prompt.editor.undo()
    assert prompt.text() == ""
    for file in files.rglob("*"):
        assert file.is_dir() or secret.encode() not in file.read_bytes(), file
    assert "emptied" in desk.window.status.news.text()


def test_rule_16_a_prompt_that_another_hunt_has_too_stays_in_the_field(desk):
    desk.generate("Hello")
    desk.finish()
    desk.window.do("new_hunt")
    desk.finish()
    history = desk.window.history
    desk.window.do("page_2")
    history.delete_button.click()
    history.question.act_button.click()
    assert len(history._history.ids()) == 1
    assert desk.window.explore.prompt.text() == "Hello"


def test_a_keep_before_any_generate_goes_into_the_collection_that_is_shown(desk):
    """After a restart it went nowhere: which collection it is for, only Generate had said."""
    desk.generate("Hello", "a", "b", "c", "d")
    desk.finish()
    desk.close()
    desk.open()
    desk.window.explore.lanes.choose(0)
    key(desk, Qt.Key.Key_A)
    assert desk.window.panel.amount.text() == "1 sample"
    desk.window.panel._on_new()
    desk.window.panel.name.setText("Others")
    QTest.keyClick(desk.window.panel.name, Qt.Key.Key_Return)
    desk.window.explore.lanes.choose(1)
    key(desk, Qt.Key.Key_A)
    assert desk.window.panel.heading.text() == "Others ▾"
    assert desk.window.panel.amount.text() == "1 sample"


def test_rule_16_a_deleted_hunt_leaves_the_screen(desk):
    desk.generate("Secret prompt")
    desk.finish()
    hunt = desk.review.hunt.id
    desk.window.show_page(2)
    desk.window._library_access.history.delete(hunt)
    desk.window.history.deleted.emit(hunt, "")
    assert desk.review.hunt is None
    assert desk.window.explore.lanes.currentIndex() == 0


def test_lanes_that_were_asked_for_come_with_the_next_generate(desk):
    desk.window.explore.recipe.set_lanes(2)
    assert len(desk.lanes) == 2
    desk.generate("Hello")
    desk.finish()
    desk.window.explore.recipe.set_lanes(6)
    assert len(desk.lanes) == 2
    desk.window.do("generate")
    assert len(desk.lanes) == 6


def test_a_finished_try_holds_its_lane_unless_told_otherwise(desk):
    desk.generate("Hello", Script(["a"]), Script(["b"]), Script(["c"]), Script(["d"]))
    desk.finish()
    assert [view.state for view in desk.review.views] == ["ended"] * 4
    assert not desk.engine.busy
    desk.window.explore.recipe.unjudged.choose(False)
    assert "make room" in desk.window.explore.strip.policy.text()


def test_text_that_came_in_halves_is_shown_whole(desk):
    desk.generate("Hi", Script(["", "\U0001f984", "", "é\n", " <b>bold</b> &amp;"]))
    desk.finish()
    assert desk.lanes[0].text.machine_text() == "\U0001f984é\n <b>bold</b> &amp;"
    assert desk.lanes[0].text.toPlainText() == "Hi\U0001f984é\n <b>bold</b> &amp;"


def test_every_control_has_a_name_and_can_be_reached(desk):
    desk.generate("Hello")
    desk.finish()
    for page in range(5):
        desk.window.show_page(page)
        assert nameless(desk.window) == []
        for button in desk.window.findChildren(QAbstractButton):
            if button.isVisible() and button.isEnabled():
                policy = button.focusPolicy() & Qt.FocusPolicy.TabFocus
                exclusive = button.autoExclusive() or button.group() is not None
                assert policy or exclusive, button.accessibleName()


def test_a_second_load_replaces_the_first(desk):
    desk.generate("Hello")
    desk.step(2)
    desk.window.engine_loop.loading.load(demo("cpu-int4"), "cpu")
    desk.tick()
    assert any(isinstance(message[0], Load) for message in desk.engine.sent[-2:])
    assert [view.end for view in desk.review.views] == ["stopped"] * 4
    assert "cpu-int4" in desk.window.status.model.text()


def test_generate_waits_for_the_model(desk):
    desk.engine.ready = False
    desk.window.engine_loop.loading.load(demo("cpu-fp32"), "cpu")
    desk.tick()
    desk.engine.enqueue("one two")
    desk.window.do("generate")
    assert desk.review.hunt is None
    assert desk.window.explore.recipe.note.text() == "Starts when the model is ready"
    desk.engine.say_ready("cpu", "NVIDIA driver 535 found; CUDA 13 needs 580 or newer.")
    desk.tick()
    assert desk.review.hunt is not None
    assert desk.window.status.device.text() == "CPU"
    assert "NVIDIA driver 535" in desk.window.status.device.toolTip()
    assert "NVIDIA driver 535" in desk.window.settings.device_note.text()
    desk.step()
    assert desk.review.view(0).text


def test_generate_pressed_while_the_model_is_made_starts_when_it_is_there(desk, qtbot):
    """At the very first start the model is made; the key pressed meanwhile was forgotten."""
    desk.close()
    window = desk.open(loaded=False)
    window.models.start()
    assert desk.window.explore.models.progress.text()
    desk.generate("Once upon a time", "there was a mill")
    with qtbot.waitSignal(window.models.model_jobs.opened):
        pass
    desk.tick()
    desk.step()
    assert desk.review.hunt is not None
    assert not desk.window.explore.models.progress.text()


def test_generate_is_forgotten_when_making_the_model_is_cancelled(desk):
    desk.close()
    window = desk.open(loaded=False)
    window.models.start()
    desk.generate("Once upon a time", "there was a mill")
    window.models.model_jobs.cancel()
    assert window.explore.recipe.note.text() == NO_MODEL
    assert not window.explore.recipe.generate.isEnabled()


def test_generate_without_a_model_says_what_to_do(desk):
    desk.window.explore.set_model("none")
    assert not desk.window.explore.recipe.generate.isEnabled()
    assert desk.window.explore.recipe.note.text() == NO_MODEL


def test_the_last_hunt_is_back_after_a_restart(desk):
    desk.generate("Hello", "one two three four")
    desk.step(2)
    desk.window.do("reject")
    desk.step()
    desk.close()
    desk.open()
    assert desk.review.hunt is not None
    assert desk.review.hunt.prompt_text == "Hello"
    assert desk.review.counts.rejected == 1
    assert desk.window.explore.prompt.text() == "Hello"
    desk.window.do("undo")
    assert desk.review.counts.rejected == 0


def test_closing_while_it_streams_keeps_what_there_is(desk):
    desk.generate("Hello", "one two three four")
    desk.step(2)
    desk.close()
    assert desk.engine.closed
    desk.open()
    desk.window.show_page(2)
    assert desk.window.history.list.model.card(0).lead == "4 tries"


def test_a_folder_may_be_dropped_anywhere(desk, tmp_path):
    from PySide6.QtCore import QMimeData, QPointF, QUrl
    from PySide6.QtGui import QDragEnterEvent, QDropEvent

    asked = []
    desk.window.explore.models.import_requested.connect(asked.append)
    for path, welcome in ((tmp_path, True), (tmp_path / "text.txt", False)):
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path))])
        where, action = QPointF(5, 5), Qt.DropAction.CopyAction
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        enter = QDragEnterEvent(where.toPoint(), action, mime, left, none)
        enter.ignore()
        desk.window.dragEnterEvent(enter)
        assert enter.isAccepted() == welcome
        desk.window.dropEvent(QDropEvent(where, action, mime, left, none))
    assert asked == [tmp_path]


def test_undo_stands_in_every_lane_with_a_verdict_and_takes_back_that_alone(desk):
    desk.generate("Hello")
    desk.finish()
    for number, letter in ((1, "A"), (2, "X")):
        key(desk, Qt.Key(Qt.Key.Key_0 + number))
        key(desk, getattr(Qt.Key, f"Key_{letter}"))
    assert [lane._undo.isVisible() for lane in desk.lanes] == [True, True, False, False]
    desk.qtbot.mouseClick(desk.lanes[0]._undo, Qt.MouseButton.LeftButton)
    assert verdicts(desk) == [None, "rejected", None, None]
    assert [lane._undo.isVisible() for lane in desk.lanes] == [False, True, False, False]
    desk.window.do("undo")  # reversing it gives the verdict again
    assert verdicts(desk) == ["kept", "rejected", None, None]


def test_the_strip_counts_what_a_switch_of_the_model_stopped(desk):
    """It went on saying "4 streaming" under four lanes that had stopped."""
    desk.generate("Hello")
    desk.step(1)
    desk.window.engine_loop.loading.load(demo("cpu-fp32"), "auto")
    desk.tick()
    assert figures(desk) == {"tries": 4, "unjudged": 4, "everywhere": 4}


def test_a_folder_that_cannot_be_imported_is_refused_in_sight(desk, tmp_path, qtbot):
    """The list of models, read again after the failure, took the sentence away at once."""
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "config.json").write_text('{"model_type": "llama"}')
    models = desk.window.models.model_jobs
    with qtbot.waitSignal(models.failed):
        models.import_folder(tmp_path / "llama")
    QTest.qWait(50)
    picker = desk.window.explore.models
    assert "llama" in picker.problem.text()
    assert picker.problem.isVisible()


def test_rule_11_another_build_is_said_as_news_and_not_as_an_error(desk):
    desk.generate("Once upon a time")
    desk.step()
    desk.window.engine_loop.loading.load(demo("cpu-int4"), "auto")
    desk.tick()
    desk.generate("Once upon a time")
    (sentence,) = desk.window.explore.notices.sentences()
    assert sentence.startswith("demo runs as cpu-int4 now")
    (strip,) = desk.window.explore.notices._strips.values()
    assert strip.property("role") == "notice"
