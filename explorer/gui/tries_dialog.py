"""Every try of the hunt on the screen, newest first: rejected and unjudged ones too.

Lanes are few and tries are many. Enter on a row shows that try in the chosen lane, where it can be
read in full and judged like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QDialog, QFrame, QVBoxLayout, QWidget

from explorer.gui import theme
from explorer.gui.card_list import CardList
from explorer.gui.card_model import Card, CardModel
from explorer.gui.clipboard import copy
from explorer.gui.controls import label
from explorer.gui.excerpt import leading_to, one_line
from explorer.gui.lane import VERDICTS
from explorer.gui.measure import window_size
from explorer.gui.wording import ending
from explorer.library.search import Needle
from explorer.seats import Seat
from explorer.showing import Showing

_TONES = {"kept": "kept", "rejected": "rejected"}


class TriesDialog(QDialog):
    """A list beside the lanes; it stays open until it is closed."""

    try_chosen = Signal(int)
    """The id of a try that is to be shown in the chosen lane."""

    message = Signal(str)
    """Something to say in the status bar."""

    def __init__(self, review: Showing, parent: QWidget | None = None) -> None:
        """List the tries of the hunt in ``review`` whenever :meth:`refresh` is called."""
        super().__init__(parent)
        self._review = review
        self._prompt = ""
        self._seats: dict[int, Seat] = {}
        self.setWindowTitle("All tries of this hunt")
        self.setModal(False)
        self._sized = False
        self.list = CardList(
            CardModel(self._read),
            self._search,
            "Tries",
            "The tries of a hunt are listed here.",
            lines=3,
        )
        self.list.opened.connect(self.try_chosen)
        self.list.copy_asked.connect(self._on_copy_asked)
        QShortcut(QKeySequence.StandardKey.Find, self, self.list.seek)
        card = QFrame()
        card.setProperty("role", "card")
        inside = QVBoxLayout(card)
        inside.setContentsMargins(*[2 * theme.UNIT] * 4)
        inside.addWidget(self.list)
        column = QVBoxLayout(self)
        column.setContentsMargins(*[theme.PADDING] * 4)
        column.setSpacing(theme.GAP)
        column.addWidget(label("Enter shows a try in the chosen lane.", "muted", wrap=True))
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
        self.list.take_focus()

    def refresh(self) -> None:
        """Read the tries again."""
        self._prompt = self._review.hunt.prompt_text if self._review.hunt else ""
        self._seats = {s.try_id: s for s in self._review.tries() if s.try_id is not None}
        self.list.set_ids(sorted(self._seats, key=lambda i: -(self._seats[i].index or 0)))

    def _read(self, ids: Sequence[int]) -> Mapping[int, Card]:
        return {i: _card(self._seats[i], self._prompt) for i in ids if i in self._seats}

    def _search(self, ids: Sequence[int], needle: str) -> Iterable[int]:
        wanted = Needle(needle)
        return (i for i in ids if i in self._seats and wanted.is_in(self._seats[i].text))

    def _on_copy_asked(self, try_id: int, captioned: bool) -> None:
        seat = self._seats.get(try_id)
        if seat is not None:
            text = self._review.captioned(seat) if captioned else seat.text
            self.message.emit(copy(text, captioned))


def _card(seat: Seat, prompt: str) -> Card:
    sign, word = VERDICTS.get(seat.verdict or "", ("", "unjudged"))
    if seat.passed_over:
        word = "passed over"
    if seat.state == "streaming":
        word = "streaming"
    elif seat.end == "crash":
        word = ""
    if seat.damage:
        sign, word = "", "damaged"
    tokens = f"{seat.tokens} token{'s' * (seat.tokens != 1)}"
    rest = (seat.caption or "", tokens, ending(seat.end, seat.cut, brief=True))
    return Card(
        words=f"This try is damaged: {seat.damage}."
        if seat.damage
        else one_line(seat.text) or "(no text)",
        lead=" ".join(filter(None, (f"try {seat.number}", sign, word.lower()))),
        rest=" · ".join(filter(None, rest)),
        tone="caution" if seat.damage else _TONES.get(seat.verdict or "", "text"),
        before="" if seat.damage else leading_to(prompt, seat.text or " "),
    )
