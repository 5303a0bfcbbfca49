import pytest
from PySide6.QtWidgets import QFileDialog

from explorer.gui.export_dialog import ExportDialog
from explorer.library.collections_ import Collection
from tests.gui.controls_of import nameless


def collection(name="Favourites", samples=24):
    return Collection(7, name, "2026-01-01T00:00:00.000000Z", samples)


@pytest.fixture
def dialog(qtbot, tmp_path):
    dialog = ExportDialog(tmp_path)
    qtbot.addWidget(dialog)
    dialog.ask(collection())
    return dialog


def test_every_control_has_a_name(dialog):
    assert nameless(dialog) == []


def test_it_names_the_collection_and_suggests_a_file(dialog, tmp_path):
    assert dialog.heading.text() == "Favourites: 24 samples"
    assert dialog.file.text() == str(tmp_path / "Favourites.jsonl")


def test_the_suffix_follows_the_format(dialog, tmp_path):
    dialog.formats.button(2).click()
    assert dialog.chosen_format() == "html"
    assert dialog.file.text() == str(tmp_path / "Favourites.html")
    dialog.file.setText(str(tmp_path / "mine.txt"))
    dialog.formats.button(1).click()
    assert dialog.file.text() == str(tmp_path / "mine.txt")  # a suffix of one's own stays


def test_the_choice_is_reported(dialog, qtbot, tmp_path):
    dialog.formats.button(1).click()
    with qtbot.waitSignal(dialog.export_chosen) as chosen:
        dialog.export.click()
    assert chosen.args == [7, "markdown", tmp_path / "Favourites.md"]
    assert dialog.isVisible()


def test_the_outcome_is_said_until_something_changes(dialog, qtbot):
    dialog.set_outcome("The disk is full.", failed=True)
    assert dialog.outcome.isVisible()
    assert dialog.outcome.parent().property("role") == "problem"
    dialog.set_outcome("Wrote 24 samples.")
    assert dialog.outcome.parent().property("role") == "notice"
    dialog.formats.button(1).click()
    assert not dialog.outcome.isVisible()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a/b: c?", "a-b- c.jsonl"),
        ("../..", "collection.jsonl"),
        ("Été", "Été.jsonl"),
        ("x" * 200, "x" * 80 + ".jsonl"),
    ],
)
def test_any_name_makes_a_file_name(dialog, tmp_path, name, file):
    dialog.ask(collection(name))
    assert dialog.file.text() == str(tmp_path / file)


def test_an_empty_collection_or_file_name_cannot_be_exported(dialog, qtbot):
    qtbot.keyClicks(dialog.file, "x")
    assert dialog.export.isEnabled()
    dialog.file.selectAll()
    qtbot.keyClicks(dialog.file, " ")
    assert not dialog.export.isEnabled()
    dialog.ask(collection(samples=0))
    assert not dialog.export.isEnabled()


def test_the_file_dialog_does_not_block_and_its_folder_is_remembered(dialog, tmp_path):
    dialog.browse.click()
    files = dialog.findChild(QFileDialog)
    (tmp_path / "there").mkdir()
    files.fileSelected.emit(str(tmp_path / "there" / "chosen.jsonl"))
    files.close()
    assert dialog.file.text() == str(tmp_path / "there" / "chosen.jsonl")
    dialog.ask(collection("Other"))
    assert dialog.file.text() == str(tmp_path / "there" / "Other.jsonl")
