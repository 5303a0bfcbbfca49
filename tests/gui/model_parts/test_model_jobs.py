"""Models for the window: real jobs on a tiny checkpoint, scripted ones for who runs beside whom."""

from dataclasses import replace

import pytest

from explorer.gui.model_parts.model_jobs import ModelJobs
from explorer.system.paths import Paths
from explorer.weights.store.store import Store
from tests.gui.scripted_works import Bare, ScriptedWorks
from tests.hub_server import HubServer, Serving
from tests.tiny import make_tiny

REPOSITORY = "openai-community/gpt2"


@pytest.fixture
def paths(tmp_path):
    return replace(Paths.default(tmp_path / "data"), bundled_models=tmp_path / "bundled")


@pytest.fixture
def desk(paths, qtbot):
    desk = ModelJobs(paths, lambda: "cpu-fp32")
    yield desk
    desk.cancel()


@pytest.fixture
def source(tmp_path):
    return make_tiny(tmp_path / "tiny") or tmp_path / "tiny"


@pytest.fixture
def works():
    return ScriptedWorks()


@pytest.fixture
def scripted(paths, works, qtbot):
    """A desk without child processes; ``tick`` takes in what the jobs say."""
    desk = ModelJobs(paths, lambda: "cpu-int8", works.works)
    yield desk
    desk.cancel()


def kinds(desk):
    return [task.kind for task in desk.tasks()]


# With child processes


def test_a_dropped_folder_is_imported_and_opened_with_progress(desk, source, qtbot):
    said = []
    desk.tasks_changed.connect(lambda: said.append(desk.tasks()))
    with qtbot.waitSignal(desk.opened) as opened:
        desk.import_folder(source)
    (loaded,) = opened.args
    assert loaded.build == "cpu-fp32"
    assert loaded.manifest.name == "tiny"
    assert loaded.ref.fingerprint == loaded.manifest.builds["cpu-fp32"].fingerprint
    assert loaded.tokens.decode(loaded.tokens.encode("Hello")) == "Hello"
    assert [model.name for model in desk.models()] == ["tiny"]
    assert (said[0][0].line, said[0][0].fraction) == ("Importing tiny", None)
    assert any(task.fraction for tasks in said for task in tasks)
    qtbot.waitUntil(lambda: said[-1] == ())


def test_without_a_build_the_best_one_that_is_there_opens(scripted, paths, source):
    Store(paths).import_folder(source, "tiny", "cpu-fp32")
    opened = []
    scripted.opened.connect(opened.append)
    scripted.open("tiny")
    assert [loaded.build for loaded in opened] == ["cpu-fp32"]
    Store(paths).ensure("tiny", "cpu-int8")
    scripted.open("tiny")
    assert [loaded.build for loaded in opened] == ["cpu-fp32", "cpu-int8"]
    scripted.wanted_build = lambda: "cuda-fp16"  # none that is there runs on that device
    scripted.open("tiny")
    assert kinds(scripted) == ["open"]
    assert scripted.build_to_open("tiny", "cpu-int8") == "cpu-int8"


def test_a_dropped_file_stands_for_its_folder(desk, source, qtbot):
    with qtbot.waitSignal(desk.opened) as opened:
        desk.import_folder(source / "model.safetensors")
    assert opened.args[0].manifest.name == "tiny"


def test_a_dropped_file_is_the_one_that_is_imported(desk, source, tmp_path, qtbot):
    other = make_tiny(tmp_path / "other", seed=1)
    (other / "model.safetensors").rename(source / "model_ema.safetensors")
    with qtbot.waitSignal(desk.opened) as opened:
        desk.import_folder(source / "model_ema.safetensors")
    assert opened.args[0].manifest.source["file"] == "model_ema.safetensors"


def test_a_dropped_pickle_is_refused_at_once_with_the_reason(desk, tmp_path, qtbot):
    (tmp_path / "pytorch_model.bin").touch()
    with qtbot.waitSignal(desk.failed, timeout=0) as failed:
        desk.import_folder(tmp_path / "pytorch_model.bin")
    assert "can run code" in failed.args[0]
    assert [task.problem for task in desk.tasks()] == failed.args


def test_a_folder_that_is_no_gpt_2_is_refused_with_the_reason(desk, tmp_path, qtbot):
    (tmp_path / "cats").mkdir()
    with qtbot.waitSignal(desk.failed) as failed:
        desk.import_folder(tmp_path / "cats")
    assert "holds a GPT-2" in failed.args[0]
    assert desk.models() == []
    (task,) = desk.tasks()
    assert task.problem == failed.args[0]
    desk.dismiss(task)
    assert desk.tasks() == ()


def test_a_model_that_is_not_there_is_named(desk, qtbot):
    with qtbot.waitSignal(desk.failed) as failed:
        desk.open("nobody")
    assert "nobody" in failed.args[0]


def test_a_build_that_is_there_opens_without_a_job(desk, source, qtbot, monkeypatch):
    with qtbot.waitSignal(desk.opened):
        desk.import_folder(source)
    monkeypatch.setattr(desk, "_begin", pytest.fail)
    with qtbot.waitSignal(desk.opened, timeout=0):
        desk.open("tiny", "cpu-fp32")
    (model,) = desk.models()
    assert model.used is None  # only who runs it knows whether it could be opened
    with qtbot.waitSignal(desk.listed, timeout=0):
        desk.note_used(model.folder)
    (model,) = desk.models()
    assert model.used is not None


def test_cancel_ends_an_import_at_once_and_leaves_no_model(desk, source, qtbot):
    desk.import_folder(source)
    assert kinds(desk) == ["import"]
    desk.cancel()
    assert desk.tasks() == ()
    assert desk.models() == []
    with qtbot.waitSignal(desk.opened):
        desk.import_folder(source)


def test_an_opened_model_has_the_tokens_of_its_own(desk, tmp_path, qtbot):
    # Of 300 tokens 297 is <|endoftext|>; the two that were added come behind it.
    config = {"eos_token_id": 298, "bos_token_id": 299}
    own = make_tiny(tmp_path / "own", added=("<|end|>", "<|begin|>"), config=config)
    with qtbot.waitSignal(desk.opened) as opened:
        desk.import_folder(own)
    (loaded,) = opened.args
    assert (loaded.tokens.end_of_text, loaded.tokens.start_of_text) == (298, 299)
    assert loaded.tokens.start_words == "<|begin|>"


def test_a_build_is_made_and_removed_and_the_model_goes_last(desk, source, qtbot):
    with qtbot.waitSignal(desk.opened):
        desk.import_folder(source)
    for ask, builds in (
        (lambda: desk.convert("tiny", "cpu-int8"), {"cpu-fp32", "cpu-int8"}),
        (lambda: desk.remove_build("tiny", "cpu-fp32"), {"cpu-int8"}),
    ):
        with qtbot.waitSignal(desk.news):
            ask()
        (model,) = desk.models()
        assert set(model.manifest.builds) == builds
    with qtbot.waitSignal(desk.news) as news:
        desk.remove("tiny")
    assert news.args == ["tiny was removed."]
    assert desk.models() == []


# Who may run beside whom


def test_opening_a_model_leaves_a_download_alone(scripted, works):
    scripted.download(REPOSITORY, "", "gpt2")
    scripted.open("demo", "cpu-int4")
    assert [job.cancelled for job in works.jobs] == [False, False]
    assert kinds(scripted) == ["open", "download"]


def test_another_model_that_is_opened_takes_the_place_of_the_first(scripted, works):
    scripted.open("one")
    scripted.open("two")
    assert [job.cancelled for job in works.jobs] == [True, False]
    assert [task.subject for task in scripted.tasks()] == ["two"]


def test_a_second_work_is_refused_with_the_name_of_the_first(scripted, works, qtbot):
    scripted.download(REPOSITORY, "", "gpt2")
    with qtbot.waitSignal(scripted.failed, timeout=0) as failed:
        scripted.convert("demo", "cpu-int4")
    assert failed.args[0].startswith("Downloading gpt2 is still going on")
    assert len(works.jobs) == 1


def test_a_model_can_be_removed_while_another_is_fetched(scripted, works):
    scripted.download(REPOSITORY, "", "gpt2")
    scripted.remove("old")
    assert works.asked()[-1] == ("remove", "old")


def test_a_download_opens_its_model_only_where_none_is_open(scripted, works, monkeypatch, qtbot):
    opened = []
    monkeypatch.setattr(ModelJobs, "_made", lambda *_: None)
    scripted.download(REPOSITORY, "", "gpt2", "cpu-int8")
    assert scripted.tasks()[0].opens
    works.last.finish(Bare("gpt2"))
    scripted._on_tick()
    assert works.asked()[-1] == ("open", "gpt2", "cpu-int8")
    works.last.finish("nowhere")
    scripted._has_opened = True
    scripted._on_tick()
    scripted.opened.connect(opened.append)
    scripted.download(REPOSITORY, "", "gpt2", "cpu-int8")
    assert not scripted.tasks()[0].opens
    works.last.finish(Bare("gpt2"))
    with qtbot.waitSignal(scripted.news, timeout=0) as news:
        scripted._on_tick()
    assert "gpt2 is ready" in news.args[0]
    assert opened == []


def test_an_import_does_not_push_a_model_aside_that_was_asked_for_later(
    scripted, works, tmp_path, qtbot
):
    folder = make_tiny(tmp_path / "late")
    scripted.import_folder(folder)
    scripted.open("demo")
    job = works.jobs[0]
    assert not job.cancelled
    job.finish(Bare("late"))
    with qtbot.waitSignal(scripted.news, timeout=0):
        scripted._on_tick()
    assert [name for name, *_ in works.asked()] == ["bring_in", "open"]


def test_what_follows_begins_before_anybody_hears_that_nothing_runs(
    scripted, works, tmp_path, monkeypatch
):
    """A Generate that waits was forgotten between an import and the opening of its model."""
    monkeypatch.setattr(ModelJobs, "_made", lambda *_: None)
    said = []
    scripted.tasks_changed.connect(lambda: said.append(any(t.opens for t in scripted.tasks())))
    scripted.import_folder(make_tiny(tmp_path / "tiny"))
    works.last.finish(Bare("tiny"))
    scripted._on_tick()
    assert said
    assert all(said)


def test_a_job_that_does_not_answer_says_so_and_then_goes_on_where_it_was(scripted, works):
    scripted.download(REPOSITORY, "a" * 40, "gpt2", "cpu-int8")
    job = works.last
    job.say(0.3, "Reading")
    scripted._on_tick()
    for _ in range(2):
        job.silent = True
        scripted._on_tick()
        scripted._on_tick()
        (task,) = scripted.tasks()
        assert "does not answer" in task.line
        assert task.fraction == 0.3
        job.silent = False
        scripted._on_tick()
        assert scripted.tasks()[0].words == "Reading"
    job.silent = True
    scripted._on_tick()
    job.silent = False
    job.say(0.4, "Writing")
    scripted._on_tick()
    assert scripted.tasks()[0].words == "Writing"


def test_pause_keeps_what_was_fetched_and_resume_goes_on(scripted, works):
    scripted.download(REPOSITORY, "a" * 40, "gpt2", "cpu-int8")
    works.leave(REPOSITORY)
    assert scripted.unfinished() == []  # it runs
    scripted.pause()
    assert works.jobs[0].cancelled
    assert [each.repository for each in scripted.unfinished()] == [REPOSITORY]
    scripted.resume(REPOSITORY)
    assert works.asked() == [("download", REPOSITORY, "a" * 40, "gpt2", "cpu-int8")] * 2


def test_a_silent_server_takes_back_the_rate_and_the_time_left(scripted, works):
    now = [100.0]
    scripted._clock = lambda: now[0]
    scripted.download(REPOSITORY, "a" * 40, "gpt2", "cpu-int8")

    def words(seconds, said=""):
        now[0] += seconds
        if said:
            works.last.say(0.1, said)
        scripted._on_tick()
        return scripted.tasks()[0].words

    arriving = "2 of 93 MB, 4.4 MB/s, 21 s left"
    assert words(0, arriving) == words(2.9) == arriving
    assert words(4) == "2 of 93 MB, nothing for 7 s; waiting for the server"
    assert words(20) == "2 of 93 MB, nothing for 27 s; waiting for the server"
    assert words(1, arriving) == arriving
    # What takes its time on this machine is not waited for.
    assert words(0, "Making cpu-int8") == words(60) == "Making cpu-int8"


def test_pause_does_nothing_to_what_cannot_go_on(scripted, works):
    scripted.convert("demo", "cpu-int4")
    scripted.pause()
    assert not works.last.cancelled


def test_cancelling_a_download_deletes_what_was_fetched(scripted, works):
    scripted.download(REPOSITORY, "", "gpt2")
    scripted.cancel_task(scripted.tasks()[0])
    assert works.jobs[0].cancelled
    assert works.asked()[-1] == ("discard", REPOSITORY)


def test_the_end_of_the_program_only_pauses_a_download(scripted, works):
    scripted.download(REPOSITORY, "", "gpt2")
    scripted.cancel()
    assert [name for name, *_ in works.asked()] == ["download"]


def test_a_task_that_is_over_cannot_be_cancelled_any_more(scripted, works):
    scripted.convert("demo", "cpu-int4")
    old = scripted.tasks()[0]
    works.last.finish("folder")
    scripted._on_tick()
    scripted.verify("demo")
    scripted.cancel_task(old)
    assert not works.last.cancelled


def test_a_failed_download_stays_in_sight_until_it_is_dismissed_or_tried_again(
    scripted, works, qtbot
):
    scripted.download(REPOSITORY, "", "gpt2")
    works.last.say(0.5, "274 of 548 MB")
    works.last.fail("The hub does not answer.")
    with qtbot.waitSignal(scripted.failed, timeout=0):
        scripted._on_tick()
    (task,) = scripted.tasks()
    assert (task.problem, task.fraction, task.opens) == ("The hub does not answer.", 0.5, False)
    scripted.download(REPOSITORY, "", "gpt2")
    assert [task.problem for task in scripted.tasks()] == [""]


def test_what_a_check_found_is_passed_on(scripted, works, qtbot):
    scripted.verify("demo")
    works.last.finish("outcome")
    with qtbot.waitSignal(scripted.verified, timeout=0) as verified:
        scripted._on_tick()
    assert verified.args == ["demo", "outcome"]


# From a hub on loopback


def test_a_model_is_looked_up_fetched_paused_gone_on_with_and_opened(
    desk, paths, tmp_path, qtbot, monkeypatch
):
    source = make_tiny(tmp_path / "poems", width=64, vocabulary=600)
    size = (source / "model.safetensors").stat().st_size
    half = size // 2
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add("someone/poems", source)
        with qtbot.waitSignal(desk.looked) as looked:
            desk.look("someone/poems")
        (preview,) = looked.args
        assert (preview.licence, preview.bytes > size) == ("mit", True)
        assert hub.fetched() == set()  # only asked
        hub.script("someone/poems/model.safetensors", Serving(stall_after=half))
        desk.download("someone/poems", preview.revision, "", "cpu-fp32")
        files = paths.downloads / "someone--poems" / "files"
        # The server's silence is no sign that what it sent before has been written down.
        qtbot.waitUntil(lambda: _size(files / "model.safetensors.part") == half)
        qtbot.waitUntil(lambda: bool(desk.tasks()[0].words))
        desk.pause()
        (left,) = desk.unfinished()
        assert 0 < left.done < left.total == preview.bytes
        hub.go_on()
        with qtbot.waitSignal(desk.opened) as opened:
            desk.resume("someone/poems")
    (loaded,) = opened.args
    assert (loaded.manifest.name, loaded.build) == ("poems", "cpu-fp32")
    assert loaded.manifest.source["repository"] == "someone/poems"
    assert desk.unfinished() == []
    assert hub.asked("model.safetensors") == ["", f"bytes={half}-"]


def _size(file):
    return file.stat().st_size if file.exists() else 0


def test_a_cancelled_download_leaves_nothing(desk, paths, tmp_path, qtbot, monkeypatch):
    source = make_tiny(tmp_path / "poems", width=64, vocabulary=600)
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add("someone/poems", source)
        hub.script("someone/poems/model.safetensors", Serving(stall_after=10_000))
        desk.download("someone/poems", "", "", "cpu-fp32")
        qtbot.waitUntil(hub.stalled.is_set)
        desk.cancel_task(desk.tasks()[0])
        qtbot.waitUntil(lambda: desk.tasks() == ())
    assert desk.unfinished() == []
    assert desk.models() == []
