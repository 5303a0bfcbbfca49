import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QValidator, QWheelEvent
from PySide6.QtWidgets import QApplication, QLabel

from explorer.core.recipe import Recipe
from explorer.gui.explore.recipe_panel import RecipePanel
from explorer.gui.explore.seed_field import SeedField, SeedValidator
from explorer.gui.style import theme
from explorer.gui.widgets.slider_row import (
    TEMPERATURE_STOPS,
    TOP_K_STOPS,
    explain_temperature,
    explain_top_k,
)
from tests.gui.controls_of import nameless
from tests.gui.settling import settle


@pytest.fixture
def panel(qtbot):
    panel = RecipePanel()
    qtbot.addWidget(panel)
    panel.show()
    return panel


RECIPES = st.builds(
    Recipe,
    top_k=st.integers(0, 1_000_000),
    temperature=st.floats(0, 100),
    top_p=st.floats(0, 1),
    top_p_rule=st.sampled_from(["huggingface", "openai"]),
    max_tokens=st.integers(1, 1_000_000),
    end_of_text=st.sampled_from(["stop", "ignore", "never"]),
)


def test_every_control_has_a_name(panel):
    assert nameless(panel) == []


def test_it_begins_with_the_defaults_of_the_program(panel):
    assert panel.recipe() == Recipe()
    assert panel.seed() is None
    assert panel.lanes() == 4
    assert panel.policy() == (True, True)
    assert panel.presets.text() == "OpenAI 2019 ▾"


@given(recipe=RECIPES)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_recipe_from_a_hunt_stays_exact(panel, recipe):
    panel.set_recipe(recipe)
    assert panel.recipe() == recipe
    panel.max_tokens.setValue(7)
    # What a person did not touch is not rounded to what the field shows.
    assert panel.recipe().temperature == recipe.temperature
    assert panel.recipe().top_p == recipe.top_p


def test_set_recipe_reports_a_difference_once(panel, qtbot):
    with qtbot.waitSignal(panel.recipe_changed):
        panel.set_recipe(Recipe(top_k=7, temperature=0.5))
    with qtbot.assertNotEmitted(panel.recipe_changed):
        panel.set_recipe(Recipe(top_k=7, temperature=0.5))
    assert (panel.top_k.number.value(), panel.temperature.number.value()) == (7, 0.5)


def test_every_field_changes_its_setting(panel):
    panel.top_k.number.setValue(0)
    panel.temperature.number.setValue(0.75)
    panel.top_p.setValue(0.9)
    panel.top_p_rule.choose("openai")
    panel.max_tokens.setValue(12)
    panel.end_of_text.choose("never")
    assert panel.recipe() == Recipe(0, 0.75, 0.9, "openai", 12, "never")
    assert panel.presets.text() == "Own ▾"


def test_slider_and_number_go_together(panel):
    panel.top_k.slider.setValue(len(TOP_K_STOPS) - 1)
    assert panel.recipe().top_k == 0
    panel.top_k.number.setValue(38)
    assert TOP_K_STOPS[panel.top_k.slider.value()] == 40
    assert panel.recipe().top_k == 38
    panel.temperature.slider.setValue(TEMPERATURE_STOPS.index(0.5))
    assert panel.recipe().temperature == 0.5
    panel.temperature.number.setValue(50)
    assert TEMPERATURE_STOPS[panel.temperature.slider.value()] == 2
    assert panel.recipe().temperature == 50


@given(k=st.integers(2, 1_000_000))
def test_the_explanation_of_top_k_says_the_present_value(k):
    assert explain_top_k(k) == f"Draw among the {k:,} likeliest tokens. 0 = all."


def test_top_k_is_explained_for_the_tokens_that_the_model_has(panel):
    """It promised the 99,999 likeliest of 8,192."""
    panel.top_k.number.setValue(99_999)
    panel.set_vocabulary(8192)
    assert panel.top_k.note.text() == "Draw among all tokens: this model has 8,192."
    assert panel.top_k.number.accessibleDescription() == panel.top_k.note.text()
    panel.top_k.number.setValue(8191)
    assert panel.top_k.note.text() == "Draw among the 8,191 likeliest tokens. 0 = all."
    panel.top_k.number.setValue(8192)
    panel.set_vocabulary(50257)
    assert panel.top_k.note.text() == "Draw among the 8,192 likeliest tokens. 0 = all."


def test_explanations_follow_the_value(panel):
    panel.top_k.number.setValue(1)
    assert panel.top_k.note.text() == "Always the likeliest: every try is the same."
    panel.top_k.number.setValue(0)
    assert "all tokens" in panel.top_k.note.text()
    for value, word in ((0, "likeliest"), (0.7, "safer"), (1, "own odds"), (1.4, "bolder")):
        panel.temperature.number.setValue(value)
        assert word in panel.temperature.note.text()
        assert panel.temperature.slider.accessibleDescription() == explain_temperature(value)


def test_top_p_says_off_and_explains_its_rule(panel):
    assert panel.top_p.text() == "off"
    assert not panel.top_p_rule.isEnabled()
    panel.top_p.setValue(0.9)
    assert panel.top_p_rule.isEnabled()
    assert panel.top_p_note.text() == "Tokens up to 0.9 in sum, the crossing one kept."
    panel.top_p_rule.choose("openai")
    assert panel.top_p_note.text().endswith("dropped.")
    panel.top_p.lineEdit().setText("off")
    assert panel.recipe().top_p == 1
    assert not panel.top_p_note.isVisible()


def tip_of(widget):
    """Return what the mouse is shown over a widget."""
    while widget is not None:
        if widget.toolTip():
            return widget.toolTip()
        widget = widget.parentWidget()
    return ""


def test_every_field_says_what_it_does_and_what_people_use(panel):
    for field in (
        *(panel.top_k.number, panel.top_k.slider, panel.temperature.number, panel.top_p),
        *(panel.temperature.slider, panel.top_p_rule, panel.max_tokens, panel.end_of_text),
        *(panel.seed_field, panel.lanes_field, panel.after_keep, panel.unjudged),
    ):
        tip = tip_of(field)
        assert re.findall(r"[.;] |\.\n|\.$", tip), field.accessibleName()
        assert tip.count(".\n") >= 1, field.accessibleName()  # two sentences, each on its own lines
        assert max(map(len, tip.splitlines())) <= 72, tip
    assert "used 40" in tip_of(panel.top_k.number)
    assert "used 40" in tip_of(panel.top_k.note.parentWidget().findChildren(QLabel)[0])


def test_fields_are_called_what_the_field_calls_them(panel):
    words = {each.text() for each in panel.findChildren(QLabel)}
    assert {"Top-k", "Temperature", "Top-p", "Top-p rule", "Max tokens", "End of text"} <= words
    assert panel.max_tokens.accessibleName() == "Max tokens"
    assert panel.presets.accessibleName() == "Recipe presets: OpenAI 2019"


def test_a_half_typed_number_counts(panel, qtbot):
    panel.max_tokens.setKeyboardTracking(False)
    panel.max_tokens.lineEdit().setText("33")
    assert panel.recipe().max_tokens == 33


def test_a_number_that_cannot_be_read_moves_nothing(panel, qtbot, qapp):
    """The sentence that said so was in larger letters, and everything below it jumped."""
    theme.apply(qapp, theme.Theme(theme.LIGHT))
    panel.resize(320, 800)
    settle(panel)
    row = panel.temperature
    height, below = row.height(), panel.top_p.mapTo(panel, QPoint()).y()
    row.number.setFocus()
    row.number.selectAll()
    qtbot.keyClicks(row.number, "x")
    qtbot.waitUntil(lambda: row.note.text().startswith("Write a number"))
    settle(panel)
    assert (row.height(), panel.top_p.mapTo(panel, QPoint()).y()) == (height, below)


def test_presets_of_the_recipe(panel):
    actions = {action.text(): action for action in panel.presets.menu().actions()}
    panel.max_tokens.setValue(77)
    actions["Greedy"].trigger()
    assert panel.recipe() == Recipe(top_k=0, temperature=0, max_tokens=77)
    assert panel.presets.text() == "Greedy ▾"


def test_policy_is_reported_and_set_without_an_echo(panel, qtbot):
    with qtbot.waitSignal(panel.policy_changed) as changed:
        panel.after_keep.choose(False)
    assert changed.args == [False, True]
    with qtbot.assertNotEmitted(panel.policy_changed):
        panel.set_policy(True, False)
    assert panel.policy() == (True, False)


def test_lanes_are_one_to_eight(panel, qtbot):
    with qtbot.waitSignal(panel.lanes_changed) as changed:
        panel.set_lanes(99)
    assert changed.args == [8]
    panel.set_lanes(0)
    assert panel.lanes() == 1


def test_generate_becomes_stop_in_the_same_place(panel, qtbot):
    before = panel.generate.geometry()
    assert not panel.stop.isVisible()
    with qtbot.waitSignal(panel.generate_requested):
        panel.generate.click()
    panel.set_generating(True)
    assert not panel.generate.isVisible()
    assert panel.stop.geometry() == before
    with qtbot.waitSignal(panel.stop_requested):
        panel.stop.click()
    panel.set_generating(False)
    assert panel.generate.isVisible()


def test_generate_says_why_it_cannot(panel, qtbot):
    panel.set_generate_enabled(False, "Import a model first.")
    assert panel.note.text() == "Import a model first."
    with qtbot.assertNotEmitted(panel.generate_requested):
        panel.generate.click()


def test_a_new_hunt_is_asked_for(panel, qtbot):
    with qtbot.waitSignal(panel.new_hunt_requested):
        panel.new_hunt.click()


def turn(widget):
    place = QPointF(widget.rect().center())
    event = QWheelEvent(
        place,
        widget.mapToGlobal(place),
        QPoint(0, 120),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def test_a_wheel_in_passing_changes_nothing(panel):
    for field in (panel.top_k.number, panel.top_k.slider, panel.top_p, panel.end_of_text):
        turn(field)
    assert panel.recipe() == Recipe()


def test_a_wheel_with_focus_steps(panel, qtbot):
    panel.activateWindow()
    panel.top_k.number.setFocus()
    qtbot.waitUntil(panel.top_k.number.hasFocus)
    turn(panel.top_k.number)
    assert panel.recipe().top_k == 41


def test_seed_is_drawn_until_a_number_is_typed(panel, qtbot):
    panel.set_seed_drawn(90412)
    assert panel.seed() is None
    assert panel.seed_field.placeholderText() == "drawn: 90412"
    with qtbot.waitSignal(panel.seed_changed):
        qtbot.keyClicks(panel.seed_field, "12")
    assert panel.seed() == 12
    panel.set_seed(None)
    assert panel.seed() is None


def test_the_drawn_seed_can_be_fixed(qtbot):
    field = SeedField()
    qtbot.addWidget(field)
    assert not field.fix.isEnabled()
    field.set_drawn(2**64 - 1)
    field.fix.trigger()
    assert field.seed() == 2**64 - 1
    assert not field.fix.isEnabled()


@pytest.mark.parametrize("text", ["-1", "x", "1.5", " 1", "²", str(2**64)])
def test_what_is_no_seed_cannot_be_typed(text):
    state, _, _ = SeedValidator().validate(text, 0)
    assert state == QValidator.State.Invalid
