"""What takes long in a large library: in a child, seen, stoppable, and nothing else writes."""

import json
import os
import stat
import threading

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from explorer.gui.window import library_work
from explorer.library import history
from explorer.library.history import History
from explorer.library.storage.database import Database
from tests.gui.controls_of import nameless


@pytest.fixture
def large(desk, monkeypatch):
    """A window with two hunts, one with a kept sample, on a library that counts as large."""
    monkeypatch.setattr(library_work, "QUICK_SAMPLES", 0)
    monkeypatch.setattr(history, "QUICK_BYTES", 0)
    desk.generate("First prompt", "one")
    desk.finish()
    desk.window.do("keep")
    desk.generate("Second prompt", "two")
    desk.finish()
    return desk


def ask_for(desk, file):
    dialog = desk.window.export
    desk.window.do("export")
    dialog.file.setText(str(file))
    dialog.export.click()
    return dialog


def test_a_large_export_leaves_the_window_alone_and_says_how_it_went(large, qtbot, tmp_path):
    file = tmp_path / "out.jsonl"
    dialog = ask_for(large, file)
    assert large.window.library_work.exporting is not None
    assert (dialog.export.text(), dialog.export.accessibleName()) == ("Stop", "Stop")
    large.window.explore.lanes.choose(0)
    large.window.do("reject")  # judging goes on meanwhile
    assert large.review.counts.rejected == 1
    qtbot.waitUntil(lambda: large.window.library_work.exporting is None)
    assert dialog.outcome.text() == f"Wrote 1 sample to {file}."
    assert dialog.export.text() == "Export"
    assert [json.loads(line)["prompt"] for line in file.read_text().splitlines()] == [
        "First prompt"
    ]


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_an_export_into_a_pipe_does_not_hold_the_window_up(large, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(library_work, "QUICK_SAMPLES", 500)
    pipe = tmp_path / "pipe"
    beside = tmp_path / "pipe.part"
    beside.write_text("somebody's")
    os.mkfifo(pipe)
    dialog = ask_for(large, pipe)  # nobody reads yet
    assert dialog.export.text() == "Stop"
    dialog.export.click()
    assert large.window.library_work.exporting is None
    assert beside.read_text() == "somebody's"
    dialog = ask_for(large, pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    qtbot.waitUntil(lambda: large.window.library_work.exporting is None)
    reader.join()
    assert dialog.outcome.text() == f"Wrote 1 sample to {pipe}."
    assert json.loads(got[0])["prompt"] == "First prompt"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_stopped_export_leaves_no_file(large, tmp_path):
    file = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.part").write_text("half")
    dialog = ask_for(large, file)
    dialog.export.click()
    assert large.window.library_work.exporting is None
    assert "Stopped" in dialog.outcome.text()
    assert not list(tmp_path.glob("out*"))


def test_an_export_that_fails_says_why(large, qtbot, tmp_path):
    dialog = ask_for(large, tmp_path / "nowhere" / "out.jsonl")
    qtbot.waitUntil(lambda: large.window.library_work.exporting is None)
    assert "cannot be written" in dialog.outcome.text()
    assert dialog._strip.property("role") == "problem"


def delete_newest(desk):
    page = desk.window.history
    desk.window.do("page_2")
    newest = page._history.ids()[0]
    page.list.choose(newest)
    page.delete_button.click()
    page.question.act_button.click()
    return newest


def test_rule_16_a_long_deletion_keeps_everything_else_from_the_library(large, qtbot):
    work = large.window.library_work
    gone = delete_newest(large)
    assert work.sheet.isVisible()
    assert QApplication.activeModalWidget() is work.sheet
    assert nameless(work.sheet) == []
    QTest.keyClick(work.sheet, Qt.Key.Key_Escape)
    assert work.sheet.isVisible()
    qtbot.waitUntil(lambda: work.deleting is None)
    assert not work.sheet.isVisible()
    assert gone not in large.window.history._history.ids()
    assert large.review.hunt is None  # it was on the screen
    assert large.window.explore.prompt.text() == ""
    for file in large.paths.data.glob("library*"):
        assert b"Second prompt" not in file.read_bytes()
    large.generate("Third prompt", "three")  # and writing goes on
    large.finish()
    large.window.do("keep")
    assert large.window.panel.amount.text() == "2 samples"


def test_rule_16_a_deletion_that_is_put_off_is_finished_at_the_next_start(large):
    delete_newest(large)
    large.window.library_work.sheet.put_off.click()
    assert large.window.library_work.deleting is None
    assert not large.window.library_work.sheet.isVisible()
    large.close()
    with Database.open(large.paths.library) as database:
        assert database.value("SELECT count(*) FROM tombstones WHERE NOT erased") == 0
        left = len(History(database).ids())
    data = large.paths.library.read_bytes()
    assert (b"Second prompt" in data) == (left == 2)  # whole, or gone for good
    large.open()


def test_rule_16_nothing_is_deleted_while_something_streams(large):
    large.generate("Third prompt", "three four")
    large.step()
    large.window.do("page_2")
    page = large.window.history
    page.list.choose(page._history.ids()[-1])
    assert not page.delete_button.isEnabled()
    assert "stop it first" in page.delete_button.toolTip()
    large.finish()
    assert page.delete_button.isEnabled()
