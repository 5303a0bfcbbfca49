"""What Qt calls may fail without taking the program along, and is told of once."""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest
import shiboken6
from PySide6.QtCore import QAbstractListModel, QModelIndex, QSize, Qt
from PySide6.QtGui import QPaintEvent, QValidator
from PySide6.QtWidgets import QLabel, QListView, QStyledItemDelegate, QWidget

import explorer.gui
from explorer.gui.style import guard
from explorer.gui.style.guard import answer_of, guarded, is_guarded, overrides

NOT_CALLED_BY_QT = {"text", "setText", "append"}
"""Methods of Qt that ours hide for our own callers; they are not virtual in C++."""


def classes() -> Iterator[type]:
    """Yield every class of Qt's kind, and every mix-in for one, that the window is made of."""
    for found in pkgutil.walk_packages(explorer.gui.__path__, "explorer.gui."):
        module = importlib.import_module(found.name)
        for each in vars(module).values():
            if inspect.isclass(each) and each.__module__ == module.__name__:
                yield each


def mixed_in() -> set[type]:
    """Return the classes without a base of Qt's that classes with one inherit from."""
    return {
        base
        for each in classes()
        if issubclass(each, shiboken6.Object)
        for base in each.__mro__
        if not issubclass(base, shiboken6.Object) and base.__module__.startswith("explorer.")
    }


def unguarded(made: type) -> list[str]:
    """Return what Qt calls in a class and could raise."""
    return [
        name
        for name, method in overrides(made).items()
        if name not in NOT_CALLED_BY_QT and not is_guarded(method)
    ]


def test_nothing_that_qt_calls_can_raise():
    mixes = mixed_in()
    looked_at = [c for c in classes() if issubclass(c, shiboken6.Object) or c in mixes]
    assert len(looked_at) > 50
    assert {c.__qualname__: bad for c in looked_at if (bad := unguarded(c))} == {}


def test_a_class_that_forgot_is_found():
    class Forgetful(QLabel):
        def resizeEvent(self, event):
            pass

        def text(self):
            return ""

        def of_its_own(self):
            pass

    class Mixed:
        def wheelEvent(self, event):
            pass

    assert unguarded(Forgetful) == ["resizeEvent"]
    assert unguarded(Mixed) == ["wheelEvent"]
    assert unguarded(guarded(Forgetful)) == unguarded(guarded(Mixed)) == []


@pytest.fixture
def told(monkeypatch) -> list[BaseException]:
    """What reached the excepthook."""
    errors: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _trace: errors.append(error))
    monkeypatch.setattr(guard, "_seen", {})
    return errors


@guarded
class Broken(QAbstractListModel):
    """A list that fails where C++ waits for an answer."""

    def rowCount(self, parent: object = None) -> int:
        return 3

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        return len(None)  # type: ignore[arg-type]


@guarded
class Sizes(QStyledItemDelegate):
    def sizeHint(self, option: object, index: object) -> QSize:
        raise KeyError("no size")


def test_a_list_that_fails_is_painted_and_told_of_once(qtbot, told):
    model, delegate = Broken(), Sizes()
    view = QListView()
    qtbot.addWidget(view)
    view.setItemDelegate(delegate)
    view.setModel(model)
    with qtbot.waitExposed(view):
        view.show()
    for _ in range(5):
        view.grab()
    assert model.index(0).data() is None
    assert sorted(type(error).__name__ for error in told) == ["KeyError", "TypeError"]


def test_a_failure_is_told_again_when_it_has_been_quiet(qtbot, told, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(guard.time, "monotonic", lambda: now[0])
    model = Broken()
    for later, times in ((0, 1), (9, 1), (9, 1), (11, 2)):
        now[0] += later
        model.index(0).data()
        assert len(told) == times


def test_what_qt_gets_instead_is_of_its_kind(qtbot, told):
    @guarded
    class Fails(QWidget):
        def sizeHint(self) -> QSize:
            raise RuntimeError

        def hasHeightForWidth(self) -> bool:
            raise RuntimeError

        def heightForWidth(self, width: int) -> int:
            raise RuntimeError

        def paintEvent(self, event: QPaintEvent) -> None:
            raise KeyboardInterrupt

        def event(self, event: object) -> bool:
            return super().event(event)

    @guarded
    class Never(QValidator):
        def validate(self, text: str, place: int) -> object:
            raise ValueError(text)

    widget, never = Fails(), Never()
    qtbot.addWidget(widget)
    widget.grab()
    assert QWidget.sizeHint(widget) == widget.sizeHint() == QSize()
    assert (widget.hasHeightForWidth(), widget.heightForWidth(3)) == (False, -1)
    assert never.validate("1x", 2) == (QValidator.State.Intermediate, "1x", 2)
    assert KeyboardInterrupt in map(type, told)


def test_a_hook_that_fails_too_leaves_words_and_the_program(qtbot, monkeypatch, capsys):
    def hook(*_: object) -> None:
        raise RuntimeError("no window any more")

    monkeypatch.setattr(sys, "excepthook", hook)
    monkeypatch.setattr(guard, "_seen", {})
    assert Broken().index(0).data() is None
    assert "no window any more" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["paintEvent", "data", "sizeHint", "eventFilter", "validate"])
def test_every_answer_can_be_given(name):
    answer = answer_of(name)
    assert answer is not None
    answer()


RAISES = """
    import sys
    from PySide6.QtCore import QAbstractListModel
    from PySide6.QtWidgets import QApplication, QListView, QStyledItemDelegate
    from explorer.gui.style.guard import guarded

    wrap = guarded if sys.argv[1] == "guarded" else lambda made: made

    @wrap
    class Model(QAbstractListModel):
        def rowCount(self, parent=None):
            return 1
        def data(self, index, role=0):
            return len(None)

    @wrap
    class Delegate(QStyledItemDelegate):
        def paint(self, painter, option, index):
            index.data(256)

    app = QApplication([])
    model, delegate, view = Model(), Delegate(), QListView()
    view.setModel(model)
    view.setItemDelegate(delegate)
    view.show()
    for _ in range(20):
        app.processEvents()
        view.grab()
    print("alive")
"""


def test_an_exception_inside_data_does_not_end_the_process(tmp_path):
    program = textwrap.dedent(RAISES)
    done = subprocess.run(
        [sys.executable, "-c", program, "guarded"],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "alive"
    assert done.stderr.count("TypeError") == 1
