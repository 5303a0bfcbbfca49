"""The history: every hunt, the one used last first, to reopen with all its tries or to delete.

Deleting is the one act without undo (RULES 16), so it asks first, in the page and not in a box in
front of it, and names what goes and what stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import perf_counter

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from explorer.core.errors import ExplorerError
from explorer.core.intervals import KeepRate, several
from explorer.core.wording import counts, local_time, number_of
from explorer.gui.cards.card_list import CardList
from explorer.gui.cards.card_model import Card, CardModel
from explorer.gui.cards.excerpt import one_line
from explorer.gui.style.theme import GAP, PADDING, UNIT, set_role
from explorer.gui.widgets.clipboard import copy
from explorer.gui.widgets.confirm_strip import ConfirmStrip
from explorer.gui.widgets.controls import label
from explorer.gui.widgets.flow import Flow
from explorer.gui.widgets.scroll_column import ScrollColumn
from explorer.library.history import History, HuntSummary
from explorer.library.search import Needle, Search

EMPTY = "Hunts appear here once you have generated something. Every try of each stays readable."
KEEP_RATE, ON_PROMPT = "Keep rate", "On this prompt"
SLICE_SECONDS = 0.01
"""How long hunts on one prompt are counted at a time, so that the page stays smooth."""
UNCONDITIONAL = "No prompt: the model started on its own"


class HistoryPage(QWidget):
    """All hunts on the left, the chosen one in full on the right."""

    reopen = Signal(int)
    """A hunt is to be shown again with all its tries: its id."""
    deleted = Signal(int, str)
    """A hunt was deleted: its id, and its prompt if no other hunt has that too, else nothing."""
    long_deletion = Signal(int, str)
    """A hunt is to be deleted where that takes long: its id and prompt; see :meth:`on_deleted`."""
    message = Signal(str)

    def __init__(
        self, history: History, words: Search | None = None, parent: QWidget | None = None
    ) -> None:
        """Show the hunts of ``history``; call :meth:`refresh` when the page comes up.

        ``words`` makes the filter quick over many hunts.
        """
        super().__init__(parent)
        self._words = words
        self._history = history
        self._summary: HuntSummary | None = None
        self._running: int | None = None
        self._rates: list[KeepRate] = []
        self._unread: Iterator[KeepRate] = iter(())
        self._reading = QTimer(self)
        self._reading.timeout.connect(self._on_reading)
        self.list = CardList(CardModel(self._read), self._search, "Hunts", EMPTY)
        self.amount = label("", "muted")
        self.remains = label("", "muted", wrap=True)
        self._make_detail()
        self._arrange()
        self.list.chosen.connect(self._on_chosen)
        self.list.opened.connect(self.reopen)
        self.list.delete_asked.connect(self._on_delete_asked)
        self.list.copy_asked.connect(self._on_copy_asked)
        self.reopen_button.clicked.connect(self._on_reopen)
        self.delete_button.clicked.connect(self._on_delete)
        self.question.confirmed.connect(self._on_confirmed)
        self._show(None)

    # What the window tells

    def refresh(self) -> None:
        """Read the hunts again; the chosen one stays chosen."""
        chosen = self.list.current()
        try:
            ids, gone = self._history.ids(), self._history.tombstones()
        except ExplorerError as error:
            self.message.emit(str(error))
            return
        self.list.set_ids(ids)
        self.amount.setText(number_of(len(ids), "hunt"))
        tries = number_of(sum(stone.counts.tries for stone in gone), "try", "tries")
        self.remains.setText(
            f"Deleted for good: {number_of(len(gone), 'hunt')} with {tries}; their counts remain."
        )
        self.remains.setVisible(bool(gone))
        if (chosen is None or not self.list.choose(chosen)) and ids:
            self.list.choose(ids[0])
        self._show(self.list.current())

    def set_running(self, hunt_id: int | None) -> None:
        """Say which hunt still streams: nothing is deleted until it is stopped, least of all it."""
        self._running = hunt_id
        self._allow()

    # Rows

    def _read(self, ids: Sequence[int]) -> Mapping[int, Card]:
        return {each.hunt.id: _card(each) for each in self._history.page(ids)}

    def _search(self, ids: Sequence[int], needle: str) -> Iterable[int]:
        if self._words is not None:
            yield from self._words.hunts(ids, needle)
            return
        wanted = Needle(needle)
        for each in self._history.page(ids):
            hunt = each.hunt
            texts = (hunt.prompt_text, hunt.model.name, hunt.model.build)
            if any(wanted.is_in(text) for text in texts):
                yield hunt.id

    # Building

    def _make_detail(self) -> None:
        self.prompt = label("", "human", wrap=True, name="Prompt of the hunt")
        self.prompt.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.prompt.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.tally = label("", "title", wrap=True, name="Counts of the hunt")
        self.damage = label("", "caution", wrap=True)
        self._facts: dict[str, QLabel] = {}
        self.reopen_button = QPushButton("Reopen")
        self.reopen_button.setProperty("role", "primary")
        self.reopen_button.setToolTip("Show its tries in the lanes again, judged or not")
        self.delete_button = QPushButton("Delete…")
        self.delete_button.setProperty("role", "rejected")
        self.reopen_button.setAccessibleName("Reopen the hunt")
        self.delete_button.setAccessibleName("Delete the hunt")
        self.question = ConfirmStrip(
            "Delete for good", "Delete the hunt for good", "Do not delete the hunt"
        )

    def _arrange(self) -> None:
        head = Flow()
        head.add(label("History", "title"))
        head.addStretch()
        head.add(self.amount)
        left = QFrame()
        left.setProperty("role", "card")
        rows = QVBoxLayout(left)
        rows.setContentsMargins(2 * UNIT, PADDING, 2 * UNIT, PADDING)
        rows.setSpacing(2 * UNIT)
        rows.addLayout(head)
        rows.addWidget(self.list, 1)
        rows.addWidget(self.remains)

        grid = QGridLayout()
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(UNIT)
        grid.setColumnStretch(1, 1)
        names = ("Read as", "Recipe", "Model", "Seed", "Begun", "Last used", KEEP_RATE, ON_PROMPT)
        for row, name in enumerate(names):
            value = label("", "label", wrap=True, name=name)
            value.setAlignment(Qt.AlignmentFlag.AlignTop)
            self._facts[name] = value
            grid.addWidget(label(name, "muted"), row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(value, row, 1)
        prompt_area = QScrollArea()
        prompt_area.setProperty("role", "reading")
        prompt_area.setWidgetResizable(True)
        prompt_area.setWidget(self.prompt)
        prompt_area.setAccessibleName("Prompt of the hunt")
        buttons = Flow()
        buttons.add(self.delete_button)
        buttons.addStretch()
        buttons.add(self.reopen_button)
        self.detail = QFrame()
        self.detail.setProperty("role", "card")
        inside = ScrollColumn()
        around = QVBoxLayout(self.detail)
        around.setContentsMargins(*[UNIT] * 4)  # past the round corners
        around.addWidget(inside)
        column = inside.lines
        margin = PADDING - UNIT
        column.setContentsMargins(margin, margin, margin, 0)
        column.setSpacing(GAP)
        column.addWidget(self.damage)
        column.addWidget(prompt_area, 1)
        column.addWidget(self.tally)
        column.addLayout(grid)
        below = QVBoxLayout()
        below.setContentsMargins(*[PADDING - UNIT] * 4)
        below.setSpacing(GAP)
        below.addWidget(self.question)
        below.addLayout(buttons)
        around.addLayout(below)

        page = QHBoxLayout(self)
        page.setContentsMargins(PADDING, PADDING, PADDING, PADDING)
        page.setSpacing(GAP)
        page.addWidget(left, 3)
        page.addWidget(self.detail, 2)

    # The chosen hunt

    def _show(self, hunt_id: int | None) -> None:
        self._summary = None
        self._reading.stop()
        if hunt_id is not None:
            for summary in self._history.page([hunt_id]):
                self._summary = summary
        self.detail.setVisible(self._summary is not None)
        self.question.hide()
        if self._summary is not None:
            self._write(self._summary)
        self._allow()

    def _write(self, summary: HuntSummary) -> None:
        hunt = summary.hunt
        self.prompt.setText(hunt.prompt_text or ("" if hunt.damage else UNCONDITIONAL))
        set_role(self.prompt, "human" if hunt.prompt_text else "muted")
        self.damage.setText(summary.sentence)
        self.damage.setVisible(bool(summary.sentence))
        tries = number_of(summary.counts.tries, "try", "tries")
        self.tally.setText(" · ".join(filter(None, (tries, counts(summary.counts)))))
        self.tally.setVisible(not summary.uncounted)
        texts = {
            "Read as": _tokens(summary),
            "Recipe": f"{hunt.recipe.describe()} · max tokens {hunt.recipe.max_tokens:,}",
            "Model": f"{hunt.model.name}, {hunt.model.build}",
            "Seed": f"{hunt.seed} ({'fixed' if hunt.seed_fixed else 'drawn'})",
            "Begun": local_time(hunt.created_at),
            "Last used": local_time(summary.last_used_at),
        }
        if hunt.damage:  # what is not there would be told as the usual settings
            texts |= dict.fromkeys(("Read as", "Recipe", "Model", "Seed"), "—")
        for name, text in texts.items():
            self._facts[name].setText(text)
        self._write_rate(KEEP_RATE, summary.rate)
        self._write_rate(ON_PROMPT, None)
        if summary.rate is not None and not hunt.damage and not hunt.steered:
            self._rates, self._unread = [], self._history.rates_on_prompt(hunt.prompt_ids)
            self._facts[ON_PROMPT].setText("counting …")
            self._reading.start()

    def _write_rate(self, name: str, rate: KeepRate | None, over: str = "") -> None:
        text = "—" if rate is None else " · ".join(filter(None, (rate.brief, over)))
        self._facts[name].setText(text)
        self._facts[name].setToolTip(rate.about if rate is not None and rate.judged else "")

    @Slot()
    def _on_reading(self) -> None:
        """Count some more of the hunts on the chosen one's prompt; say the sum after the last."""
        if not self.isVisible():  # coming up again begins anew
            self._reading.stop()
            return
        until = perf_counter() + SLICE_SECONDS
        try:
            for rate in self._unread:
                self._rates.append(rate)
                if perf_counter() > until:
                    return
        except ExplorerError:  # the list marks which one it is
            self._reading.stop()
            self._facts[ON_PROMPT].setText("not counted, because a hunt on it is damaged")
            return
        self._reading.stop()
        over = number_of(len(self._rates), "hunt")
        self._write_rate(ON_PROMPT, several(self._rates), over)

    def _allow(self) -> None:
        summary = self._summary
        streams = self._running is not None
        self.delete_button.setEnabled(summary is not None and not streams)
        self.delete_button.setToolTip("A hunt still streams; stop it first." if streams else "")
        if streams:
            self.question.hide()

    # What a person does

    def _on_chosen(self, hunt_id: int) -> None:
        self._show(hunt_id if hunt_id >= 0 else None)

    def _on_reopen(self) -> None:
        if self._summary is not None:
            self.reopen.emit(self._summary.hunt.id)

    def _on_copy_asked(self, hunt_id: int, captioned: bool) -> None:
        for summary in self._history.page([hunt_id]):
            text = _captioned(summary) if captioned else summary.hunt.prompt_text
            self.message.emit(copy(text, captioned))

    def _on_delete_asked(self, _hunt_id: int) -> None:
        if self.delete_button.isEnabled():
            self._on_delete()

    def _on_delete(self) -> None:
        if self._summary is not None:
            self.question.ask(what_deletion_takes(self._summary), self.delete_button)

    def _on_confirmed(self) -> None:
        summary = self._summary
        if summary is None:
            return
        hunt, problem = summary.hunt, ""
        if self._history.takes_long():
            self.long_deletion.emit(hunt.id, hunt.prompt_text)
            return
        try:
            self._history.delete(hunt.id)
        except ExplorerError as error:
            problem = str(error)
        self.on_deleted(hunt.id, hunt.prompt_text, problem)

    def on_deleted(self, hunt_id: int, prompt: str, problem: str = "") -> None:
        """Show the hunts that are left, and ``problem`` if there was one."""
        if problem:
            self.message.emit(problem)
        row = self.list.model.row_of(hunt_id)
        self.refresh()
        if hunt_id in self._history.ids():
            return
        if below := self.list.model.rowCount():
            self.list.view.setCurrentIndex(self.list.model.index(min(max(row, 0), below - 1)))
        self.list.view.setFocus(Qt.FocusReason.OtherFocusReason)
        self.deleted.emit(hunt_id, "" if self._history.has_prompt(prompt) else prompt)


def what_deletion_takes(summary: HuntSummary) -> str:
    """Return what deleting a hunt removes, what it leaves, and that there is no way back."""
    values = summary.counts
    texts = (
        f"the {number_of(values.tries, 'text')} with their tokens"
        if values.tries
        else "its settings"
    )
    kept = f", {number_of(values.kept, 'kept sample')} among them" if values.kept else ""
    left = counts(values) or "no tries"
    return (
        f"This removes {texts}{kept}, notes and verdicts, hunts that were steered from it, and the"
        " prompt, unless another hunt has it too. What stays is a line with its dates, its settings"
        f" and its counts ({left}). It cannot be undone."
    )


def _tokens(summary: HuntSummary) -> str:
    return number_of(len(summary.hunt.prompt_ids), "token")


def _captioned(summary: HuntSummary) -> str:
    """Return the prompt of a hunt, what came of it, and its settings, to be copied."""
    hunt, amount = summary.hunt, number_of(summary.counts.tries, "try", "tries")
    return (
        f"Prompt (human-written):\n{hunt.prompt_text or '(none: unconditional)'}\n\n"
        f"{' · '.join(filter(None, (amount, counts(summary.counts))))}\n"
        f"{hunt.recipe.describe()}, seed {hunt.seed}, {hunt.model.name} {hunt.model.build}"
    )


def _card(summary: HuntSummary) -> Card:
    hunt, values = summary.hunt, summary.counts
    rest = (
        f"prompt of {_tokens(summary)}" if summary.ambiguous else "",
        counts(values),
        "" if hunt.damage else hunt.recipe.describe(),
        "" if hunt.damage else f"{hunt.model.name} {hunt.model.build}",
        local_time(summary.last_used_at),
    )
    return Card(
        words=summary.sentence or one_line(hunt.prompt_text) or UNCONDITIONAL,
        lead="damaged" if summary.sentence else number_of(values.tries, "try", "tries"),
        rest=" · ".join(filter(None, rest)),
        tone="caution" if summary.sentence else "kept" if values.kept else "text",
        human=bool(hunt.prompt_text) and not summary.sentence,
        named="" if hunt.damage else f"{hunt.model.name} {hunt.model.build}",
    )
