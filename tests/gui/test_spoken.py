"""What a screen reader says of labels: never a name that hides the text."""

import pytest
from PySide6.QtWidgets import QLabel

from explorer.gui.widgets.controls import label


@pytest.mark.parametrize("wrap", [False, True])
def test_a_titled_label_is_read_out_with_its_value(qtbot, wrap):
    made = label("12 tokens", "muted", wrap=wrap, name="Tokens")
    qtbot.addWidget(made)
    assert made.accessibleName() == "Tokens: 12 tokens"
    made.setText("a" * 60)
    assert made.accessibleName() == "Tokens: " + "a" * 60
    made.setText("")
    assert made.accessibleName() == "Tokens"


def silent(window):
    """Return the labels whose text is not in what is read out instead."""
    return [
        (each.accessibleName(), each.text())
        for each in window.findChildren(QLabel)
        if each.accessibleName() and each.text().casefold() not in each.accessibleName().casefold()
    ]


@pytest.mark.parametrize("page", range(5))
def test_no_name_hides_the_text_of_a_label(desk, page):
    desk.generate("Once upon a time", "a lion", "a mouse", "the sea", "the end")
    desk.finish()
    desk.window.do("reject")
    desk.window.do("keep")
    desk.window.show_page(page)
    desk.tick()
    assert silent(desk.window) == []
