"""Numbers as people of several languages type them: read as they are meant, or kept and refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal as Exact
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QLocale, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication

import explorer.gui
from explorer.gui.explore.recipe_panel import RecipePanel
from explorer.gui.explore.seed_field import SeedField
from explorer.gui.fields.number_fields import Decimal, Number
from explorer.gui.fields.number_text import Form, UnreadableNumberError
from explorer.gui.settings.settings_page import SettingsPage

LOCALES = ("en_US", "de_DE", "fr_FR", "ar_EG", "fa_IR", "hi_IN", "de_CH")
SHOWN = {
    "en_US": "0.70",
    "de_DE": "0,70",
    "fr_FR": "0,70",
    "ar_EG": "٠٫٧٠",
    "fa_IR": "۰٫۷۰",
    "hi_IN": "0.70",
    "de_CH": "0.70",
}
SEVEN_TENTHS = (
    "0.7",
    "0,7",
    ".7",
    ",70",
    "٠٫٧",
    "۰٫۷",
    "۰.۷",
    "０．７",
    "०.७",
    " 0.7 ",
    "\u200f0,7",
)


@pytest.fixture(params=LOCALES)
def locale(request: pytest.FixtureRequest) -> Iterator[str]:
    before = QLocale()
    QLocale.setDefault(QLocale(request.param))
    yield request.param
    QLocale.setDefault(before)


@pytest.fixture
def german() -> Iterator[None]:
    before = QLocale()
    QLocale.setDefault(QLocale("de_DE"))
    yield
    QLocale.setDefault(before)


def shown(qtbot, field):
    qtbot.addWidget(field)
    field.show()
    field.activateWindow()
    qtbot.waitUntil(field.isActiveWindow)
    if not isinstance(field, RecipePanel):
        field.setFocus()
        qtbot.waitUntil(field.hasFocus)
        field.selectAll()
    return field


@pytest.fixture
def temperature(qtbot):
    return lambda: shown(qtbot, Decimal("Temperature", 0, 100, 0.05))


def typed(field, text):
    """Type as a person does, key by key, over what is selected."""
    for char in text:  # QTest's own keys end with the letters of Latin-1
        for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            event = QKeyEvent(kind, Qt.Key.Key_unknown, Qt.KeyboardModifier.NoModifier, char)
            QApplication.sendEvent(field, event)


def leave(qtbot, field):
    field.clearFocus()
    qtbot.waitUntil(lambda: not field.hasFocus())


@pytest.mark.parametrize("text", SEVEN_TENTHS)
def test_every_decimal_sign_means_the_same_in_every_language(locale, temperature, qtbot, text):
    field = temperature()
    typed(field, text)
    assert field.value() == 0.7
    assert field.text() == text, "nothing is rewritten while somebody types"
    leave(qtbot, field)
    assert (field.value(), field.text(), field.problem) == (0.7, SHOWN[locale], "")


def test_what_is_shown_is_read_again(locale, temperature):
    field = temperature()
    for value in (0, 0.05, 0.125, 1, 1.25, 99.999):
        field.setValue(value)
        text = field.text()
        field.selectAll()
        typed(field, text)
        assert (field.value(), field.problem) == (value, ""), text


def test_whole_numbers_too(locale, qtbot):
    field = shown(qtbot, Number("Max tokens", 1, 1_000_000))
    for text in ("12345", "١٢٣٤٥", "۱۲۳۴۵", "１２３４５"):
        field.setValue(7)
        field.selectAll()
        typed(field, text)
        assert (field.value(), field.problem) == (12345, ""), text
    leave(qtbot, field)
    written = field.text()
    field.setFocus()
    field.selectAll()
    typed(field, written)
    assert (field.value(), field.problem) == (12345, "")


REFUSED = (
    *("1,234.5", "1.234,5", "1'234", "1 234", "1.2.3", "1_0", "1٬234", "0..7", "0,.7"),
    *("abc", "-1", "+1", "1e1", "0x1", "nan", "½", "²", "0.1234", "101", "100,001", "1" * 99),
)


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_read_stays_and_says_why(locale, temperature, qtbot, text):
    field = temperature()
    field.setValue(0.5)
    field.selectAll()
    heard = []
    field.valueChanged.connect(heard.append)
    typed(field, text)
    heard.clear()
    before = field.value()
    assert field.problem.endswith(".")
    leave(qtbot, field)
    assert (field.text(), field.value(), heard) == (text, before, [])
    assert field.problem in field.toolTip()
    assert field.property("role") == "unreadable"
    field.setFocus()
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert field.text() == text
    field.selectAll()
    typed(field, "0.9")
    assert (field.problem, field.toolTip(), field.property("role")) == ("", "", "")
    leave(qtbot, field)
    assert field.value() == 0.9


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("en_US", "1.250", 1.25),
        ("en_US", "1,250", None),
        ("de_DE", "1,250", 1.25),
        ("de_DE", "1.250", None),
        ("ar_EG", "1٫250", 1.25),
        ("fa_IR", "1.250", None),
        ("de_DE", "0.125", 0.125),
        ("de_DE", "1.25", 1.25),
    ],
)
def test_a_sign_between_thousands_is_never_a_decimal_sign(temperature, name, text, value):
    before = QLocale()
    QLocale.setDefault(QLocale(name))
    try:
        field = temperature()
    finally:
        QLocale.setDefault(before)
    typed(field, text)
    assert (field.value() if not field.problem else None) == value
    if value is None:
        assert "1250" in field.problem


@pytest.mark.parametrize("text", ["1,234", "1.234", "1.5", "1,5", "1 000", "1'000", "1.0"])
def test_a_whole_number_has_no_signs(locale, qtbot, text):
    field = shown(qtbot, Number("Top-k", 0, 1_000_000))
    typed(field, text)
    leave(qtbot, field)
    assert field.problem
    assert field.text() == text


def test_what_was_begun_is_not_marked_yet_and_what_is_empty_comes_back(temperature, qtbot):
    field = temperature()
    field.setValue(0.5)
    field.selectAll()
    typed(field, ",")
    assert field.problem == ""
    leave(qtbot, field)
    assert (field.text(), bool(field.problem)) == (",", True)
    field.setFocus()
    field.lineEdit().clear()
    leave(qtbot, field)
    assert (field.value(), field.problem) == (0.5, "")
    assert field.text() == SHOWN["en_US"].replace("7", "5")


def test_arrow_keys_step_from_the_value(temperature, qtbot):
    field = temperature()
    field.setValue(0.5)
    field.selectAll()
    typed(field, "x")
    qtbot.keyClick(field, Qt.Key.Key_Up)
    assert (field.value(), field.problem) == (0.55, "")


def test_a_value_from_elsewhere_replaces_what_could_not_be_read(temperature, qtbot):
    field = temperature()
    field.setValue(0.5)
    field.selectAll()
    typed(field, "0.5x")
    leave(qtbot, field)
    field.setValue(0.6)
    assert (field.text(), field.problem) == ("0.60", "")
    field.setValue(0.5)
    assert (field.text(), field.problem) == ("0.50", "")


def test_the_words_of_settings(locale, qtbot):
    page = SettingsPage()
    qtbot.addWidget(page)
    for field, word in ((page.unload, "never"), (page.threads, "one a core")):
        assert field.text() == word
        field.setValue(7)
        field.lineEdit().setText(word)
        field.interpretText()
        assert (field.value(), field.problem) == (0, "")
        field.lineEdit().setText("1.5")
        field.interpretText()
        assert field.problem
        assert field.text() == "1.5"
        field.lineEdit().setText("５")
        field.interpretText()
        assert field.value() == 5
    page.unload.lineEdit().setText("30 min")
    page.unload.interpretText()
    assert page.unload.value() == 30


@pytest.mark.parametrize("text", ["1.5", "1,234", "-1", "x", "1 2", str(2**64), "²"])
def test_a_seed_that_is_none_is_kept_and_refused(locale, qtbot, text):
    field = shown(qtbot, SeedField())
    typed(field, text)
    assert field.text() == text
    assert field.problem
    assert field.seed() is None
    field.selectAll()
    typed(field, "１２")
    assert (field.seed(), field.problem) == (12, "")


def test_a_recipe_with_such_a_field_says_so_and_does_not_start(qtbot):
    panel = shown(qtbot, RecipePanel())
    number = panel.temperature.number
    number.setFocus()
    number.selectAll()
    typed(number, "0.7.1")
    assert panel.unreadable().startswith("Temperature: ")
    assert panel.temperature.note.text() == number.problem
    assert not panel.settle()
    assert number.hasFocus()
    panel.temperature.slider.setValue(10)
    assert panel.settle()
    assert panel.temperature.note.text() != ""
    panel.seed_field.setText("1.5")
    assert not panel.settle()
    assert panel.unreadable().startswith("Seed: ")
    panel.set_seed(3)
    assert panel.settle()


def test_a_recipe_does_not_rewrite_what_is_being_typed(qtbot, german):
    panel = shown(qtbot, RecipePanel())
    panel.recipe_changed.connect(panel.recipe)
    number = panel.temperature.number
    number.setFocus()
    number.selectAll()
    typed(number, "0.7")
    assert number.text() == "0.7"
    assert panel.recipe().temperature == 0.7


def test_no_field_reads_numbers_in_another_way():
    files = Path(explorer.gui.__file__).parent.rglob("*.py")
    found = {f.name for f in files if re.search(r"Q(Double)?SpinBox\b", f.read_text("utf-8"))}
    assert found == {"number_fields.py", "typed_number.py", "stylesheet.py"}


def test_numbers_are_exact():
    form = Form(Exact(0), Exact(2**64 - 1))
    assert form.read(str(2**64 - 1)) == 2**64 - 1
    with pytest.raises(UnreadableNumberError, match="from 0 to 18446744073709551615"):
        form.read(str(2**64))
