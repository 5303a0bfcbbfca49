"""How wide a column of text may be to be read with ease: some 90 letters, whatever the font.

Measured with a line of prose: what a font calls its average width is that of its alphabet, or of
every letter it has, and up to a quarter off.
"""

from __future__ import annotations

from PySide6.QtGui import QFont, QFontMetricsF

LETTERS = 90
"""On one line at most, more or less."""

_PROSE = (
    "It was a bright cold day in April, and the clocks were striking; she went on to the garden"
)


def column_width(font: QFont) -> int:
    """Return in pixels how wide :data:`LETTERS` of prose are in ``font``."""
    return round(QFontMetricsF(font).horizontalAdvance(_PROSE) * LETTERS / len(_PROSE))
