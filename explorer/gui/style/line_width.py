"""How wide a column of text may be to be read with ease: some 90 letters, whatever the font.

Measured with a line of prose: what a font calls its average width is that of its alphabet, or of
every letter it has, and up to a quarter off.
"""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtGui import QFont, QFontMetricsF
from PySide6.QtWidgets import QWidget

LETTERS = 90
"""On one line at most, more or less."""

_PROSE = (
    "It was a bright cold day in April, and the clocks were striking; she went on to the garden"
)


def column_width(font: QFont) -> int:
    """Return in pixels how wide :data:`LETTERS` of prose are in ``font``."""
    return round(QFontMetricsF(font).horizontalAdvance(_PROSE) * LETTERS / len(_PROSE))


def window_size(window: QWidget, letters: int, lines: int) -> QSize:
    """Return the size of a window with so many letters on so many lines, whatever the font; no more
    than the screen has.
    """
    font = window.font()
    width = round(column_width(font) * letters / LETTERS)
    height = round(QFontMetricsF(font).lineSpacing() * lines)
    return QSize(width, height).boundedTo(window.screen().availableSize())
