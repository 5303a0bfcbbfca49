import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QTextEdit,
)

from explorer.gui.widgets.shortcuts import COMMANDS, SHOWN, command_for, is_editing

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
CTRL, ALT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.AltModifier


def press(key, modifiers=NONE):
    return QKeyEvent(QEvent.Type.KeyPress, key, modifiers)


@pytest.mark.parametrize(
    ("key", "modifiers", "command"),
    [
        (Qt.Key.Key_A, NONE, "keep"),
        (Qt.Key.Key_A, SHIFT, "keep_reject_rest"),
        (Qt.Key.Key_A, CTRL, None),
        (Qt.Key.Key_X, NONE, "reject"),
        (Qt.Key.Key_X, ALT, None),
        (Qt.Key.Key_Space, NONE, "skip"),
        (Qt.Key.Key_Z, CTRL, "undo"),
        (Qt.Key.Key_Z, CTRL | SHIFT, "redo"),
        (Qt.Key.Key_Y, CTRL, "redo"),
        (Qt.Key.Key_3, Qt.KeyboardModifier.KeypadModifier, "lane_3"),
        (Qt.Key.Key_9, NONE, None),
        (Qt.Key.Key_Backspace, NONE, None),
    ],
)
def test_a_key_press_has_one_command(key, modifiers, command):
    assert command_for(press(key, modifiers)) == command


def test_what_menus_show_is_what_works():
    for command, words in SHOWN.items():
        from PySide6.QtGui import QKeySequence

        combination = QKeySequence(words)[0]
        assert COMMANDS[combination.keyboardModifiers(), combination.key()] == command


@pytest.mark.parametrize("kind", [QLineEdit, QPlainTextEdit, QTextEdit, QSpinBox, QComboBox])
def test_keys_are_silent_in_what_can_be_typed_into(qtbot, kind):
    widget = kind()
    qtbot.addWidget(widget)
    assert is_editing(widget)
    if kind is not QComboBox:
        widget.setReadOnly(True)
        assert not is_editing(widget)


def test_keys_work_elsewhere(qtbot):
    for widget in (QLabel(), QPushButton()):
        qtbot.addWidget(widget)
        assert not is_editing(widget)
    assert not is_editing(None)
