"""A name that is taken is said at the field, while it is typed."""

from PySide6.QtCore import Qt


def open_field(desk, renaming):
    panel = desk.window.panel
    panel._open_name(panel._current.name if renaming else "", renaming=renaming)
    return panel


def test_a_taken_name_is_said_while_it_is_typed_and_not_taken(desk):
    desk.window.panel._collections.create("Poems")
    panel = open_field(desk, renaming=False)
    desk.qtbot.keyClicks(panel.name, "Poem")
    assert panel.name_note.isHidden()
    desk.qtbot.keyClicks(panel.name, "s ")
    assert panel.name_note.isVisible()
    assert panel.name_note.text() == panel.name.accessibleDescription()
    assert "already a collection 'Poems'" in panel.name_note.text()
    desk.qtbot.keyClick(panel.name, Qt.Key.Key_Return)
    assert panel.name.isVisible()
    assert len(panel._collections.list()) == 2
    desk.qtbot.keyClicks(panel.name, "x")
    assert panel.name_note.isHidden()
    desk.qtbot.keyClick(panel.name, Qt.Key.Key_Return)
    assert [each.name for each in panel._collections.list()][-1] == "Poems x"


def test_the_name_that_a_collection_has_is_not_taken_from_itself(desk):
    panel = open_field(desk, renaming=True)
    panel.name.setText("another")
    panel.name.setText(panel._current.name)
    assert panel.name_note.isHidden()
    desk.window.panel._collections.create("Poems")
    panel.name.setText("Poems")
    assert panel.name_note.isVisible()
    desk.qtbot.keyClick(panel.name, Qt.Key.Key_Escape)
    assert panel.name_note.isHidden()


def test_an_empty_name_is_no_problem_yet(desk):
    panel = open_field(desk, renaming=False)
    panel.name.setText("  ")
    assert panel.name_note.isHidden()
