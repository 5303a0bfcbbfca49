"""A library with rows missing or spoilt: the window opens, says which, all else works."""

import sqlite3

import pytest

from explorer.gui.cards.card_model import CARD
from explorer.gui.window.main_window import HISTORY

LACKS_TEXT = "its text is missing from the library"


def damage(library, statements: str) -> None:
    """Change the library as no part of the program would."""
    connection = sqlite3.connect(library)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    guards = triggers.fetchall()
    for name, _ in guards:
        connection.execute(f"DROP TRIGGER {name}")
    connection.executescript(statements)
    for _, again in guards:
        connection.execute(again)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.fixture
def kept(desk):
    """A window that was closed after two keeps of two hunts, the second with four tries."""
    desk.generate("First prompt", "one", "two", "three", "four")
    desk.finish()
    desk.window.do("keep")
    desk.generate("Second prompt", "five", "six", "seven", "eight")
    desk.finish()
    desk.window.do("keep")
    desk.close()
    return desk


def cards(view) -> list:
    return [view.model().index(row, 0).data(CARD) for row in range(view.model().rowCount())]


MUTATIONS = [
    "DELETE FROM completions WHERE try_id = 5",
    "DELETE FROM ends WHERE try_id = 5; DELETE FROM completions WHERE try_id = 5",
    "DELETE FROM ends WHERE try_id = 5",
    "DELETE FROM tries WHERE id = 5",
    "DELETE FROM hunts WHERE id = 2",
    "DELETE FROM prompts WHERE id = 2",
    "UPDATE hunts SET model_id = 9 WHERE id = 2",
    "UPDATE hunts SET recipe = '{' WHERE id = 2",
    "UPDATE completions SET text = x'ff', ids = 'x', logprobs = 3 WHERE try_id = 5",
    "UPDATE completions SET text = CAST(x'ff' AS TEXT) WHERE try_id = 5",
    "UPDATE tries SET versions_json = '[', device = x'00', lane = 'a' WHERE id = 5",
    "UPDATE prompts SET text = CAST(x'ff' AS TEXT) WHERE id = 2",
    "UPDATE verdicts SET at = x'00' WHERE try_id = 5",
    "UPDATE samples SET note = x'00', added_at = x'00' WHERE try_id = 5",
]


@pytest.mark.parametrize("statements", MUTATIONS)
def test_the_window_opens_on_a_damaged_library_and_marks_the_row(kept, statements):
    desk = kept
    damage(desk.paths.library, statements)
    window = desk.open()
    found = cards(window.panel.list.view)
    marked = [card for card in found if card.lead == "damaged"]
    assert len(found) == 2
    assert len(marked) == 1
    assert marked[0].words.startswith("This sample is damaged: ")
    assert marked[0].tone == "caution"
    # Reading, filtering, going through the history and generating go on.
    for row in range(2):
        index = window.panel.list.model.index(row)
        window.panel.list.view.setCurrentIndex(index)
        window.panel.opened.emit(window.panel.list.model.ids()[row])
        window.sample_view.grab()
    window.panel.list.filter.setText("First")
    desk.qtbot.waitUntil(lambda: not window.panel.list.filtering())
    window.panel.list.filter.clear()
    window.show_page(HISTORY)
    page = window.history
    for row in range(page.list.model.rowCount()):
        page.list.view.setCurrentIndex(page.list.model.index(row))
        page.grab()
        page.reopen_button.click()
        window.tries.show()
        window.tries.refresh()
        window.tries.grab()
    desk.tick()
    desk.generate("Second prompt", "nine", "ten", "eleven", "twelve")
    desk.finish()
    assert desk.lanes[0].text.toPlainText().endswith("nine")
    window.do("keep")
    assert len(cards(window.panel.list.view)) == 3
    window.panel.remove_sample(5)
    assert all(card.lead != "damaged" for card in cards(window.panel.list.view))


def test_a_damaged_try_says_so_in_its_lane_and_in_the_list_of_tries(kept):
    desk = kept
    damage(desk.paths.library, "DELETE FROM completions WHERE try_id IN (5, 6)")
    window = desk.open()
    assert "a part of 2 tries of this hunt" in " ".join(window.explore.notices.sentences())
    window.tries.show()
    window.tries.refresh()
    words = [card.words for card in cards(window.tries.list.view)]
    assert words.count(f"This try is damaged: {LACKS_TEXT}.") == 2
    window.engine_loop.show_try(6, 1)
    desk.tick()
    lane = desk.review.lane_of(6)
    assert desk.review.view(lane).damage == LACKS_TEXT
    assert desk.lanes[lane]._state.text() == f"damaged: {LACKS_TEXT}"
    before = desk.review.counts
    window.engine_loop.judge(lane, "kept")
    assert desk.review.counts == before
    assert "is damaged" in window.status.news.text()
    window.engine_loop.judge_tries([5, 6], "kept")
    assert desk.review.counts == before


def test_a_damaged_hunt_is_marked_in_the_history_and_tells_no_settings(kept):
    desk = kept
    damage(desk.paths.library, "UPDATE hunts SET recipe = '{' WHERE id = 2")
    window = desk.open()
    assert "This hunt is damaged: its recipe cannot be read" in " ".join(
        window.explore.notices.sentences()
    )
    window.show_page(HISTORY)
    page = window.history
    page.list.choose(2)
    (card,) = (card for card in cards(page.list.view) if card.lead == "damaged")
    assert card.words == page.damage.text() == "This hunt is damaged: its recipe cannot be read."
    assert "k 40" not in card.rest
    assert page._facts["Recipe"].text() == "—"
    page.list.choose(1)
    assert page.damage.isHidden()
    assert "k 40" in page._facts["Recipe"].text()


def test_a_damaged_sample_is_read_as_far_as_it_goes(kept):
    desk = kept
    damage(desk.paths.library, "DELETE FROM completions WHERE try_id = 5")
    window = desk.open()
    window.panel.opened.emit(5)
    view = window.sample_view
    assert view.caption.text() == f"This sample is damaged: {LACKS_TEXT}."
    assert "Second prompt" in view.text.toPlainText()
    assert not view.copy.isEnabled()
    assert not view.copy_caption.isEnabled()
    view.note.setText("lost?")
    view.note.editingFinished.emit()
    window.panel.opened.emit(1)
    assert view.caption.text().startswith("Machine-written")
    assert view.copy_caption.isEnabled()
    window.panel.opened.emit(5)
    assert view.note.text() == "lost?"
