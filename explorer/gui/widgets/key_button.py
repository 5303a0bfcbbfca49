"""A button that shows the keys which do the same: ``✓ Keep [A]``."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpacerItem, QWidget

from explorer.gui.style.guard import guarded

SIGNS = {"Space": "␣"}
"""What long names of keys become where there is little room."""


@guarded
class KeyButton(QPushButton):
    """A push button made of a text and key caps; ``role`` as in ``theme``."""

    def __init__(
        self, text: str, keys: Sequence[str] = (), role: str = "", parent: QWidget | None = None
    ) -> None:
        """Build the button; ``keys`` are the names on the caps, from left to right."""
        super().__init__(parent)
        if role:
            self.setProperty("role", role)
        self._words = QLabel(text)
        self._words.setProperty("role", "text")
        self._keys = tuple(keys)
        self._caps = [QLabel(key) for key in keys]
        row = self._row = QHBoxLayout(self)
        primary = role == "primary"
        row.setContentsMargins(12, 8 if primary else 5, 12 if primary else 8, 8 if primary else 5)
        row.setSpacing(4)
        if primary:
            row.addStretch()
        row.addWidget(self._words)
        self._gap = QSpacerItem(4, 0)
        row.addSpacerItem(self._gap)
        for cap in self._caps:
            cap.setProperty("role", "key")
            row.addWidget(cap, 0, Qt.AlignmentFlag.AlignVCenter)
        if primary:
            row.addStretch()
        for label in (self._words, *self._caps):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName(text.lstrip("✓✕→ "))
        if keys:
            self.setAccessibleDescription("+".join(keys))

    def words(self) -> str:
        """Return the text without the keys."""
        return self._words.text()

    def set_words(self, text: str, name: str = "") -> None:
        """Change the text; ``name`` is what a screen reader says where the text is only a sign."""
        if text != self._words.text():
            self._words.setText(text)
            self.setAccessibleName(name or text)
            self.updateGeometry()

    def show_keys(self, shown: bool, tight: bool = False, short: bool = False) -> None:
        """Show or hide the key caps; ``tight`` saves room between, ``short`` on the caps."""
        for cap, key in zip(self._caps, self._keys, strict=True):
            cap.setVisible(shown)
            cap.setText(SIGNS.get(key, key) if short else key)
        margins = self._row.contentsMargins()
        margins.setLeft(6 if short else 7 if tight else 12)
        margins.setRight(4 if short else 5 if tight else 8)
        self._gap.changeSize(0 if short else 4, 0)
        self._row.setContentsMargins(margins)
        self._row.setSpacing(2 if tight else 4)
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Return what text and caps need."""
        return self._row.sizeHint()

    def minimumSizeHint(self) -> QSize:
        """Return the same: nothing in it can be cut."""
        return self.sizeHint()
