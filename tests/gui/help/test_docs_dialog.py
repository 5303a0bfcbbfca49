"""Help leads to the documentation that ships."""

import re

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

from explorer.gui.help.docs_dialog import PAGES, DocsDialog, page_text
from explorer.system.paths import Paths
from tests.gui.controls_of import nameless

DOCS = Paths.default().resources.parent / "docs"


def test_the_menu_opens_the_overview(desk):
    desk.window.do("docs")
    dialog = desk.window.docs
    assert dialog.isVisible()
    assert nameless(dialog) == []
    assert "See what GPT-2 really writes" in dialog.text.toPlainText()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_there_and_can_be_read(desk, name):
    dialog = desk.window.docs
    dialog.show_page(name)
    (title,) = re.findall(r"^# (.+)", page_text(DOCS, name), re.MULTILINE)
    text = dialog.text.toPlainText()
    assert text.startswith(title)
    assert len(text) > 500
    assert "![" not in page_text(DOCS, name)


def test_links_between_pages_open_here_and_those_to_the_web_outside(qtbot, monkeypatch):
    dialog = DocsDialog(DOCS)
    qtbot.addWidget(dialog)
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    dialog.show_page("README.md")
    dialog.text.anchorClicked.emit(QUrl("docs/models.md"))
    assert dialog.pages.currentItem().text() == PAGES["models.md"]
    dialog.text.anchorClicked.emit(QUrl("memory.md#gpu"))
    assert dialog.pages.currentItem().text() == PAGES["memory.md"]
    dialog.text.anchorClicked.emit(QUrl("architecture.md"))
    dialog.text.anchorClicked.emit(QUrl("file:///etc/passwd"))
    assert opened == []
    dialog.text.anchorClicked.emit(QUrl("https://example.com/"))
    assert opened == ["https://example.com/"]


def test_a_page_that_is_missing_says_so(qtbot, tmp_path):
    dialog = DocsDialog(tmp_path / "docs")
    qtbot.addWidget(dialog)
    dialog.show_page()
    assert "missing from the installation" in dialog.text.toPlainText()
