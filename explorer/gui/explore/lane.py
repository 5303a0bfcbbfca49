"""One lane: a card with a header, a candidate's text, and its verdict or the keys that give one.

The lane shows a :class:`LaneView` of the review and says which verdict was asked for. Its frame
never changes size while text arrives: header and footer have fixed heights, the text scrolls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from PySide6.QtCore import QElapsedTimer, QEvent, QObject, QRect, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from explorer.core.wording import ending
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.widgets.key_button import KeyButton
from explorer.gui.widgets.labels import Elided
from explorer.gui.widgets.token_text import TokenText
from explorer.review.lane_stacks import LaneView

VERDICTS = {"kept": ("✓", "Kept"), "rejected": ("✕", "Rejected"), "skipped": ("→", "Skipped")}

LOW = 220
"""Pixels of the drawings: below this height of a lane header and footer shrink."""
_HEADER = {False: (14, 10, 14, 6), True: (14, 3, 14, 2)}
_BODY = {False: (14, 0, 10, 6), True: (14, 0, 10, 2)}
_BAR = {False: 4, True: 1}
"""Above and below what stands in the footer."""
_FOOTER = 52
"""Pixels of the drawings: the height of the footer where nothing needs more."""
_APART = 6
"""Between the words of the header."""
FIGURES_MS = 150
_WRITING = "Another program holds the library; the verdict is final once it is written."
_ROOM_FOR_UNDO_KEYS = 420
_ROOM_FOR_UNDO = 236
"""Pixels of the drawings: what a lane must be wide for the words of Undo, and for its keys."""
_SHARE_OF_NUMBER = 0.36
"""Of the width of a lane, for its number and that of the try."""
_LEAST_STATE = 5
"""Letters of the state that must have room beside the figures, which go where they have not."""
_DIGITS = re.compile(r"\d+")
_SHAPES = (
    (True, True, True),
    (False, True, True),
    (True, False, True),
    (True, False, False),
)
"""What the buttons show, (signs, words, keys), from the widest to the narrowest."""


@guarded
class Lane(QFrame):
    """A card for one candidate at a time."""

    verdict_asked = Signal(int, str)
    """(lane, verdict): a button of this lane was pressed."""
    undo_asked = Signal(int)
    chosen = Signal(int)
    """(lane): focus or a click came into this lane."""

    def __init__(self, number: int, parent: QWidget | None = None) -> None:
        """Make lane ``number``, counted from 0."""
        super().__init__(parent)
        self.number = number
        self._shown: tuple[object, int] | None = None  # (candidate, characters shown)
        self._why_not = ""
        self._low = False
        self._since_figures = QElapsedTimer()
        self._fit_later = QTimer(self)  # when the buttons have taken the new style up as well
        self._fit_later.setSingleShot(True)
        self._fit_later.timeout.connect(self._fit)
        self._view: tuple[LaneView, str, float | None, bool] | None = None
        self.setProperty("role", "lane")
        self.setProperty("chosen", "false")
        self.setProperty("awake", "false")
        self._index = _label("title")
        self._dot = _label("dot", "●")
        self._state = Elided()
        self._state.setProperty("role", "muted")
        self._figures = _label("muted")
        self.text = TokenText()
        self.text.setMinimumHeight(1)  # what is too low for all cuts the text, not the buttons
        self._footer = QStackedWidget()
        self._footer.addWidget(self._make_actions())
        self._footer.addWidget(self._make_verdict())
        self._footer.addWidget(QWidget())

        header = self._header = QHBoxLayout()
        header.setContentsMargins(*_HEADER[False])
        header.setSpacing(_APART)
        header.addWidget(self._index)
        header.addWidget(self._dot)
        header.addWidget(self._state)
        header.addStretch()
        header.addWidget(self._figures)
        body = self._body = QVBoxLayout()
        body.setContentsMargins(*_BODY[False])
        body.addWidget(self.text)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(header)
        column.addLayout(body, 1)
        column.addWidget(self._footer)
        for widget in (self.text, self.keep, self.reject, self.skip, self._undo):
            widget.installEventFilter(self)
        self.setFocusProxy(self.text)
        # The grid alone decides the size: no text may push a neighbour aside.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumSize(1, 1)
        self.clear()

    def clear(self) -> None:
        """Show an empty lane."""
        self._shown = self._view = None
        self._index.setText(f"Lane {self.number + 1}")
        self._state.setText("")
        self._figures.setText("")
        self._dot.hide()
        self.text.set_text("", "")
        self.text.set_caret(False)
        self._turn_footer(2)
        self.text.setAccessibleName(f"Lane {self.number + 1}, empty")

    def show_view(
        self, view: LaneView, prompt: str, rate: float | None = None, undoable: bool = False
    ) -> None:
        """Show what sits in this lane; ``prompt`` is its repeated end, ``rate`` tokens a second.

        ``undoable`` says whether Ctrl+Z would take back its verdict, and that alone, now.
        """
        if view.state == "empty":
            self.clear()
            return
        self._view = (view, prompt, rate, undoable)
        self._undo.show_keys(undoable and self.width() >= theme.wide(_ROOM_FOR_UNDO_KEYS))
        streaming = view.state == "streaming"
        state = {"waiting": "waiting", "streaming": "streaming"}.get(
            view.state, ending(view.end, view.cut, brief=True)
        )
        if view.damage:
            state = f"damaged: {view.damage}"
        self._show_number(view)
        self._dot.setVisible(streaming)
        self._state.setText(state)
        # Every change of a label lays the header out anew; nobody reads thirty figures a second.
        if not streaming or self._since_figures.hasExpired(FIGURES_MS):
            self._show_figures(view, state, rate if streaming else None)
            self._since_figures.start()
        self._show_text(view, prompt)
        self.text.set_caret(streaming)
        self._show_footer(view)
        verdict = VERDICTS[view.verdict][1].lower() if view.verdict in VERDICTS else ""
        name = ", ".join(
            x for x in (f"Lane {self.number + 1}, try {view.number}", state, verdict) if x
        )
        if self.text.accessibleName() != name:
            self.text.setAccessibleName(name)

    def _show_number(self, view: LaneView) -> None:
        """Name lane and try in as many words as leave the rest of the header its room."""
        lane, metrics = self.number + 1, self._index.fontMetrics()
        full = f"Lane {lane} · try {view.number}"
        shorter = (full, f"{lane} · try {view.number}")
        # As if there were many digits already: nothing jumps when there are.
        most = self.width() * _SHARE_OF_NUMBER
        words = next(
            (each for each in shorter if metrics.horizontalAdvance(f"{each}00") <= most),
            f"{lane}·{view.number}",
        )
        if self._index.text() != words:
            self._index.setText(words)
            self._index.setToolTip(full)

    def set_chosen(self, chosen: bool) -> None:
        """Draw or remove the border, which is grey while the keyboard is elsewhere."""
        self._mark("chosen", chosen)

    def _mark(self, name: str, on: bool) -> None:
        value = "true" if on else "false"
        if self.property(name) != value:
            self.setProperty(name, value)
            self.style().unpolish(self)
            self.style().polish(self)

    def set_judging(self, why_not: str) -> None:
        """Allow verdicts, or say why there are none (a library that cannot be written)."""
        self._why_not = why_not
        for button in (self.keep, self.reject, self.skip, self._undo):
            button.setEnabled(not why_not)
            button.setToolTip(why_not or button.accessibleName())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Choose this lane when anything in it takes the focus."""
        if isinstance(event, QFocusEvent):
            self._mark("awake", event.gotFocus())
            if event.gotFocus():
                self.chosen.emit(self.number)
        return super().eventFilter(watched, event)

    def least_height(self) -> int:
        """Return the height below which not even one line of the text would be in sight."""
        lines = self._index.sizeHint().height() + self.text.line_height()
        margins = _HEADER[True][1] + _HEADER[True][3] + _BODY[True][3] + 2 * self.frameWidth()
        return lines + margins + self._actions.sizeHint().height()

    def hasHeightForWidth(self) -> bool:
        """Let the grid alone decide: a verdict whose words wrap must not take another's room."""
        return False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose this lane by a click beside its text."""
        self.text.setFocus(Qt.FocusReason.MouseFocusReason)
        super().mousePressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the buttons into another width."""
        super().resizeEvent(event)
        if not theme.put_off(self._fit):
            self._fit()

    def _fit(self) -> None:
        self._fit_height()
        self._fit_buttons()

    def _fit_height(self) -> None:
        """Take less for header and footer where there is little height for the text."""
        low = self.height() < theme.high(LOW)
        if low != self._low:
            self._low = low
            self._header.setContentsMargins(*_HEADER[low])
            self._body.setContentsMargins(*_BODY[low])
            for bar in (self._actions, self._verdict_bar):
                if (row := bar.layout()) is not None:
                    margins = row.contentsMargins()
                    margins.setTop(_BAR[low])
                    margins.setBottom(_BAR[low])
                    row.setContentsMargins(margins)
        buttons = self._actions.sizeHint().height()
        self._verdict.ensurePolished()
        lines = (1 if low else 2) * self._verdict.fontMetrics().lineSpacing()
        usual = 0 if low else theme.high(_FOOTER)
        self._footer.setFixedHeight(max(usual, buttons, lines + 2 * _BAR[low] + 1))

    def changeEvent(self, event: QEvent) -> None:
        """Fit the buttons again where another size of text makes them larger or smaller."""
        super().changeEvent(event)
        looks = (QEvent.Type.FontChange, QEvent.Type.StyleChange)
        if event.type() in looks and not theme.put_off(self._fit):
            self._fit_later.start()

    def _fit_buttons(self) -> None:
        """Shorten the buttons where the lane is narrow: signs go first, then words, then keys."""
        wide = self.width()
        for shape in _SHAPES:
            self._shape_buttons(*shape)
            if self._actions.sizeHint().width() <= wide:
                break
        worded = wide >= theme.wide(_ROOM_FOR_UNDO)
        self._undo.set_words("Undo" if worded else "↶", name="Undo")
        self._since_figures.invalidate()  # they are to fit the new width at once
        if self._view is not None:
            self._since_figures.invalidate()  # they must fit at once
            self.show_view(*self._view)

    def _shape_buttons(self, signs: bool, words: bool, keys: bool) -> None:
        for button, sign, word in self._buttons:
            shown = " ".join(part for part, on in ((sign, signs), (word, words)) if on)
            button.set_words(shown, name=word)
            button.show_keys(keys, tight=not (signs and words and keys), short=not words)

    def _show_figures(self, view: LaneView, state: str, rate: float | None) -> None:
        """Say as much of the state, the tokens and the rate as the header has room for."""
        words = f"{view.tokens} token{'s' * (view.tokens != 1)}"
        rated = [f"{words} · {rate:.0f} tok/s"] if rate else []
        figures = [*rated, words, f"{view.tokens} tok", ""] if view.state != "waiting" else [""]
        self._state.ensurePolished()
        metrics = self._state.fontMetrics()
        used = self._index.sizeHint().width()
        used += 0 if self._dot.isHidden() else self._dot.sizeHint().width() + _APART
        sides = _HEADER[self._low]
        room = self.width() - 2 * self.frameWidth() - sides[0] - sides[2] - used - _APART

        def fit(stated: str, figure: str) -> bool:
            # As if there were many digits already: nothing jumps when there are.
            width = metrics.horizontalAdvance(_DIGITS.sub("0000", figure))
            stated_width = metrics.horizontalAdvance(stated) if stated else -_APART
            return stated_width + _APART + width <= room

        if view.state == "streaming":  # which the dot says as well
            shapes = [(state, each) for each in figures[:-2]]
            shapes += [("", each) for each in figures[-3:]]
        else:
            shapes = [(state, each) for each in figures[:-1]]
            shapes += [(state[:_LEAST_STATE], figures[-2:][0])]
        stated, figure = next((shape for shape in shapes if fit(*shape)), (state, ""))
        self._figures.setText(figure)
        self._state.setVisible(bool(stated))

    def _show_text(self, view: LaneView, prompt: str) -> None:
        candidate = (view.try_id, view.index, prompt)
        known = self._shown[1] if self._shown and self._shown[0] == candidate else None
        if known is None or known > len(view.text):
            self.text.set_text(prompt, view.text, follow=view.state != "ended")
        else:
            self.text.append(view.text[known:])
            if view.state == "ended":
                self.text.finish()
        self._shown = (candidate, len(view.text))

    def _show_footer(self, view: LaneView) -> None:
        verdict = view.writing or view.verdict
        if verdict in VERDICTS:
            sign, word = VERDICTS[verdict]
            theme.set_role(self._verdict_bar, f"{verdict}-bar")
            theme.set_role(self._verdict, verdict if verdict != "skipped" else "title")
            caption = "being written …" if view.writing else view.caption or ""
            self._verdict.setToolTip(_WRITING if view.writing else caption)
            self._verdict.setAccessibleName(f"{word} {caption}".strip())
            shorter = [view.cost.brief, view.cost.share] if view.cost and not view.writing else []
            self._verdict.setText(self._fitting(f"{sign} {word}", [caption, *shorter]))
            self._turn_footer(1)
        else:
            self._turn_footer(2 if view.end == "crash" or view.damage else 0)

    def _turn_footer(self, index: int) -> None:
        if index != self._footer.currentIndex():
            self._spare_focus(self.keep, self.reject, self.skip, self._undo)
            self._footer.setCurrentIndex(index)

    def _spare_focus(self, *buttons: QWidget) -> None:
        """Take the keyboard from buttons that go: Qt would pass it on to the next lane."""
        if any(button.hasFocus() for button in buttons):
            self.text.setFocus(Qt.FocusReason.OtherFocusReason)

    def _fitting(self, verdict: str, captions: Sequence[str]) -> str:
        """Return the verdict with the longest caption that fits; the tool tip has all of it."""
        if not captions[0]:
            return verdict
        undo = self._undo.sizeHint().width() + 8 if not self._undo.isHidden() else 0
        room = QRect(0, 0, self.width() - 32 - undo, 1000)
        metrics = self._verdict.fontMetrics()
        high = self._footer.minimumHeight() - 2 * _BAR[self._low] - 1
        for caption in captions:
            text = f"{verdict} — {caption}"
            needed = metrics.boundingRect(room, Qt.TextFlag.TextWordWrap, text)
            if needed.height() <= high and needed.width() <= room.width():
                return text
        short = f"{verdict.split()[0]} {captions[-1]}"  # the figure that matters, "7 tries"
        return metrics.elidedText(short, Qt.TextElideMode.ElideRight, room.width())

    def _make_actions(self) -> QFrame:
        self.keep = KeyButton("✓ Keep", ["A"], "kept")
        self.reject = KeyButton("✕ Reject", ["X"], "rejected")
        self.skip = KeyButton("→ Skip", ["Space"])
        self._buttons = (
            (self.keep, "✓", "Keep"),
            (self.reject, "✕", "Reject"),
            (self.skip, "→", "Skip"),
        )
        self.keep.clicked.connect(lambda: self.verdict_asked.emit(self.number, "kept"))
        self.reject.clicked.connect(lambda: self.verdict_asked.emit(self.number, "rejected"))
        self.skip.clicked.connect(lambda: self.verdict_asked.emit(self.number, "skipped"))
        frame = self._actions = QFrame()
        frame.setProperty("role", "actions")
        row = QHBoxLayout(frame)
        row.setContentsMargins(8, 4, 8, 4)
        row.setSpacing(6)
        for button in (self.keep, self.reject, self.skip):
            row.addWidget(button)
        row.addStretch()
        return frame

    def _make_verdict(self) -> QFrame:
        self._verdict = _label("kept")
        self._verdict.setWordWrap(True)
        self._undo = KeyButton("Undo", ["Ctrl", "Z"], "quiet")
        self._undo.clicked.connect(lambda: self.undo_asked.emit(self.number))
        self._verdict_bar = QFrame()
        self._verdict_bar.setProperty("role", "kept-bar")
        row = QHBoxLayout(self._verdict_bar)
        row.setContentsMargins(14, 4, 8, 4)
        row.addWidget(self._verdict, 1)
        row.addWidget(self._undo)
        return self._verdict_bar


def _label(role: str, text: str = "") -> QLabel:
    label = QLabel(text)
    label.setProperty("role", role)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label
