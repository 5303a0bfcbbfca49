"""What is copied, and the sentence that says so: the same for lanes, lists and buttons."""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication

NOTHING = "There is no text to copy here yet."


def copy(text: str, captioned: bool) -> str:
    """Put a text on the clipboard, with its caption or without; return what to say of it.

    Nothing to copy leaves the clipboard as it was.
    """
    if not text:
        return NOTHING
    QGuiApplication.clipboard().setText(text)
    return "Copied with its caption." if captioned else "Text copied."
