import pytest
from PySide6.QtGui import QGuiApplication

from explorer.gui.collection.collection_panel import CollectionPanel
from explorer.gui.collection.sample_view import SampleView
from explorer.gui.style.theme import DARK, LIGHT, Theme, apply, colour
from tests.gui.controls_of import nameless


@pytest.fixture
def kept(library_access):
    hunt = library_access.hunt("The <b>prompt</b>")
    return [
        library_access.keep(f"completion {number} <i>text</i>", number, hunt) for number in range(3)
    ]


@pytest.fixture
def panel(library_access, kept, qtbot, qapp):
    apply(qapp, Theme(LIGHT))
    panel = CollectionPanel(library_access.samples, library_access.collections)
    library_access.show_undo(panel)
    qtbot.addWidget(panel)
    panel.show()
    return panel


@pytest.fixture
def view(panel, library_access, qtbot):
    view = SampleView(library_access.samples, panel)
    qtbot.addWidget(view)
    return view


def test_every_control_has_a_name(view, panel, kept):
    panel.opened.emit(kept[0])
    assert nameless(view) == []


def test_a_sample_is_shown_in_full_with_its_provenance(view, panel, kept):
    panel.opened.emit(kept[2])
    assert view.isVisible()
    assert view.caption.text() == "Machine-written, 3 tries (2 rejected)"
    text = view.text.toPlainText()
    assert "The <b>prompt</b>" in text
    assert "completion 2 <i>text</i>" in text
    facts = " ".join(
        view._facts.itemAt(number).widget().text() for number in range(view._facts.count())
    )
    for part in (
        "k 40 · T 1.0 · max tokens 200",
        "demo, cpu-int8",
        "(drawn), try 6 of its hunt",
        "Build fingerprint ab12ab12",
        "3 tokens; max tokens reached",
        "CPU, 2 cores",
    ):
        assert part in facts


def colours(view):
    found = {}
    block = view.text.document().begin()
    while block.isValid():
        for part in block.begin():
            fragment = part.fragment()
            found[fragment.text()] = fragment.charFormat().foreground().color()
        block = block.next()
    return found


def test_prompt_and_completion_have_their_own_colours_in_every_theme(view, panel, kept, qapp):
    panel.opened.emit(kept[0])
    before = colours(view)
    assert before["The <b>prompt</b>"] == colour("human")
    assert before["completion 0 <i>text</i>"] == colour("text")
    try:
        apply(qapp, Theme(DARK))
        assert colour("human").name().upper() == DARK.human
        assert colours(view)["The <b>prompt</b>"] == colour("human")
    finally:
        apply(qapp, Theme(LIGHT))


def test_copying(view, panel, kept):
    panel.opened.emit(kept[1])
    view.copy.click()
    assert QGuiApplication.clipboard().text() == "completion 1 <i>text</i>"
    view.copy_caption.click()
    assert "machine-written, 2 tries (1 rejected)" in QGuiApplication.clipboard().text()


def test_a_note_is_saved_when_the_window_closes_or_moves_on(view, panel, library_access, kept):
    panel.opened.emit(kept[0])
    view.note.setText("the best")
    view.close()
    assert library_access.samples.get(kept[0]).note == "the best"
    panel.opened.emit(kept[0])
    assert view.note.text() == "the best"
    view.note.setText("second best")
    panel.opened.emit(kept[1])
    assert library_access.samples.get(kept[0]).note == "second best"
    assert view.note.text() == ""


def test_arrows_go_through_the_collection(view, panel, kept):
    panel.opened.emit(kept[2])
    assert view.place.text() == "1 of 3"
    assert not view.previous.isEnabled()
    view.following.click()
    view.following.click()
    assert view.caption.text() == "Machine-written, first try"
    assert not view.following.isEnabled()
    view.previous.click()
    assert view.place.text() == "2 of 3"


def test_removing_closes_it_and_can_be_undone(view, panel, library_access, kept):
    panel.opened.emit(kept[0])
    view.remove.click()
    assert not view.isVisible()
    assert kept[0] not in library_access.samples.ids(panel.collection())
    panel.undo.click()
    assert kept[0] in library_access.samples.ids(panel.collection())


def test_moving_to_another_collection(view, panel, library_access, kept):
    other = library_access.collections.create("Other")
    panel.opened.emit(kept[0])
    view.moves.aboutToShow.emit()
    view.moves.actions()[0].trigger()
    assert library_access.samples.ids(other.id) == [kept[0]]


def test_a_sample_that_is_gone_is_said(view, panel, library_access, kept, qtbot):
    library_access.samples.remove(kept[0])
    with qtbot.waitSignal(panel.message):
        panel.opened.emit(kept[0])
    assert not view.isVisible()


def marked(view):
    return [each.cursor.selectedText() for each in view.text.extraSelections()]


def test_what_the_filter_found_is_marked_and_in_sight(view, panel, library_access):
    text = "It was late. " * 200 + "A HERON \U0001f984 came. " + "It was late. " * 200
    key = library_access.keep(text, 0, library_access.hunt("The heron's prompt"))
    panel.refresh()
    panel.list.filter.setText("heron")
    panel.opened.emit(key)
    assert marked(view) == ["HERON", "heron"]
    mark = view.text.extraSelections()[0]
    assert mark.format.fontUnderline()
    assert mark.format.background().color() == colour("accent_behind")
    assert view.text.viewport().rect().contains(view.text.cursorRect(mark.cursor))
    panel.list.filter.setText("completion, machine")  # a heading of ours
    panel.opened.emit(key)
    assert marked(view) == []
    panel.list.filter.clear()
    panel.opened.emit(key)
    assert marked(view) == []
    assert view.text.verticalScrollBar().value() == 0


def test_a_long_prompt_is_shown_from_its_end_where_the_machine_goes_on(view, panel, library_access):
    key = library_access.keep("At last.", 0, library_access.hunt("It was late. " * 400))
    panel.opened.emit(key)
    place = view.text.textCursor()
    place.setPosition(view._completion)
    assert 0 < view.text.cursorRect(place).top() < view.text.viewport().height()
    assert view.windowTitle().endswith("At last.")


def test_its_lines_are_no_longer_than_one_can_read(view, panel, library_access, qapp):
    key = library_access.keep("It was late in the evening. " * 100, 0)
    view.resize(2400, 900)
    panel.opened.emit(key)
    qapp.processEvents()
    block = view.text.document().lastBlock()
    lines = [block.layout().lineAt(n).textLength() for n in range(block.layout().lineCount())]
    assert 75 < max(lines) < 105


@pytest.mark.parametrize("size", [10, 28])
def test_there_is_room_for_the_text_however_large_it_is(view, panel, kept, qapp, size):
    apply(qapp, Theme(LIGHT, size))
    panel.opened.emit(kept[0])
    view.resize(860, 600)
    qapp.processEvents()
    assert view.text.height() >= 6 * view.text.fontMetrics().lineSpacing()
    for button in (view.copy, view.copy_caption, view.remove):
        assert view.rect().contains(button.geometry())
    apply(qapp, Theme(LIGHT))
