import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from explorer.gui.collection.collection_panel import EMPTY, CollectionPanel
from tests.gui.controls_of import nameless
from tests.gui.library_access import LibraryAccess, cards, shown


@pytest.fixture
def panel(library_access, qtbot):
    panel = CollectionPanel(
        library_access.samples, library_access.collections, library_access.words
    )
    library_access.show_undo(panel)
    return shown(panel, qtbot, 300, 600)


def choose(panel, words):
    panel.menu.aboutToShow.emit()
    action = next(each for each in panel.menu.actions() if each.text().startswith(words))
    action.trigger()


def name(panel, qtbot, text):
    panel.name.setText(text)
    qtbot.keyClick(panel.name, Qt.Key.Key_Return)


def test_every_control_has_a_name(panel):
    assert nameless(panel) == []


def test_an_empty_collection_says_what_belongs_there(panel):
    assert panel.list.nothing.text() == EMPTY
    assert panel.amount.text() == "0 samples"


def test_samples_are_newest_first_with_what_they_cost(panel, library_access):
    hunt = library_access.hunt()
    library_access.keep("The first\n\none of them", 0, hunt)
    library_access.keep("The second", 6, hunt)
    panel.refresh()
    assert [(card.words, card.lead, card.rest) for card in cards(panel)] == [
        ("The second", "7 tries", "k 40 · T 1.0 · demo"),
        ("The first one of them", "first try", "k 40 · T 1.0 · demo"),
    ]
    assert panel.amount.text() == "2 samples"


def test_a_card_has_more_of_a_long_text_than_any_panel_shows(panel, library_access):
    library_access.keep("word " * 1000)
    panel.refresh()
    assert len(cards(panel)[0].words) > 700


def test_removing_can_be_undone_as_long_as_it_is_the_newest_action(panel, library_access, qtbot):
    kept = [library_access.keep(f"sample {number}") for number in range(3)]
    panel.refresh()
    with qtbot.waitSignal(panel.changed):
        panel.remove_sample(kept[0])
    panel.remove_sample(kept[2])
    assert [card.words for card in cards(panel)] == ["sample 1"]
    panel.undo.setFocus()
    panel.undo.click()
    assert [card.words for card in cards(panel)] == ["sample 2", "sample 1"]
    assert not panel.undo.isVisible()
    assert panel.focusWidget() is panel.list.view
    panel.remove_sample(kept[1])
    library_access.keep("something else is done")
    panel.refresh()
    assert not panel.undo.isVisible()  # undo would take that back now


def test_the_delete_key_removes_with_undo(panel, library_access, qtbot):
    library_access.keep("sample")
    panel.refresh()
    panel.activateWindow()
    panel.list.view.setFocus()
    qtbot.waitUntil(panel.list.view.hasFocus)
    panel.list.view.setCurrentIndex(panel.list.model.index(0))
    qtbot.keyClick(panel.list.view, Qt.Key.Key_Delete)
    assert cards(panel) == []
    assert panel.undo.isVisible()


def test_a_collection_is_created_shown_and_reported(panel, library_access, qtbot):
    library_access.keep("in the first")
    choose(panel, "New")
    with qtbot.waitSignal(panel.collection_changed) as changed:
        name(panel, qtbot, "Unicorns & co")
    assert changed.args == [panel.collection()]
    assert panel.heading.text() == "Unicorns && co ▾"
    assert cards(panel) == []
    choose(panel, "Kept samples")
    assert [card.words for card in cards(panel)] == ["in the first"]


def test_a_name_that_is_taken_is_refused_with_a_sentence(panel, library_access, qtbot):
    choose(panel, "New")
    with qtbot.waitSignal(panel.message) as said:
        name(panel, qtbot, "Kept samples")
    assert "already" in said.args[0]
    assert panel.name.isVisible()  # what was typed is not lost
    qtbot.keyClick(panel.name, Qt.Key.Key_Escape)
    assert not panel.name.isVisible()
    assert len(library_access.collections.list()) == 1


@pytest.mark.parametrize(("entry", "said"), [("New", "New keeps go into"), ("Rename", "is called")])
def test_a_refusal_gives_way_to_what_is_so(panel, library_access, qtbot, entry, said):
    news = []
    panel.message.connect(news.append)
    library_access.collections.create("Taken")
    choose(panel, entry)
    name(panel, qtbot, "Taken")
    name(panel, qtbot, " Free ")
    assert "already" in news[0]
    assert said in news[-1]
    assert "“Free”" in news[-1]


def test_a_collection_is_renamed(panel, library_access, qtbot):
    choose(panel, "Rename")
    assert panel.name.text() == "Kept samples"
    name(panel, qtbot, "Favourites")
    assert panel.heading.text() == "Favourites ▾"
    assert [each.name for each in library_access.collections.list()] == ["Favourites"]


def test_a_name_is_shown_as_it_is_and_leaves_the_panel_its_width(panel, qtbot):
    choose(panel, "Rename")
    name(panel, qtbot, "Mills & <b>rivers</b>")
    assert panel.heading.text() == "Mills && <b>rivers</b> ▾"  # a single & would mark a shortcut
    choose(panel, "Rename")
    name(panel, qtbot, "wide " * 40)
    assert panel.heading.sizeHint().width() < 280
    assert panel.heading.toolTip() == ("wide " * 40).strip()


def test_a_deleted_collection_comes_back_with_its_samples(panel, library_access, qtbot):
    library_access.keep("a sample")
    panel.refresh()
    first = panel.collection()
    choose(panel, "Delete")
    with qtbot.waitSignal(panel.collection_changed):
        panel.question.act_button.click()
    assert panel.undo_words.text() == "“Kept samples” deleted with 1 sample."
    assert panel.collection() != first
    panel.undo.click()
    assert panel.collection() == first
    assert [card.words for card in cards(panel)] == ["a sample"]


def test_deleting_asks_first_where_samples_go_too(panel, library_access, qtbot):
    library_access.keep("a sample")
    library_access.keep("another one")
    panel.refresh()
    choose(panel, "Delete")
    assert "“Kept samples” with 2 samples" in panel.question.words.text()
    assert "Ctrl+Z brings all of it back" in panel.question.words.text()
    qtbot.waitUntil(panel.question.spare_button.hasFocus)
    panel.focusWidget().click()
    assert not panel.question.isVisible()
    assert [each.samples for each in library_access.collections.list()] == [2]
    choose(panel, "Delete")
    library_access.keep("a third one")
    panel.refresh()
    assert not panel.question.isVisible()  # it would take more than it said


def test_an_empty_collection_is_deleted_without_a_question(panel, library_access):
    panel.set_collection(library_access.collections.create("Empty").id)
    choose(panel, "Delete")
    assert not panel.question.isVisible()
    assert [each.name for each in library_access.collections.list()] == ["Kept samples"]
    assert panel.undo_words.text() == "“Empty” deleted."


def test_the_tries_of_a_deleted_collection_stay_readable(panel, library_access):
    hunt = library_access.hunt()
    library_access.keep("a sample", 0, hunt)
    panel.refresh()
    choose(panel, "Delete")
    panel.question.act_button.click()
    assert library_access.history.ids() == [hunt.id]
    assert [each.end.text for each in library_access.ledger.tries(hunt.id)] == ["a sample"]


def test_a_sample_moves_and_comes_back(panel, library_access, qtbot):
    key = library_access.keep("a sample")
    other = library_access.collections.create("Other")
    panel.refresh()
    panel.move_sample(key, other.id)
    assert cards(panel) == []
    panel.undo.click()
    assert [card.words for card in cards(panel)] == ["a sample"]


def test_the_menu_of_a_sample(panel, library_access, qtbot):
    key = library_access.keep("the text", 2)
    other = library_access.collections.create("Other")
    panel.refresh()
    actions = {action.text(): action for action in panel.sample_menu(key).actions()}
    actions["Copy text"].trigger()
    assert QGuiApplication.clipboard().text() == "the text"
    actions["Copy with caption"].trigger()
    copied = QGuiApplication.clipboard().text()
    assert "machine-written, 3 tries (2 rejected)" in copied
    assert "Once upon a time" in copied
    with qtbot.waitSignal(panel.opened) as opened:
        actions["Open"].trigger()
    assert opened.args == [key]
    actions["Move to"].menu().actions()[0].trigger()
    assert library_access.samples.ids(other.id) == [key]


def test_export_is_asked_for(panel, qtbot):
    with qtbot.waitSignal(panel.export_requested) as asked:
        choose(panel, "Export")
    assert asked.args == [panel.collection()]


@pytest.mark.parametrize("searched", [True, False])
def test_the_filter_looks_into_text_prompt_and_note(panel, library_access, qtbot, searched):
    panel._words = library_access.words if searched else None
    library_access.keep("about orcs")
    noted = library_access.keep("nothing")
    library_access.samples.set_note(noted, "the one with Orcs")
    library_access.keep("other", 0, library_access.hunt("Orcs and elves"))
    library_access.keep("not this one")
    panel.refresh()
    panel.list.filter.setText("ORCS")
    qtbot.waitUntil(lambda: not panel.list.filtering())
    assert [card.words for card in cards(panel)] == ["other", "nothing", "about orcs"]


def test_stepping_goes_through_the_list_and_stops_at_its_ends(panel, library_access, qtbot):
    kept = [library_access.keep(f"sample {number}") for number in range(2)]
    panel.refresh()
    panel.list.choose(kept[1])
    with qtbot.waitSignal(panel.opened) as opened:
        panel.step(1)
    assert opened.args == [kept[0]]
    with qtbot.assertNotEmitted(panel.opened):
        panel.step(1)


def test_a_read_only_library_shows_samples_and_explains_refusals(tmp_path, qtbot):
    library_access = LibraryAccess(tmp_path)
    key = library_access.keep("a sample")
    library_access.close()
    reading = LibraryAccess(tmp_path, writable=False)
    panel = CollectionPanel(reading.samples, reading.collections)
    qtbot.addWidget(panel)
    with qtbot.waitSignal(panel.message) as said:
        panel.remove_sample(key)
    assert said.args[0].endswith(".")
    assert [card.words for card in cards(panel)] == ["a sample"]
    reading.close()


def test_a_read_only_library_without_collections_is_empty(tmp_path, qtbot):
    reading = LibraryAccess(tmp_path, writable=False)
    panel = CollectionPanel(reading.samples, reading.collections)
    qtbot.addWidget(panel)
    assert cards(panel) == []
    reading.close()
