"""The recipe: how tokens are drawn, how many tries run at once, and when the hunt stops.

Every setting says what its present value does. The panel holds a :class:`Recipe` and replaces one
setting at a time, so a recipe that came from a reopened hunt stays exactly what it was until a
person changes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QMenu,
    QPushButton,
    QStackedLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from explorer.core.recipe import MAX_MAX_TOKENS, MAX_TEMPERATURE, MAX_TOP_K, Recipe
from explorer.gui.explore.hints import Hint
from explorer.gui.explore.presets import RECIPE_PRESETS, preset_name
from explorer.gui.explore.recipe_tips import tip
from explorer.gui.explore.seed_field import SeedField
from explorer.gui.fields.number_fields import Decimal, Number
from explorer.gui.fields.typed_number import TypedNumber
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import GAP, UNIT
from explorer.gui.widgets.controls import Choice, Fold, Labelled, label
from explorer.gui.widgets.flow import Flow
from explorer.gui.widgets.key_button import KeyButton
from explorer.gui.widgets.slider_row import (
    TEMPERATURE_STOPS,
    TOP_K_STOPS,
    SliderRow,
    explain_temperature,
    explain_top_k,
)

MOST_LANES = 8
"""Lanes that the window shows at once."""

_APART = UNIT + UNIT // 2
"""Pixels between rows: so little that all of them, notes included, fit into a window of 800."""
_RULES = (
    ("Hugging Face", "huggingface", "The token that crosses top-p is kept"),
    ("OpenAI", "openai", "The token that crosses top-p is dropped, as in OpenAI's sample.py"),
)
_ENDINGS = (
    ("stop", "stop", "A try ends where the model ends its text"),
    ("run on", "ignore", "The try goes on into whatever document the model starts next"),
    ("never draw it", "never", "The model cannot end its text; a try ends at its max tokens"),
)
_AFTER_KEEP = (
    (
        "stop hunting",
        True,
        "No new try starts after a keep; the lanes that stream go on to their end",
    ),
    ("go on", False, "Keeping one starts the next try in its lane"),
)
_UNJUDGED = (
    ("hold their lane", True, "A finished try stays in its lane until you judge it"),
    ("make room", False, "The next try takes the lane of a finished one, which stays unjudged"),
)


@guarded
class RecipePanel(QWidget):
    """Sampling settings, seed, lanes, refill policy and the Generate button."""

    recipe_changed = Signal()
    seed_changed = Signal()
    lanes_changed = Signal(int)
    policy_changed = Signal(bool, bool)
    """``(until_keep, hold)``, as :meth:`policy` returns them."""
    generate_requested = Signal()
    foot: QWidget
    """Generate and what it will do; who shows the panel may put it where it is always in sight."""
    stop_requested = Signal()
    problem_changed = Signal()
    """A field has, or has no longer, a text that is no number."""
    new_hunt_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the panel with the default recipe and four lanes."""
        super().__init__(parent)
        self._recipe = Recipe()
        self._vocabulary: int | None = None
        self._make_fields()
        self._make_buttons()
        self._arrange()
        self._show_recipe()
        self._connect()

    def hasHeightForWidth(self) -> bool:
        """Say no: Qt would take the height of all settings, which scroll, for the least.

        In a low window it then takes that from the panels above, which cannot scroll.
        """
        return False

    def sizeHint(self) -> QSize:
        """Ask for the height of everything at the present width."""
        return self._high(self._column.totalHeightForWidth(self.width()))

    def minimumSizeHint(self) -> QSize:
        """Be content with a few rows of the settings."""
        return self._high(self._column.totalMinimumHeightForWidth(self.width()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask again where another width needs another height."""
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self.updateGeometry()

    def _high(self, height: int) -> QSize:
        return QSize(self._column.totalMinimumSize().width(), height)

    # What the window asks and tells

    def recipe(self) -> Recipe:
        """Return the settings as they stand, a half-typed number included."""
        for number in (self.top_k.number, self.temperature.number, self.top_p, self.max_tokens):
            number.take()
        return self._recipe

    def set_recipe(self, recipe: Recipe) -> None:
        """Show ``recipe``; a difference is reported by ``recipe_changed``."""
        if recipe != self._recipe:
            self._recipe = recipe
            self._show_recipe()
            self.recipe_changed.emit()

    def set_vocabulary(self, tokens: int | None) -> None:
        """Explain the settings for a model of so many tokens; None where there is no model."""
        self._vocabulary = tokens
        self.top_k.explain_again()

    def seed(self) -> int | None:
        """Return the fixed seed, None where one is to be drawn."""
        return self.seed_field.seed()

    def set_seed(self, seed: int | None) -> None:
        """Fix the seed, or go back to drawing with None."""
        self.seed_field.set_seed(seed)

    def unreadable(self) -> str:
        """Say which field holds something that is no number, and why; empty where none does."""
        return next((f"{name}: {f.problem}" for name, f in self._typed.items() if f.problem), "")

    def settle(self) -> bool:
        """Take over what is typed; where a field cannot be read, go there and return False."""
        for field in self._typed.values():
            if isinstance(field, TypedNumber):
                field.judge_now()
            if field.problem:
                field.setFocus(Qt.FocusReason.OtherFocusReason)
                return False
        return True

    def set_seed_drawn(self, seed: int | None) -> None:
        """Show the seed that the present hunt has drawn."""
        self.seed_field.set_drawn(seed)

    def lanes(self) -> int:
        """Return how many tries stream side by side, 1 to 8."""
        return self.lanes_field.value()

    def set_lanes(self, lanes: int) -> None:
        """Show a number of lanes; a difference is reported by ``lanes_changed``."""
        self.lanes_field.setValue(lanes)

    def policy(self) -> tuple[bool, bool]:
        """Return ``(until_keep, hold)``: a keep stops refills; finished tries hold lanes."""
        return bool(self.after_keep.currentData()), bool(self.unjudged.currentData())

    def set_policy(self, until_keep: bool, hold: bool) -> None:
        """Show a policy without reporting it."""
        for choice, value in ((self.after_keep, until_keep), (self.unjudged, hold)):
            blocked = choice.blockSignals(True)
            choice.choose(value)
            choice.blockSignals(blocked)

    def set_generating(self, generating: bool) -> None:
        """Turn Generate into Stop and back, in the same place and size."""
        had_focus = self.generate.hasFocus() or self.stop.hasFocus()
        button = self.stop if generating else self.generate
        self._buttons.setCurrentWidget(button)
        if had_focus and button.isEnabled():
            button.setFocus(Qt.FocusReason.OtherFocusReason)

    def set_generate_enabled(self, enabled: bool, reason: str = "") -> None:
        """Allow or forbid Generate; ``reason`` is shown below it."""
        self.generate.setEnabled(enabled)
        self.generate.setToolTip(reason)
        if reason:
            self.set_note(reason)

    def set_note(self, text: str) -> None:
        """Say in one line what Generate will do: go on with this hunt, or start one."""
        self.note.setText(text)
        self.note.setVisible(bool(text))
        self.note.setToolTip(text)

    # Building

    def _make_fields(self) -> None:
        self.presets = QToolButton()
        self.presets.setProperty("role", "quiet")
        self.presets.setToolTip("Settings to start from")
        self.presets.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for preset in RECIPE_PRESETS:
            action = menu.addAction(preset.name)
            action.setToolTip(preset.note)
            action.setData(preset)
        menu.triggered.connect(self._on_preset_chosen)
        self.presets.setMenu(menu)

        self.top_k = SliderRow(
            "Top-k",
            Number("Top-k", 0, MAX_TOP_K),
            TOP_K_STOPS,
            lambda k: explain_top_k(int(k), self._vocabulary),
            tip("Top-k"),
        )
        self.temperature = SliderRow(
            "Temperature",
            Decimal("Temperature", 0, MAX_TEMPERATURE, 0.05),
            TEMPERATURE_STOPS,
            explain_temperature,
            tip("Temperature"),
        )
        self.top_p = Decimal("Top-p", 0, 1, 0.05, word=(1.0, "off"))
        self.top_p_rule = Choice("Top-p rule", _RULES)
        self.top_p_note = label("", "muted", wrap=True)
        self.max_tokens = Number("Max tokens", 1, MAX_MAX_TOKENS)
        self.end_of_text = Choice("End of text", _ENDINGS)
        self.seed_field = SeedField()
        self.lanes_field = Number("Lanes", 1, MOST_LANES)
        self.lanes_field.setValue(4)
        self.after_keep = Choice("After a keep", _AFTER_KEEP)
        self.unjudged = Choice("Unjudged tries", _UNJUDGED)
        self._typed: dict[str, Number | Decimal | SeedField] = {
            "Top-k": self.top_k.number,
            "Temperature": self.temperature.number,
            "Top-p": self.top_p,
            "Max tokens": self.max_tokens,
            "Seed": self.seed_field,
            "Lanes": self.lanes_field,
        }

    def _make_buttons(self) -> None:
        self.generate = KeyButton("Generate", ("Ctrl", "Enter"), role="primary")
        self.stop = KeyButton("Stop", ("Esc",), role="primary")
        self.stop.setAccessibleName("Stop all tries")
        self.stop.setToolTip("Ends every try that streams and keeps what it has written")
        self.new_hunt = QPushButton("New hunt")
        self.new_hunt.setProperty("role", "quiet")
        self.new_hunt.setAccessibleName("New hunt")
        self.new_hunt.setToolTip(
            "Count from zero with another seed, even though prompt and settings are the same.\n"
            "The tries so far stay in the history."
        )
        self.note = label("", "muted", wrap=True, name="What Generate will do")
        self.note.hide()
        self.hint = Hint("Fills the lanes.", "Generate", keeps_room=False)

    def _arrange(self) -> None:
        fields = QWidget()
        rows = QVBoxLayout(fields)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(_APART)
        rows.addWidget(self.top_k)
        rows.addWidget(self.temperature)
        grid = QGridLayout()
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(_APART)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        pairs = (
            ("Top-p", self.top_p, "Top-p rule", self.top_p_rule),
            ("Max tokens", self.max_tokens, "End of text", self.end_of_text),
            ("Seed", self.seed_field, "Lanes", self.lanes_field),
            ("After a keep", self.after_keep, "Unjudged tries", self.unjudged),
        )
        row = 0
        for left, left_field, right, right_field in pairs:
            grid.addWidget(Labelled(left, left_field, tip(left)), row, 0)
            grid.addWidget(Labelled(right, right_field, tip(right)), row, 1)
            row += 1
            if left_field is self.top_p:
                grid.addWidget(self.top_p_note, row, 0, 1, 2)
                row += 1
        rows.addLayout(grid)
        rows.addStretch()

        head = Flow()
        head.add(label("Recipe", "title"))
        head.addStretch()
        head.add(self.presets)
        buttons = QWidget()
        self._buttons = QStackedLayout(buttons)
        self._buttons.addWidget(self.generate)
        self._buttons.addWidget(self.stop)
        foot = Flow()
        foot.add(self.hint, 1)
        foot.add(self.note, 1)
        foot.addStretch()
        foot.add(self.new_hunt)
        column = self._column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT)
        column.addLayout(head)
        column.addWidget(Fold(fields))
        self.foot = QWidget()
        below = QVBoxLayout(self.foot)
        below.setContentsMargins(0, UNIT, 0, 0)
        below.setSpacing(UNIT)
        below.addWidget(buttons)
        below.addLayout(foot)
        column.addWidget(self.foot)

    def _connect(self) -> None:
        self.top_k.changed.connect(self._on_top_k)
        self.temperature.changed.connect(self._on_temperature)
        self.top_p.valueChanged.connect(self._on_top_p)
        self.top_p_rule.currentIndexChanged.connect(self._on_top_p_rule)
        self.max_tokens.valueChanged.connect(self._on_max_tokens)
        self.end_of_text.currentIndexChanged.connect(self._on_end_of_text)
        self.seed_field.seed_changed.connect(self.seed_changed)
        for field in self._typed.values():
            field.problem_changed.connect(lambda _: self.problem_changed.emit())
        self.lanes_field.valueChanged.connect(self.lanes_changed)
        self.after_keep.currentIndexChanged.connect(self._on_policy)
        self.unjudged.currentIndexChanged.connect(self._on_policy)
        self.generate.clicked.connect(self.generate_requested)
        self.stop.clicked.connect(self.stop_requested)
        self.new_hunt.clicked.connect(self.new_hunt_requested)

    # One setting at a time

    def _show_recipe(self) -> None:
        recipe = self._recipe
        for field in (self.top_p, self.max_tokens):
            if field.problem:
                field.restore()
        self.top_k.set_value(recipe.top_k)
        self.temperature.set_value(recipe.temperature)
        blocked = self.top_p.blockSignals(True)
        self.top_p.setValue(recipe.top_p)
        self.top_p.blockSignals(blocked)
        blocked = self.max_tokens.blockSignals(True)
        self.max_tokens.setValue(recipe.max_tokens)
        self.max_tokens.blockSignals(blocked)
        for choice, word in (
            (self.top_p_rule, recipe.top_p_rule),
            (self.end_of_text, recipe.end_of_text),
        ):
            blocked = choice.blockSignals(True)
            choice.choose(word)
            choice.blockSignals(blocked)
        self._explain()

    def _explain(self) -> None:
        recipe = self._recipe
        self.presets.setText(f"{preset_name(recipe)} ▾")
        self.presets.setAccessibleName(f"Recipe presets: {preset_name(recipe)}")
        self.top_p_rule.setEnabled(recipe.top_p < 1)
        if recipe.top_p < 1:
            fate = "kept" if recipe.top_p_rule == "huggingface" else "dropped"
            self.top_p_note.setText(
                f"Tokens up to {recipe.top_p:g} in sum, the crossing one {fate}."
            )
        self.top_p_note.setVisible(recipe.top_p < 1)

    def _change(self, **settings: Any) -> None:
        changed = replace(self._recipe, **settings)
        if changed != self._recipe:
            self._recipe = changed
            self._explain()
            self.recipe_changed.emit()

    def _on_top_k(self, value: float) -> None:
        self._change(top_k=int(value))

    def _on_temperature(self, value: float) -> None:
        self._change(temperature=round(value, 3))

    def _on_top_p(self, value: float) -> None:
        self._change(top_p=round(value, 3))

    def _on_top_p_rule(self, _index: int) -> None:
        self._change(top_p_rule=self.top_p_rule.currentData())

    def _on_max_tokens(self, value: int) -> None:
        self._change(max_tokens=value)

    def _on_end_of_text(self, _index: int) -> None:
        self._change(end_of_text=self.end_of_text.currentData())

    def _on_policy(self, _index: int) -> None:
        self.policy_changed.emit(*self.policy())

    def _on_preset_chosen(self, action: QAction) -> None:
        self.set_recipe(action.data().apply(self._recipe))
