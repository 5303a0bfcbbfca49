"""Models for the window: real jobs on a tiny checkpoint."""

from dataclasses import replace

import pytest

from explorer.gui.model_desk import ModelDesk
from explorer.paths import Paths
from tests.tiny import make_tiny


@pytest.fixture
def paths(tmp_path):
    return replace(Paths.default(tmp_path / "data"), bundled_models=tmp_path / "bundled")


@pytest.fixture
def desk(paths, qtbot):
    desk = ModelDesk(paths, lambda: "cpu-fp32")
    yield desk
    desk.cancel()


@pytest.fixture
def source(tmp_path):
    return make_tiny(tmp_path / "tiny") or tmp_path / "tiny"


def test_a_dropped_folder_is_imported_and_opened_with_progress(desk, source, qtbot):
    said = []
    desk.progress.connect(lambda fraction, words: said.append((fraction, words)))
    with qtbot.waitSignal(desk.opened, timeout=60_000) as opened:
        desk.import_folder(source)
    (loaded,) = opened.args
    assert loaded.build == "cpu-fp32"
    assert loaded.manifest.name == "tiny"
    assert loaded.ref.fingerprint == loaded.manifest.builds["cpu-fp32"].fingerprint
    assert loaded.tokens.decode(loaded.tokens.encode("Hello")) == "Hello"
    assert [model.name for model in desk.models()] == ["tiny"]
    assert said[0] == (None, "Importing tiny")
    assert any(fraction for fraction, _ in said if fraction)
    assert said[-1] == (None, "")


def test_a_folder_that_is_no_gpt_2_is_refused_with_the_reason(desk, tmp_path, qtbot):
    (tmp_path / "cats").mkdir()
    with qtbot.waitSignal(desk.failed, timeout=60_000) as failed:
        desk.import_folder(tmp_path / "cats")
    assert "config.json" in failed.args[0]
    assert desk.models() == []


def test_a_model_that_is_not_there_is_named(desk, qtbot):
    with qtbot.waitSignal(desk.failed, timeout=60_000) as failed:
        desk.open("nobody")
    assert "nobody" in failed.args[0]


def test_a_build_that_is_there_opens_without_a_job(desk, source, qtbot, monkeypatch):
    with qtbot.waitSignal(desk.opened, timeout=60_000):
        desk.import_folder(source)
    monkeypatch.setattr(desk, "_begin", pytest.fail)
    with qtbot.waitSignal(desk.opened, timeout=0):
        desk.open("tiny", "cpu-fp32")


def test_cancel_ends_an_import_at_once_and_leaves_no_model(desk, source, qtbot, paths):
    said = []
    desk.progress.connect(lambda fraction, words: said.append(words))
    desk.import_folder(source)
    desk.cancel()
    assert said[-1] == ""
    assert desk.models() == []
    with qtbot.waitSignal(desk.opened, timeout=60_000):
        desk.import_folder(source)
