"""The keys that judge and choose, as Prodigy has them; silent while a field is being edited.

Single letters are no shortcuts in Qt's sense, because those would fire inside the prompt. They
are looked up here when a key press has reached the window, that is when no widget wanted it, and
only if the focus is not in something that can be typed into.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

_NONE = Qt.KeyboardModifier.NoModifier
_SHIFT = Qt.KeyboardModifier.ShiftModifier
_CONTROL = Qt.KeyboardModifier.ControlModifier

COMMANDS: dict[tuple[Qt.KeyboardModifier, Qt.Key], str] = {
    (_NONE, Qt.Key.Key_A): "keep",
    (_SHIFT, Qt.Key.Key_A): "keep_reject_rest",
    (_NONE, Qt.Key.Key_X): "reject",
    (_NONE, Qt.Key.Key_Space): "skip",
    (_NONE, Qt.Key.Key_Z): "undo",
    (_CONTROL, Qt.Key.Key_Z): "undo",
    (_CONTROL, Qt.Key.Key_Y): "redo",
    (_CONTROL | _SHIFT, Qt.Key.Key_Z): "redo",
    (_CONTROL, Qt.Key.Key_C): "copy",
    (_CONTROL, Qt.Key.Key_Insert): "copy",
    (_CONTROL | _SHIFT, Qt.Key.Key_C): "copy_captioned",
    (_NONE, Qt.Key.Key_Left): "left",
    (_NONE, Qt.Key.Key_Right): "right",
    (_NONE, Qt.Key.Key_Up): "up",
    (_NONE, Qt.Key.Key_Down): "down",
    **{(_NONE, Qt.Key(Qt.Key.Key_1.value + n)): f"lane_{n + 1}" for n in range(8)},
}

SHOWN = {
    "keep": "A",
    "keep_reject_rest": "Shift+A",
    "reject": "X",
    "skip": "Space",
    "undo": "Ctrl+Z",
    "redo": "Ctrl+Shift+Z",
    "copy": "Ctrl+C",
    "copy_captioned": "Ctrl+Shift+C",
}
"""What menus show beside a command."""


def command_for(event: QKeyEvent) -> str | None:
    """Return the command of a key press, None if it has none."""
    modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    return COMMANDS.get((modifiers, Qt.Key(event.key())))


def is_plain(event: QKeyEvent) -> bool:
    """Return whether a key is pressed without Control: in a field it is a letter to be typed."""
    return not event.modifiers() & Qt.KeyboardModifier.ControlModifier


def copies(event: QKeyEvent) -> bool | None:
    """Return whether a key press copies with the caption; None where it does not copy."""
    return {"copy": False, "copy_captioned": True}.get(command_for(event) or "")


def is_editing(widget: QWidget | None) -> bool:
    """Return whether ``widget`` takes typed text, so that letters are not for us."""
    if isinstance(widget, QLineEdit | QPlainTextEdit | QTextEdit | QAbstractSpinBox):
        return widget.isEnabled() and not widget.isReadOnly()
    return isinstance(widget, QComboBox)
