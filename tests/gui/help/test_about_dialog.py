"""About: what runs is said, whose work is inside can be read, and what is copied names nobody."""

import json
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel

from explorer.gui.help.about_dialog import AboutDialog, unnamed
from explorer.system.licences import Licence, write
from explorer.system.paths import Paths
from explorer.system.version import version

RESOURCES = Paths.default().resources
COMMIT = "0123456789ab"


@pytest.fixture
def packaged(tmp_path):
    """The resources of a packaged program, as build.spec writes them."""
    (tmp_path / "build.json").write_text(json.dumps({"commit": COMMIT, "kind": "cuda"}))
    inside = [
        Licence("sample-explorer", version(), "MIT", "Permission is hereby granted"),
        Licence("numpy", "9.9.9", "BSD-3-Clause", "Redistribution and use"),
        Licence("libodd", "", "", ""),
    ]
    write(tmp_path / "licences.json", inside)
    return tmp_path


@pytest.fixture
def about(packaged, qtbot):
    home = Path.home()
    places = (("Library: tries", home / "data/library.sqlite"), ("Log", Path("/srv/jane/log")))
    dialog = AboutDialog(packaged, places, lambda: "A fine CPU — chosen")
    qtbot.addWidget(dialog)
    dialog.show_now()
    return dialog


def test_it_says_what_runs(about):
    words = " ".join(label.text() for label in about.findChildren(QLabel))
    assert f"{version()}, packaged for NVIDIA GPUs, commit {COMMIT}" in words
    assert about.device.text() == "A fine CPU — chosen"
    assert "numpy 9.9.9" in words
    assert str(Path.home() / "data" / "library.sqlite") in words


def test_the_licence_of_each_part_can_be_read(about):
    names = [about.inside.itemText(n) for n in range(about.inside.count())]
    assert names == [f"sample-explorer {version()}", "numpy 9.9.9", "libodd"]
    assert "Permission is hereby granted" in about.texts.toPlainText()
    about.inside.setCurrentIndex(1)
    assert about.texts.toPlainText() == "BSD-3-Clause\n\nRedistribution and use"
    about.inside.setCurrentIndex(2)
    assert about.texts.toPlainText() == "The terms are not named."


def test_diagnostics_name_versions_and_nobody(about, qtbot):
    about.copy.click()
    copied = QGuiApplication.clipboard().text()
    assert copied == about.diagnostics()
    assert about.copied.text() == "Copied."
    assert f"Sample Explorer {version()}, packaged for NVIDIA GPUs, commit {COMMIT}" in copied
    assert "Device: A fine CPU — chosen" in copied
    assert "Inside: sample-explorer" in copied
    assert "numpy 9.9.9" in copied
    assert "Library: tries: ~/data/library.sqlite" in copied
    assert str(Path.home()) not in copied
    assert "jane" not in copied


def test_a_path_outside_the_home_is_not_told():
    assert unnamed(Path("/media/jane/models")) == "a folder of your choice"


def test_in_a_checkout_the_list_comes_from_the_environment(qtbot):
    dialog = AboutDialog(RESOURCES, (), str)
    qtbot.addWidget(dialog)
    found = {each.name: each for each in dialog.licences}
    assert dialog.licences[0].name == "sample-explorer"
    assert {"Python", "numpy", "PySide6_Essentials", "tokenizers"} <= set(found)
    for name in ("sample-explorer", "PySide6_Essentials", "numpy", "tokenizers"):
        assert found[name].terms, name
        assert len(found[name].text) > 500, name
    dialog.show_now()
    assert dialog.device.text() == "no model is loaded"
