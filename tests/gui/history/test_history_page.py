import pytest

from explorer.core.recipe import Recipe
from explorer.gui.history.history_page import (
    EMPTY,
    KEEP_RATE,
    ON_PROMPT,
    UNCONDITIONAL,
    HistoryPage,
)
from tests.gui.controls_of import nameless
from tests.gui.library_access import LibraryAccess, cards, shown


@pytest.fixture
def page(library_access, qtbot):
    return shown(HistoryPage(library_access.history, library_access.words), qtbot, 1000, 700)


@pytest.fixture
def hunts(library_access, page):
    first = library_access.hunt("A miller had three daughters.")
    library_access.keep("a keep", 2, first)
    library_access.attempt(first, "unjudged")
    second = library_access.hunt("", Recipe(top_k=0, temperature=0.8))
    library_access.attempt(second, "skipped", "skipped")
    page.refresh()
    return first.id, second.id


def test_every_control_has_a_name(page, hunts):
    assert nameless(page) == []


def test_an_empty_history_says_what_belongs_there(page):
    page.refresh()
    assert page.list.nothing.text() == EMPTY
    assert not page.detail.isVisible()


def test_hunts_are_newest_first_with_their_counts(page, hunts):
    second, first = cards(page)
    assert (second.words, second.human, second.lead) == (UNCONDITIONAL, False, "1 try")
    assert second.rest.startswith("1 skipped · top-k off · T 0.8 · demo cpu-int8 · ")
    assert (first.words, first.human, first.lead) == (
        "A miller had three daughters.",
        True,
        "4 tries",
    )
    assert first.rest.startswith("1 kept · 2 rejected · 1 unjudged · k 40 · T 1.0")
    assert page.amount.text() == "2 hunts"


def test_hunts_that_read_one_prompt_as_different_tokens_look_different(page, library_access):
    for ids in (None, (7,), (7,)):
        library_access.hunt("<|user|>", ids=ids)
    other = library_access.hunt("another prompt")
    page.refresh()
    unlike, token, again, letters = cards(page)
    assert "prompt of" not in unlike.rest
    assert token.rest.startswith("prompt of 1 token · ")
    assert again.rest.startswith("prompt of 1 token · ")
    assert letters.rest.startswith("prompt of 8 tokens · ")
    page.list.choose(other.id)
    assert page._facts["Read as"].text() == "14 tokens"


def test_the_chosen_hunt_is_shown_in_full_and_reopened(page, hunts, qtbot):
    page.list.choose(hunts[0])
    assert page.prompt.text() == "A miller had three daughters."
    assert page.tally.text() == "4 tries · 1 kept · 2 rejected · 1 unjudged"
    with qtbot.waitSignal(page.reopen) as reopened:
        page.reopen_button.click()
    assert reopened.args == [hunts[0]]


def test_deleting_asks_first_and_names_what_goes_and_what_stays(page, hunts, library_access):
    page.list.choose(hunts[0])
    page.delete_button.click()
    words = page.question.words.text()
    for part in (
        "the 4 texts",
        "1 kept sample",
        "prompt",
        "What stays",
        "1 kept · 2 rejected · 1 unjudged",
        "cannot be undone",
    ):
        assert part in words
    page.question.spare_button.click()
    assert not page.question.isVisible()
    assert len(library_access.history.ids()) == 2


def test_a_confirmed_deletion_leaves_the_counts(page, hunts, library_access, qtbot):
    page.list.choose(hunts[0])
    page.delete_button.click()
    with qtbot.waitSignal(page.deleted) as deleted:
        page.question.act_button.click()
    assert deleted.args == [hunts[0], "A miller had three daughters."]
    assert library_access.history.ids() == [hunts[1]]
    assert page.remains.text() == "Deleted for good: 1 hunt with 4 tries; their counts remain."
    assert page.list.current() == hunts[1]


def test_a_second_enter_does_not_delete(page, hunts, library_access, qtbot):
    page.activateWindow()
    page.list.choose(hunts[0])
    page.delete_button.click()
    qtbot.waitUntil(page.question.spare_button.hasFocus)
    page.focusWidget().click()
    assert len(library_access.history.ids()) == 2


def test_choosing_another_hunt_forgets_the_question(page, hunts):
    page.list.choose(hunts[0])
    page.delete_button.click()
    page.list.choose(hunts[1])
    assert not page.question.isVisible()


def test_a_streaming_hunt_cannot_be_deleted(page, hunts):
    page.list.choose(hunts[0])
    page.delete_button.click()
    page.set_running(hunts[0])
    assert not page.delete_button.isEnabled()
    assert not page.question.isVisible()
    assert "stop it first" in page.delete_button.toolTip()
    page.set_running(None)
    assert page.delete_button.isEnabled()


def test_a_refresh_keeps_the_choice(page, hunts, library_access):
    page.list.choose(hunts[0])
    library_access.attempt(library_access.hunt("new"), "text")
    page.refresh()
    assert page.list.current() == hunts[0]
    assert len(cards(page)) == 3


def test_the_filter_looks_into_the_prompt(page, hunts, qtbot):
    page.list.filter.setText("miller")
    qtbot.waitUntil(lambda: not page.list.filtering())
    assert list(page.list.model.ids()) == [hunts[0]]


def test_a_read_only_library_says_why_it_deletes_nothing(tmp_path, qtbot):
    library_access = LibraryAccess(tmp_path)
    library_access.keep("a sample")
    library_access.close()
    reading = LibraryAccess(tmp_path, writable=False)
    page = HistoryPage(reading.history)
    qtbot.addWidget(page)
    page.show()
    page.refresh()
    page.delete_button.click()
    with qtbot.waitSignal(page.message):
        page.question.act_button.click()
    assert len(cards(page)) == 1
    reading.close()


def test_the_keep_rate_of_a_hunt_and_of_all_on_its_prompt(page, library_access, qtbot):
    first = library_access.hunt("shared")
    library_access.keep("a keep", 6, first)
    second = library_access.hunt("shared")
    library_access.keep("another keep", 2, second)
    library_access.keep("elsewhere", 4, library_access.hunt("alone"))
    page.refresh()
    page.list.choose(first.id)
    own, together = page._facts[KEEP_RATE], page._facts[ON_PROMPT]
    assert own.text().startswith("1 of 7 kept; ")
    qtbot.waitUntil(lambda: together.text().endswith(" · 2 hunts"))
    assert together.text().startswith("2 of 10 kept; ")
    assert "Wilson score" in together.toolTip()
    library_access.attempt(second, "no", "rejected")
    page.refresh()
    qtbot.waitUntil(lambda: together.text().startswith("2 of 11 kept; "))


def test_a_hunt_without_a_verdict_has_a_keep_rate_in_words(page, hunts, qtbot):
    page.list.choose(hunts[1])
    qtbot.waitUntil(lambda: page._facts[ON_PROMPT].text() == "nothing judged yet · 1 hunt")
    assert page._facts[KEEP_RATE].text() == "nothing judged yet"
    assert page._facts[KEEP_RATE].toolTip() == ""


def test_a_damaged_hunt_on_the_prompt_is_said(page, library_access, qtbot):
    first = library_access.hunt("shared")
    library_access.keep("a keep", 1, first)
    second = library_access.hunt("shared")
    spoilt = library_access.attempt(second, "x", "rejected")
    library_access.database.execute("PRAGMA ignore_check_constraints = 1")
    library_access.database.execute("DROP TRIGGER verdicts_are_append_only")
    library_access.database.execute(
        f"UPDATE verdicts SET verdict = 'loved' WHERE try_id = {spoilt}"
    )
    page.refresh()
    page.list.choose(first.id)
    qtbot.waitUntil(lambda: "damaged" in page._facts[ON_PROMPT].text())
    assert page._facts[KEEP_RATE].text().startswith("1 of 2 kept")
