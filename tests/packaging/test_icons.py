"""The mark as Windows and macOS want it: containers that other programs can read."""

import struct
from pathlib import Path

import pytest
from PySide6.QtGui import QColor, QImage, QImageReader

from resources.install import icons

ICONS = Path(__file__).parents[2] / "resources" / "icons"
APP = ICONS / "app.svg"
WHITE, TEAL, AMBER = "#FFFFFF", "#256D68", "#F6C453"


@pytest.mark.parametrize("make", [icons.ico, icons.icns])
def test_an_icon_can_be_read_back(make, tmp_path, qapp):
    form = make.__name__
    if form.encode() not in QImageReader.supportedImageFormats():
        pytest.skip(f"Qt has no reader of .{form} here")
    file = tmp_path / f"app.{form}"
    file.write_bytes(make(APP))
    reader = QImageReader(str(file))
    sizes = []
    for number in range(reader.imageCount()):
        assert reader.jumpToImage(number)
        sizes.append(reader.read().width())
    wanted = icons.ICO_SIZES if form == "ico" else [size for _, size in icons.ICNS_KINDS]
    assert set(wanted) == set(sizes)


def test_the_lengths_of_a_macos_icon_add_up():
    data = icons.icns(APP)
    assert data[:4] == b"icns"
    assert struct.unpack(">I", data[4:8])[0] == len(data)
    place, kinds = 8, []
    while place < len(data):
        kinds.append(data[place : place + 4])
        place += struct.unpack(">I", data[place + 4 : place + 8])[0]
    assert place == len(data)
    assert kinds == [kind for kind, _ in icons.ICNS_KINDS]


def test_the_mark_is_crisp_at_16_pixels():
    picture = QImage.fromData(icons.png(APP, 16))
    for x, y, colour in ((2, 6, WHITE), (8, 7, WHITE), (12, 7, AMBER), (8, 5, TEAL), (1, 8, TEAL)):
        assert picture.pixelColor(x, y) == QColor(colour), (x, y)


def test_a_theme_folder_has_every_size(tmp_path):
    icons.hicolor(APP, tmp_path, "apps", "sample-explorer")
    for size in icons.HICOLOR_SIZES:
        picture = QImage(str(tmp_path / f"{size}x{size}" / "apps" / "sample-explorer.png"))
        assert (picture.width(), picture.height()) == (size, size)
    assert (tmp_path / "scalable/apps/sample-explorer.svg").read_bytes() == APP.read_bytes()


@pytest.mark.qt_log_ignore("Cannot read file")
def test_a_file_that_is_no_drawing_is_refused(tmp_path):
    (tmp_path / "none.svg").write_text("")
    with pytest.raises(ValueError, match="no SVG"):
        icons.png(tmp_path / "none.svg", 16)
