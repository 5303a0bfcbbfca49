"""The main page: prompt and recipe on the left, lanes and ledger in the middle, collection right.

It connects those panels to the engine loop: what a person asks goes down, what the review says
comes back up to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QSplitter, QVBoxLayout, QWidget

from explorer.gui.collection.collection_panel import CollectionPanel
from explorer.gui.engine_loop import EngineLoop
from explorer.gui.explore.hints import Hints
from explorer.gui.explore.hunt_summary import HuntSummary
from explorer.gui.explore.lanes_view import LanesView
from explorer.gui.explore.presets import PromptGroup
from explorer.gui.explore.prompt_count import PromptCount
from explorer.gui.explore.prompt_panel import PromptPanel
from explorer.gui.explore.recipe_panel import RecipePanel
from explorer.gui.model_parts.model_picker import ModelPicker
from explorer.gui.settings_store import SettingsStore
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.widgets.clipboard import copy
from explorer.gui.widgets.notices import Notices
from explorer.gui.widgets.scroll_column import ScrollColumn
from explorer.gui.widgets.token_text import lead_in
from explorer.review.review import Judgement

LEFT_WIDTH, RIGHT_WIDTH = 312, 296
LEAST_LEFT = 264
LOW, LOW_ROW = 600, 190
"""Pixels of the drawings: below this height of the page, or of its share for each row of lanes, its
frames shrink, so that the lanes have lines to show. The height is what notices leave of it."""
NO_MODEL = "No model is loaded; choose or import one above."
ModelState = Literal["none", "coming", "ready"]


KINDS = {"notice": "hunt", "crash": "hunt", "writing": "writing"}
"""What a message is about, by its level; it goes when that is over."""


@guarded
class ExplorePage(QSplitter):
    """Three panels with movable borders."""

    def __init__(
        self,
        engine_loop: EngineLoop,
        settings_store: SettingsStore,
        collection: CollectionPanel,
        prompts: Sequence[PromptGroup] = (),
        parent: QWidget | None = None,
    ) -> None:
        """Make the page as it was left the last time."""
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._engine_loop = engine_loop
        self._review = engine_loop.review
        self._settings_store = settings_store
        self._prompt_end = ""
        self._model: ModelState = "none"
        self._refusal = ""  # of the prompt as it stands
        self._wanted: bool | None = None  # Generate was asked for too early; True = a new hunt
        self.models = ModelPicker()
        self.prompt = PromptPanel(prompts)
        self.recipe = RecipePanel()
        self.lanes = LanesView()
        self.strip = HuntSummary()
        self.notices = Notices()
        self.collection = collection
        self.right = panel(collection, padding=0)
        self._arrange()
        self.counting = PromptCount(
            self.prompt, lambda: engine_loop.loaded, lambda: self.recipe.recipe().max_tokens, self
        )
        self._restore()
        self.hints = Hints(
            settings_store,
            {"prompt": self.prompt.hint, "generate": self.recipe.hint, "keys": self.lanes.hint},
            self,
        )
        self._connect()
        self.lanes.set_judging(self._review.reason)
        engine_loop.keep_into(collection.collection())
        self._on_hunt_changed()

    def _arrange(self) -> None:
        left = _Beside((self.models, self.prompt, self.recipe), self.recipe.foot)
        middle = self._middle = QWidget()
        column = self._column = QVBoxLayout(middle)
        column.addWidget(self.notices)
        column.addWidget(self.lanes, 1)
        column.addWidget(self.strip)
        middle.setMinimumWidth(360)
        self.right.setMinimumWidth(220)
        for widget, stretch in ((left, 0), (middle, 1), (self.right, 0)):
            self.addWidget(widget)
            self.setStretchFactor(self.count() - 1, stretch)
        self.setHandleWidth(1)
        self.setChildrenCollapsible(False)
        self.setSizes([LEFT_WIDTH, 760, RIGHT_WIDTH])
        self.lanes.reshaped.connect(self._fit_height)
        self._fit_height()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the lanes what height there is."""
        super().resizeEvent(event)
        if event.oldSize().height() != event.size().height():
            self._fit_height()

    @Slot()
    def _fit_height(self) -> None:
        # Reckoned for the usual frames alone: what follows from the smaller ones must not bring the
        # usual ones back.
        wide = self._middle.width() - 2 * theme.PADDING
        room = self.height()
        if not self.notices.isHidden():
            room -= self.notices.high(wide)
        low = room < theme.high(max(LOW, LOW_ROW * self.lanes.rows_in(wide)))
        self._column.setContentsMargins(*[theme.UNIT * 2 if low else theme.PADDING] * 4)
        self._column.setSpacing(theme.UNIT if low else theme.GAP)
        self.strip.set_brief(low)
        self.lanes.set_spacing(theme.UNIT if low else theme.GAP)

    def _restore(self) -> None:
        settings = self._settings_store.settings
        self.prompt.editor.begin_with(settings.prompt)
        self.prompt.set_control_tokens(settings.control_tokens)
        self.recipe.set_recipe(settings.last_recipe())
        self.recipe.set_seed(settings.seed)
        self.recipe.set_lanes(settings.lanes)
        self.recipe.set_policy(settings.until_keep, settings.hold)
        self.lanes.set_count(settings.lanes)
        self._on_policy(settings.until_keep, settings.hold)
        if len(settings.splitter) == self.count() and all(settings.splitter):
            self.setSizes(list(settings.splitter))

    def _connect(self) -> None:
        self._engine_loop.settled.connect(self._on_settled)
        self.prompt.edited.connect(self._on_prompt_edited)
        self.counting.counted.connect(self._show_note)
        self.prompt.generate_requested.connect(self.generate)
        self.recipe.recipe_changed.connect(self._on_recipe_changed)
        self.recipe.seed_changed.connect(self._on_recipe_changed)
        self.recipe.lanes_changed.connect(self._on_lanes_asked)
        self.recipe.policy_changed.connect(self._on_policy)
        self.recipe.generate_requested.connect(self.generate)
        self.recipe.problem_changed.connect(self._show_note)
        self.recipe.new_hunt_requested.connect(self.new_hunt)
        self.recipe.stop_requested.connect(self.stop_all)
        self.lanes.verdict_asked.connect(self._engine_loop.judge)
        self.lanes.undo_asked.connect(self._engine_loop.take_back)
        self._engine_loop.loading.engine_ready.connect(self._on_engine_ready)
        self._engine_loop.hunt_changed.connect(self._on_hunt_changed)
        self._engine_loop.lanes_changed.connect(self._paint)
        self._engine_loop.counts_changed.connect(self._show_counts)
        self._engine_loop.running_changed.connect(self._on_running)
        self._engine_loop.library_changed.connect(self._on_library_changed)
        self._engine_loop.collection_changed.connect(self.collection.refresh)
        self.collection.collection_changed.connect(self._engine_loop.keep_into)

    # What a person does

    @Slot()
    def generate(self) -> None:
        """Go on with the hunt, or begin one, and hand the keyboard to the lanes."""
        self._generate(new_hunt=False)

    @Slot()
    def new_hunt(self) -> None:
        """Count from zero with another seed, on purpose."""
        self._generate(new_hunt=True)

    @Slot()
    def stop_all(self) -> None:
        """End every lane and keep what they have."""
        self._engine_loop.stop()

    def stop(self) -> None:
        """End the chosen lane if it has the focus and streams, else all of them."""
        lane = self.lanes.chosen
        if self.lanes.has_focus() and self._engine_loop.streams(lane):
            self._engine_loop.stop(lane)
        else:
            self._engine_loop.stop()

    def judge(self, verdict: Judgement) -> None:
        """Give the chosen lane a verdict."""
        self._engine_loop.judge(self.lanes.chosen, verdict)

    def keep_rest_rejected(self) -> None:
        """Keep the chosen lane and reject the rest."""
        self._engine_loop.keep_rest_rejected(self.lanes.chosen)

    def copy(self, *, captioned: bool) -> str:
        """Copy what the chosen lane says, or all that belongs to it; return what to say of it."""
        view = self._review.view(self.lanes.chosen)
        return copy(self._review.captioned(view) if captioned else view.text, captioned)

    def show_try(self, try_id: int) -> None:
        """Show a try of the hunt in the chosen lane, or go to the lane that shows it."""
        self.lanes.choose(self._engine_loop.show_try(try_id, self.lanes.chosen))

    def reopen(self, hunt_id: int) -> None:
        """Bring an earlier hunt back with its prompt and settings."""
        self._engine_loop.reopen(hunt_id)
        hunt = self._review.hunt
        if hunt is not None and hunt.id == hunt_id:
            if not hunt.damage:
                self.prompt.set_text(hunt.prompt_text)
                self.recipe.set_recipe(hunt.recipe)
                self.recipe.set_seed(hunt.seed if hunt.seed_fixed else None)
                self.counting.read_as(hunt.prompt_text, hunt.prompt_ids)
            self.lanes.choose(0)

    def forget_prompt(self, prompt: str) -> bool:
        """Empty the field, for good, if it holds this prompt; say whether it did (RULES 16)."""
        editor = self.prompt.editor
        held = bool(prompt) and self.prompt.text() == prompt
        if held:
            editor.begin_with("")
            self._settings_store.flush()
        editor.document().clearUndoRedoStacks()  # an earlier text of the field is a text too
        return held

    def set_model(self, state: ModelState) -> None:
        """Say how far the model is; a Generate that came too early starts when it is ready."""
        self._model = state
        self.recipe.set_generate_enabled(state != "none")
        wanted, self._wanted = self._wanted, None
        if wanted is not None and state == "ready":
            self._generate(wanted)
        elif wanted is not None and state == "coming":
            self._wanted = wanted
        self._show_note()

    def _generate(self, new_hunt: bool) -> None:
        if not self.recipe.settle():
            self._show_note()
            return
        if self._model == "coming":
            self._wanted = new_hunt
            self._show_note()
            return
        self.counting.settle()
        recipe = self.recipe.recipe()
        self._settings_store.change(recipe=recipe.to_json(), seed=self.recipe.seed())
        started = self._engine_loop.generate(
            self.prompt.text(),
            recipe,
            control_tokens=self.prompt.control_tokens(),
            lanes=self.recipe.lanes(),
            seed=self.recipe.seed(),
            new_hunt=new_hunt,
        )
        if started:
            self._forget_refusal()
            self.lanes.choose(self.lanes.chosen)

    # What is shown

    def say(self, sentence: str, level: str) -> None:
        """Show a sentence above the lanes; ``level`` is one of :attr:`Controller.message`."""
        if level == "refusal":
            self._forget_refusal()
            self._refusal = sentence
        role, kind = ("notice" if level == "notice" else "problem"), KINDS.get(level, "")
        self.notices.say(sentence, role=role, kind=kind)

    @Slot(str)
    def _on_settled(self, kind: str) -> None:
        self.notices.settle(kind)

    def _forget_refusal(self) -> None:
        self.notices.dismiss(self._refusal)
        self._refusal = ""

    def show_state(self, title: str = "", advice: str = "") -> None:
        """Show the lanes of a hunt; without one, ``title`` and ``advice``, or how to begin."""
        if self._review.hunt is not None:
            self.lanes.show_lanes()
            return
        count = self.recipe.lanes()
        tries = "One try" if count == 1 else f"{count} tries, side by side,"
        self.lanes.show_empty(
            title or "Nothing has been generated yet",
            advice
            or "Write how a text begins on the left, or take one of the presets, and press"
            f" Ctrl+Enter.\n{tries} will stream here.",
        )

    def widths(self) -> tuple[int, ...]:
        """Return the widths of the three panels; a folded one has none."""
        return tuple(self.sizes())

    def columns_want(self) -> int:
        """Return how wide the middle must be for its lanes to stand as they are drawn."""
        return self.lanes.comfortable_width() + 2 * theme.PADDING

    @Slot()
    def _on_hunt_changed(self) -> None:
        hunt = self._review.hunt
        views = self._review.views
        if hunt is not None and len(views) != len(self.lanes.lanes):
            self.lanes.set_count(len(views))
        self._prompt_end = lead_in(hunt.prompt_text) if hunt else ""
        self.show_state()
        self._paint(range(len(self.lanes.lanes)))
        self._show_counts()

    @Slot(object)
    def _paint(self, lanes: Iterable[int]) -> None:
        undoable = self._review.undoable
        for number in lanes:
            if number < len(self.lanes.lanes):
                rate, view = self._engine_loop.rate(number), self._review.view(number)
                self.lanes.lanes[number].show_view(
                    view, self._prompt_end, rate, undoable == {view.try_id}
                )

    @Slot()
    def _on_library_changed(self) -> None:
        self.lanes.set_judging(self._review.reason)

    @Slot()
    def _show_counts(self) -> None:
        review = self._review
        if review.can_undo:  # a verdict was given
            self.hints.done("keys")
        self.strip.show_ledger(review.counts, review.rate, review.newest_cost, review.prompt_tries)
        # What a kept try cost, and which verdict comes next for undo, changes beside their lanes.
        self._paint([view.lane for view in review.views if view.verdict])
        self._show_note()

    @Slot()
    def _show_note(self) -> None:
        """Say what Generate will do: go on with the hunt on the screen, or leave it."""
        hunt, loaded, seed = self._review.hunt, self._engine_loop.loaded, self.recipe.seed()
        same = (
            loaded is not None
            and self.counting.ids is not None
            and self._review.is_same_hunt(
                self.counting.ids,
                self.recipe.recipe(),
                loaded.manifest.builds[loaded.build].fingerprint,
                seed,
            )
        )
        self.recipe.set_seed_drawn(hunt.seed if same and hunt else None)
        self.recipe.new_hunt.setEnabled(hunt is not None)
        if problem := self.recipe.unreadable():
            self.recipe.set_note(problem)
        elif self._wanted is not None:
            self.recipe.set_note("Starts when the model is ready")
        elif self._model == "none":
            self.recipe.set_note(NO_MODEL)
        elif hunt is None:
            self.recipe.set_note("")
        elif same:
            self.recipe.set_note("Goes on with this hunt")
        elif not self._review.writable:
            self.recipe.set_note("Another hunt, which is not recorded")
        else:
            self.recipe.set_note("Something changed: another hunt")

    # What panels and engine say

    @Slot(str)
    def _on_prompt_edited(self, text: str) -> None:
        self.hints.done("prompt")
        self._settings_store.change(prompt=text, control_tokens=self.prompt.control.isChecked())
        self._forget_refusal()

    @Slot()
    def _on_recipe_changed(self) -> None:
        self._settings_store.change(recipe=self.recipe.recipe().to_json(), seed=self.recipe.seed())
        self.counting.recipe_changed()
        self._show_note()

    @Slot(int)
    def _on_lanes_asked(self, lanes: int) -> None:
        self._settings_store.change(lanes=lanes)
        # With a hunt on the screen its lanes stay until the next Generate gives them out anew.
        if self._review.hunt is None:
            self.lanes.set_count(lanes)
            self.show_state()

    @Slot(bool, bool)
    def _on_policy(self, until_keep: bool, hold: bool) -> None:
        self._settings_store.change(until_keep=until_keep, hold=hold)
        self.strip.show_policy(until_keep=until_keep, hold=hold)
        self._engine_loop.set_policy(until_keep, hold)

    @Slot(object)
    def _on_engine_ready(self, _ready: object) -> None:
        loaded = self._engine_loop.loaded
        self.recipe.set_vocabulary(loaded.drawable if loaded is not None else None)
        self.counting.count()

    @Slot(bool)
    def _on_running(self, running: bool) -> None:
        if running:
            self.hints.done("generate")
        self.recipe.set_generating(running)


@guarded
class _Beside(QFrame):
    """A panel as wide as its fields need, as far as its neighbours in the splitter have room."""

    def __init__(self, parts: Sequence[QWidget], foot: QWidget) -> None:
        """Show ``parts``, and below them ``foot``, which is never scrolled away."""
        super().__init__()
        self.setProperty("role", "panel")
        inside = ScrollColumn()
        inside.lines.setContentsMargins(theme.PADDING, theme.PADDING, theme.PADDING, 0)
        inside.lines.setSpacing(theme.PADDING)
        for part in parts:
            inside.lines.addWidget(part)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, theme.PADDING)
        column.setSpacing(theme.UNIT)
        column.addWidget(inside, 1)
        below = QVBoxLayout()
        below.setContentsMargins(theme.PADDING, 0, theme.PADDING, 0)
        below.addWidget(foot)
        column.addLayout(below)

    def minimumSizeHint(self) -> QSize:
        """Ask for the width of everything; less where others would be cut for it."""
        hint = super().minimumSizeHint()
        splitter = self.parentWidget()
        if isinstance(splitter, QSplitter):
            panels = filter(None, map(splitter.widget, range(splitter.count())))
            others = [each for each in panels if each is not self and not each.isHidden()]
            taken = sum(each.minimumWidth() + splitter.handleWidth() for each in others)
            hint.setWidth(min(hint.width(), max(LEAST_LEFT, splitter.width() - taken)))
        return hint


def panel(*widgets: QWidget, padding: int = theme.PADDING) -> QFrame:
    """Return widgets below each other on the colour of panels."""
    frame = QFrame()
    frame.setProperty("role", "panel")
    column = QVBoxLayout(frame)
    column.setContentsMargins(*[padding] * 4)
    column.setSpacing(theme.PADDING)
    for widget in widgets:
        column.addWidget(widget)
    return frame
