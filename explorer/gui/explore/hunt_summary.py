"""The ledger of the hunt, always in sight: counts, caption, keep rate, and what happens next.

It repeats what ``library.counting`` counted, in the order in which a person asks: how many
tries, what became of them, what is still running, how often a keeper may be expected. The keep
rate is a bar from the low to the high end of its interval; a point is drawn only where an
unbiased estimate exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from explorer.core.counting import Cost, Counts
from explorer.core.intervals import KeepRate
from explorer.core.wording import cost_so_far, number_of
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.widgets.labels import Elided

CLAIM = 0.5
"""The announcement of 2019: "reasonable samples about 50 % of the time" for familiar topics."""

_MARGIN, _APART, _SPACING = 16, 14, 12
_SPOKEN = {
    "passed_over": "passed over",
    "lost": "lost to a crash",
    "everywhere": "tries in all hunts on this prompt",
}
_LONG_RATE = "12 of 48 kept; 0.42 to 52 %"
_LONG_KIND = "approximate: stopping rule mixed"
_LONG_CAPTION = "machine-written, 12 tries (8 rejected; 1 skipped; 2 passed over)"
"""What needs most room of what is commonly said; it is kept free, so that nothing jumps."""

_FIGURES = (
    ("tries", "tries", ""),
    ("kept", "kept", "kept"),
    ("rejected", "rejected", "rejected"),
    ("skipped", "skipped", ""),
    ("passed_over", "passed over", ""),
    ("unjudged", "unjudged", ""),
    ("streaming", "streaming", "muted"),
    ("lost", "lost", "muted"),
    ("everywhere", "all hunts on this prompt", "muted"),
)


_SHORT: Mapping[str, str] = {
    "rejected": "rej.",
    "skipped": "skip.",
    "passed_over": "passed",
    "unjudged": "unj.",
    "streaming": "live",
    "everywhere": "all hunts",
}
"""Words for a strip that is too narrow for the whole ones; a screen reader has those anyway."""
_FEWER: Mapping[str, str] = {"everywhere": "all hunts"}
_WAYS: tuple[tuple[Mapping[str, str], int], ...] = (
    ({}, _SPACING),
    (_FEWER, _SPACING),
    (_FEWER, _SPACING // 2),
    (_SHORT, _SPACING // 4),
)
"""The shorter words and the space between counts, from the widest strip to the narrowest."""


@guarded
class IntervalBar(QWidget):
    """A keep rate between 0 and 100 %: its interval as a bar, 50 % as a dashed line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make a bar without an interval."""
        super().__init__(parent)
        self._interval: KeepRate | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Keep rate: nothing judged yet")

    def show_interval(self, interval: KeepRate | None) -> None:
        """Draw ``interval``; None or one without a judged try leaves the bare scale."""
        self._interval = interval if interval and interval.judged else None
        words = interval.brief if self._interval and interval else "nothing judged yet"
        self.setAccessibleName(f"Keep rate: {words}; the dashed line is at 50 per cent")
        self.update()

    def sizeHint(self) -> QSize:
        """Ask for the size in the drawing."""
        return QSize(124, 24)

    def minimumSizeHint(self) -> QSize:
        """Stay readable."""
        return QSize(70, 24)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw scale, interval, estimate and the claim."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        wide, middle = self.width() - 2.0, self.height() / 2
        painter.setBrush(theme.colour("line"))
        painter.drawRoundedRect(QRectF(1, middle - 1, wide, 2), 1, 1)
        if self._interval is not None:
            low, high = 1 + wide * self._interval.low, 1 + wide * self._interval.high
            behind = theme.colour("accent")
            behind.setAlphaF(0.45)
            painter.setBrush(behind)
            painter.drawRoundedRect(QRectF(low, middle - 3, max(high - low, 3.0), 6), 3, 3)
            if self._interval.estimate is not None:
                point = 1 + wide * self._interval.estimate
                painter.setBrush(theme.colour("accent"))
                painter.drawEllipse(QRectF(point - 4, middle - 4, 8, 8))
        pen = QPen(theme.colour("text"), 1.2, Qt.PenStyle.CustomDashLine)
        pen.setDashPattern([3, 2])
        painter.setPen(pen)
        claim = 1 + wide * CLAIM
        painter.drawLine(QPointF(claim, 2), QPointF(claim, self.height() - 2.0))
        painter.end()


@guarded
class HuntSummary(QFrame):
    """The strip below the lanes."""

    all_tries_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make a strip of zeros."""
        super().__init__(parent)
        self.setProperty("role", "card")
        # Once all parts have their new look, which they get after the strip itself.
        self._fit_later = QTimer(self, singleShot=True, interval=0)
        self._fit_later.timeout.connect(self._fit)
        self.figures: dict[str, QLabel] = {}
        self._columns: dict[str, QWidget] = {}
        self._words: dict[str, QLabel] = {}
        self.bar = IntervalBar()
        self.bar.setToolTip(
            "Keep rate: kept of all that were chosen among (kept, rejected and passed over), with"
            " its 95 % interval.\n"
            "The dashed line marks 50 %, what the announcement of 2019 claimed for familiar topics."
        )
        self.rate, self.kind = Elided(), Elided()
        self.caption, self.policy = Elided(), Elided()
        for label in (self.rate, self.kind, self.caption, self.policy):
            label.setProperty("role", "muted")
        self._figures, self._rate, said = QGridLayout(), QHBoxLayout(), QHBoxLayout()
        self._figures.setVerticalSpacing(_SPACING // 4)
        for name, word, tone in _FIGURES:
            self._figure(name, word, tone)
        self._place_figures(1)
        self._rate.setSpacing(_SPACING)
        self._rate_words = _pair(_muted("keep"), _muted("rate"))
        self._rate.addWidget(self._rate_words)
        self._rate.addWidget(self.bar, 1)
        self._rate_place = _pair(self.rate, self.kind)
        self._rate.addWidget(self._rate_place)
        self._upper = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._upper.setSpacing(_APART)
        self._upper.addLayout(self._figures)
        self._upper.addLayout(self._rate, 1)
        self.all_tries = QPushButton("All tries…")
        self.all_tries.setProperty("role", "link")
        self.all_tries.setAccessibleName("All tries of this hunt")
        self.all_tries.setToolTip("Every try of this hunt, judged or not  (Ctrl+T)")
        self.all_tries.clicked.connect(self.all_tries_asked)
        place = self.all_tries.sizePolicy()
        place.setRetainSizeWhenHidden(True)  # the first try must not move the lanes
        self.all_tries.setSizePolicy(place)
        said.setSpacing(_APART)
        said.addWidget(self.caption)
        said.addWidget(self.all_tries)
        said.addStretch()
        self._lower = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._lower.setSpacing(0)
        self._lower.addLayout(said)
        self._lower.addWidget(self.policy, 1)
        self._whole, self._brief = QWidget(), QWidget()
        whole = QVBoxLayout(self._whole)
        whole.setContentsMargins(_MARGIN, 10, _MARGIN, 10)
        whole.setSpacing(6)
        whole.addLayout(self._upper)
        whole.addWidget(_hairline())
        whole.addLayout(self._lower)
        self.tally, self.verdict = Elided(), Elided()
        for label in (self.tally, self.verdict):
            label.setProperty("role", "muted")
        brief = QVBoxLayout(self._brief)
        brief.setContentsMargins(_MARGIN // 2, 4, _MARGIN // 2, 4)
        brief.setSpacing(0)
        brief.addWidget(self.tally)
        brief.addWidget(self.verdict)
        self._brief.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._whole)
        column.addWidget(self._brief)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(1)  # the strip fits itself into whatever the lanes have
        self.show_ledger(Counts(), None, None, 0)
        self.show_policy(until_keep=True, hold=True)

    def show_ledger(
        self, counts: Counts, rate: KeepRate | None, cost: Cost | None, prompt_tries: int
    ) -> None:
        """Show the counts of the hunt; ``prompt_tries`` are those on this prompt over all hunts.

        ``cost`` is that of the try that was kept last.
        """
        figures = {
            name: prompt_tries if name == "everywhere" else getattr(counts, name)
            for name in self.figures
        }
        for name, label in self.figures.items():
            number = figures[name]
            label.setText(f"{number:,}".replace(",", "\u2009"))
            label.setAccessibleName(f"{number} {_SPOKEN.get(name, name)}")
        self._columns["lost"].setVisible(counts.lost > 0)
        self._columns["everywhere"].setToolTip(f"{prompt_tries} {_SPOKEN['everywhere']}")
        self.bar.show_interval(rate)
        judged = rate if rate is not None and rate.judged else None
        self.rate.setText(judged.brief if judged else "nothing")
        self.kind.setText(judged.kind_words if judged else "judged yet")
        if judged:
            self.rate.setToolTip(judged.about)
            self.kind.setToolTip(judged.about)
        caption = cost_so_far(cost, counts) or "no tries yet"
        self.caption.setText(caption)
        self.all_tries.setVisible(counts.tries > 0)
        self.tally.setText("  ·  ".join(_tally(figures)))
        self.tally.setToolTip(f"{self.tally.text()}\n{self.policy.text()}")
        bare = cost.brief if cost is not None else caption
        self.verdict.setText(f"{bare}  ·  keep rate {judged.brief}" if judged else bare)
        self._fit()

    def set_brief(self, brief: bool) -> None:
        """Say it in two lines of text, for a window that is too low for more."""
        self._whole.setVisible(not brief)
        self._brief.setVisible(brief)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the strip into another width."""
        super().resizeEvent(event)
        if not theme.put_off(self._fit):
            self._fit()

    def changeEvent(self, event: QEvent) -> None:
        """Fit the strip again with another size of text."""
        super().changeEvent(event)
        looks = (QEvent.Type.FontChange, QEvent.Type.StyleChange)
        if event.type() in looks and not theme.put_off(self._fit):
            self._fit_later.start()

    def show_policy(self, *, until_keep: bool, hold: bool) -> None:
        """Say what a verdict does to the lanes (RULES 8)."""
        self.policy.setText(_policy(until_keep, hold))

    def _fit(self) -> None:
        """Put the keep rate below the counts, and the policy below the caption, to fit them in."""
        room = self.width() - 2 * _MARGIN
        self.rate.ensurePolished()
        metrics = self.rate.fontMetrics()
        self._fit_figures(room)
        # Of its place: a label remembers a width that it had to be once.
        words, bar = self._rate_words.minimumSizeHint(), self.bar.minimumSizeHint()
        beside = words.width() + bar.width() + 2 * _SPACING
        longest = max(map(metrics.horizontalAdvance, (_LONG_RATE, _LONG_KIND))) + 2
        self._rate_place.setMinimumWidth(max(0, min(longest, room - beside)))
        counts = self._figures.minimumSize().width() + self._rate.minimumSize().width()
        said = sum(map(metrics.horizontalAdvance, (_LONG_CAPTION, _policy(False, False))))
        _stack(self._upper, counts + _APART > room)
        apart = said + self.all_tries.sizeHint().width() + 2 * _APART > room
        _stack(self._lower, apart)
        side = Qt.AlignmentFlag.AlignLeft if apart else Qt.AlignmentFlag.AlignRight
        self.policy.setAlignment(side | Qt.AlignmentFlag.AlignVCenter)

    def _fit_figures(self, room: int) -> None:
        """Choose whole words or short ones, and as few rows of counts as have room for them."""
        for shorter, spacing in _WAYS:
            for name, word, _ in _FIGURES:
                self._words[name].setText(shorter.get(name, word))
            widths = [self._figure_width(name) for name, _, _ in _FIGURES]
            if _row_width(widths, spacing) <= room:
                break
        rows = 1
        while rows < len(widths) and _grid_width(widths, spacing, rows) > room:
            rows += 1
        self._figures.setHorizontalSpacing(spacing)
        self._place_figures(rows)

    def _figure_width(self, name: str) -> int:
        """Return what a count of up to three digits needs, so that rows do not come and go."""
        number, word = self.figures[name], self._words[name]
        number.ensurePolished()
        word.ensurePolished()
        digits = number.fontMetrics().horizontalAdvance("888")
        return max(digits, number.sizeHint().width(), word.sizeHint().width())

    def _place_figures(self, rows: int) -> None:
        across = -(-len(_FIGURES) // rows)
        for number, (name, _, _) in enumerate(_FIGURES):
            self._figures.addWidget(self._columns[name], *divmod(number, across))
        for column in range(len(_FIGURES) + 1):
            self._figures.setColumnStretch(column, 1 if column == across else 0)

    def _figure(self, name: str, word: str, tone: str) -> None:
        number = QLabel("0")
        number.setProperty("role", "figure")
        number.setProperty("tone", tone)
        below = _muted(word) if tone == "muted" else QLabel(word)
        self.figures[name], self._words[name] = number, below
        self._columns[name] = _pair(number, below)


def _tally(figures: Mapping[str, int]) -> list[str]:
    """Return tries, what else is not zero, and the tries on this prompt, as a line says them."""
    words = {name: word for name, word, _ in _FIGURES} | {"everywhere": "on this prompt"}
    tries = number_of(figures["tries"], "try", "tries")
    others = (name for name in words if name != "tries" and figures[name])
    return [tries, *(f"{figures[name]:,} {words[name]}" for name in others)]


def _policy(until_keep: bool, hold: bool) -> str:
    keep = "stops at a keep" if until_keep else "goes on after a keep"
    full = "finished tries wait" if hold else "finished tries make room"
    return f"{keep}  ·  {full}"


def _stack(layout: QBoxLayout, stacked: bool) -> None:
    way = QBoxLayout.Direction.TopToBottom if stacked else QBoxLayout.Direction.LeftToRight
    if layout.direction() != way:
        layout.setDirection(way)


def _row_width(widths: Sequence[int], spacing: int) -> int:
    return sum(widths) + spacing * (len(widths) - 1)


def _grid_width(widths: Sequence[int], spacing: int, rows: int) -> int:
    """Return what these need in so many rows, below each other in columns."""
    across = -(-len(widths) // rows)
    return _row_width([max(widths[column::across]) for column in range(across)], spacing)


def _muted(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "muted")
    return label


def _pair(upper: QLabel, lower: QLabel) -> QWidget:
    widget = QWidget()
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(upper)
    column.addWidget(lower)
    return widget


def _hairline() -> QFrame:
    line = QFrame()
    line.setProperty("role", "line")
    return line
