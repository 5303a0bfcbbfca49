"""Find words that a window shows but does not show whole.

Walks every widget with a text of its own and compares the room that it has with what its text needs
in its font. What is shortened on purpose ends in an ellipsis and has a tool tip with all of it.
"""

from collections.abc import Iterator

from PySide6.QtCore import QRect, Qt
from PySide6.QtWidgets import (
    QAbstractScrollArea,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QStyle,
    QStyleOptionButton,
    QToolButton,
    QWidget,
)

from explorer.gui.widgets.controls import SHORT_WORDS, Choice
from explorer.gui.widgets.labels import Elided

_ELLIPSIS = "…"


def cut_texts(window: QWidget) -> list[str]:
    """Return a sentence for each text in ``window`` that is cut, hidden in part, or overlapped."""
    found = []
    shown = [each for each in (window, *window.findChildren(QWidget)) if _is_shown(each, window)]
    for widget in shown:
        found.extend(f"{_name(widget)}: {what}" for what in _problems(widget))
    found.extend(_overlaps(shown))
    return found


def _is_shown(widget: QWidget, window: QWidget) -> bool:
    return widget.isVisible() and widget.window() is window


def _name(widget: QWidget) -> str:
    text = getattr(widget, "text", str)()
    return f"{type(widget).__name__} {text or widget.accessibleName()!r}"


def _problems(widget: QWidget) -> Iterator[str]:
    if not _text(widget):
        return
    wide, high = _needs(widget)
    room = _room(widget)
    if wide > room.width() and not _shortened(widget):
        yield f"{room.width()} of {wide} pixels in width"
    if high > room.height():
        yield f"{room.height()} of {high} pixels in height"
    yield from _clipped(widget)


def _text(widget: QWidget) -> str:
    """Return what a person should be able to read on a widget that paints a text itself."""
    if isinstance(widget, QComboBox):
        return widget.currentData(SHORT_WORDS) or widget.currentText()
    if isinstance(widget, QLineEdit):
        typed = not isinstance(widget.parent(), QAbstractSpinBox) and widget.text()
        return "" if typed else widget.text() or widget.placeholderText()
    if isinstance(widget, QLabel | QPushButton | QCheckBox | QRadioButton | QToolButton):
        iconic = Qt.ToolButtonStyle.ToolButtonIconOnly
        if isinstance(widget, QToolButton) and widget.toolButtonStyle() == iconic:
            return "" if not widget.icon().isNull() else widget.text()
        return widget.text()
    return ""


def _needs(widget: QWidget) -> tuple[int, int]:
    """Return the width and height that the text needs."""
    metrics, text = widget.fontMetrics(), _text(widget).replace("&", "")
    if isinstance(widget, QLabel) and widget.wordWrap():
        room = widget.contentsRect()
        widest = max(
            map(
                metrics.horizontalAdvance,
                QLabel.text(widget).replace("\u200b", " ").split() or [""],
            )
        )
        return widest, widget.heightForWidth(widget.width()) - (widget.height() - room.height())
    lines = text.split("\n")
    return max(map(metrics.horizontalAdvance, lines)), metrics.height() * len(lines)


def _room(widget: QWidget) -> QRect:
    style = widget.style()
    if isinstance(widget, QCheckBox | QRadioButton | QPushButton):
        option = QStyleOptionButton()
        widget.initStyleOption(option)
        part = {
            QCheckBox: QStyle.SubElement.SE_CheckBoxContents,
            QRadioButton: QStyle.SubElement.SE_RadioButtonContents,
        }.get(type(widget), QStyle.SubElement.SE_PushButtonContents)
        return style.subElementRect(part, option, widget)
    if isinstance(widget, QToolButton):
        return widget.rect().adjusted(1, 1, -1, -1)
    if isinstance(widget, QLineEdit):
        margins = widget.textMargins()
        inner = widget.contentsRect().marginsRemoved(margins)
        return inner.adjusted(0, 0, 0, 0)
    return widget.contentsRect()


def _shortened(widget: QWidget) -> bool:
    """Return whether a text is shortened on purpose: with a sign, and readable as a whole."""
    if isinstance(widget, QLineEdit):  # a placeholder, which Qt shortens
        return bool(widget.toolTip())
    if isinstance(widget, Elided | Choice):  # the tip of a choice begins with what is cut
        told = isinstance(widget, Choice) or _text(widget) in widget.toolTip()
        return told and widget.shown().endswith(_ELLIPSIS) and len(widget.shown()) > 1
    return False


def _clipped(widget: QWidget) -> Iterator[str]:
    """Say where a widget lies outside of what it lies in; what can be scrolled to is inside."""
    place, outer = widget.rect(), widget
    while (parent := outer.parentWidget()) is not None and not outer.isWindow():
        place = QRect(outer.mapToParent(place.topLeft()), place.size())
        area = parent.parentWidget()
        beside = _outside(place.left(), place.right(), parent.width())
        below = _outside(place.top(), place.bottom(), parent.height())
        if isinstance(area, QAbstractScrollArea) and area.viewport() is parent:
            never = area.horizontalScrollBarPolicy() == Qt.ScrollBarPolicy.ScrollBarAlwaysOff
            if beside and (never or area.horizontalScrollBar().maximum() == 0):
                yield f"beyond the side of what scrolls by {beside} pixels"
                return
            place = place.intersected(parent.rect())
            if place.isEmpty():  # scrolled away
                return
        elif beside or below:
            edge = "side" if beside else "edge"
            yield f"beyond the {edge} of {_name(parent)} by {beside or below} pixels"
            return
        outer = parent


def _outside(first: int, last: int, size: int) -> int:
    return max(-first, last + 1 - size, 0)


def _overlaps(shown: list[QWidget]) -> Iterator[str]:
    """Say which texts lie over each other."""
    by_parent: dict[QWidget, list[QWidget]] = {}
    for widget in shown:
        if _text(widget) and widget.parentWidget() is not None:
            by_parent.setdefault(widget.parentWidget(), []).append(widget)
    for widgets in by_parent.values():
        for number, one in enumerate(widgets):
            for other in widgets[number + 1 :]:
                if one.geometry().intersects(other.geometry()):
                    yield f"{_name(one)} lies over {_name(other)}"
