"""The tests see the fonts that they were given, whatever else is installed."""

import os
import subprocess
import sys

import pytest
from PySide6.QtGui import QFontDatabase, QFontInfo
from PySide6.QtWidgets import QApplication

from explorer.gui.style import theme
from tests import fonts

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="fonts are pinned on Linux only"
)


def test_the_interface_has_the_family_of_this_run_and_no_other(qapp, request):
    theme.apply(qapp, theme.Theme(theme.LIGHT))
    assert QFontInfo(QApplication.font()).family() == request.config.getoption("--font")
    aliases = {"Sans Serif", "Serif", "Monospace"}  # which Qt adds on Linux
    found = set(QFontDatabase.families()) - aliases
    assert found == {*fonts.FAMILIES, "DejaVu Sans Mono"}


@pytest.mark.parametrize("family", fonts.FAMILIES)
def test_a_program_gets_the_family_that_it_is_given(tmp_path, family):
    program = (
        "from PySide6.QtGui import QFontInfo; from PySide6.QtWidgets import QApplication\n"
        "app = QApplication([]); print(QFontInfo(app.font()).family())"
    )
    environment = os.environ | fonts.install(family, tmp_path)
    command = [sys.executable, "-c", program.replace("\\\\n", "\\n")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == family, done.stderr


def test_what_is_absent_is_named_by_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "places", lambda: [tmp_path])
    (tmp_path / "NotoSans-Regular.ttf").touch()
    assert fonts.missing() == ["fonts-dejavu-core", "fonts-urw-base35"]
