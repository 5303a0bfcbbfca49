from pathlib import Path

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QPushButton

from explorer.gui.settings.settings_page import SettingsPage
from tests.gui.controls_of import nameless


@pytest.fixture
def page(qtbot, tmp_path):
    library = tmp_path / "library.sqlite"
    library.touch()
    page = SettingsPage([("Library", library), ("Models", tmp_path)])
    qtbot.addWidget(page)
    page.show()
    return page


def test_every_control_has_a_name(page):
    assert nameless(page) == []


def test_it_shows_what_is_set_and_reports_nothing(page, qtbot):
    with qtbot.assertNotEmitted(page.threads_changed):
        page.set_threads(3)
    page.set_theme("dark")
    page.set_text_size(14.5)
    page.set_device("cuda", "CPU runs: no NVIDIA driver was found.")
    assert page.themes.checkedButton().text() == "Dark"
    assert page.text_size.text() == "14.5 px"
    assert page.devices.checkedId() == 1
    assert page.device_note.text() == "CPU runs: no NVIDIA driver was found."
    assert page.threads.value() == 3


@pytest.mark.parametrize(("number", "mode"), [(0, "system"), (1, "light"), (2, "dark")])
def test_a_theme_is_reported(page, qtbot, number, mode):
    with qtbot.waitSignal(page.theme_changed) as changed:
        page.themes.button(number).click()
    assert changed.args == [mode]


@pytest.mark.parametrize(("number", "wish"), [(0, "auto"), (1, "cuda"), (2, "cpu")])
def test_a_device_is_reported(page, qtbot, number, wish):
    with qtbot.waitSignal(page.device_changed) as changed:
        page.devices.button(number).click()
    assert changed.args == [wish]


@pytest.mark.parametrize(("words", "step"), [("A−", -1), ("A+", 1), ("Reset", 0)])
def test_another_text_size_is_asked_for(page, qtbot, words, step):
    button = next(each for each in page.findChildren(QPushButton) if each.text() == words)
    with qtbot.waitSignal(page.text_size_asked) as asked:
        button.click()
    assert asked.args == [step]


def test_threads_are_reported(page, qtbot):
    with qtbot.waitSignal(page.threads_changed) as changed:
        page.threads.setValue(2)
    assert changed.args == [2]


def test_a_file_is_shown_in_its_folder(page, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(QDesktopServices, "openUrl", shown.append)
    for button in page.findChildren(QPushButton):
        if button.text() == "Show":
            button.click()
    assert shown == [QUrl.fromLocalFile(str(Path(tmp_path)))] * 2


def test_a_folder_that_nothing_can_show_is_named(page, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: False)
    button = next(each for each in page.findChildren(QPushButton) if each.text() == "Show")
    with qtbot.waitSignal(page.message) as message:
        button.click()
    assert str(tmp_path) in message.args[0]
