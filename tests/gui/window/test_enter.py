"""Enter presses the button that has the focus, everywhere."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QDialog,
    QPushButton,
    QToolButton,
    QVBoxLayout,
)

from explorer.gui.window.enter import EnterPresses
from explorer.gui.window.main_window import COLLECTION, EXPLORE, HISTORY, MODELS, SETTINGS


def buttons_of(widget) -> list[QAbstractButton]:
    return [
        each
        for each in widget.findChildren(QAbstractButton)
        if each.isVisible()
        and each.isEnabled()
        and each.focusPolicy() != Qt.FocusPolicy.NoFocus
        and each.window() is widget.window()
    ]


@pytest.mark.parametrize("page", [EXPLORE, COLLECTION, HISTORY, MODELS, SETTINGS])
def test_enter_presses_every_button_of_every_page(desk, monkeypatch, page):
    desk.generate("Once", "one", "two", "three", "four")
    desk.finish()
    desk.window.do("keep")
    desk.window.show_page(page)
    desk.window.activateWindow()
    desk.qtbot.waitUntil(desk.window.isActiveWindow)
    pressed: list[QAbstractButton] = []
    monkeypatch.setattr(EnterPresses, "press", lambda _self, button: pressed.append(button))
    buttons = buttons_of(desk.window)
    for button in buttons:
        button.setFocus()
        desk.qtbot.keyClick(button, Qt.Key.Key_Return)
    assert pressed == buttons
    assert len(buttons) > 1


def test_in_a_dialog_enter_presses_the_focused_button_and_no_other(qtbot, desk):
    dialog = QDialog(desk.window)
    column = QVBoxLayout(dialog)
    default, plain, tool, tick = QPushButton("d"), QPushButton("p"), QToolButton(), QCheckBox("c")
    pressed = []
    plain.setAutoDefault(False)
    default.setDefault(True)
    tool.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    for each in (default, plain, tool, tick):
        column.addWidget(each)
        each.clicked.connect(lambda _on=False, each=each: pressed.append(each))
    dialog.show()
    qtbot.waitUntil(dialog.isVisible)
    dialog.activateWindow()
    for each in (plain, tool, tick, default):
        each.setFocus()
        qtbot.waitUntil(each.hasFocus)
        qtbot.keyClick(each, Qt.Key.Key_Enter, Qt.KeyboardModifier.KeypadModifier)
    assert pressed == [plain, tool, tick, default]
    assert tick.isChecked()
    assert dialog.isVisible()


def test_only_enter_alone_presses(qtbot):
    window = QDialog()
    qtbot.addWidget(window)
    button = QToolButton(window)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    pressed = []
    button.clicked.connect(lambda: pressed.append(1))
    EnterPresses(window)
    window.show()
    qtbot.waitExposed(window)
    button.setFocus()
    qtbot.waitUntil(button.hasFocus)
    qtbot.keyClick(button, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    button.setEnabled(False)
    qtbot.keyClick(window, Qt.Key.Key_Return)
    assert pressed == []
