"""A column that scrolls asks for one width, whether its bar is there or not."""

import pytest
from PySide6.QtWidgets import QApplication, QLabel, QSplitter, QVBoxLayout, QWidget

from explorer.gui.style import theme
from explorer.gui.widgets.controls import Fold
from explorer.gui.widgets.scroll_column import ScrollColumn
from tests.gui.settling import settle


@pytest.fixture
def column(qtbot):
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    box, inside = QWidget(), ScrollColumn()
    for number in range(12):
        inside.lines.addWidget(QLabel(f"Line {number} of the column"))
    below = QLabel("word")
    below.setWordWrap(True)
    bar = inside.verticalScrollBar().sizeHint().width()
    least = inside.minimumSizeHint().width()  # with or without the bar: the words lie between
    while below.fontMetrics().horizontalAdvance(below.text()) <= least - bar // 2:
        below.setText(below.text() + " i")
    lines = QVBoxLayout(box)
    lines.addWidget(inside, 1)
    lines.addWidget(below)
    splitter = QSplitter()
    qtbot.addWidget(splitter)
    splitter.addWidget(box)
    splitter.addWidget(QWidget())
    splitter.setSizes([1, 1000])
    splitter.show()
    theme.dress(splitter)
    yield inside
    splitter.close()


def test_the_width_does_not_depend_on_the_bar(column):
    widths = set()
    for high in (1000, 200):
        column.window().resize(800, high)
        settle(column.window())
        widths.add((column.minimumSizeHint().width(), column.width()))
    assert column.verticalScrollBar().isVisible()
    assert len(widths) == 1


def test_no_height_lets_the_bar_come_and_go(column):
    for high in range(150, 450, 3):
        column.window().resize(800, high)
        settle(column.window())


@pytest.fixture
def folded(qtbot):
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    outer = ScrollColumn()
    qtbot.addWidget(outer)
    content = QWidget()
    lines = QVBoxLayout(content)
    for number in range(10):
        lines.addWidget(QLabel(f"Setting {number}"))
    note = QLabel("words that need more lines in less width " * 3)
    note.setWordWrap(True)
    lines.addWidget(note)
    fold = Fold(content, rows=4)
    outer.lines.addWidget(QLabel("A title"))
    outer.lines.addWidget(fold)
    outer.show()
    return outer, fold


def test_only_one_of_two_bars_is_ever_there(folded):
    outer, fold = folded
    seen = set()
    for high in (*range(60, 500, 7), *range(500, 60, -5)):
        outer.resize(300, high)
        settle(outer)
        bars = outer.verticalScrollBar().maximum() > 0, fold.verticalScrollBar().maximum() > 0
        seen.add(bars)
    assert seen == {(True, False), (False, True), (False, False)}
