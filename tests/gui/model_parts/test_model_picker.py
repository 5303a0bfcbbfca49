from dataclasses import dataclass

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QFileDialog

from explorer.core.manifest import BUILD_NAMES, Build, Manifest
from explorer.gui.model_parts.model_picker import ModelPicker, dropped_path
from explorer.gui.model_parts.model_tasks import Task
from tests.gui.controls_of import nameless


@dataclass
class Model:
    name: str
    manifest: Manifest | None = None
    problem: str = ""


def manifest(name, *builds):
    made = {
        build: Build(build, "cpu", "int8", "f" * 64, kv_head_size=32, top=64, bytes=168_000_000)
        for build in builds
    }
    return Manifest(name, "a" * 64, 6, 8, 256, 512, 8192, 0, 7_000_000, builds=made)


DEMO = Model("demo", manifest("demo", "cpu-int8"))
SMALL = Model("gpt2", manifest("gpt2", "cpu-fp32", "cpu-int4"))
BROKEN = Model("broken", None, "model.json is damaged; remove the model and import it again.")


@pytest.fixture
def picker(qtbot):
    picker = ModelPicker()
    qtbot.addWidget(picker)
    picker.show()
    picker.set_models([DEMO, SMALL, BROKEN], "demo", "cpu-int8")
    return picker


def test_every_control_has_a_name(picker):
    assert nameless(picker) == []


def test_models_are_shown_with_their_size_and_builds(picker):
    assert [picker.models.itemText(row) for row in range(3)] == [
        "demo · 7 M",
        "gpt2 · 7 M",
        "broken",
    ]
    assert picker.current() == ("demo", "cpu-int8")
    builds = [picker.builds.itemText(row) for row in range(picker.builds.count())]
    assert builds == [
        "cpu-fp32, to be converted",
        "cpu-int8",
        "cpu-int4, to be converted",
        "cuda-fp16, to be converted",
    ]


def test_a_closed_field_shows_no_half_words(picker):
    picker.resize(300, 200)
    picker.show()
    picker.builds.choose("cpu-int4")
    assert picker.builds.shown() == "cpu-int4"
    picker.builds.setFixedWidth(60)
    assert picker.builds.shown().endswith("\u2026")


def test_a_broken_model_is_grey_and_says_why(picker):
    assert not picker.models.model().item(2).isEnabled()
    assert picker.models.itemData(2, Qt.ItemDataRole.ToolTipRole) == BROKEN.problem
    picker.set_models([BROKEN], "broken")
    assert picker.problem.isVisible()
    assert picker.problem.text() == BROKEN.problem


def test_choosing_a_model_reports_it_with_a_build_that_it_has(picker, qtbot):
    with qtbot.waitSignal(picker.model_chosen) as chosen:
        picker.models.setFocus()
        qtbot.keyClick(picker.models, Qt.Key.Key_Down)
    assert chosen.args == ["gpt2", "cpu-int8"]  # the build asked for stays asked for


def test_choosing_a_build_reports_it_even_where_it_must_be_made(picker, qtbot):
    with qtbot.waitSignal(picker.model_chosen) as chosen:
        qtbot.keyClick(picker.builds, Qt.Key.Key_Down)
    assert chosen.args == ["demo", "cpu-int4"]


def test_telling_it_the_models_reports_nothing(picker, qtbot):
    with qtbot.assertNotEmitted(picker.model_chosen):
        picker.set_models([SMALL, DEMO], "gpt2")
    assert picker.current() == ("gpt2", "cpu-fp32")
    assert picker.current()[1] in BUILD_NAMES


def test_no_model_at_all_is_said(picker):
    picker.set_models([])
    assert not picker.models.isEnabled()
    assert picker.current() == ("", "")
    assert picker.models.placeholderText() == "none installed"


def test_each_build_says_what_it_is_and_what_it_costs(picker):
    picker.set_models([DEMO], "demo", "cpu-int8", {"cpu-int4": "Text clearly worse than fp32"})
    notes = [picker.builds.itemData(row, Qt.ItemDataRole.ToolTipRole) for row in range(4)]
    assert notes[1].splitlines() == ["8 bits a weight, for the CPU", "168 MB on disk"]
    assert notes[2].splitlines() == [
        "4 bits a weight, for the CPU: the smallest",
        "converted when it is chosen",
        "Text clearly worse than fp32",
    ]


def test_a_task_shows_a_line_and_a_cancel(picker, qtbot):
    assert not picker.cancel.isVisible()
    task = Task("open", "gpt2", "Preparing gpt2", fraction=0.25, words="packing", opens=True)
    picker.set_task(task)
    assert picker.cancel.isVisible()
    assert not picker.pause.isVisible()
    assert (picker.progress.text(), picker.words.text()) == ("Preparing gpt2", "packing")
    assert picker.bar.value() == picker.bar.maximum() // 4
    picker.set_task(Task("open", "gpt2", "Preparing gpt2"))
    assert picker.bar.maximum() == 0  # busy: nobody knows how long
    with qtbot.waitSignal(picker.cancel_requested):
        picker.cancel.click()
    picker.set_task(None)
    assert not picker.cancel.isVisible()


def test_a_download_can_be_paused_and_nothing_is_imported_meanwhile(picker, qtbot):
    task = Task("download", "owner/gpt2", "Downloading gpt2", fraction=0.5)
    picker.set_task(task, task)
    assert not picker.import_button.isEnabled()
    assert "Downloading gpt2" in picker.import_button.toolTip()
    with qtbot.waitSignal(picker.pause_requested):
        picker.pause.click()
    picker.set_task(None)
    assert picker.import_button.isEnabled()


def test_the_page_of_all_models_is_one_key_away(picker, qtbot):
    with qtbot.waitSignal(picker.page_requested):
        picker.more.setFocus()
        qtbot.keyClick(picker.more, Qt.Key.Key_Space)


def mime(*paths):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def drop(picker, data):
    where, copy = QPointF(5, 5), Qt.DropAction.CopyAction
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(where.toPoint(), copy, data, buttons, keys)
    QApplication.sendEvent(picker, enter)
    if enter.isAccepted():
        assert picker.heading.text() == "Drop it to import it"
        QApplication.sendEvent(picker, QDropEvent(where, copy, data, buttons, keys))
    return enter.isAccepted()


def test_a_dropped_folder_is_imported(picker, qtbot, tmp_path):
    with qtbot.waitSignal(picker.import_requested) as asked:
        assert drop(picker, mime(tmp_path))
    assert asked.args == [tmp_path]
    assert picker.heading.text() == "Model"


def test_other_drops_are_refused(picker, tmp_path):
    stray = tmp_path / "holiday.jpg"
    stray.touch()
    assert not drop(picker, mime(stray))
    assert not drop(picker, mime(tmp_path, tmp_path))
    picker.set_task(None, Task("import", "other", "Importing other"))
    assert not drop(picker, mime(tmp_path))


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "model.onnx", "model.ckpt.index", "hparams.json"]
)
def test_a_file_of_a_model_is_as_welcome_as_its_folder(tmp_path, name):
    file = tmp_path / name
    file.touch()
    assert dropped_path(mime(file)) == file


def test_a_file_that_will_be_refused_is_welcome_to_hear_why(tmp_path):
    file = tmp_path / "pytorch_model.bin"
    file.touch()
    assert dropped_path(mime(file)) == file


@pytest.mark.parametrize("folder", [True, False])
def test_the_dialog_does_not_block(picker, qtbot, tmp_path, folder):
    picker.import_button.menu().actions()[0 if folder else 1].trigger()
    dialog = picker.findChild(QFileDialog)
    kind = QFileDialog.FileMode.Directory if folder else QFileDialog.FileMode.ExistingFile
    assert dialog.fileMode() == kind
    with qtbot.waitSignal(picker.import_requested) as asked:
        dialog.fileSelected.emit(str(tmp_path))
    assert asked.args == [tmp_path]
    dialog.close()
