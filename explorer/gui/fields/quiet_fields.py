"""What all fields share: one height, and a mouse wheel that changes nothing in passing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import UNIT

TEXT_MARGIN = UNIT + 2
"""Pixels between the frame of a field and its text."""


def field_size(field: QWidget, wanted: QSize, longest: str = "") -> QSize:
    """Return ``wanted`` with the one height of fields, so that neighbours stand in line.

    The width is what the text ``longest`` needs, where it is given.
    """
    metrics = field.fontMetrics()
    width = metrics.horizontalAdvance(longest) + 8 * UNIT if longest else wanted.width()
    return QSize(width, max(wanted.height(), metrics.height() + 3 * UNIT + 2))


# A mix-in stands before the class of Qt whose events it changes; at run time it is no widget, since
# one object can be only one of Qt's.
if TYPE_CHECKING:
    _Mixed = QWidget
else:
    _Mixed = object


@guarded
class Quiet(_Mixed):
    """Leaves the wheel to the panel that it lies in, unless it has the focus."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Step only with focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


@guarded
class Fitted(Quiet):
    """A number whose field has the shared height and, after :meth:`fit`, a width of its own."""

    _longest = ""

    def fit(self, longest: str) -> None:
        """Be as wide as this text needs, at every text size."""
        self._longest = longest
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Ask for the height that all fields share."""
        return field_size(self, super().sizeHint(), self._longest)

    def minimumSizeHint(self) -> QSize:
        """Be no narrower than :meth:`fit` said."""
        return self.sizeHint() if self._longest else super().minimumSizeHint()
