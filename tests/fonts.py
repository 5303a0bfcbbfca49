"""The fonts that the tests see: those that `make test` installs, and no other.

Which font is the default, and which others lend it letters, is each machine's own affair, and so
are the widths of all words. A test run gets a fontconfig of its own: one family is the default,
DejaVu Sans has the signs that it lacks. Programs that a test starts inherit it.

``python -m tests.fonts`` runs the tests of the layout with every other family, as `make test` does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

FAMILIES = {
    "DejaVu Sans": ("fonts-dejavu-core", ("DejaVuSans", "DejaVuSansMono")),
    "Nimbus Sans": ("fonts-urw-base35", ("NimbusSans",)),
    "Noto Sans": ("fonts-noto-core", ("NotoSans",)),
}
"""Debian's package of each family, and how the names of its files begin. The first one is what the
tests run with; the layout tests run with the others as well. They differ in width by a seventh."""
USUAL, *OTHERS = FAMILIES
_STYLES = ("", "-Regular", "-Bold")
_KINDS = (".ttf", ".otf")
_CONFIG = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>{fonts}</dir>
  <cachedir>{cache}</cachedir>
  <match target="pattern">
    <edit name="family" mode="append_last" binding="strong">
      <string>{family}</string>
      <string>DejaVu Sans</string>
    </edit>
  </match>
</fontconfig>
"""


def places() -> list[Path]:
    """Return the folders in which fonts are installed on Linux."""
    home = Path.home()
    own = os.environ.get("XDG_DATA_HOME") or home / ".local/share"
    return [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".fonts",
        Path(own, "fonts"),
    ]


def files(family: str) -> list[Path]:
    """Return the files of a family, one for each style that there is; none if it is absent."""
    wanted = {
        beginning + style + kind
        for beginning in FAMILIES[family][1]
        for style in _STYLES
        for kind in _KINDS
    }
    found: dict[str, Path] = {}
    for folder in places():
        for path in _walk(folder):
            if path.name in wanted:
                found.setdefault(path.stem, path)
    return sorted(found.values())


def missing() -> list[str]:
    """Return the packages of the families that are not installed."""
    return [package for family, (package, _) in FAMILIES.items() if not files(family)]


def install(family: str, folder: Path) -> dict[str, str]:
    """Make ``family`` the default of every program with the environment that this returns."""
    fonts = folder / "fonts"
    fonts.mkdir(parents=True)
    for each in FAMILIES:
        for path in files(each):
            (fonts / path.name).symlink_to(path)
    config = folder / "fonts.conf"
    words = {"fonts": fonts, "cache": folder / "cache", "family": family}
    escaped = {name: escape(str(word)) for name, word in words.items()}
    config.write_text(_CONFIG.format(**escaped), encoding="utf-8")
    return {"FONTCONFIG_FILE": str(config)}


def _walk(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names)


def main() -> None:
    """Run what depends on the widths of words with the other families."""
    for family in OTHERS if sys.platform.startswith("linux") else ():
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "layout",
            "--font",
            family,
            "tests/gui",
        ]
        print(f"The layout in {family}:", flush=True)
        if code := subprocess.run(words, check=False).returncode:
            sys.exit(code)


if __name__ == "__main__":
    main()
