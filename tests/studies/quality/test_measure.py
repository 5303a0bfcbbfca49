"""The table of a model's builds: measured, kept, read back with suspicion, put into words."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.errors import DeviceError, InputError, ModelError, UnknownModelError
from explorer.engine.session import Session
from explorer.jobs.job import Done, Job
from explorer.studies.quality import measure as studied
from explorer.studies.quality import temporary_builds
from explorer.studies.quality.held_out_text import HeldOut, shipped
from explorer.studies.quality.measure import (
    KL_BOUND,
    REFERENCE,
    Quality,
    as_json,
    best_build,
    demo_quality,
    describe,
    measure,
    read_quality,
    verdict,
    write_quality,
)
from explorer.system.lock import FileLock
from explorer.system.paths import Paths
from explorer.weights.builds.convert import convert
from explorer.weights.store.store import DEFAULT_BUILD, Store
from tests.studies.places import BUILDS, RESOURCES, import_tiny, make_places, model_folder
from tests.tiny import TEXT, make_tiny

SHORT = HeldOut("short.txt", TEXT[:200])


def quiet(fraction: float, text: str) -> None: ...


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return import_tiny(tmp_path_factory.mktemp("original"))


@pytest.fixture
def paths(original: Paths, tmp_path: Path) -> Paths:
    """A copy that may be changed."""
    found = make_places(tmp_path)
    shutil.copytree(original.models, found.models)
    return found


def row(build: str = "cpu-int8", **changes: object) -> Quality:
    values = Quality(
        build, 0.0004, 1.5, 0.98, 9000, "heldout.txt", 0.002, 0.0003, 12_600_000, 700.0
    )
    return dataclasses.replace(values, **changes)  # type: ignore[arg-type]


# Measuring


def test_every_build_is_measured_against_fp32_and_kept(paths: Paths) -> None:
    told: list[tuple[float, str]] = []
    found = measure(lambda *step: told.append(step), paths, "tiny", text=SHORT)
    assert [quality.build for quality in found] == list(BUILDS)
    exact, int8, int4 = found
    assert (exact.kl, exact.change, exact.top1) == (0, 0, 1)
    assert 0 < int8.kl < int4.kl / 2  # a tiny model: of few inputs each counts
    assert int8.kl < int8.kl99
    assert int4.top1 < 1
    assert int4.change == pytest.approx(int4.bits_per_byte / exact.bits_per_byte - 1, abs=1e-6)
    assert exact.bytes > int8.bytes > 0  # of four bits a block is wider than this model
    assert {(quality.text, quality.tokens) for quality in found} == {("short.txt", exact.tokens)}
    assert int8.rate is None  # a context of 64 has no room for measuring speed
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert told[-1] == (1.0, "Done")
    assert "Measuring cpu-int4" in {text for _, text in told}
    kept = read_quality(model_folder(paths))
    assert {build: quality.top1 for build, quality in kept.items()} == pytest.approx(
        {quality.build: quality.top1 for quality in found}, rel=1e-4
    )
    assert kept["cpu-int8"].kl == pytest.approx(int8.kl, rel=1e-3)
    assert not list(model_folder(paths).glob("*.part"))


def test_what_is_missing_is_made_for_the_time_being(paths: Paths) -> None:
    expected = measure(quiet, paths, "tiny", text=SHORT)
    folder = model_folder(paths)
    values = json.loads((folder / "model.json").read_text())
    for build in ("cpu-fp32", "cpu-int4"):
        shutil.rmtree(folder / build)
        del values["builds"][build]
    (folder / "model.json").write_text(json.dumps(values))
    found = measure(quiet, paths, "tiny", text=SHORT)
    assert found == expected
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["cpu-int8", "source"]
    assert [path.name for path in (paths.cache / "studies").iterdir()] == [".lock"]
    assert list(read_quality(folder)) == sorted(BUILDS, key=BUILDS.index)


def test_two_models_at_most_are_open_at_once(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: set[int] = set()
    most = 0
    start, close = Session.__init__, Session.close

    def opening(self: Session, *words: object, **more: object) -> None:
        nonlocal most
        start(self, *words, **more)  # type: ignore[arg-type]
        opened.add(id(self))
        most = max(most, len(opened))

    def closing(self: Session) -> None:
        close(self)
        opened.discard(id(self))

    monkeypatch.setattr(Session, "__init__", opening)
    monkeypatch.setattr(Session, "close", closing)
    measure(quiet, paths, "tiny", text=SHORT)
    assert most == 2
    assert not opened


def test_a_bundled_model_is_made_first_and_measured_on_the_text_that_ships(
    tmp_path: Path,
) -> None:
    paths = make_places(tmp_path)
    make_tiny(paths.bundled_models / "demo", context=128)
    found = measure(quiet, paths, "demo", ["cpu-int8"])
    assert [quality.build for quality in found] == ["cpu-fp32", "cpu-int8"]
    assert found[0].text == "heldout.txt"
    assert found[0].rate
    model = Store(paths).find("demo")
    assert set(read_quality(model.folder)) == {"cpu-fp32", "cpu-int8"}
    assert list(model.manifest.builds) == [DEFAULT_BUILD]


def test_it_is_work_for_a_job(paths: Paths) -> None:
    job = Job.start(measure, paths, "tiny", ["cpu-int8"], SHORT)
    events = []
    while job.running:
        events += job.poll()
    assert isinstance(events[-1], Done)
    assert [quality.build for quality in events[-1].result] == ["cpu-fp32", "cpu-int8"]


@pytest.mark.parametrize("step", ["Checking", "Making the cpu-int4", "Measuring cpu-fp32", "int8"])
def test_cancelling_leaves_nothing(paths: Paths, step: str) -> None:
    shutil.rmtree(model_folder(paths) / "cpu-int4")

    def progress(fraction: float, text: str) -> None:
        if step in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(progress, paths, "tiny", text=SHORT)
    assert read_quality(model_folder(paths)) == {}
    assert not list(model_folder(paths).glob("*.part"))
    left = paths.cache / "studies"
    assert not left.exists() or [path.name for path in left.iterdir()] == [".lock"]


def test_what_a_killed_study_left_is_cleared_unless_another_runs(paths: Paths) -> None:
    temporary_builds.clean(paths)  # there is nothing yet
    place = paths.cache / "studies"
    (place / "model.part").mkdir(parents=True)
    (place / "model" / "cpu-fp32").mkdir(parents=True)
    with FileLock(place / ".lock"):
        temporary_builds.clean(paths)
        assert (place / "model").exists()
    temporary_builds.clean(paths)
    assert [path.name for path in place.iterdir()] == [".lock"]


def test_what_cannot_be_measured_is_said(paths: Paths) -> None:
    with pytest.raises(UnknownModelError):
        measure(quiet, paths, "nobody")
    with pytest.raises(InputError, match="no build 'cpu-int2'"):
        measure(quiet, paths, "tiny", ["cpu-int2"])
    with pytest.raises(InputError, match="too short"):
        measure(quiet, paths, "tiny", text=HeldOut("empty.txt", ""))
    shutil.rmtree(model_folder(paths) / "cpu-fp32")
    shutil.rmtree(model_folder(paths) / "source")
    with pytest.raises(ModelError, match="its source is gone"):
        measure(quiet, paths, "tiny", text=SHORT)


def test_a_build_that_cannot_run_here_is_left_out(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = studied._open

    def refuse(folder: Path, build: str) -> Session:
        if build == "cpu-int4":
            raise DeviceError("No NVIDIA driver was found.")
        return opened(folder, build)

    monkeypatch.setattr(studied, "_open", refuse)
    found = measure(quiet, paths, "tiny", text=SHORT)
    assert [quality.build for quality in found] == ["cpu-fp32", "cpu-int8"]
    with pytest.raises(DeviceError, match="No NVIDIA driver"):
        measure(quiet, paths, "tiny", ["cpu-int4"], SHORT)


def test_numbers_that_are_not_finite_are_not_a_quality(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = studied.Divergence(np.array([0.1, np.nan]), 1.0, 1.0, 0.5)
    monkeypatch.setattr(studied, "compare", lambda *_: broken)
    with pytest.raises(ModelError, match="not finite"):
        measure(quiet, paths, "tiny", text=SHORT)
    assert read_quality(model_folder(paths)) == {}


def test_another_source_is_not_measured_as_this_model(paths: Paths, tmp_path: Path) -> None:
    shutil.rmtree(model_folder(paths) / "cpu-fp32")
    other = make_tiny(tmp_path / "other", width=32, seed=1)
    shutil.copy(other / "model.safetensors", model_folder(paths) / "source")
    with pytest.raises(ModelError, match="has changed"):
        measure(quiet, paths, "tiny", text=SHORT)
    assert not list((paths.cache / "studies").glob("model*"))


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(studied, "_open", None)  # nothing is opened
    with pytest.raises(ModelError, match="cannot be written to"):
        measure(quiet, paths, "tiny", text=SHORT)


# Keeping


def test_figures_of_other_builds_stay(paths: Paths) -> None:
    folder = model_folder(paths)
    builds = Store(paths).find("tiny").manifest.builds
    rows = {name: row(name, fingerprint=build.fingerprint) for name, build in builds.items()}
    write_quality(folder, [rows["cpu-int8"], rows["cpu-int4"]])
    newer = dataclasses.replace(rows["cpu-int4"], kl=0.1)
    write_quality(folder, [newer])
    assert read_quality(folder) == {"cpu-int8": rows["cpu-int8"], "cpu-int4": newer}


def test_figures_of_another_model_or_build_are_not_shown(paths: Paths) -> None:
    folder = model_folder(paths)
    manifest = Store(paths).find("tiny").manifest
    own = row(fingerprint=manifest.builds["cpu-int8"].fingerprint)
    (folder / "quality.json").write_text(as_json("0" * 64, [own]))
    assert read_quality(folder) == {}
    stale = row("cpu-int4", fingerprint="1" * 64)
    (folder / "quality.json").write_text(as_json(manifest.fingerprint, [own, stale]))
    assert read_quality(folder) == {"cpu-int8": own}
    (folder / "model.json").write_text("{")
    assert read_quality(folder) == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: values.clear(),
        lambda values: values.update(version=2),
        lambda values: values.update(builds=[]),
        lambda values: values["builds"].update({"cpu-int2": values["builds"]["cpu-int8"]}),
        lambda values: values["builds"].update({"cpu-int4": values["builds"]["cpu-int8"]}),
        lambda values: values["builds"]["cpu-int8"].update(kl="0"),
        lambda values: values["builds"]["cpu-int8"].update(kl=-1.0),
        lambda values: values["builds"]["cpu-int8"].update(kl=None),
        lambda values: values["builds"]["cpu-int8"].update(top1=True),
        lambda values: values["builds"]["cpu-int8"].update(tokens=1.5),
        lambda values: values["builds"]["cpu-int8"].update(bytes=-1),
        lambda values: values["builds"]["cpu-int8"].update(text=7),
        lambda values: values["builds"]["cpu-int8"].update(more=1),
        lambda values: values["builds"]["cpu-int8"].pop("kl"),
        lambda values: values["builds"].update({"cpu-int8": 3}),
    ],
)
def test_a_damaged_file_is_no_file(paths: Paths, damage: object) -> None:
    folder = model_folder(paths)
    manifest = Store(paths).find("tiny").manifest
    own = row(fingerprint=manifest.builds["cpu-int8"].fingerprint)
    write_quality(folder, [own])
    assert read_quality(folder) == {"cpu-int8": own}
    values = json.loads((folder / "quality.json").read_text())
    damage(values)  # type: ignore[operator]
    (folder / "quality.json").write_text(json.dumps(values))
    assert read_quality(folder) == {}
    write_quality(folder, [own])  # and measuring again mends it
    assert read_quality(folder) == {"cpu-int8": own}


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"[" * 100_000, b'{"builds": NaN}', b" " * (2 << 20), b'{"kl": 1e999}'],
)
def test_bytes_that_are_no_table_are_no_file(paths: Paths, data: bytes) -> None:
    (model_folder(paths) / "quality.json").write_bytes(data)
    assert read_quality(model_folder(paths)) == {}


# The rule and the words


def test_the_smallest_good_build_is_best() -> None:
    table = {
        "cpu-fp32": row("cpu-fp32", kl=0.0, bytes=28),
        "cpu-int8": row("cpu-int8", kl=KL_BOUND, bytes=13),
        "cpu-int4": row("cpu-int4", kl=KL_BOUND * 1.01, bytes=9),
        "cuda-fp16": row("cuda-fp16", kl=0.0, bytes=1),
    }
    assert best_build(table) == "cpu-int8"
    assert "cpu-int8 is the default: the smallest" in verdict(table)
    table["cpu-int4"] = row("cpu-int4", kl=0.009, bytes=9)
    assert best_build(table) == "cpu-int4"
    assert verdict(table).endswith("choose it with --precision int4.")
    table = {name: dataclasses.replace(value, kl=1.0) for name, value in table.items()}
    assert best_build(table) == REFERENCE
    assert best_build({}) == REFERENCE
    assert "was not measured here" in verdict({"cpu-fp32": row("cpu-fp32", kl=0.0)})


@given(kls=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_the_best_build_is_within_the_bound_and_no_other_is_smaller(kls: list[float]) -> None:
    sizes = (28, 13, 9)
    table = {
        build: row(build, kl=kl, bytes=size)
        for build, kl, size in zip(BUILDS, kls, sizes, strict=True)
    }
    best = best_build(table)
    within = [quality for quality in table.values() if quality.kl <= KL_BOUND]
    assert best in {quality.build for quality in within} or (best == REFERENCE and not within)
    assert all(table[best].bytes <= quality.bytes for quality in within)


def test_words_for_the_precision_chooser() -> None:
    own = {
        "cpu-fp32": row("cpu-fp32", kl=0.0, change=0.0, bytes=28_000_000),
        "cpu-int8": row(kl=0.00044),
        "cpu-int4": row("cpu-int4", kl=0.0257, change=0.0071, bytes=9_200_000),
    }
    assert describe("cpu-int8", own) == (
        "int8: 13 MB, text as likely as with fp32 (+0.0 % bits per byte, KL 0.00044)"
    )
    assert describe("cpu-int4", own) == (
        "int4: 9 MB, text a little less likely than with fp32 (+0.7 % bits per byte, KL 0.026)"
    )
    assert describe("cpu-fp32", own) == "fp32: 28 MB, what the others are compared with"
    worse = {"cpu-int4": row("cpu-int4", kl=1.5, change=0.4)}
    assert "clearly worse than fp32 (+40.0 %" in describe("cpu-int4", worse)
    tiny = {"cuda-fp16": row("cuda-fp16", kl=1.8e-6, bytes=0)}
    assert describe("cuda-fp16", tiny) == (
        "fp16: text as likely as with fp32 (+0.0 % bits per byte, KL 0.0000018)"
    )


def test_without_figures_of_its_own_a_model_gets_those_of_the_demonstration_model() -> None:
    words = describe("cpu-int8", {})
    assert words.startswith("int8: text as likely as with fp32 (")
    assert words.endswith("; measured on the demonstration model)")
    assert "MB" not in words  # another model has another size
    assert describe("cpu-fp32", {}) == "fp32: what the others are compared with"
    assert describe("cuda-fp16", {}) == "fp16: not measured yet"


# What ships


def test_the_default_build_is_the_one_that_the_table_speaks_for() -> None:
    table = demo_quality()
    assert set(table) >= set(BUILDS)
    assert best_build(table) == DEFAULT_BUILD
    assert {quality.rate for quality in table.values()} == {None}  # it was another machine's


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Places whose demonstration model is the real one, with the builds for the CPU."""
    folder = tmp_path_factory.mktemp("demo")
    real = Paths.default()
    return dataclasses.replace(make_places(folder), bundled_models=real.bundled_models)


def test_the_table_that_ships_is_of_the_model_and_builds_that_ship(demo: Paths) -> None:
    store = Store(demo)
    for build in BUILDS:
        store.ensure("demo", build)
    manifest = store.find("demo").manifest
    table = demo_quality(RESOURCES)
    values = json.loads((RESOURCES / "quality.json").read_text(encoding="utf-8"))
    assert values["model"] == manifest.fingerprint
    for build in BUILDS:
        assert table[build].fingerprint == manifest.builds[build].fingerprint
        assert table[build].bytes == manifest.builds[build].bytes


def test_a_slice_measured_again_agrees_with_the_table_that_ships(demo: Paths) -> None:
    text = HeldOut("slice", shipped(demo.resources).documents()[4])
    for found in measure(quiet, demo, "demo", text=text):
        there = demo_quality()[found.build]
        # One of five documents, and a kernel of another CPU rounds in other places.
        assert found.kl == pytest.approx(there.kl, rel=0.25)
        assert found.top1 == pytest.approx(there.top1, abs=0.03)
        assert found.change == pytest.approx(there.change, abs=0.003)
        assert found.bits_per_byte == pytest.approx(there.bits_per_byte, rel=0.15)
        assert there.tokens > 9_000


def test_a_model_folder_without_its_source_folder_is_measured_too(tmp_path: Path) -> None:
    paths = make_places(tmp_path)
    source = make_tiny(tmp_path / "source")
    convert(source, tmp_path / "made", list(BUILDS), "made", quiet, copy_source=False)
    found = measure(quiet, paths, str(tmp_path / "made"), text=SHORT)
    assert set(read_quality(tmp_path / "made")) == {quality.build for quality in found}
