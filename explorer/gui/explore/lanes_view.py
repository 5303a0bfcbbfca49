"""The lanes side by side, one of them chosen: 1 full, 2 beside each other, 4 as 2 x 2, 8 as 4 x 2.

Choosing a lane and giving its text the keyboard focus are the same thing, so that the accent
border shows where verdict keys go and a screen reader reads that candidate.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QLabel,
    QScrollArea,
    QStackedWidget,
    QWidget,
)

from explorer.gui.explore.hints import Hint
from explorer.gui.explore.lane import Lane
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.widgets.scroll_column import ScrollColumn

MOST_LANES = 8
NARROWEST = 172
"""Pixels of the drawings: below this width of a lane there are fewer columns."""

_COLUMNS = {1: (1,), 2: (2, 1), 3: (3, 1), 4: (2, 1), 5: (3, 2), 6: (3, 2), 7: (4, 2), 8: (4, 2)}


def wanted_width(columns: int) -> int:
    """Return how wide so many columns of lanes must be to be readable."""
    return columns * theme.wide(NARROWEST) + theme.GAP * (columns - 1)


@guarded
class LanesView(QStackedWidget):
    """The grid of lanes, or a sentence that says what to do first."""

    verdict_asked = Signal(int, str)
    """(lane, verdict)"""
    undo_asked = Signal(int)
    lane_chosen = Signal(int)
    reshaped = Signal()
    """Its size or the number of lanes may be another."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the view with four empty lanes and the empty state in front."""
        super().__init__(parent)
        self.lanes: list[Lane] = []
        self.chosen = 0
        self._why_not = ""
        self._columns = 0
        self._title, self._advice = QLabel(), QLabel()
        self.hint = Hint(
            "Then read and judge: A keeps a try, X rejects it, Space skips it. The numbers choose"
            " a lane, and Ctrl+Z takes a verdict back.",
            "the keys",
        )
        self.addWidget(self._make_empty_page())
        self._page = QWidget()
        self._grid = QGridLayout(self._page)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(theme.GAP)
        self._area = QScrollArea()
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setWidgetResizable(True)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for each in (self._area, self._page):
            each.setProperty("role", "background")
        self._area.setWidget(self._page)
        self.addWidget(self._area)
        self._fit_later = QTimer(self, singleShot=True, interval=0)  # when lanes have a new style
        self._fit_later.timeout.connect(self._leave_a_line)
        self.set_count(4)

    def set_count(self, count: int) -> None:
        """Show ``count`` lanes, 1 to 8; those that stay keep their text."""
        count = max(1, min(count, MOST_LANES))
        chosen, focused = min(self.chosen, count - 1), self.has_focus()
        while len(self.lanes) < count:
            lane = Lane(len(self.lanes))
            lane.verdict_asked.connect(self.verdict_asked)
            lane.undo_asked.connect(self.undo_asked)
            lane.chosen.connect(self._on_chosen)
            lane.set_judging(self._why_not)
            self.lanes.append(lane)
        while len(self.lanes) > count:
            lane = self.lanes.pop()
            self._grid.removeWidget(lane)
            lane.hide()  # until it is deleted it would lie over the others and take the focus
            lane.deleteLater()
        self._columns = 0
        self._arrange()
        self.reshaped.emit()
        self.chosen = chosen
        self._mark()
        if focused:  # it may have been in a lane that is gone
            self.choose(chosen)

    def rows_in(self, width: int) -> int:
        """Return how many rows the lanes need in so many pixels."""
        return -(-len(self.lanes) // _columns_for(len(self.lanes), width))

    def set_spacing(self, pixels: int) -> None:
        """Put so much room between the lanes."""
        self._grid.setSpacing(pixels)
        self._leave_a_line()

    def comfortable_width(self) -> int:
        """Return the width at which the lanes stand in as many columns as they are drawn for."""
        return wanted_width(_COLUMNS[len(self.lanes)][0])

    def show_lanes(self) -> None:
        """Put the lanes in front."""
        self.setCurrentIndex(1)

    def show_empty(self, title: str, advice: str) -> None:
        """Put the empty state in front: what belongs here, and how to get it."""
        self._title.setText(title)
        self._advice.setText(advice)
        self.setCurrentIndex(0)

    def choose(self, lane: int, focus: bool = True) -> None:
        """Choose a lane (0-based), if there is such a one."""
        if 0 <= lane < len(self.lanes):
            self._on_chosen(lane)
            self._area.ensureWidgetVisible(self.lanes[lane], 0, 0)
            if focus:
                self.lanes[lane].text.setFocus(Qt.FocusReason.OtherFocusReason)

    def move_choice(self, right: int, down: int) -> None:
        """Choose the neighbour in the grid; at an edge the choice stays."""
        row, column = divmod(self.chosen, self._columns)
        lane = (row + down) * self._columns + column + right
        if 0 <= column + right < self._columns and row + down >= 0:
            self.choose(lane)

    def has_focus(self) -> bool:
        """Whether the keyboard focus is in one of the lanes."""
        focus = self.window().focusWidget()
        return focus is not None and any(lane.isAncestorOf(focus) for lane in self.lanes)

    def set_judging(self, why_not: str) -> None:
        """Allow verdicts, or say in every lane why there are none."""
        self._why_not = why_not
        for lane in self.lanes:
            lane.set_judging(why_not)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Use fewer columns where lanes would become too narrow to read."""
        super().resizeEvent(event)
        self._arrange()
        self.reshaped.emit()

    def changeEvent(self, event: QEvent) -> None:
        """Arrange the lanes for another size of text."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._arrange()
            self.reshaped.emit()
            self._fit_later.start()

    def _arrange(self) -> None:
        columns = _columns_for(len(self.lanes), self.width())
        if columns == self._columns:
            return
        self._columns = columns
        rows = self.rows_in(self.width())
        for number, lane in enumerate(self.lanes):
            self._grid.addWidget(lane, number // columns, number % columns)
        self._leave_a_line()
        for index in range(MOST_LANES):
            self._grid.setRowStretch(index, 1 if index < rows else 0)
            self._grid.setColumnStretch(index, 1 if index < columns else 0)

    def _leave_a_line(self) -> None:
        """Scroll where there is no room for a line of text in every lane."""
        rows, spacing = self.rows_in(self.width()), self._grid.verticalSpacing()
        least = max(lane.least_height() for lane in self.lanes)
        self._page.setMinimumHeight(rows * least + (rows - 1) * spacing)

    def _on_chosen(self, lane: int) -> None:
        if lane != self.chosen:
            self.chosen = lane
            self._mark()
            self.lane_chosen.emit(lane)

    def _mark(self) -> None:
        for lane in self.lanes:
            lane.set_chosen(lane.number == self.chosen)

    def _make_empty_page(self) -> QWidget:
        page = ScrollColumn("background")  # large text below notices has little height
        column = page.lines
        column.addStretch(2)
        labels: Sequence[tuple[QLabel, str]] = ((self._title, "figure"), (self._advice, "muted"))
        for label, role in labels:
            label.setProperty("role", role)
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setWordWrap(True)
            column.addWidget(label)
        self.hint.words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(self.hint)
        column.addStretch(3)
        return page


def _columns_for(count: int, width: int) -> int:
    fitting = (n for n in _COLUMNS[count] if width >= wanted_width(n))
    return next(fitting, _COLUMNS[count][-1])
