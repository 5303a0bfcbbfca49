import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from explorer.gui.collection.export_dialog import ExportDialog
from explorer.gui.widgets.controls import Wrapped
from explorer.library.collection import Collection
from tests.gui.controls_of import nameless


def collection(name="Favourites", samples=24):
    return Collection(7, name, "2026-01-01T00:00:00.000000Z", samples)


@pytest.fixture
def dialog(qtbot, tmp_path):
    dialog = ExportDialog(tmp_path)
    qtbot.addWidget(dialog)
    dialog.ask(collection())
    return dialog


def choose(dialog, file):
    """Choose a file in the file dialog, which asks before it lets one be replaced."""
    dialog.browse.click()
    files = dialog.findChildren(QFileDialog)[-1]
    files.fileSelected.emit(str(file))
    files.close()


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
    dialog.file.setText(str(tmp_path / "MINE.MD"))
    dialog.formats.button(2).click()
    assert dialog.file.text() == str(tmp_path / "MINE.html")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.md", "markdown"),
        ("x.HTML ", "html"),
        ("x.jsonl", "jsonl"),
        ("x.txt", "jsonl"),
        ("x.markdown", "markdown"),
        ("x.htm", "html"),
        ("x.json", "jsonl"),
    ],
)
def test_the_format_follows_a_known_suffix(dialog, qtbot, tmp_path, name, form):
    dialog.file.clear()
    qtbot.keyClicks(dialog.file, name)
    with qtbot.waitSignal(dialog.export_chosen) as chosen:
        dialog.export.click()
    assert chosen.args == [7, form, tmp_path / name.strip()]


def test_the_format_follows_the_file_that_was_chosen(dialog, tmp_path):
    choose(dialog, tmp_path / "chosen.md")
    assert dialog.chosen_format() == "markdown"


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


def test_a_name_alone_goes_where_files_are_offered(dialog, qtbot, tmp_path):
    dialog.file.setText("relative.html")
    with qtbot.waitSignal(dialog.export_chosen) as chosen:
        dialog.export.click()
    assert chosen.args[2] == tmp_path / "relative.html"
    assert dialog.file.text() == str(tmp_path / "relative.html")


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x.jsonl", "x" * 300 + ".jsonl"])
def test_a_name_that_leads_nowhere_is_left_to_whoever_writes(dialog, qtbot, tmp_path, name):
    dialog.file.setText(name)
    with qtbot.waitSignal(dialog.export_chosen) as chosen:
        dialog.export.click()
    assert chosen.args[2] == tmp_path / name


def test_a_file_that_is_there_is_replaced_only_when_that_is_confirmed(dialog, qtbot, tmp_path):
    file = tmp_path / "Favourites.jsonl"
    file.touch()
    with qtbot.assertNotEmitted(dialog.export_chosen):
        dialog.export.click()
        assert dialog.question.words.text() == f"There is already a file {file}. Replace it?"
        qtbot.waitUntil(dialog.question.spare_button.hasFocus)
        qtbot.keyClick(dialog.question.spare_button, Qt.Key.Key_Return)  # of no second Enter
    assert not dialog.question.isVisible()
    dialog.export.click()
    with qtbot.waitSignal(dialog.export_chosen) as chosen:
        dialog.question.act_button.click()
    assert chosen.args == [7, "jsonl", file]
    assert not dialog.question.isVisible()
    dialog.export.click()  # what was agreed to was that one export
    assert dialog.question.isVisible()


def test_escape_answers_the_question_and_leaves_the_dialog_open(dialog, qtbot, tmp_path):
    (tmp_path / "Favourites.jsonl").touch()
    dialog.export.click()
    qtbot.keyClick(dialog.question.spare_button, Qt.Key.Key_Escape)
    assert not dialog.question.isVisible()
    assert dialog.isVisible()


def test_the_question_goes_when_another_file_is_meant(dialog, qtbot, tmp_path):
    def asked():
        dialog.ask(collection())
        dialog.export.click()
        assert dialog.question.isVisible()

    for suffix in ("jsonl", "md"):
        (tmp_path / f"Favourites.{suffix}").touch()
    asked()
    qtbot.keyClicks(dialog.file, "x")
    assert not dialog.question.isVisible()
    asked()
    dialog.formats.button(1).click()
    assert not dialog.question.isVisible()
    asked()
    dialog.ask(collection("Other"))
    assert not dialog.question.isVisible()


def test_what_the_file_dialog_asked_is_not_asked_again(dialog, qtbot, tmp_path):
    there, new = tmp_path / "there.jsonl", tmp_path / "new.jsonl"
    there.touch()
    choose(dialog, there)
    with qtbot.waitSignal(dialog.export_chosen):
        dialog.export.click()
    choose(dialog, new)
    new.touch()  # by somebody else, after it was chosen
    with qtbot.assertNotEmitted(dialog.export_chosen):
        dialog.export.click()
    choose(dialog, there)
    dialog.file.setText(str(new))
    with qtbot.assertNotEmitted(dialog.export_chosen):
        dialog.export.click()
    choose(dialog, there)
    dialog.ask(collection("Other"))  # that answer was about another collection
    dialog.file.setText(str(there))
    with qtbot.assertNotEmitted(dialog.export_chosen):
        dialog.export.click()


@pytest.mark.parametrize("width", [520, 700])
def test_it_grows_so_that_no_line_is_cut(dialog, qtbot, width):
    def nothing_is_cut():
        lines = [each for each in dialog.findChildren(Wrapped) if each.isVisible()]
        assert all(each.height() >= each.heightForWidth(each.width()) for each in lines)
        assert dialog.rect().contains(dialog.export.geometry())

    dialog.resize(width, dialog.height())
    dialog.set_outcome("Wrote 24 samples to " + "/a-long-folder" * 12 + "/Favourites.jsonl.")
    qtbot.waitUntil(nothing_is_cut)
    dialog._say_nothing()
    dialog.question.ask("There is already a file " + "/a-long-folder" * 12, dialog.file)
    qtbot.waitUntil(nothing_is_cut)


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
    (tmp_path / "there").mkdir()
    choose(dialog, tmp_path / "there" / "chosen.jsonl")
    assert dialog.file.text() == str(tmp_path / "there" / "chosen.jsonl")
    dialog.ask(collection("Other"))
    assert dialog.file.text() == str(tmp_path / "there" / "Other.jsonl")
