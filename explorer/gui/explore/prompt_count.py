"""Counts the tokens of the prompt a moment after it has changed, and says what could be better.

What is counted is the text in the field. A paste that the field refused stands beside it until the
next change: its parts that would fit are offered, so that it is no dead end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from explorer.core.errors import ExplorerError, PromptTooLongError
from explorer.engine.text.prompt_text import End, Named, cut, loose_spaces, named, room
from explorer.gui.explore.prompt_panel import MOST_CHARACTERS, PromptPanel
from explorer.loading.model_loader import Loaded

COUNT_MS = 120
"""Pause in typing after which the tokens of the prompt are counted."""
ENDS: tuple[End, ...] = ("last", "first")


class PromptCount(QObject):
    """Keeps a prompt panel's count right."""

    counted = Signal()
    """:attr:`ids` may be others."""

    def __init__(
        self,
        panel: PromptPanel,
        loaded: Callable[[], Loaded | None],
        max_tokens: Callable[[], int],
        parent: QObject | None = None,
    ) -> None:
        """Count by the tokenizer of ``loaded``; a cut leaves room for ``max_tokens``."""
        super().__init__(parent)
        self.ids: list[int] | None = None
        """Those of the prompt as counted last; None: there are none."""
        self._panel, self._loaded, self._max_tokens = panel, loaded, max_tokens
        self._refused: tuple[str, str] | None = None  # (pasted, what the prompt would be by it)
        self._reopened: tuple[str, Sequence[int]] | None = None  # (text, ids)
        self._too_long = False
        self._timer = QTimer(self, singleShot=True, interval=COUNT_MS)
        self._timer.timeout.connect(self.count)
        panel.edited.connect(self._on_edited)
        panel.editor.refused.connect(self._on_refused)

    @property
    def pending(self) -> bool:
        """Whether something was typed a moment ago that is not counted yet."""
        return self._timer.isActive()

    def settle(self) -> None:
        """Count at once what was typed a moment ago."""
        if self.pending:
            self.count()

    def read_as(self, text: str, ids: Sequence[int]) -> None:
        """Tick or untick control tokens so that ``text`` has these ids, where one gives them."""
        self._reopened = text, ids
        self.count()

    def recipe_changed(self) -> None:
        """Offer other parts where the recipe wants other room."""
        if self._too_long:
            self._timer.start()

    @Slot()
    def count(self) -> None:
        """Count now."""
        self._timer.stop()
        loaded = self._loaded()
        if loaded is not None and self._reopened is not None:
            self._choose_reading(loaded, *self._reopened)
        if self._refused is None:
            self._count_field(loaded)
        else:
            self._show_refused(loaded, *self._refused)

    def _count_field(self, loaded: Loaded | None) -> None:
        panel, text = self._panel, self._panel.text()
        self.ids, problem, loose, too_long = None, "", 0, False
        panel.set_names(_names(loaded, text))
        if loaded is not None:
            control = panel.control_tokens()
            try:
                self.ids = loaded.tokens.prompt(text, loaded.manifest.context, control)
                loose = loose_spaces(loaded.tokens, text, control)
            except PromptTooLongError as error:
                problem, too_long = _too_long(error.tokens, error.context, "at least "), True
            except ExplorerError as error:
                problem = str(error)
        if loaded is None or self.ids is None:
            panel.set_count(None, None, problem)
        else:
            left = loaded.manifest.context - max(len(self.ids), 1)
            if left < 1:
                problem, too_long = _too_long(len(self.ids), loaded.manifest.context), True
            panel.set_count(len(self.ids), left, problem, loaded.tokens.start_words)
        panel.set_loose_spaces(0 if too_long else loose)
        self._offer(loaded, text if too_long else "")
        self.counted.emit()

    def _show_refused(self, loaded: Loaded | None, pasted: str, whole: str) -> None:
        problem = f"{len(pasted):,} characters; the field takes {MOST_CHARACTERS:,}"
        if loaded is not None:
            context, at_least, size = loaded.manifest.context, "", 0
            try:
                size = len(loaded.tokens.prompt(pasted, context))
            except PromptTooLongError as error:
                at_least, size = "at least " if error.at_least else "", error.tokens
            except ExplorerError:
                pass  # half a character somewhere: its characters are counted
            if size >= context:
                problem = f"{at_least}{size:,} tokens; the context holds {context:,}"
        self._panel.set_count(None, None, f"That text has {problem}. Nothing was pasted.")
        self._panel.set_loose_spaces(0)
        self._offer(loaded, whole)

    def _offer(self, loaded: Loaded | None, text: str) -> None:
        """Offer the parts of ``text``, which is too long, that fit; nothing where it is empty."""
        self._too_long = bool(text)
        offers = []
        if text and loaded is not None:
            most = room(loaded.manifest.context, self._max_tokens())
            for end in ENDS:
                try:
                    part = cut(loaded.tokens, text, most, end, self._panel.control_tokens())
                except ExplorerError:
                    continue  # what cannot be read lies at that end
                if part is not None and len(part.text) < MOST_CHARACTERS:
                    offers.append((f"Use the {end} {part.tokens:,} tokens", part.text))
        self._panel.set_offers(offers)

    def _choose_reading(self, loaded: Loaded, text: str, ids: Sequence[int]) -> None:
        self._reopened = None
        if text != self._panel.text():
            return
        now = self._panel.control.isChecked()
        for control in (now, not now):
            try:
                read = loaded.tokens.prompt(text, loaded.manifest.context, control)
            except ExplorerError:
                continue
            if read == list(ids):
                self._panel.set_control_tokens(control)
                return

    @Slot()
    def _on_edited(self) -> None:
        self._refused = None
        self._timer.start()

    @Slot(str, str)
    def _on_refused(self, pasted: str, whole: str) -> None:
        self._refused = pasted, whole
        self.count()


def _too_long(tokens: int, context: int, at_least: str = "") -> str:
    return f"too long by {at_least}{tokens - context + 1:,}; shorten it"


def _names(loaded: Loaded | None, text: str) -> tuple[Named, ...]:
    if loaded is None:
        return ()
    try:
        return named(loaded.tokens, text)
    except ExplorerError:  # what is wrong with it is said when it is counted
        return ()
