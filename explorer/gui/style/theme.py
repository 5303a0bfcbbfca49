"""The look: two palettes, one spacing unit, one stylesheet; no other file names a colour.

A widget says what it *is* by a dynamic property, ``setProperty("role", "muted")``, and the
stylesheet gives it its colours and size. Roles:

- labels: ``title`` (bold), ``muted`` (notes, 12 px), ``human`` and ``machine`` (text size),
  ``kept``, ``rejected``, ``caution``, ``accent``, ``figure`` (a large number), ``key`` (a key cap);
- frames: ``card`` (panel colour, hairline, radius 10), ``lane``, ``panel``, ``field``, ``rail``,
  ``line`` (a hairline), ``notice`` and ``problem`` (coloured strips);
- buttons: none (bordered), ``small`` (for rows), ``primary`` (filled), ``quiet`` (text only),
  ``link``, ``kept``, ``rejected``, ``rail``.

A widget that changes its role while it is shown calls :func:`set_role`. What paints itself asks
:func:`colour`; the palette travels as Qt's application palette, so a change of theme repaints it.

The stylesheet belongs to pages and dialogs, each of which is handed to :func:`dress` once, and not
to the application: what is hidden when the look changes is styled when it is shown.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from PySide6.QtCore import QDir, QEvent, QFile, QIODevice, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontDatabase,
    QFontMetricsF,
    QGuiApplication,
    QIcon,
    QIconEngine,
    QPainter,
    QPalette,
    QPixmap,
)
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QWidget

from explorer.gui.style.guard import guarded
from explorer.gui.style.stylesheet import STYLESHEET

UNIT = 4
"""Pixels; every distance is a multiple of it."""
GAP = 3 * UNIT
PADDING = 4 * UNIT
LINE_HEIGHT = 122
"""Per cent of the font's own line height for prompt and machine text: 1.6 of the size of Inter."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DRAWN_WIDTH, _DRAWN_HEIGHT = 192, 15
"""Pixels of those letters, and of a line, in the drawings: controls of 13 px in DejaVu Sans."""

Mode = Literal["system", "light", "dark"]


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one appearance, as ``#RRGGBB``, named for what they mean."""

    background: str
    panel: str
    field: str
    line: str
    text: str
    muted: str
    accent: str
    accent_behind: str
    on_accent: str
    human: str
    kept: str
    kept_behind: str
    rejected: str
    rejected_behind: str
    caution: str


LIGHT = Palette(
    background="#F6F5F1", panel="#FFFFFF", field="#FBFAF7", line="#E3E0D8",
    text="#1F2124", muted="#676B72",
    accent="#256D68", accent_behind="#E4F0EE", on_accent="#FFFFFF", human="#33508F",
    kept="#2C7A4B", kept_behind="#E6F3EA", rejected="#B0443A", rejected_behind="#FAEAE8",
    caution="#8A5A00",
)  # fmt: skip
DARK = Palette(
    background="#16171A", panel="#1E2023", field="#191B1E", line="#303338",
    text="#E7E6E1", muted="#9BA0A8",
    accent="#74C7BF", accent_behind="#203735", on_accent="#10201E", human="#9DB4EA",
    kept="#76C893", kept_behind="#1E3226", rejected="#E78C80", rejected_behind="#3A2321",
    caution="#E3B45A",
)  # fmt: skip

# Where each colour travels in QPalette. The stylesheet engine rewrites Text, Window and Base of
# single widgets, but never the application's palette, which is the one that colour() reads.
_CARRIERS: dict[str, QPalette.ColorRole] = {
    "background": QPalette.ColorRole.Window,
    "panel": QPalette.ColorRole.AlternateBase,
    "field": QPalette.ColorRole.Base,
    "line": QPalette.ColorRole.Mid,
    "text": QPalette.ColorRole.Text,
    "muted": QPalette.ColorRole.Shadow,
    "accent": QPalette.ColorRole.Highlight,
    "accent_behind": QPalette.ColorRole.Midlight,
    "on_accent": QPalette.ColorRole.HighlightedText,
    "human": QPalette.ColorRole.Link,
    "kept": QPalette.ColorRole.LinkVisited,
    "kept_behind": QPalette.ColorRole.Light,
    "rejected": QPalette.ColorRole.BrightText,
    "rejected_behind": QPalette.ColorRole.Dark,
    "caution": QPalette.ColorRole.Accent,
}


_put_off: dict[Callable[[], object], None] | None = None  # a set that keeps its order
_dressed: weakref.WeakKeyDictionary[QWidget, None] = weakref.WeakKeyDictionary()
_sheet = ""  # of the present look


@dataclass(frozen=True, slots=True)
class Theme:
    """A palette and a text size; everything that the stylesheet depends on."""

    palette: Palette
    text_px: float = 14.5
    """Size of prompt and machine text; controls (13) and notes (12) keep their proportion to it."""

    @property
    def dark(self) -> bool:
        """Whether this is the dark appearance."""
        return self.palette is DARK

    def points(self, px: float) -> float:
        """Return in points what is ``px`` pixels large in the drawings, scaled to ``text_px``."""
        scaled = px * self.text_px / 14.5
        return scaled if sys.platform == "darwin" else scaled * 0.75

    def font(self, px: float = 13) -> QFont:
        """Return the interface font with tabular figures: Inter if installed, else the system's."""
        system = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
        font = QFont("Inter") if "Inter" in QFontDatabase.families() else QFont(system.family())
        font.setPointSizeF(self.points(px))
        if hasattr(font, "setFeature"):
            font.setFeature(QFont.Tag("tnum"), 1)
        return font


def theme_for(mode: Mode, text_px: float = 14.5) -> Theme:
    """Return the theme that ``mode`` asks for; ``system`` follows the desktop's colour scheme."""
    dark = mode == "dark" or (
        mode == "system" and QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
    )
    return Theme(DARK if dark else LIGHT, text_px)


def stylesheet(theme: Theme) -> str:
    """Return the Qt stylesheet of ``theme``."""
    colours = {name: getattr(theme.palette, name) for name in _CARRIERS}
    return Template(STYLESHEET).substitute(
        colours,
        tone="dark" if theme.dark else "light",
        text_size=f"{theme.points(14.5):.3f}pt",
        note_size=f"{theme.points(12):.3f}pt",
        small_size=f"{theme.points(10):.3f}pt",
        figure_size=f"{theme.points(16):.3f}pt",
    )


def apply(app: QApplication, theme: Theme, icons: Path | None = None) -> None:
    """Give the whole application this look; ``icons`` is the folder behind :func:`icon`."""
    global _put_off
    _put_off = {}
    painted = [each for each in app.topLevelWidgets() if each.isVisible() and each.updatesEnabled()]
    for window in painted:
        window.setUpdatesEnabled(False)
    try:
        prepare(app, theme, icons)
        for root in list(_dressed):  # in the order in which they were dressed
            if _is_shown(root):
                freshen(root)
                # Sizes come to rest while nobody looks, from the frame of the window inwards, and
                # what follows from them is done once.
                QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
                _catch_up()
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
    finally:
        _catch_up()
        _put_off = None
        for window in painted:
            window.setUpdatesEnabled(True)


def _is_shown(root: QWidget) -> bool:
    try:
        return root.isVisible()
    except RuntimeError:  # Qt has deleted it, Python not yet
        return False


def _catch_up() -> None:
    global _put_off
    works, _put_off = _put_off, {}
    for work in works or ():
        work()


def put_off(work: Callable[[], object]) -> bool:
    """Let ``work`` wait for the end of :func:`apply`, once; False where that is not at work.

    On its way every widget is told of several looks, and takes several sizes, that nobody sees.
    """
    if _put_off is not None:
        _put_off[work] = None
    return _put_off is not None


def prepare(app: QApplication, theme: Theme, icons: Path | None = None) -> None:
    """Give the application this look before there are widgets: a stylesheet follows as they show.

    With a stylesheet a widget is polished anew whenever it gets a parent, so a whole window is made
    in half the time without.
    """
    global _sheet
    _sheet = stylesheet(theme)
    if icons is not None:
        QDir.setSearchPaths("icons", [str(icons)])
    if app.style().name() != "fusion":
        app.setStyle("Fusion")
    palette = QPalette()
    for name, role in _CARRIERS.items():
        palette.setColor(role, QColor(getattr(theme.palette, name)))
    text, muted, panel = (QColor(getattr(theme.palette, n)) for n in ("text", "muted", "panel"))
    palette.setColor(QPalette.ColorRole.WindowText, text)
    palette.setColor(QPalette.ColorRole.ButtonText, text)
    palette.setColor(QPalette.ColorRole.ToolTipText, text)
    palette.setColor(QPalette.ColorRole.Button, panel)
    palette.setColor(QPalette.ColorRole.ToolTipBase, panel)
    palette.setColor(QPalette.ColorRole.PlaceholderText, muted)
    app.setPalette(palette)
    app.setFont(theme.font())


def dress(root: QWidget) -> None:
    """Let ``root``, and all that is or will be in it, have the look of the application from now on.

    It takes up the present one at once where it is shown, else with :func:`freshen`, which whoever
    shows it calls before. No other root may stand inside it.
    """
    _dressed[root] = None
    if root.isVisible():
        freshen(root)


def freshen(root: QWidget) -> None:
    """Bring what is dressed up to the present look; nothing happens where it is."""
    if root.styleSheet() != _sheet:
        root.setStyleSheet(_sheet)


def wide(pixels: float) -> int:
    """Return the width that stands for so many pixels of the drawings, in the font at hand.

    What holds words, or decides by width whether words have room, is measured by this.
    """
    metrics = QFontMetricsF(QApplication.font())
    return round(pixels * metrics.horizontalAdvance(_LETTERS) / _DRAWN_WIDTH)


def high(pixels: float) -> int:
    """Return the height that stands for so many pixels of the drawings, in the font at hand."""
    return round(pixels * QFontMetricsF(QApplication.font()).lineSpacing() / _DRAWN_HEIGHT)


def colour(name: str) -> QColor:
    """Return a colour of the present palette by its name in :class:`Palette`."""
    return QGuiApplication.palette().color(_CARRIERS[name])


def set_role(widget: QWidget, role: str, tone: str = "") -> None:
    """Change the role, and the tone, of a widget that may already be on the screen."""
    if (widget.property("role"), widget.property("tone") or "") != (role, tone):
        widget.setProperty("role", role)
        widget.setProperty("tone", tone)
        widget.style().unpolish(widget)
        widget.style().polish(widget)
        widget.update()


def icon(name: str, tint: str = "text") -> QIcon:
    """Return ``resources/icons/<name>.svg`` in a palette colour that follows the theme."""
    return QIcon(_TintedIcon(name, tint))


@guarded
class _TintedIcon(QIconEngine):
    """An SVG whose ``currentColor`` is taken from the palette at the moment of painting."""

    def __init__(self, name: str, tint: str) -> None:
        super().__init__()
        self._name, self._tint = name, tint
        self._source = _read(f"icons:{name}.svg")

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        """Draw into ``rect``: checked icons in the accent colour, disabled ones muted."""
        tint = "accent" if state == QIcon.State.On else self._tint
        tint = "muted" if mode == QIcon.Mode.Disabled else tint
        drawing = self._source.replace(b"currentColor", colour(tint).name().encode())
        QSvgRenderer(drawing).render(painter, QRectF(rect))

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        """Return the drawing on a transparent ground."""
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(0, 0, size.width(), size.height()), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        """Return a copy, as QIcon asks for when it detaches."""
        return _TintedIcon(self._name, self._tint)


def _read(path: str) -> bytes:
    file = QFile(path)
    if not file.open(QIODevice.OpenModeFlag.ReadOnly):
        return (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>"  # a missing drawing is not worth a crash
        )
    return bytes(file.readAll().data())
