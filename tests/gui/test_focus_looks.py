"""Whoever walks the window by the Tab key sees where he is, comes everywhere, and comes back."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from explorer.engine.hardware.device import Option
from explorer.gui.window.main_window import COLLECTION, EXPLORE, HISTORY, MODELS, SETTINGS
from tests.gui.models.test_models_page import DEMO, GPT2
from tests.gui.scripted_works import ScriptedWorks

AROUND = 16
"""Pixels around a widget that may show its focus, such as the frame of a lane."""
LEAST = 24
"""Pixels that must differ: more than a text cursor alone has."""


def picture(window: QWidget, widget: QWidget) -> QImage:
    """Return how a widget and its surroundings are painted just now."""
    place = QRect(widget.mapTo(window, QPoint()), widget.size())
    around = place.adjusted(-AROUND, -AROUND, AROUND, AROUND)
    return window.grab(around).toImage().convertToFormat(QImage.Format.Format_RGB32)


def differing(one: QImage, other: QImage) -> int:
    assert one.size() == other.size()
    pixels = [np.frombuffer(bits.constBits(), np.uint32) for bits in (one, other)]
    return int(np.count_nonzero(pixels[0] != pixels[1]))


def walk(window: QWidget, key: Qt.Key = Qt.Key.Key_Tab) -> list[QWidget]:
    """Press Tab until the focus is where it was; return what had it, in that order."""
    first = window.focusWidget()
    met = [first]
    while True:
        held = Qt.KeyboardModifier.ShiftModifier if key == Qt.Key.Key_Backtab else 0
        QTest.keyClick(window.focusWidget(), key, Qt.KeyboardModifier(held))
        here = window.focusWidget()
        if here is first:
            return met
        assert here not in met, f"the Tab key never leaves {name(here)}"
        met.append(here)


def name(widget: QWidget) -> str:
    return f"{type(widget).__name__} {widget.accessibleName()!r}"


def open_sample(window) -> None:
    window.panel.list.opened.emit(window.panel.list.model.ids()[0])


PAGES = {
    "explore": lambda window: window.show_page(EXPLORE),
    "collection": lambda window: window.show_page(COLLECTION),
    "history": lambda window: window.show_page(HISTORY),
    "models": lambda window: window.show_page(MODELS),
    "catalogue": lambda window: window.do("download_model"),
    "settings": lambda window: window.show_page(SETTINGS),
}
DIALOGS = {
    "tries": (lambda window: window.do("all_tries"), "tries"),
    "export": (lambda window: window.do("export"), "export"),
    "sample": (open_sample, "sample_view"),
}


def prepare(desk, theme: str):
    """Return the window after a hunt with a keep, with two models on their page."""
    window = desk.window
    window.do(f"theme_{theme}")
    desk.generate("Hello", "one two", "three", "four", "five")
    desk.finish()
    window.do("keep")
    desk.tick()
    window.models.model_jobs.models = lambda: [DEMO, GPT2]
    window.models_page.set_models([DEMO, GPT2], ("demo", "cpu-int8"))
    return window


def blind(window: QWidget, met: list[QWidget], away: QWidget) -> list[str]:
    """Return which of these look the same with the focus and with the focus on ``away``."""
    found = []
    for widget in met:
        widget.setFocus(Qt.FocusReason.TabFocusReason)
        with_focus = picture(window, widget)
        (met[0] if widget is away else away).setFocus(Qt.FocusReason.TabFocusReason)
        if differing(with_focus, picture(window, widget)) < LEAST:
            found.append(name(widget))
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_every_stop_of_the_tab_key_shows_that_it_has_the_focus(desk, page, theme):
    window = prepare(desk, theme)
    PAGES[page](window)
    met = walk(window)
    navigation = window.navigation.buttons[window.pages.currentIndex()]
    assert navigation in met
    assert walk(window, Qt.Key.Key_Backtab) == [met[0], *reversed(met[1:])]
    # The rail chooses nothing by having the focus, and is far away.
    assert blind(window, met, navigation) == []


def test_every_page_takes_the_keyboard_and_the_rail_keeps_it(desk):
    window = prepare(desk, "light")
    for page in (EXPLORE, COLLECTION, HISTORY, MODELS, SETTINGS, HISTORY, EXPLORE):
        window.do(f"page_{page}")
        here = window.focusWidget()
        assert window.pages.currentWidget().isAncestorOf(here), name(here)
    navigation = window.navigation.buttons
    navigation[EXPLORE].setFocus(Qt.FocusReason.TabFocusReason)
    for page in (COLLECTION, HISTORY, MODELS, SETTINGS):
        QTest.keyClick(window.focusWidget(), Qt.Key.Key_Down)
        assert window.pages.currentIndex() == page
        assert navigation[page].hasFocus()
    window.do(f"page_{HISTORY}")
    assert navigation[HISTORY].hasFocus()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("dialog", DIALOGS)
def test_dialogs_are_walked_likewise(desk, dialog, theme):
    window = prepare(desk, theme)
    show, attribute = DIALOGS[dialog]
    show(window)
    opened = getattr(window, attribute)
    assert opened.isVisible()
    opened.activateWindow()
    desk.qtbot.waitUntil(opened.isActiveWindow)
    met = walk(opened)
    assert len(met) > 1
    assert blind(opened, met, met[-1]) == []


def test_devices_that_are_found_later_keep_their_place_in_the_order(desk):
    window = desk.window
    window.settings.set_options([Option("cpu", "CPU, 2 cores", True)])
    window.show_page(SETTINGS)
    names = [widget.accessibleName() for widget in walk(window)]
    device = next(number for number, each in enumerate(names) if each.startswith("Device"))
    assert names[device - 1] == "Text size as in the beginning"
    assert names[device + 1] == "Threads on the CPU"


def press(desk, button) -> QWidget:
    """Press Space on a button; return what has the focus then."""
    button.setFocus(Qt.FocusReason.TabFocusReason)
    assert button.hasFocus()
    QTest.keyClick(button, Qt.Key.Key_Space)
    desk.tick()
    QApplication.processEvents()
    return desk.window.focusWidget()


@pytest.mark.parametrize("verdict", ["keep", "reject", "skip"])
def test_a_verdict_and_its_undo_by_their_buttons_stay_in_their_lane(desk, verdict):
    window = prepare(desk, "light")
    lane = desk.lanes[2]
    here = press(desk, getattr(lane, verdict))
    assert lane.isAncestorOf(here), name(here)
    here = press(desk, lane._undo)
    assert lane.isAncestorOf(here), name(here)
    assert window.isActiveWindow()


@pytest.mark.parametrize("what", ["verify", "measure", "make"])
def test_a_button_of_a_model_that_goes_to_sleep_hands_the_focus_to_its_task(desk, what):
    window = prepare(desk, "light")
    works = ScriptedWorks()
    window.models.model_jobs._works = works.works
    window.show_page(MODELS)
    page = window.models_page
    page.list.choose("gpt2")
    details = page.details
    button = details.builds.rows["cpu-int4"].make if what == "make" else getattr(details, what)
    here = press(desk, button)
    assert works.jobs
    assert not button.isEnabled()
    assert page.tasks.isAncestorOf(here), name(here)
    works.last.fail("No.")
    window.models.model_jobs._on_tick()
    assert page.tasks.isAncestorOf(window.focusWidget())
