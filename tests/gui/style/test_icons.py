from pathlib import Path

import pytest
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

ICONS = Path(__file__).parents[3] / "resources" / "icons"
RAIL = ("explore", "collection", "history", "models", "settings")


def drawn(name, size=16):
    renderer = QSvgRenderer(str(ICONS / f"{name}.svg"))
    assert renderer.isValid()
    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    renderer.render(painter)
    painter.end()
    return image


def ink(image):
    size = image.width()
    return [image.pixelColor(x, y).alphaF() for y in range(size) for x in range(size)]


@pytest.mark.parametrize("name", [*RAIL, "app", "collection-file"])
def test_a_sign_is_there_at_16_pixels(name, qapp):
    covered = sum(ink(drawn(name)))
    assert covered > 25
    assert max(ink(drawn(name))) > 0.9


def test_signs_differ_at_16_pixels(qapp):
    pictures = {name: ink(drawn(name)) for name in RAIL}
    for one in RAIL:
        for other in RAIL:
            if one < other:
                pairs = zip(pictures[one], pictures[other], strict=True)
                assert sum(abs(a - b) for a, b in pairs) > 20, (one, other)


@pytest.mark.parametrize("name", RAIL)
def test_rail_signs_take_the_colour_of_the_theme(name):
    text = (ICONS / f"{name}.svg").read_text()
    assert 'stroke="currentColor"' in text
    assert "#" not in text
