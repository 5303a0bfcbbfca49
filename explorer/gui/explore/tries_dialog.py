"""Every try of the hunt on the screen, newest first: rejected and unjudged ones too.

Lanes are few and tries are many. The keys that judge do so here too, with all rows that are chosen
at once. Enter on a row shows that try in the chosen lane, or goes to the lane that shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QFrame, QMenu, QVBoxLayout, QWidget

from explorer.core.wording import ending
from explorer.gui.cards.card_list import CardList
from explorer.gui.cards.card_model import Card, CardModel
from explorer.gui.cards.excerpt import leading_to, one_line
from explorer.gui.explore.lane import VERDICTS
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.style.line_width import window_size
from explorer.gui.widgets.clipboard import copy
from explorer.gui.widgets.controls import label
from explorer.gui.widgets.dialog import Dialog
from explorer.gui.widgets.shortcuts import SHOWN, command_for
from explorer.library.search import Needle
from explorer.review.hunt_view import HuntView
from explorer.review.lane_stacks import LaneView

_TONES = {"kept": "kept", "rejected": "rejected"}


_VERDICTS = {"keep": "kept", "reject": "rejected", "skip": "skipped"}
"""What a command of the keys gives."""
_KEYS = "A, X and Space judge the chosen rows, Shift+A keeps one and rejects what is in the lanes."
REFRESH_MS = 150
"""Between two looks at the tries while they change."""


@guarded
class TriesDialog(Dialog):
    """A list beside the lanes; it stays open until it is closed."""

    try_chosen = Signal(int)
    """The id of a try that is to be shown in the chosen lane."""
    verdict_asked = Signal(object, str)
    """(ids of tries, verdict)"""
    keep_rest_asked = Signal(int)
    """A try is to be kept, and what else is in a lane rejected: its id."""
    take_back_asked = Signal(int)
    """The verdict of this try alone is to be taken back."""
    message = Signal(str)
    """Something to say in the status bar."""

    def __init__(self, review: HuntView, parent: QWidget | None = None) -> None:
        """List the tries of the hunt in ``review`` whenever :meth:`refresh` is called."""
        super().__init__(parent)
        self._review = review
        self._prompt = ""
        self._views: dict[int, LaneView] = {}
        self.setWindowTitle("All tries of this hunt")
        self.setModal(False)
        self._sized = False
        self.list = CardList(
            CardModel(self._read),
            self._search,
            "Tries",
            "The tries of a hunt are listed here.",
            lines=3,
            several=True,
        )
        self.list.opened.connect(self.try_chosen)
        self.list.copy_asked.connect(self._on_copy_asked)
        self.list.menu_asked.connect(lambda key, place: self.menu_of(key).popup(place))
        self.list.view.installEventFilter(self)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(REFRESH_MS)
        self._later.timeout.connect(self.refresh)
        QShortcut(QKeySequence.StandardKey.Find, self, self.list.seek)
        card = QFrame()
        card.setProperty("role", "card")
        inside = QVBoxLayout(card)
        inside.setContentsMargins(*[2 * theme.UNIT] * 4)
        inside.addWidget(self.list)
        column = QVBoxLayout(self)
        column.setContentsMargins(*[theme.PADDING] * 4)
        column.setSpacing(theme.GAP)
        column.addWidget(label(f"Enter shows a try in a lane. {_KEYS}", "muted", wrap=True))
        column.addWidget(card, 1)

    def show_now(self) -> None:
        """List the tries as they are, come to the front, and take the keyboard."""
        self.refresh()
        if not self._sized:  # after that it is the person's
            self._sized = True
            self.resize(window_size(self, 84, 32))
        self.show()
        self.raise_()
        self.activateWindow()
        rows = self.list.model.ids()  # none where the filter finds nothing
        if self.list.current() is None and rows:
            self.list.choose(rows[0])
        self.list.take_focus()

    @Slot()
    def refresh_soon(self) -> None:
        """Read the tries again before long: many may change in one second."""
        if self.isVisible() and not self._later.isActive():
            self._later.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the keys that judge, before the list looks for a row with that letter."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            command = command_for(event) or ""
            if command in (*_VERDICTS, "keep_reject_rest", "undo", "redo"):
                if not event.isAutoRepeat():  # a verdict is one press
                    self._carry_out(command)
                return True
        return super().eventFilter(watched, event)

    def menu_of(self, try_id: int) -> QMenu:
        """Return the context menu of a row; what it judges are all chosen rows."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Show in a lane", lambda: self.try_chosen.emit(try_id))
        menu.addSeparator()
        for command, words in (("keep", "Keep"), ("reject", "Reject"), ("skip", "Skip")):
            entry = menu.addAction(f"{words}\t{SHOWN[command]}", partial(self._carry_out, command))
            entry.setEnabled(self._review.writable)
        back = menu.addAction("Take its verdict back", partial(self._take_back, try_id))
        back.setEnabled(self._review.writable and bool(self._views[try_id].verdict))
        menu.addSeparator()
        for words, captioned in (("Copy text", False), ("Copy with caption", True)):
            keys = SHOWN["copy_captioned" if captioned else "copy"]
            menu.addAction(f"{words}\t{keys}", partial(self._on_copy_asked, try_id, captioned))
        return menu

    def _take_back(self, try_id: int) -> None:
        self.take_back_asked.emit(try_id)
        self.refresh()

    def _carry_out(self, command: str) -> None:
        current = self.list.current()
        if command in ("undo", "redo"):
            self.command_asked.emit(command)
        elif current is None:
            return
        elif command == "keep_reject_rest":
            self.keep_rest_asked.emit(current)
        else:
            self.verdict_asked.emit(self.list.selected(), _VERDICTS[command])
        self.refresh()

    def refresh(self) -> None:
        """Read the tries again."""
        self._prompt = self._review.hunt.prompt_text if self._review.hunt else ""
        self._views = {s.try_id: s for s in self._review.tries() if s.try_id is not None}
        self.list.set_ids(sorted(self._views, key=lambda i: -(self._views[i].index or 0)))

    def _read(self, ids: Sequence[int]) -> Mapping[int, Card]:
        return {i: _card(self._views[i], self._prompt) for i in ids if i in self._views}

    def _search(self, ids: Sequence[int], needle: str) -> Iterable[int]:
        wanted = Needle(needle)
        return (i for i in ids if i in self._views and wanted.is_in(self._views[i].text))

    def _on_copy_asked(self, try_id: int, captioned: bool) -> None:
        lane_view = self._views.get(try_id)
        if lane_view is not None:
            text = self._review.captioned(lane_view) if captioned else lane_view.text
            self.message.emit(copy(text, captioned))


def _card(lane_view: LaneView, prompt: str) -> Card:
    sign, word = VERDICTS.get(lane_view.verdict or "", ("", "unjudged"))
    if lane_view.passed_over:
        word = "passed over"
    if lane_view.state == "streaming":
        word = "streaming"
    elif lane_view.end == "crash":
        word = ""
    if lane_view.damage:
        sign, word = "", "damaged"
    tokens = f"{lane_view.tokens} token{'s' * (lane_view.tokens != 1)}"
    rest = (lane_view.caption or "", tokens, ending(lane_view.end, lane_view.cut, brief=True))
    return Card(
        words=f"This try is damaged: {lane_view.damage}."
        if lane_view.damage
        else one_line(lane_view.text) or "(no text)",
        lead=" ".join(filter(None, (f"try {lane_view.number}", sign, word.lower()))),
        rest=" · ".join(filter(None, rest)),
        tone="caution" if lane_view.damage else _TONES.get(lane_view.verdict or "", "text"),
        before="" if lane_view.damage else leading_to(prompt, lane_view.text or " "),
    )
