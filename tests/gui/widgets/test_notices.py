"""Sentences above the lanes go when what they are about does."""

from explorer.core.errors import LibraryError
from explorer.engine.messages import Crashed
from explorer.gui.widgets.notices import Notices


def test_what_is_settled_goes_and_nothing_else(qtbot):
    notices = Notices()
    qtbot.addWidget(notices)
    notices.say("a", kind="hunt")
    notices.say("b", kind="writing")
    notices.say("c")
    notices.settle("hunt")
    assert notices.sentences() == ["b", "c"]
    notices.replace("b", "d")
    notices.settle("writing")
    assert notices.sentences() == ["c"]


def test_a_crash_is_said_until_the_person_goes_on(desk):
    notices = desk.window.explore.notices
    desk.generate("Once", *["one two three"] * 4)
    desk.step()
    desk.window.engine_loop._take([Crashed("The engine is gone.", restarting=True)])
    desk.engine.say_ready("cpu", "")
    desk.tick()
    assert notices.sentences() == ["The engine is gone."]
    desk.generate("Once", *["one two three"] * 4)
    assert notices.sentences() == []


def test_what_cannot_be_written_is_said_until_it_is(desk, monkeypatch):
    notices = desk.window.explore.notices
    desk.generate("Once", *["one two three four"] * 4)
    ledger, begin = desk.review._ledger, desk.review._ledger.begin_try

    def full(*_arguments):
        raise LibraryError("The disk is full.")

    monkeypatch.setattr(ledger, "begin_try", full)
    desk.step()
    assert notices.sentences() == ["The disk is full."]
    desk.step()
    assert notices.sentences() == ["The disk is full."]
    monkeypatch.setattr(ledger, "begin_try", begin)
    desk.step()
    assert notices.sentences() == []
