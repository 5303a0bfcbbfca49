from collections import Counter
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication, QCheckBox, QLabel, QRadioButton, QWidget

from explorer.gui.style import theme
from explorer.gui.window.main_window import EXPLORE, HISTORY

ICONS = Path(__file__).resolve().parents[3] / "resources" / "icons"


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_wcag_does():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


GROUNDS = ("background", "panel", "field")
PAIRS = [
    *((text, ground) for text in ("text", "muted", "human", "accent") for ground in GROUNDS),
    *((text, "panel") for text in ("kept", "rejected", "caution")),
    ("text", "accent_behind"), ("muted", "accent_behind"), ("accent", "accent_behind"),
    ("kept", "kept_behind"), ("text", "kept_behind"),
    ("rejected", "rejected_behind"), ("text", "rejected_behind"),
    ("on_accent", "accent"),
]  # fmt: skip


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_has_a_contrast_of_at_least_four_and_a_half(palette, text, ground):
    assert contrast(getattr(palette, text), getattr(palette, ground)) >= 4.5


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_what_is_chosen_stands_out_from_its_ground(palette):
    assert contrast(palette.accent, palette.background) >= 3
    assert contrast(palette.accent, palette.panel) >= 3


def test_every_colour_of_the_palette_can_be_asked_for(qapp):
    for palette in (theme.DARK, theme.LIGHT):
        theme.apply(qapp, theme.Theme(palette), ICONS)
        for name in theme.Palette.__slots__:
            assert theme.colour(name) == QColor(getattr(palette, name))


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK])
def test_the_stylesheet_is_filled_in(qapp, palette):
    sheet = theme.stylesheet(theme.Theme(palette, 16))
    assert "$" not in sheet
    assert sheet.count("{") == sheet.count("}")
    for line in sheet.split("url(icons:")[1:]:
        assert (ICONS / line.split(")")[0]).is_file()


def test_sizes_keep_their_proportion(qapp):
    small, large = theme.Theme(theme.LIGHT), theme.Theme(theme.LIGHT, 29)
    assert large.points(13) == pytest.approx(2 * small.points(13))
    assert large.font().pointSizeF() == pytest.approx(2 * small.font().pointSizeF(), abs=0.1)


def test_a_role_can_change_while_it_is_shown(qtbot):
    app = QApplication.instance()
    theme.apply(app, theme.Theme(theme.LIGHT), ICONS)
    label = QLabel("x")
    qtbot.addWidget(label)
    label.setProperty("role", "kept")
    label.show()
    theme.dress(label)
    before = label.palette().color(label.foregroundRole())
    theme.set_role(label, "rejected")
    assert before == QColor(theme.LIGHT.kept)
    assert label.palette().color(label.foregroundRole()) == QColor(theme.LIGHT.rejected)


def test_an_icon_follows_the_theme(qapp):
    theme.apply(qapp, theme.Theme(theme.LIGHT), ICONS)
    icon = theme.icon("history", "accent")

    def colours() -> set[str]:
        image = icon.pixmap(40, 40).toImage()
        pixels = (image.pixelColor(x, y) for x in range(40) for y in range(40))
        return {pixel.name() for pixel in pixels if pixel.alpha() == 255}

    assert theme.LIGHT.accent.lower() in colours()
    theme.apply(qapp, theme.Theme(theme.DARK), ICONS)
    assert theme.DARK.accent.lower() in colours()


def test_a_missing_icon_is_an_empty_picture(qapp):
    theme.apply(qapp, theme.Theme(theme.LIGHT), ICONS)
    assert not theme.icon("no such icon").pixmap(16, 16).isNull()


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK])
@pytest.mark.parametrize("kind", [QRadioButton, QCheckBox])
def test_a_choice_that_cannot_be_made_looks_so(qtbot, kind, palette):
    button = kind("NVIDIA GPU")
    qtbot.addWidget(button)
    button.setStyleSheet(theme.stylesheet(theme.Theme(palette)))
    can = button.grab().toImage()
    button.setEnabled(False)
    assert button.grab().toImage() != can


def test_keys_in_a_row_change_the_look_of_the_window_once(desk, monkeypatch):
    applied = []
    monkeypatch.setattr(
        "explorer.gui.window.appearance.theme.apply",
        lambda _app, look: applied.append(look.text_px),
    )
    before = desk.window.settings_store.settings.text_px
    for _ in range(3):
        desk.window.do("larger")
    assert applied == []
    desk.qtbot.waitUntil(lambda: bool(applied))
    assert applied == [before + 3]


def test_a_change_of_the_look_is_taken_up_once_by_each_lane(desk, monkeypatch):
    app = QApplication.instance()
    desk.generate("Once", "some words " * 30, "more", "and more", "and that")
    desk.finish()
    text = desk.lanes[0].text
    rewritten = []
    rewrite = type(text)._rewrite
    monkeypatch.setattr(
        type(text), "_rewrite", lambda self: (rewritten.append(self), rewrite(self))
    )
    line = text.line_height()
    theme.apply(app, theme.Theme(theme.DARK, 20.0))
    assert text.line_height() > line
    block = text.document().begin().blockFormat()
    assert block.lineHeight() == text.line_height()
    assert [rewritten.count(lane.text) for lane in desk.lanes] == [1] * len(desk.lanes)
    theme.apply(app, theme.Theme(theme.LIGHT))


class Restyled(QObject):
    """Counts how often widgets are told of another style."""

    def __init__(self, app):
        super().__init__()
        self.times = Counter()
        app.installEventFilter(self)

    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.StyleChange:
            self.times[watched] += 1
        return False


def test_a_change_of_look_styles_what_is_shown_once_and_the_rest_when_it_comes(desk, qapp):
    window = desk.window
    window.show_page(HISTORY)
    window.show_page(EXPLORE)
    window.help.show_keys()
    window.help.close()
    seen = Restyled(qapp)
    try:
        theme.apply(qapp, theme.Theme(theme.DARK, 20.0))
        hidden = (window.history, window.models_page, window.settings, window.help, window.export)
        for root in hidden:
            assert not [each for each in root.findChildren(QWidget) if each in seen.times]
        # A widget may take another role for what it shows; nobody is styled over and over.
        shown = [each for each in window.explore.findChildren(QLabel) if each.isVisible()]
        assert shown
        assert max(seen.times[each] for each in shown) <= 2
        window.show_page(HISTORY)
        assert window.history.styleSheet() == window.explore.styleSheet()
        window.help.show_keys()
        assert window.help.styleSheet() == window.explore.styleSheet()
        assert window.models_page.styleSheet() != window.explore.styleSheet()
    finally:
        qapp.removeEventFilter(seen)
        window.help.close()
        theme.apply(qapp, theme.Theme(theme.LIGHT))
