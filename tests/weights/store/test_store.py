"""Models on this machine: names, bundled ones and their cache, two programs at once, leftovers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from explorer.core.errors import CheckpointError, InputError, ModelError, UnknownModelError
from explorer.core.manifest import Manifest
from explorer.system.lock import FileLock
from explorer.system.paths import Paths
from explorer.weights.builds.packing import BUILD_REVISION, PACKINGS, Packing, Storage
from explorer.weights.formats.untrusted_folder import Source
from explorer.weights.store.model_names import check_name
from explorer.weights.store.store import Store
from tests.tiny import make_tiny


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Return folders of their own, with a tiny GPT-2 as the bundled demonstration model."""
    make_tiny(tmp_path / "program" / "demo", layers=1, width=8, context=16)
    data = tmp_path / "data"
    program = tmp_path / "program"
    return Paths(data, data / "cache", data / "logs", tmp_path / "resources", program)


@pytest.fixture
def store(paths: Paths) -> Store:
    return Store(paths)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "My GPT-2", layers=1, width=8, context=16, seed=3)


def names(store: Store) -> list[str]:
    return [model.name for model in store.list()]


def cached(paths: Paths) -> list[str]:
    return sorted(path.name for path in paths.model_cache.glob("[!.]*"))


# The bundled model


def test_the_bundled_model_is_listed_before_it_is_made(store: Store, paths: Paths) -> None:
    (model,) = store.list()
    assert (model.name, model.bundled, model.manifest, model.problem) == ("demo", True, None, "")
    assert not paths.data.exists()


def test_the_real_demonstration_model_is_usable(tmp_path: Path) -> None:
    folder = Store(Paths.default(tmp_path)).ensure("demo", "cpu-int4")
    manifest = Manifest.read(folder)
    assert manifest.name == "demo"
    assert manifest.context >= 512
    assert manifest.end_of_text is not None
    assert manifest.parameters > 1_000_000


def test_its_builds_are_made_at_first_use_with_progress(store: Store, paths: Paths) -> None:
    told: list[str] = []
    folder = store.ensure("demo", "cpu-int8", lambda _, text: told.append(text))
    assert folder.parent == paths.model_cache
    assert any("cpu-int8" in text for text in told)
    told.clear()
    assert store.ensure("demo", "cpu-int8", lambda _, text: told.append(text)) == folder
    assert told == []
    assert store.ensure("demo", "cpu-fp32") == folder
    model = store.find("demo")
    assert model.has("cpu-int8")
    assert model.has("cpu-fp32")
    assert not model.has("cpu-int4")
    assert not (folder / "source").exists()


def test_a_new_bundled_model_replaces_the_old_one_in_the_cache(store: Store, paths: Paths) -> None:
    old = store.ensure("demo")
    make_tiny(paths.bundled_models / "demo", layers=1, width=8, context=16, seed=1)
    assert store.find("demo").manifest is None
    new = store.ensure("demo")
    assert new != old
    assert cached(paths) == [new.name]


def test_a_program_that_packs_otherwise_makes_its_own_builds_in_the_cache(
    store: Store, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = store.ensure("demo", "cpu-int8")
    blocks = Packing(Storage(8, 32), Storage(8, 32))
    monkeypatch.setitem(PACKINGS, "int8", blocks)
    other = Store(paths)
    assert other.find("demo").manifest is None
    new = other.ensure("demo", "cpu-int8")
    assert Manifest.read(new).builds["cpu-int8"].block == 32
    assert cached(paths) == [new.name] != [old.name]


def test_a_program_that_writes_other_graphs_makes_its_own_builds_in_the_cache(
    store: Store, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = store.ensure("demo")
    assert Store(paths).find("demo").folder == old
    monkeypatch.setattr("explorer.weights.store.store.BUILD_REVISION", BUILD_REVISION + 1)
    new = Store(paths).ensure("demo")
    assert cached(paths) == [new.name] != [old.name]


@pytest.mark.parametrize("build", ["cpu-fp32", "cpu-int8"])
def test_a_tokenizer_that_is_gone_from_the_cache_comes_back(store: Store, build: str) -> None:
    """Whatever clears caches may take old files one by one."""
    file = store.ensure("demo", "cpu-fp32") / "tokenizer.json"
    text = file.read_bytes()
    file.unlink()
    assert not store.find("demo").has("cpu-fp32")
    assert store.ensure("demo", build) == file.parent
    assert file.read_bytes() == text
    assert store.find("demo").has("cpu-fp32")


def test_a_source_that_nobody_touched_is_hashed_once(
    store: Store, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    hashed = Source.sha256

    def counted(source: Source, name: str) -> str:
        read.append(name)
        return hashed(source, name)

    monkeypatch.setattr(Source, "sha256", counted)
    first = store.find("demo").folder
    assert "model.safetensors" in read
    read.clear()
    assert store.find("demo").folder == first
    assert read == []
    # As many bytes as before, with the time that was there before: still another model.
    path = paths.bundled_models / "demo" / "model.safetensors"
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.find("demo").folder != first


@pytest.mark.parametrize("kind", ["demo", "imported"])
def test_a_build_that_is_there_is_made_again_where_that_is_asked_for(
    store: Store, source: Path, kind: str
) -> None:
    if kind == "imported":
        store.import_folder(source, kind)
    path = store.ensure(kind) / "cpu-int8" / "weights.bin"
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    store.ensure(kind)
    assert path.read_bytes() != whole
    store.ensure(kind, again=True)
    assert path.read_bytes() == whole


def test_a_build_that_cannot_be_made_again_stays(store: Store, source: Path) -> None:
    folder = store.import_folder(source, "mine").folder
    shutil.rmtree(folder / "source")
    with pytest.raises(ModelError, match="its source is gone"):
        store.ensure("mine", again=True)
    assert store.find("mine").has("cpu-int8")


@pytest.mark.parametrize("text", ["", "{}", '{"contract": 0}'])
def test_a_damaged_cache_is_made_again(store: Store, text: str) -> None:
    folder = store.ensure("demo")
    (folder / "model.json").write_text(text)
    assert store.ensure("demo") == folder
    assert store.find("demo").has("cpu-int8")


def test_a_damaged_build_in_the_cache_is_made_again(store: Store) -> None:
    folder = store.ensure("demo")
    (folder / "cpu-int8" / "weights.bin").unlink()
    assert store.ensure("demo") == folder
    assert store.find("demo").has("cpu-int8")


def test_a_broken_bundled_model_is_listed_with_its_reason(store: Store, paths: Paths) -> None:
    (paths.bundled_models / "demo" / "model.safetensors").unlink()
    (model,) = store.list()
    assert "model.safetensors" in model.problem
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        store.ensure("demo")


def test_the_bundled_model_cannot_be_removed(store: Store) -> None:
    with pytest.raises(InputError, match="belongs to the program"):
        store.remove("demo")


# Importing


def test_import_list_find_remove(store: Store, source: Path, paths: Paths) -> None:
    model = store.import_folder(source, "Fine tuned", "cpu-int8")
    assert model.name == "Fine tuned"
    assert model.folder == paths.models / "Fine tuned"
    assert model.has("cpu-int8")
    assert names(store) == ["demo", "Fine tuned"]
    assert store.find("Fine tuned") == store.find(model.folder) == model
    shutil.rmtree(source)
    assert store.ensure("Fine tuned", "cpu-fp32") == model.folder
    store.remove("Fine tuned")
    assert names(store) == ["demo"]
    assert list(paths.models.glob("[!.]*")) == []


def test_the_folder_gives_the_name_and_a_number_where_it_is_taken(
    store: Store, source: Path
) -> None:
    assert [store.import_folder(source).name for _ in range(3)] == [
        "My-GPT-2",
        "My-GPT-2-2",
        "My-GPT-2-3",
    ]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("models--openai-community--gpt2/snapshots/607a30d", "gpt2"),
        ("demo", "demo-2"),
        ("…", "model"),
        ("模型", "模型"),
        ("مدل زبان", "مدل-زبان"),
        ("हिन्दी", "हिन्दी"),
        ("-x.", "x"),
        ("(modèle) №1", "modèle-1"),
        ("ก" * 80, "ก" * 40),
        ("x.part", "x"),
        ("nul", "nul-2"),
    ],
)
def test_awkward_folders_give_sane_names(
    store: Store, tmp_path: Path, folder: str, name: str
) -> None:
    source = make_tiny(tmp_path / "somewhere" / folder, layers=1, width=8, context=16)
    assert store.import_folder(source).name == name
    assert name in names(store)


def test_a_name_is_unique_whatever_its_case(store: Store, source: Path) -> None:
    store.import_folder(source, "one")
    with pytest.raises(InputError, match="already a model named 'ONE'"):
        store.import_folder(source, "ONE")


BAD_NAMES = ["", " ", "a/b", "a\\b", "a\nb", "a\0b", "a:b", "a*", "🦄", "x" * 65, "𠀀" * 60]
BAD_PLACES = ["..", ".hidden", "-x", "x.", "x.part", "x.PART"]
TAKEN_NAMES = ["demo", "DEMO", "con", "NUL.txt"]


@pytest.mark.parametrize("name", [*BAD_NAMES, *BAD_PLACES, *TAKEN_NAMES])
def test_names_that_cannot_be_used(store: Store, source: Path, paths: Paths, name: str) -> None:
    with pytest.raises(InputError):
        store.import_folder(source, name)
    assert not paths.data.exists()


@pytest.mark.parametrize(
    "name",
    ["gpt2", "GPT-2 1.5B", "größe", " spaces around ", "a+b_c", "2", "模型" * 32, "हिन्दी", "ไทย"],
)
def test_names_that_can_be_used(name: str) -> None:
    assert check_name(name) == name.strip()


def test_a_refused_import_leaves_nothing(store: Store, source: Path, paths: Paths) -> None:
    (source / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        store.import_folder(source)
    assert list(paths.models.glob("[!.]*")) == []
    assert names(store) == ["demo"]


def test_a_cancelled_import_leaves_nothing(store: Store, source: Path, paths: Paths) -> None:
    def cancel(fraction: float, text: str) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.import_folder(source, progress=cancel)
    assert list(paths.models.glob("[!.]*")) == []


def test_a_broken_model_is_listed_with_its_reason(store: Store, source: Path) -> None:
    folder = store.import_folder(source, "broken").folder
    store.import_folder(source, "whole")
    (folder / "model.json").write_text("{")
    broken = store.find("broken")
    assert "model.json cannot be read" in broken.problem
    assert store.find("whole").problem == ""
    with pytest.raises(ModelError, match=r"model\.json"):
        store.ensure("broken")
    store.remove("broken")
    assert names(store) == ["demo", "whole"]


def test_a_model_without_files_or_source_says_so(store: Store, source: Path) -> None:
    folder = store.import_folder(source, "hollow").folder
    shutil.rmtree(folder / "cpu-int8")
    assert store.find("hollow").problem == ""  # it can be made again
    shutil.rmtree(folder / "source")
    assert "import it again" in store.find("hollow").problem


# By path


def test_a_gpt2_folder_by_path_is_made_in_the_cache(
    store: Store, source: Path, paths: Paths
) -> None:
    folder = store.ensure(str(source))
    assert folder.parent == paths.model_cache
    assert store.ensure(source) == folder
    assert names(store) == ["demo"]
    make_tiny(source, layers=1, width=8, context=16, seed=4)
    assert store.ensure(source) != folder


def test_a_model_folder_by_path(store: Store, source: Path, tmp_path: Path) -> None:
    made = store.import_folder(source, "x").folder
    moved = shutil.move(made, tmp_path / "elsewhere")
    leftover = tmp_path / "other.part"
    leftover.mkdir()
    assert store.find(moved).name == "elsewhere"
    assert store.ensure(moved, "cpu-fp32") == Path(moved)
    assert leftover.is_dir(), "what lies beside a foreign folder is not ours"


def test_a_bad_folder_by_path_is_refused(store: Store, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a model folder"):
        store.find(tmp_path)
    (source / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        store.ensure(source)


def test_an_unknown_name_lists_the_known_ones(store: Store, source: Path) -> None:
    store.import_folder(source, "one")
    with pytest.raises(ModelError, match="'two'; installed models: demo, one"):
        store.find("two")
    with pytest.raises(UnknownModelError, match="imported models: one"):
        store.remove("two")


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b", "~nobody-has-this-name/x", "\udcff"])
def test_names_that_are_no_paths_either(store: Store, name: str) -> None:
    with pytest.raises(UnknownModelError, match="There is no model or folder"):
        store.find(name)
    with pytest.raises(CheckpointError):
        store.import_folder(Path(name) / "x")


# Two at once, and what is left of the dead


def test_two_programs_at_once_make_one_model(paths: Paths) -> None:
    script = (
        "import sys, json; from pathlib import Path; from explorer.system.paths import Paths\n"
        "from explorer.weights.store.store import Store\n"
        "p = [Path(x) for x in json.loads(sys.argv[1])]\n"
        "print(Store(Paths(*p)).ensure('demo', sys.argv[2]))"
    )
    places = [paths.data, paths.cache, paths.logs, paths.resources, paths.bundled_models]
    argument = json.dumps([str(place) for place in places])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, argument, build],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            text=True,
        )
        for build in ("cpu-int8", "cpu-int8", "cpu-fp32")
    ]
    results = [process.communicate(timeout=120)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(set(results)) == 1
    model = Store(paths).find("demo")
    assert model.has("cpu-int8")
    assert model.has("cpu-fp32")
    assert cached(paths) == [model.folder.name]


def test_waiting_for_another_conversion_is_said_and_can_be_cancelled(
    store: Store, paths: Paths
) -> None:
    paths.model_cache.mkdir(parents=True)
    told: list[str] = []

    def cancel(fraction: float, text: str) -> None:
        told.append(text)
        raise KeyboardInterrupt

    with FileLock(paths.model_cache / ".lock"), pytest.raises(KeyboardInterrupt):
        store.ensure("demo", progress=cancel)
    assert told == ["Waiting for another conversion"]
    assert store.ensure("demo").is_dir()


def test_whoever_waited_finds_the_work_done(store: Store, paths: Paths) -> None:
    paths.model_cache.mkdir(parents=True)
    lock = FileLock(paths.model_cache / ".lock")
    results: list[Path] = []
    told: list[str] = []
    waits = threading.Event()

    def tell(_: float, text: str) -> None:
        told.append(text)
        waits.set()

    def work() -> None:
        results.append(Store(paths).ensure("demo", progress=tell))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waits.wait(60)
    lock.release()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results[0] == results[1]
    assert told[0] == "Waiting for another conversion"
    assert told.count("Done") == 1


def test_leftovers_go_at_the_next_import(store: Store, source: Path, paths: Paths) -> None:
    model = store.import_folder(source, "one")
    (paths.models / "dead.part" / "source").mkdir(parents=True)
    (model.folder / "cpu-fp32.part").mkdir()
    assert names(store) == ["demo", "one"]
    store.import_folder(source, "two")
    assert not list(paths.models.rglob("*.part"))


def test_clean_removes_leftovers_unless_somebody_works(store: Store, paths: Paths) -> None:
    store.clean()
    dead = paths.models / "dead.part"
    dead.mkdir(parents=True)
    with FileLock(paths.models / ".lock"):
        store.clean()
        assert dead.exists()
    store.clean()
    assert not dead.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file in place of a folder")
def test_a_place_that_cannot_be_written_is_said(store: Store, source: Path, paths: Paths) -> None:
    paths.data.parent.mkdir(exist_ok=True)
    paths.data.write_text("a file where a folder should be")
    with pytest.raises(ModelError, match=str(paths.models)):
        store.import_folder(source)


# What a model takes, and when it was used


def test_size_use_and_single_builds(store: Store, source: Path) -> None:
    model = store.import_folder(source, "mine", "cpu-fp32")
    files = [path for path in model.folder.rglob("*") if path.is_file()]
    assert model.bytes_on_disk == sum(path.stat().st_size for path in files)
    assert model.used is None
    store.mark_used(model.folder)
    assert model.used == pytest.approx(time.time(), abs=60)
    store.mark_used(model.folder.parent / "nowhere")
    store.mark_used(source)  # somebody else's folder: nothing is written there
    assert {path.name for path in source.iterdir()}.isdisjoint({".used"})

    store.ensure("mine", "cpu-int8")
    store.remove_build("mine", "cpu-fp32")
    left = store.find("mine")
    assert (left.has("cpu-fp32"), left.has("cpu-int8"), left.problem) == (False, True, "")
    assert list(Manifest.read(left.folder).builds) == ["cpu-int8"]
    assert sorted(path.name for path in left.folder.iterdir() if path.is_dir()) == [
        "cpu-int8",
        "source",
    ]
    with pytest.raises(UnknownModelError, match="no cpu-fp32 build"):
        store.remove_build("mine", "cpu-fp32")
    # The last one may go while it can be made again.
    store.remove_build("mine", "cpu-int8")
    assert store.find("mine").problem == ""
    store.ensure("mine", "cpu-int8")
    shutil.rmtree(left.folder / "source")
    with pytest.raises(InputError, match="whose source is gone"):
        store.remove_build("mine", "cpu-int8")
    assert store.find("mine").has("cpu-int8")


def test_a_build_whose_files_are_gone_can_be_taken_out(store: Store, source: Path) -> None:
    model = store.import_folder(source, "mine", "cpu-fp32")
    shutil.rmtree(model.folder / "cpu-fp32")
    store.remove_build("mine", "cpu-fp32")
    assert Manifest.read(model.folder).builds == {}


def test_a_file_stands_for_its_folder(store: Store, source: Path) -> None:
    assert store.import_folder(source / "model.safetensors").name == "My-GPT-2"
