"""The composition root: whatever is wrong at the start, there is a window that says so."""

import json
import logging
import os
import sqlite3
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
from PySide6.QtWidgets import QApplication

from explorer import app as window_app
from explorer.core.errors import ModelError
from explorer.engine.hardware.device import Facts
from explorer.gui.model_parts import model_words
from explorer.library.storage.database import Database
from explorer.system.paths import Paths
from explorer.system.settings import Settings
from tests.gui.conftest import demo
from tests.gui.scripted_engine import ScriptedEngine


@pytest.fixture
def paths(tmp_path):
    return replace(Paths.default(tmp_path), bundled_models=tmp_path / "bundled")


@pytest.fixture(autouse=True)
def _quiet_log():
    yield
    for handler in list(window_app.log.handlers):
        window_app.log.removeHandler(handler)
        handler.close()


@contextmanager
def window_on(paths, qtbot):
    engine = ScriptedEngine()
    program = window_app.start(paths, QApplication.instance(), engine)
    qtbot.addWidget(program.window)
    program.window.show()
    try:
        yield program.window, engine
    finally:
        program.window.close()
        program.close()


def load(window):
    window.engine_loop.loading.load(demo(), "auto")
    window.engine_loop.tick()


def streams_but_judges_nothing(window, engine):
    load(window)
    window.do("generate")
    engine.finish()
    window.engine_loop.tick()
    assert [view.state for view in window.engine_loop.review.views] == ["ended"] * 4
    before = window.explore.notices.sentences()
    window.do("keep")
    assert window.explore.notices.sentences() == before
    assert [view.verdict for view in window.engine_loop.review.views] == [None] * 4
    keep = window.explore.lanes.lanes[0].keep
    assert not keep.isEnabled()
    assert keep.toolTip() == window.engine_loop.review.reason
    assert not window.actions_.by_name["keep"].isEnabled()


def test_a_healthy_start_says_nothing(paths, qtbot):
    with window_on(paths, qtbot) as (window, _):
        assert window.explore.notices.sentences() == []
        assert window.engine_loop.review.writable


def test_what_killed_conversions_and_studies_left_goes_at_the_start(paths, qtbot):
    left = [
        paths.models / "dead.part",
        paths.models / "mine" / "cpu-int8.part",
        paths.model_cache / "demo-0123456789abcdef.part",
        paths.cache / "studies" / "model.part",
        paths.cache / "studies" / "model",
    ]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "weights.bin").write_bytes(bytes(100))
    download = paths.downloads / "owner--name"
    download.mkdir(parents=True)
    program = window_app.start(paths, QApplication.instance(), ScriptedEngine())
    qtbot.addWidget(program.window)
    program.window.show()
    tidying = program.begin()
    tidying.join(30)
    assert not tidying.is_alive()
    program.window.close()
    program.close()
    assert [folder for folder in left if folder.exists()] == []
    assert download.exists()  # a person may go on with it


def test_what_cannot_be_tidied_up_stops_nothing(paths, monkeypatch):
    def refuse(_):
        raise ModelError("The disk is full.")

    monkeypatch.setattr("explorer.studies.quality.temporary_builds._clear", refuse)
    (paths.cache / "studies").mkdir(parents=True)
    window_app.tidy(paths)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"collection": ' + b"9" * 400 + b"}",
        b'{"lanes": ' + b"9" * 400 + b"}",
        json.dumps({"recipe": '{"temperature": 1' + "0" * 400 + "}"}).encode(),
        b'{"text_px": NaN, "seed": -1e999}',
        b'{"splitter": [9999999999, 0, 1]}',
    ],
)
def test_settings_that_cannot_be_used_cost_no_start(paths, qtbot, content):
    paths.settings.write_bytes(content)
    with window_on(paths, qtbot) as (window, engine):
        (sentence,) = window.explore.notices.sentences()
        assert str(paths.settings) in sentence
        assert window.settings_store.settings == replace(
            Settings(), prompt=window.settings_store.settings.prompt
        )
        load(window)
        window.do("generate")
        engine.finish()
        window.engine_loop.tick()
        window.do("keep")
        assert window.engine_loop.review.counts.kept == 1
    aside = paths.settings.with_name("settings-unread.json")
    assert aside.read_bytes() == content
    assert aside.name in sentence
    with window_on(paths, qtbot) as (window, _):
        assert window.explore.notices.sentences() == []


@pytest.mark.parametrize(
    "values",
    [
        {"geometry": "zz" * 100_000},
        {"geometry": "01d9d0cb" + "ff" * 500},
        {"prompt": "a\ud800b\0c\u202e" + "x" * 60_000},
        {"model": "../../etc\0", "build": "\ud800"},
        {"splitter": [1_000_000, 1_000_000, 1_000_000]},
        {"splitter": [0, 0, 0]},
        {"collection": 2**63 - 1, "seed": 2**64 - 1, "device": "cuda:999", "threads": 1024},
    ],
)
def test_settings_that_are_strange_but_allowed_open_a_window(paths, qtbot, values):
    paths.settings.write_text(json.dumps(values))
    with window_on(paths, qtbot) as (window, _):
        assert window.explore.notices.sentences() == []
        window.models.start()
        assert window.explore.lanes.isVisible()


def test_a_damaged_library_is_named_and_left_alone(paths, qtbot):
    paths.data.mkdir(exist_ok=True)
    paths.library.write_bytes(b"not a database" * 500)
    with window_on(paths, qtbot) as (window, engine):
        (sentence,) = window.explore.notices.sentences()
        assert str(paths.library) in sentence
        assert "damaged" in sentence
        streams_but_judges_nothing(window, engine)
    assert paths.library.read_bytes() == b"not a database" * 500


def test_a_library_of_a_newer_version_is_left_alone(paths, qtbot):
    Database.open(paths.library).close()
    connection = sqlite3.connect(paths.library)
    connection.execute("PRAGMA user_version=999")
    connection.commit()
    connection.close()
    with window_on(paths, qtbot) as (window, engine):
        (sentence,) = window.explore.notices.sentences()
        assert "newer version" in sentence
        streams_but_judges_nothing(window, engine)


def test_a_second_instance_says_so_and_may_read(paths, qtbot):
    with window_on(paths, qtbot) as (first, engine):
        load(first)
        engine.enqueue("kept text")
        first.do("generate")
        engine.finish()
        first.engine_loop.tick()
        first.do("keep")
        with window_on(paths, qtbot) as (second, other):
            (sentence,) = second.explore.notices.sentences()
            assert "already runs" in sentence
            assert str(os.getpid()) in sentence
            assert second.panel.list.model.card(0).words == "kept text"
            streams_but_judges_nothing(second, other)


def test_a_second_window_does_not_call_what_streams_in_the_first_lost(paths, qtbot):
    with window_on(paths, qtbot) as (first, engine):
        load(first)
        first.do("generate")
        engine.step()
        first.engine_loop.tick()
        with window_on(paths, qtbot) as (second, _):
            views = second.engine_loop.review.tries()
            assert [(view.state, view.end) for view in views] == [("streaming", None)] * 4
            assert second.engine_loop.review.counts.lost == 0
        engine.finish()
        first.engine_loop.tick()
        assert [view.end for view in first.engine_loop.review.tries()] == ["max_tokens"] * 4


def test_a_read_only_disk_streams_and_says_why_nothing_is_judged(sealed, paths, qtbot):
    paths = replace(Paths.default(sealed.folder), bundled_models=paths.bundled_models)
    Database.open(paths.library).close()
    with sealed.closed(), window_on(paths, qtbot) as (window, engine):
        assert "cannot be written" in window.explore.notices.sentences()[0]
        streams_but_judges_nothing(window, engine)
    assert sorted(each.name for each in sealed.folder.iterdir()) == [
        "library.sqlite",
        "library.sqlite.lock",
    ]


def test_a_data_folder_that_cannot_be_made_is_no_traceback(paths, qtbot, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with window_on(replace(paths, data=blocked / "data"), qtbot) as (window, engine):
        assert window.explore.notices.sentences()
        streams_but_judges_nothing(window, engine)


def test_where_the_cache_cannot_be_written_the_model_is_made_elsewhere(paths, tmp_path):
    assert window_app.with_cache(paths) == (paths, None)
    blocked = tmp_path / "file"
    blocked.write_text("")
    found, borrowed = window_app.with_cache(replace(paths, cache=blocked / "cache"))
    found.model_cache.mkdir(parents=True)
    assert str(found.cache) == borrowed.name
    window_app.Program(None, found, (), borrowed).close()
    assert not found.cache.exists()


def test_without_a_model_the_window_says_how_to_get_one(paths, qtbot):
    with window_on(paths, qtbot) as (window, _):
        window.models.start()
        assert window.explore.lanes._title.text() == "No model yet"
        assert "Drop a GPT-2 folder" in window.explore.lanes._advice.text()
        assert not window.explore.recipe.generate.isEnabled()


def test_a_broken_model_is_named_in_the_picker(paths, qtbot):
    folder = paths.models / "broken"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{")
    with window_on(paths, qtbot) as (window, _):
        window.models.start()
        picker = window.explore.models
        assert picker.models.itemText(0) == "broken"
        assert window.explore.lanes._title.text() == "No model yet"


def test_a_model_that_cannot_be_loaded_leaves_a_sentence(paths, qtbot):
    with window_on(paths, qtbot) as (window, engine):
        engine.ready = False
        load(window)
        engine.refuse(None, "weights.bin is missing; remove the model and import it again.")
        window.engine_loop.tick()
        assert "weights.bin is missing" in window.explore.models.problem.text()
        assert not window.explore.recipe.generate.isEnabled()


def test_rule_11_falling_back_to_the_cpu_is_said(paths, qtbot, monkeypatch):
    with window_on(paths, qtbot) as (window, engine):
        opened = []
        monkeypatch.setattr(window.models.model_jobs, "open", lambda *args: opened.append(args))
        engine.ready = False
        window.engine_loop.loading.load(demo("cuda-fp16"), "auto")
        engine.refuse(None, "CUDA did not start because libcublas.so.13 is missing.")
        window.engine_loop.tick()
        assert opened == [("demo", "cpu-int8")]
        (sentence,) = window.explore.notices.sentences()
        assert "libcublas.so.13" in sentence
        assert "counted apart" in sentence


def test_broken_prompts_cost_the_presets_only(paths, qtbot, tmp_path):
    resources = tmp_path / "resources"
    resources.mkdir()
    (resources / "prompts.json").write_text("[]")
    with window_on(replace(paths, resources=resources), qtbot) as (window, _):
        assert "prompts.json" in window.explore.notices.sentences()[0]


def test_a_bug_is_logged_with_versions_and_shown_with_the_place_of_the_log(paths, qtbot):
    log_file = window_app.start_log(paths, debug=False)
    with window_on(paths, qtbot) as (window, _):
        program = window_app.Program(window, paths, ())
        try:
            raise RuntimeError("the cause")
        except RuntimeError as error:
            window_app._on_bug(program, log_file, RuntimeError, error, error.__traceback__)
        (sentence,) = window.explore.notices.sentences()
    assert "RuntimeError: the cause" in sentence
    assert str(log_file) in sentence
    logged = log_file.read_text()
    assert "Traceback" in logged
    assert "test_app.py" in logged
    assert f"Python {sys.version.split()[0]}" in logged


def test_what_the_program_can_explain_is_no_bug(paths, qtbot):
    with window_on(paths, qtbot) as (window, _):
        error = ModelError("Import it again.")
        window_app._on_bug(window_app.Program(window, paths, ()), None, ModelError, error, None)
        assert window.explore.notices.sentences() == ["Import it again."]


def test_a_log_that_cannot_be_written_stops_nothing(paths, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert window_app.start_log(replace(paths, logs=blocked / "logs"), debug=False) is None
    logging.getLogger("explorer").warning("goes nowhere")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes by name here")
def test_a_pipe_in_the_place_of_the_log_holds_up_no_start(paths):
    paths.logs.mkdir(parents=True)
    os.mkfifo(paths.logs / "explorer.log")
    assert window_app.start_log(paths, debug=False) is None


def test_no_text_of_a_person_reaches_the_log(paths, qtbot):
    log_file = window_app.start_log(paths, debug=False)
    with window_on(paths, qtbot) as (window, engine):
        load(window)
        engine.enqueue("machine words")
        window.explore.prompt.set_text("my secret prompt")
        window.do("generate")
        engine.finish()
        window.engine_loop.tick()
        engine.crash()
        window.engine_loop.tick()
    assert "secret" not in log_file.read_text()
    assert "machine words" not in log_file.read_text()


@pytest.mark.parametrize(
    ("device", "build"),
    [("cpu", "cpu-int8"), ("cuda", "cuda-fp16"), ("cuda:1", "cuda-fp16")],
)
def test_the_build_suits_the_device_that_is_asked_for(paths, device, build):
    paths.data.mkdir(exist_ok=True)
    Settings(device=device).save(paths.settings)
    assert window_app.wanted_build(window_app.SettingsStore(paths.settings)) == build


@pytest.mark.parametrize(
    ("wish", "build", "asked"),
    [
        ("cuda:1", "cuda-fp16", "cuda:1"),
        ("auto", "cuda-fp16", "cuda"),
        ("cuda:1", "cpu-int8", "cpu"),
    ],
)
def test_memory_is_asked_of_the_device_that_would_run_the_build(
    paths, monkeypatch, wish, build, asked
):
    paths.data.mkdir(exist_ok=True)
    Settings(device=wish).save(paths.settings)
    seen = []
    monkeypatch.setattr(window_app, "free_memory", seen.append)
    window_app.memory_need(window_app.SettingsStore(paths.settings), demo(build).manifest, build)
    assert seen == [asked]


def test_a_build_for_a_gpu_says_why_none_can_run_it(paths, monkeypatch):
    monkeypatch.setattr(
        "explorer.engine.hardware.device.probe",
        lambda provider, load=None: Facts("Linux", provider),
    )
    memory = window_app.SettingsStore(paths.settings)
    manifest = demo("cuda-fp16").manifest
    words = model_words.memory(window_app.memory_need(memory, manifest, "cuda-fp16"))
    assert words.endswith(" for 4 lanes. No NVIDIA driver was found.")
    on_cpu = window_app.memory_need(memory, demo().manifest, "cpu-int8")
    assert on_cpu.obstacle == ""
