"""The mark in the formats that desktops ask for: PNG, Windows' .ico, macOS' .icns.

All are drawn from ``resources/icons/app.svg`` with Qt, at each size anew.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

HICOLOR_SIZES = (16, 22, 24, 32, 48, 64, 128, 256, 512)
ICO_SIZES = (16, 20, 24, 32, 40, 48, 64, 256)
ICNS_KINDS = ((b"icp4", 16), (b"icp5", 32), (b"ic11", 32), (b"icp6", 64), (b"ic12", 64),
              (b"ic07", 128), (b"ic08", 256), (b"ic13", 256), (b"ic09", 512), (b"ic14", 512),
              (b"ic10", 1024))  # fmt: skip
"""Kind and pixels; ic10 to ic14 are for screens of double density."""


def png(drawing: Path, size: int) -> bytes:
    """Return an SVG drawn ``size`` pixels wide and high, as a PNG file."""
    renderer = QSvgRenderer(str(drawing))
    if not renderer.isValid():
        raise ValueError(f"{drawing} is no SVG")
    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    renderer.render(painter)
    painter.end()
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(buffer.data().data())


def ico(drawing: Path) -> bytes:
    """Return a Windows icon: a directory of pictures, then the pictures as PNG files."""
    pictures = [png(drawing, size) for size in ICO_SIZES]
    start = 6 + 16 * len(pictures)
    entries = b""
    for size, picture in zip(ICO_SIZES, pictures, strict=True):
        pixels = size % 256  # 0 stands for 256
        entries += struct.pack("<4B2H2I", pixels, pixels, 0, 0, 1, 32, len(picture), start)
        start += len(picture)
    return struct.pack("<3H", 0, 1, len(pictures)) + entries + b"".join(pictures)


def icns(drawing: Path) -> bytes:
    """Return a macOS icon: chunks of a kind, a length and a PNG file."""
    chunks = b""
    for kind, size in ICNS_KINDS:
        picture = png(drawing, size)
        chunks += kind + struct.pack(">I", 8 + len(picture)) + picture
    return b"icns" + struct.pack(">I", 8 + len(chunks)) + chunks


def hicolor(drawing: Path, theme: Path, kind: str, name: str) -> None:
    """Write an icon in all sizes into a theme folder; ``kind`` is ``apps`` or ``mimetypes``."""
    for size in HICOLOR_SIZES:
        target = theme / f"{size}x{size}" / kind / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png(drawing, size))
    target = theme / "scalable" / kind / f"{name}.svg"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(drawing.read_bytes())


def main() -> None:
    """Write ``app.ico`` and ``app.icns`` of a drawing into a folder."""
    drawing, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.ico").write_bytes(ico(drawing))
    (folder / "app.icns").write_bytes(icns(drawing))


if __name__ == "__main__":
    main()
