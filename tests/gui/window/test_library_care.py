"""The library while the window is open: taken away, damaged, replaced, backed up."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QPushButton

from explorer import app as window_app
from explorer.gui.window import library_care
from explorer.library.storage import backups
from explorer.library.storage.database import Database
from explorer.system.paths import Paths
from tests.gui.conftest import demo
from tests.gui.scripted_engine import ScriptedEngine
from tests.library.desk import Desk
from tests.library.storage.test_backups import silent, texts
from tests.library.storage.test_integrity import change

SLOW_MS = 60_000


@pytest.fixture
def paths(tmp_path):
    return replace(Paths.default(tmp_path / "data"), bundled_models=tmp_path / "bundled")


class Started:
    """A window on a library, with a model that streams on demand."""

    def __init__(self, paths, qtbot):
        self.engine = ScriptedEngine()
        self.program = window_app.start(paths, QApplication.instance(), self.engine)
        self.window, self.care = self.program.window, self.program.care
        qtbot.addWidget(self.window)
        self.window.show()
        self.window.engine_loop.loading.load(demo(), "auto")
        self.window.engine_loop.tick()

    @property
    def sentences(self):
        return self.window.explore.notices.sentences()

    @property
    def review(self):
        return self.window.engine_loop.review

    def finish_four(self):
        self.window.do("generate")
        self.engine.finish()
        self.window.engine_loop.tick()

    def button(self, words):
        found = self.window.explore.notices.findChildren(QPushButton)
        return next(each for each in found if each.text().startswith(words))

    def close(self):
        self.window.close()
        self.program.close()


@pytest.fixture
def start(paths, qtbot):
    begun = []

    def start():
        begun.append(Started(paths, qtbot))
        return begun[-1]

    yield start
    for each in begun:
        each.close()


def filled(paths, text="kept", **how):
    desk = Desk.at(paths.library)
    desk.kept(desk.hunt(), text, **how)
    desk.database.close()


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays in its place")
@pytest.mark.parametrize("same", [True, False])
def test_a_library_that_is_removed_is_saved_with_what_was_not_written_yet(paths, start, same):
    started = start()
    started.finish_four()
    started.window.do("keep")
    started.window.do("generate")
    paths.library.unlink()
    started.engine.finish()  # these ends cannot be written any more
    started.window.engine_loop.tick()
    started.care.look()
    assert any("was removed or" in each for each in started.sentences)
    assert not started.review.writable
    assert not started.window.explore.lanes.lanes[0].keep.isEnabled()
    target = paths.library if same else paths.library.with_name("other.sqlite")
    started.care._ask = lambda _proposed: target
    started.button("Save as").click()
    assert started.review.writable
    assert started.sentences[-1].startswith(f"Saved as {target}")
    assert [each for each in started.sentences if "was removed or" in each] == []
    started.window.do("keep")
    with Database.open(target, writable=False) as database:
        assert database.value("SELECT count(*) FROM ends") == len(started.review.tries())
        assert database.value("SELECT count(*) FROM standing WHERE verdict = 'kept'") >= 1


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays in its place")
def test_saving_that_is_called_off_leaves_the_offer(paths, start):
    started = start()
    paths.library.unlink()
    started.care.look()
    started.care._ask = lambda _proposed: None
    started.button("Save as").click()
    assert started.button("Save as")
    assert not started.care.card.save.isHidden()  # for whoever dismissed the notice
    assert not started.review.writable


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays in its place")
def test_a_library_that_comes_back_is_written_again(paths, start):
    started = start()
    away = paths.library.with_name("away")
    paths.library.rename(away)
    started.care.look()
    assert not started.review.writable
    away.rename(paths.library)
    started.care.look()
    assert started.review.writable
    assert started.sentences == []


def test_a_damaged_library_is_restored_from_the_window(paths, start, qtbot):
    filled(paths)
    made = backups.back_up(silent, paths.library)
    change(paths.library, "DROP TABLE verdicts")
    started = start()
    assert "verdicts" in started.sentences[0]
    assert not started.review.writable
    started.button("Restore the backup").click()
    qtbot.waitUntil(lambda: started.care.job is None, timeout=SLOW_MS)
    assert started.review.writable
    assert started.window.panel.list.model.card(0).words == "kept"
    assert any(str(made) in each for each in started.sentences)
    started.finish_four()
    started.window.do("keep")
    started.close()
    assert len(texts(paths.library)) == 2


@pytest.mark.parametrize(("words", "left"), [("Salvage", ["kept"]), ("Start a new", [])])
def test_a_damaged_library_is_salvaged_or_left_for_a_new_one(paths, start, qtbot, words, left):
    filled(paths)
    change(paths.library, "PRAGMA user_version=-1")
    started = start()
    started.button(words).click()
    qtbot.waitUntil(lambda: started.care.job is None, timeout=SLOW_MS)
    assert started.review.writable
    started.close()
    assert texts(paths.library) == left
    assert len(list((paths.data / "kept-aside").iterdir())) == 1


def test_damaged_rows_are_said_and_the_library_is_written_on(paths, start):
    filled(paths, rejected=1)
    change(paths.library, "UPDATE prompts SET text = CAST(x'ff' AS TEXT)")
    started = start()
    assert "not UTF-8" in started.sentences[0]
    assert started.review.writable
    assert started.button("Salvage")


def test_rows_that_keep_a_window_shut_open_it_on_an_empty_library(paths, start, monkeypatch):
    filled(paths)
    ids = window_app.History.ids

    def fails(history):
        if history._database.path == paths.library:
            raise OverflowError("of a row")
        return ids(history)

    monkeypatch.setattr(window_app.History, "ids", fails)
    started = start()
    assert "of a row" in started.sentences[0]
    assert not started.review.writable


def test_another_programs_lock_at_the_start_can_be_tried_again(paths, start):
    filled(paths)
    other = sqlite3.connect(paths.library, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = start()
    assert "Another program holds" in started.sentences[0]
    assert started.window.panel.list.model.card(0).words == "kept"
    other.close()
    started.button("Try again").click()
    assert started.review.writable
    assert started.sentences == []


def test_the_backup_of_today_is_made_once_and_said_in_settings(paths, start, qtbot):
    filled(paths)
    started = start()
    assert started.care.card.made.text() == "There is no backup yet."
    started.care.begin()
    qtbot.waitUntil(lambda: started.care.job is None, timeout=SLOW_MS)
    (made,) = backups.backups(paths.library)
    assert started.care.card.made.text().startswith("1 backup, ")
    assert str(made.path) in started.care.card.news.text()
    started.care.back_up_if_due()
    assert started.care.job is None


def test_a_full_check_says_what_it_found(paths, start, qtbot):
    filled(paths)
    started = start()
    started.care.card.check.click()
    qtbot.waitUntil(lambda: started.care.job is None, timeout=SLOW_MS)
    assert "all is sound" in started.care.card.news.text()
    change(paths.library, "PRAGMA foreign_keys=OFF; DELETE FROM completions")
    started.care.card.check.click()
    qtbot.waitUntil(lambda: started.care.job is None, timeout=SLOW_MS)
    assert "without a text" in started.care.card.news.text()
    assert started.button("Salvage")


def test_what_a_check_found_is_said_until_a_check_finds_nothing(paths, start, qtbot, monkeypatch):
    filled(paths)
    started = start()
    for outcome, said in ((["a"], True), (["b"], True), ([], False)):
        monkeypatch.setattr(
            started.care,
            "_run",
            lambda _words, on_end, *_work, found=outcome: on_end(found, ""),
        )
        monkeypatch.setattr(
            library_care, "as_sentence", lambda _library, problems: "".join(problems)
        )
        started.care.check()
        assert started.sentences == (outcome if said else [])


def test_a_backup_that_failed_is_said_until_one_is_made(paths, start, monkeypatch):
    filled(paths)
    started = start()
    for trouble in ("The disk is full.", "The folder is read-only.", ""):
        monkeypatch.setattr(
            started.care, "_run", lambda _words, on_end, *_work, said=trouble: on_end("x", said)
        )
        started.care.back_up()
        assert started.sentences == [trouble] * bool(trouble)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays in its place")
@pytest.mark.parametrize("fails", [False, True])
def test_a_library_that_comes_back_while_its_name_is_asked_for_was_not_saved(paths, start, fails):
    started = start()
    away = paths.library.with_name("away")
    paths.library.rename(away)
    started.care.look()

    def ask(_proposed):
        away.rename(paths.library)
        return paths.library if fails else None  # a name that is taken is refused

    started.care._ask = ask
    started.button("Save as").click()
    assert not any("Saved as" in each for each in started.sentences)
    assert started.review.writable


def test_a_backup_that_is_chosen_in_settings_is_asked_about_first(paths, start, qtbot):
    filled(paths)
    backups.back_up(silent, paths.library)
    started = start()
    card = started.care.card
    card.restore.click()
    assert not card.question.isHidden()
    assert started.care.job is None
    card.question.act_button.click()
    qtbot.waitUntil(lambda: started.care.job is None, timeout=SLOW_MS)
    assert isinstance(started.review.hunt.id, int)
    assert Path(paths.data / "kept-aside").is_dir()
