"""Whatever happens to a model's files is found, and a model to which nothing happened is sound."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from explorer.core.errors import DeviceError, OutOfMemoryError, UnknownModelError
from explorer.core.manifest import Manifest
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality import parity
from explorer.studies.quality.remake import make_build
from explorer.studies.quality.verify import Verification, is_intact, verify
from explorer.system.paths import Paths
from explorer.weights.formats.untrusted_folder import Source
from explorer.weights.store.store import Store
from tests.studies.places import BUILDS, import_tiny, make_places, model_folder
from tests.tiny import make_tiny


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return import_tiny(tmp_path_factory.mktemp("original"))


@pytest.fixture
def paths(original: Paths, tmp_path: Path) -> Paths:
    """A copy that may be damaged."""
    found = make_places(tmp_path)
    shutil.copytree(original.models, found.models)
    return found


def check(paths: Paths, name: str = "tiny") -> Verification:
    return verify(lambda fraction, text: None, paths, name)


def wrong(found: Verification) -> dict[str, str]:
    return {finding.part: finding.words for finding in found.findings if not finding.ok}


def words(found: Verification, part: str) -> list[str]:
    return [finding.words for finding in found.findings if finding.part == part]


def flip(path: Path, place: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def forget_hashes(paths: Paths, name: str = "tiny") -> None:
    """Make model.json one of the time before builds had hashes."""
    file = model_folder(paths, name) / "model.json"
    values = json.loads(file.read_text())
    for build in values["builds"].values():
        del build["hashes"]
    file.write_text(json.dumps(values))


def test_a_sound_model_is_sound(original: Paths) -> None:
    told: list[tuple[float, str]] = []
    found = verify(lambda *step: told.append(step), original, "tiny")
    assert found.name == "tiny"
    assert wrong(found) == {}
    assert found.ok
    assert words(found, "source") == ["source: 3 files, each the one that the model was made from."]
    for build in BUILDS:
        files, tokens = words(found, build)
        assert files == f"{build}: both files are those that were written."
        assert tokens.startswith(f"{build}: 10 tokens agree with the source: ")
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {"Reading weights.bin", "Asking the source"} <= {text for _, text in told}


@pytest.mark.parametrize("place", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("file", ["weights.bin", "model.onnx"])
def test_one_flipped_bit_of_a_build_is_found(paths: Paths, file: str, place: float) -> None:
    flip(model_folder(paths) / "cpu-int8" / file, place)
    found = check(paths)
    assert wrong(found) == {
        "cpu-int8": f"cpu-int8: {file} is not the file that was written: its SHA-256 differs; make "
        "the build again, on the Models page or with: sample-explorer models convert tiny "
        "--precision int8."
    }
    assert len(words(found, "cpu-int8")) == 1  # it is not opened
    assert len(words(found, "cpu-fp32")) == 2


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_one_flipped_bit_of_the_source_is_found(paths: Paths, file: str) -> None:
    flip(model_folder(paths) / "source" / file)
    found = check(paths)
    assert wrong(found) == {
        "source": f"source: {file} is not the file that the model was made from: its SHA-256 "
        "differs; remove the model and import it again."
    }
    # Nothing is compared with a source like that, and the builds are not blamed.
    assert "not compared" in words(found, "cpu-int8")[1]


def test_the_tokenizer_beside_the_builds_is_compared_too(paths: Paths) -> None:
    for damage in (flip, Path.unlink):
        damage(model_folder(paths) / "tokenizer.json")
        found = check(paths)
        assert list(wrong(found)) == ["tokenizer.json"]
        assert "make the build again" in wrong(found)["tokenizer.json"]
        assert words(found, "source")
        assert not is_intact(Store(paths).find("tiny"), "cpu-int8")
        assert make_build(lambda fraction, text: None, paths, "tiny", "cpu-int8")
        assert check(paths).ok


@pytest.mark.parametrize("file", ["weights.bin", "model.onnx"])
def test_a_truncated_or_missing_file_of_a_build_is_found(paths: Paths, file: str) -> None:
    path = model_folder(paths) / "cpu-int4" / file
    path.write_bytes(path.read_bytes()[:-1])
    assert "bytes together" in wrong(check(paths))["cpu-int4"]
    path.unlink()
    assert wrong(check(paths))["cpu-int4"].startswith(f"cpu-int4: {file} is missing; make")
    shutil.rmtree(path.parent)
    assert "is missing" in wrong(check(paths))["cpu-int4"]


def test_a_truncated_or_missing_file_of_the_source_is_found(paths: Paths) -> None:
    source = model_folder(paths) / "source"
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert "SHA-256 differs" in wrong(check(paths))["source"]
    path.unlink()
    assert wrong(check(paths))["source"].startswith("source: model.safetensors is missing; remove")
    shutil.rmtree(source)
    assert "are gone" in wrong(check(paths))["source"]


def test_a_file_that_came_later_is_found(paths: Paths) -> None:
    source = model_folder(paths) / "source"
    (source / "added_tokens.json").write_text("{}")
    assert check(paths).ok  # nobody reads it beside a tokenizer.json
    (source / "tokenizer.json").unlink()
    assert "tokenizer.json is missing" in wrong(check(paths))["source"]


def test_a_source_of_which_a_file_was_forgotten_is_found(paths: Paths) -> None:
    file = model_folder(paths) / "model.json"
    values = json.loads(file.read_text())
    del values["hashes"]["config.json"]
    file.write_text(json.dumps(values))
    assert "config.json was not there" in wrong(check(paths))["source"]


def test_swapped_builds_are_found(paths: Paths) -> None:
    folder = model_folder(paths)
    for name in ("cpu-int8", "cpu-int4"):
        (folder / name).rename(folder / (name + "-aside"))
    (folder / "cpu-int8-aside").rename(folder / "cpu-int4")
    (folder / "cpu-int4-aside").rename(folder / "cpu-int8")
    assert set(wrong(check(paths))) == {"cpu-int8", "cpu-int4"}


@pytest.mark.parametrize("hashes", [True, False])
def test_builds_of_another_model_of_the_same_size_are_found(
    paths: Paths, tmp_path: Path, hashes: bool
) -> None:
    other = import_tiny(tmp_path / "other", seed=1)
    if not hashes:
        forget_hashes(paths)
    for build in BUILDS:
        shutil.rmtree(model_folder(paths) / build)
        shutil.copytree(model_folder(other) / build, model_folder(paths) / build)
    found = wrong(check(paths))
    assert set(found) == set(BUILDS)
    expected = "SHA-256 differs" if hashes else "10 tokens differ from the source"
    assert all(expected in sentence for sentence in found.values())


def test_another_source_with_the_hashes_to_match_is_found(paths: Paths, tmp_path: Path) -> None:
    folder = model_folder(paths)
    other = make_tiny(tmp_path / "other", width=32, layers=2, seed=1)
    shutil.copy(other / "model.safetensors", folder / "source")
    manifest = Manifest.read(folder)
    hashes = {name: Source(folder / "source").sha256(name) for name in manifest.hashes}
    dataclasses.replace(manifest, hashes=hashes).write(folder)
    assert "are not those of tiny" in wrong(check(paths))["source"]


def test_builds_from_before_hashes_are_compared_all_the_same(paths: Paths) -> None:
    forget_hashes(paths)
    found = check(paths)
    assert found.ok
    files, tokens = words(found, "cpu-int8")
    assert "made before hashes were kept" in files
    assert "10 tokens agree" in tokens
    # An exponent of the last layer norm: large enough for ten tokens to show it.
    path = model_folder(paths) / "cpu-fp32" / "weights.bin"
    data = np.fromfile(path, np.float32)
    data[: len(data) // 2] *= 1.01
    data.tofile(path)
    assert "10 tokens differ" in wrong(check(paths))["cpu-fp32"]


def test_a_graph_that_cannot_be_opened_is_a_finding(paths: Paths) -> None:
    forget_hashes(paths)
    path = model_folder(paths) / "cpu-int8" / "model.onnx"
    path.write_bytes(b"\xff" * path.stat().st_size)
    found = wrong(check(paths))
    assert list(found) == ["cpu-int8"]
    assert "models convert tiny --precision int8" in found["cpu-int8"]


def test_a_link_out_of_the_folder_is_not_followed(paths: Paths, tmp_path: Path) -> None:
    path = model_folder(paths) / "cpu-int8" / "weights.bin"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "a link that leads out" in wrong(check(paths))["cpu-int8"]


@pytest.mark.parametrize(
    "missing",
    [
        DeviceError("No NVIDIA driver was found."),
        OutOfMemoryError("There is not enough memory."),
    ],
)
def test_a_build_that_cannot_run_here_is_checked_by_its_files(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, missing: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise missing

    monkeypatch.setattr("explorer.engine.session.Session", refuse)
    found = check(paths)
    assert found.ok
    assert words(found, "cpu-int8")[1] == (
        f"cpu-int8: cannot run on this machine, so only its files were checked: {missing}"
    )


def test_whether_a_build_is_intact_can_be_asked_alone(paths: Paths) -> None:
    model = Store(paths).find("tiny")
    assert is_intact(model, "cpu-int8")
    assert not is_intact(model, "cuda-fp16")
    flip(model_folder(paths) / "cpu-int8" / "weights.bin")
    assert not is_intact(model, "cpu-int8")
    assert is_intact(model, "cpu-int4")
    forget_hashes(paths)
    assert is_intact(Store(paths).find("tiny"), "cpu-int8")


def test_a_broken_description_is_a_finding(paths: Paths) -> None:
    (model_folder(paths) / "model.json").write_text("{")
    assert list(wrong(check(paths))) == ["model.json"]


def test_a_bundled_model_that_was_never_used_is_read_through(tmp_path: Path) -> None:
    paths = make_places(tmp_path)
    folder = make_tiny(paths.bundled_models / "demo")
    found = check(paths, "demo")
    assert [finding.words for finding in found.findings] == [
        "source: 3 files; no build was made of them yet."
    ]
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert not check(paths, "demo").ok
    path.unlink()
    assert not check(paths, "demo").ok


def test_nobody_by_that_name(paths: Paths) -> None:
    with pytest.raises(UnknownModelError):
        check(paths, "nobody")


def test_it_can_be_cancelled_at_every_step(original: Paths) -> None:
    told: list[str] = []
    verify(lambda fraction, text: told.append(text), original, "tiny")

    def cancel_at(step: int) -> Callable[[float, str], None]:
        left = iter(range(step, -1, -1))

        def progress(fraction: float, text: str) -> None:
            if next(left) == 0:
                raise KeyboardInterrupt

        return progress

    for step in range(0, len(told), 3):
        with pytest.raises(KeyboardInterrupt):
            verify(cancel_at(step), original, "tiny")


# The tokens


@pytest.mark.parametrize(
    "options", [{}, {"vocabulary": 40}, {"holes": (0, 1, 2, 30)}, {"vocabulary": 12}]
)
def test_the_ids_are_fixed_and_drawable(tmp_path: Path, options: dict[str, object]) -> None:
    folder = make_tiny(tmp_path / "model", **options)  # type: ignore[arg-type]
    tokens = Tokens((folder / "tokenizer.json").read_text())
    ids = parity.fixed_ids(tokens, 64)
    assert len(ids) == 10
    assert ids == parity.fixed_ids(tokens, 1024)
    assert parity.fixed_ids(tokens, 4) == ids[:4]
    assert not tokens.holes.intersection(ids)
    assert all(0 <= token < tokens.vocabulary for token in ids)


def test_the_bounds_tell_rounding_from_another_model() -> None:
    generator = np.random.default_rng(0)
    expected = generator.normal(0, 2.5, (10, 300))
    near = expected + generator.normal(0, 2e-5, expected.shape)
    assert parity.compare(expected, near, "fp32").agrees
    off = expected.copy()
    off[7, 123] += 2e-4 * max(1, abs(off[7, 123]))
    assert not parity.compare(expected, off, "fp32").agrees
    other = generator.normal(0, 2.5, expected.shape)
    for precision in ("fp16", "int8", "int4"):
        assert parity.compare(expected, near, precision).agrees
        assert not parity.compare(expected, other, precision).agrees


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_never_agree(precision: str, value: float) -> None:
    expected = np.zeros((10, 20))
    found = expected.copy()
    found[3, 4] = value
    assert not parity.compare(expected, found, precision).agrees  # type: ignore[arg-type]


def test_a_model_with_holes_and_another_head_is_sound(tmp_path: Path) -> None:
    paths = make_places(tmp_path)
    source = make_tiny(tmp_path / "odd", head="own", holes=(5, 250), rows=320, context=8)
    Store(paths).import_folder(source, "odd", "cpu-fp32")
    found = check(paths, "odd")
    assert found.ok
    assert "8 tokens agree" in words(found, "cpu-fp32")[1]


def test_where_the_source_is_damaged_no_build_can_be_made_of_it(paths: Paths) -> None:
    flip(model_folder(paths) / "source" / "model.safetensors")
    (model_folder(paths) / "cpu-int4" / "weights.bin").unlink()
    found = wrong(check(paths))
    assert found["cpu-int4"] == (
        "cpu-int4: weights.bin is missing; remove the model and import it again."
    )


def test_the_command_that_makes_a_build_can_be_pasted(paths: Paths) -> None:
    model_folder(paths).rename(model_folder(paths, "my model"))
    file = model_folder(paths, "my model") / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "name": "my model"}))
    (file.parent / "cpu-int4" / "weights.bin").unlink()
    found = wrong(check(paths, "my model"))
    assert "models convert 'my model' --precision int4" in found["cpu-int4"]
