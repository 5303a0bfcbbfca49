"""A row of words goes on below where it has no room."""

import pytest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QVBoxLayout, QWidget

from explorer.gui.style import theme
from explorer.gui.widgets.flow import Flow

pytestmark = pytest.mark.layout


@pytest.fixture
def row(qtbot):
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    box = QWidget()
    qtbot.addWidget(box)
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    flow = Flow()
    box.parts = [QLabel("A heading"), QPushButton("Download…"), QPushButton("Import…")]
    flow.add(box.parts[0])
    flow.addStretch()
    for part in box.parts[1:]:
        flow.add(part)
    column.addLayout(flow)
    column.addWidget(QLabel("below"))
    column.addStretch()
    box.show()
    theme.dress(box)
    return box


def places(row, width):
    row.resize(width, 400)
    QApplication.sendPostedEvents()
    return [part.geometry() for part in row.parts]


def test_what_has_room_stands_in_one_line_its_end_at_the_right(row):
    heading, download, bring = places(row, 600)
    assert heading.left() == 0
    assert bring.right() == 599
    assert len({place.center().y() for place in (heading, download, bring)}) == 1


@pytest.mark.parametrize("size", [10, 14.5, 28])
def test_at_every_width_all_words_are_there_and_none_over_another(row, size):
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT, size))
    for width in range(900, row.minimumSizeHint().width(), -7):
        shown = places(row, width)
        for part, place in zip(row.parts, shown, strict=True):
            assert place.width() >= part.sizeHint().width()
            assert place.left() >= 0
            assert place.right() < width
        below = row.findChildren(QLabel)[-1].geometry()
        everything = [*shown, below]
        assert not any(
            one.intersects(other)
            for number, one in enumerate(everything)
            for other in everything[number + 1 :]
        )
    assert len({place.top() for place in shown}) > 1  # it did go on below


def test_what_is_hidden_takes_no_room(row):
    row.parts[1].hide()
    _, _, bring = places(row, 600)
    assert bring.right() == 599
    row.parts[2].hide()
    assert row.layout().itemAt(0).heightForWidth(50) == row.parts[0].sizeHint().height()
