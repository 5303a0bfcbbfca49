"""A wall between Qt and our errors: what Qt calls in C++ may fail, but never raises into it.

Qt calls a widget's, model's or delegate's own methods (``paintEvent``, ``data``, ``sizeHint``) from
C++, which knows no Python exceptions: one that leaves ``data()`` while C++ waits for its answer
ends the process. A class that overrides such methods is decorated with :func:`guarded`. What fails
in it then goes the way of every other unexpected error, ``sys.excepthook``, and Qt gets a harmless
answer of the type that it expects.

A paint that fails does so sixty times a second, so the same failure is told once, and again only
after it has been quiet for a while: somebody tries the key that did nothing once more.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, TypeVar

from PySide6.QtCore import QMimeData, QModelIndex, QSize, Qt
from PySide6.QtGui import QIconEngine, QPixmap, QValidator

QUIET_S: Final = 10.0
"""So long must a failure not have happened before it is told again."""

Answer = Callable[..., object]
"""Makes what Qt gets instead; called with what Qt passed, without ``self``."""

_Class = TypeVar("_Class", bound=type)


def _nothing(*_arguments: object) -> None:
    """Answer a method that returns nothing, or may return None."""


def _no(*_arguments: object) -> bool:
    return False


def _size(*_arguments: object) -> QSize:
    return QSize()


ANSWERS: Final[dict[str, Answer]] = {
    # Events that Qt hands on where they were not dealt with.
    **dict.fromkeys(("event", "eventFilter", "viewportEvent", "nativeEvent", "editorEvent"), _no),
    **dict.fromkeys(("helpEvent", "notify", "focusNextPrevChild"), _no),
    # Widgets and layouts. No size is one that a layout takes no notice of.
    **dict.fromkeys(("sizeHint", "minimumSizeHint", "minimumSize", "maximumSize"), _size),
    **dict.fromkeys(("viewportSizeHint", "tabSizeHint", "minimumTabSizeHint"), _size),
    **dict.fromkeys(("hasHeightForWidth", "hitButton"), _no),
    **dict.fromkeys(("addItem", "itemAt", "takeAt", "setGeometry"), _nothing),
    "count": lambda *_: 0,
    "expandingDirections": lambda *_: Qt.Orientation(0),
    **dict.fromkeys(("heightForWidth", "sizeHintForRow", "sizeHintForColumn"), lambda *_: -1),
    **dict.fromkeys(
        ("setVisible", "accept", "reject", "done", "open", "initStyleOption"), _nothing
    ),
    **dict.fromkeys(("checkStateSet", "nextCheckState", "showPopup", "hidePopup"), _nothing),
    **dict.fromkeys(("sliderChange", "scrollContentsBy", "stepBy", "highlightBlock"), _nothing),
    "inputMethodQuery": _nothing,
    # Text that goes in and out.
    "canInsertFromMimeData": _no,
    "insertFromMimeData": _nothing,
    "createMimeDataFromSelection": lambda *_: QMimeData(),
    "textFromValue": lambda *_: "",
    "valueFromText": lambda *_: 0,
    "validate": lambda text="", place=0: (QValidator.State.Intermediate, text, place),
    "fixup": lambda text="": text,
    # Lists and what paints their rows.
    **dict.fromkeys(("rowCount", "columnCount"), lambda *_: 0),
    **dict.fromkeys(("data", "headerData", "paint", "createEditor"), _nothing),
    **dict.fromkeys(("setEditorData", "setModelData", "updateEditorGeometry", "sort"), _nothing),
    **dict.fromkeys(("setData", "hasChildren", "canFetchMore", "lessThan"), _no),
    **dict.fromkeys(("filterAcceptsRow", "removeRows", "insertRows"), _no),
    **dict.fromkeys(("index", "parent", "mapToSource", "mapFromSource"), lambda *_: QModelIndex()),
    **dict.fromkeys(("fetchMore", "currentChanged", "selectionChanged"), _nothing),
    "flags": lambda *_: Qt.ItemFlag.NoItemFlags,
    "roleNames": lambda *_: {},
    "mimeData": lambda *_: QMimeData(),
    "mimeTypes": lambda *_: [],
    # Icons.
    "pixmap": lambda *_: QPixmap(),
    "clone": lambda *_: _BlankIcon(),
    # Work in another thread.
    "run": _nothing,
}
"""Methods of Qt that a class of ours may override, and what Qt gets where one fails.

Beside them stand all whose name ends in ``Event``: these return nothing.
"""

_seen: dict[tuple[str, type[BaseException], int], float] = {}
_telling = 0


def guarded(made: _Class) -> _Class:
    """Let nothing that Qt calls in this class raise: for a class, as a decorator.

    Only what the class itself defines is guarded; a class that inherits guards its own.
    """
    for name, method in overrides(made).items():
        if (answer := answer_of(name)) is not None:
            setattr(made, name, _guard(method, answer))
    return made


def overrides(made: type) -> dict[str, FunctionType]:
    """Return the methods of a class that take the place of one of Qt's.

    A mix-in, which is no class of Qt, may take the place of any that Qt calls.
    """
    qt = [base for base in made.__mro__[1:] if base.__module__.startswith("PySide6.")]
    return {
        name: method
        for name, method in vars(made).items()
        if isinstance(method, FunctionType)
        and not name.startswith("__")
        and (any(name in vars(base) for base in qt) if qt else answer_of(name) is not None)
    }


def answer_of(name: str) -> Answer | None:
    """Return what answers for a method of Qt that failed; None where Qt calls none of this name."""
    return ANSWERS.get(name) or (_nothing if name.endswith("Event") else None)


def is_guarded(method: object) -> bool:
    """Say whether a method was guarded."""
    return hasattr(method, "__guarded__")


def inside_qt() -> bool:
    """Say whether the error that is being told was raised in the middle of Qt's own work.

    Whoever shows it waits then until Qt is through: a window is not rearranged while it is painted.
    """
    return _telling > 0


def _guard(method: FunctionType, answer: Answer) -> FunctionType:
    where = f"{method.__module__}.{method.__qualname__}"

    @functools.wraps(method)
    def call(self: object, *arguments: Any, **named: Any) -> Any:
        try:
            return method(self, *arguments, **named)
        except BaseException as error:  # also Ctrl+C, which comes wherever it likes
            _tell(where, error)
            return answer(*arguments)

    call.__guarded__ = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _tell(where: str, error: BaseException) -> None:
    """Hand an error to ``sys.excepthook``, unless it was told a moment ago."""
    global _telling
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    failure = (where, type(error), trace.tb_lineno if trace is not None else 0)
    now = time.monotonic()
    last, _seen[failure] = _seen.get(failure), now
    if last is not None and now - last < QUIET_S:
        return
    _telling += 1
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except Exception as second:  # a hook that needs a window which is not there any more
        sys.__excepthook__(type(second), second, second.__traceback__)
    finally:
        _telling -= 1


@guarded
class _BlankIcon(QIconEngine):
    """What stands for an icon that could not be copied."""

    def paint(self, *_arguments: object) -> None:
        """Draw nothing."""

    def clone(self) -> QIconEngine:
        """Return another one."""
        return _BlankIcon()
