"""OpenAI's release: what TensorFlow wrote, and what our own writer varies, is the same model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.core.errors import CheckpointError
from explorer.core.manifest import Manifest
from explorer.system.paths import Paths
from explorer.weights.builds.convert import add_build
from explorer.weights.checkpoints.checkpoint import open_checkpoint, source_files
from explorer.weights.formats.untrusted_folder import Source
from explorer.weights.store.store import Store
from tests.release import make_release
from tests.tiny import make_tiny, random_weights

FIXTURE = Path(__file__).resolve().parents[2] / "data" / "openai_tiny"
SIZES = {"layers": 2, "width": 8, "context": 16, "rows": 280, "seed": 5}


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught, open_checkpoint(folder) as checkpoint:
        checkpoint.fingerprint()
    message = str(caught.value)
    assert "\n" not in message
    return message


def fingerprint(folder: Path) -> str:
    with open_checkpoint(folder) as checkpoint:
        return checkpoint.fingerprint()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_release(tmp_path / "124M")


def with_weights(tmp_path: Path, name: str) -> Path:
    """Return the fixture with the checkpoint of one of its sub-folders."""
    folder = tmp_path / name
    folder.mkdir()
    for part in ("hparams.json", "encoder.json", "vocab.bpe"):
        shutil.copy(FIXTURE / part, folder)
    for part in (FIXTURE / name).iterdir():
        shutil.copy(part, folder)
    return folder


# What TensorFlow wrote


def test_tensorflows_own_checkpoint_holds_what_was_saved() -> None:
    written = random_weights(**SIZES)
    with open_checkpoint(FIXTURE) as checkpoint:
        assert checkpoint.kind == "openai"
        assert set(checkpoint.names) == set(written)
        for name, tensor in written.items():
            assert np.array_equal(checkpoint.read(name), tensor), name
        assert checkpoint.tied
        assert checkpoint.end_of_text == 279


def test_it_is_the_same_model_as_in_safetensors(tmp_path: Path) -> None:
    twin = make_tiny(tmp_path / "x", width=8, context=16, vocabulary=280, seed=5)
    assert fingerprint(FIXTURE) == fingerprint(twin)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_tensorflows_half_precision(tmp_path: Path, dtype: Any) -> None:
    twin = make_tiny(tmp_path / "x", width=8, context=16, vocabulary=280, seed=5, dtype=dtype)
    assert fingerprint(with_weights(tmp_path, dtype)) == fingerprint(twin)


def test_tensorflows_two_data_files_with_what_training_adds(tmp_path: Path) -> None:
    folder = with_weights(tmp_path, "training")
    assert fingerprint(folder) == fingerprint(FIXTURE)
    names = source_files(Source(folder))
    assert set(names) == {path.name for path in folder.iterdir()}


# What our own writer varies


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"shards": 3},
        {"block": 1},
        {"block": 200, "restart": 1},
        {"block": 1 << 20, "restart": 1000},
        {"prefix": "model-1000"},
        {"extra": {"global_step": ("I64", (), bytes(8))}},
        {"extra": {"model/wte/Adam_1": ("F32", (2,), bytes(8))}},
    ],
    ids=str,
)
def test_layout_does_not_change_the_model(tmp_path: Path, layout: dict[str, Any]) -> None:
    release = make_release(tmp_path / "release", **layout)
    assert fingerprint(release) == fingerprint(make_tiny(tmp_path / "tiny"))


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_is_that_of_safetensors(tmp_path: Path, dtype: Any) -> None:
    release = make_release(tmp_path / "release", dtype=dtype)
    assert fingerprint(release) == fingerprint(make_tiny(tmp_path / "tiny", dtype=dtype))


def test_rows_are_read_alone(folder: Path) -> None:
    with open_checkpoint(folder) as checkpoint:
        (file,) = checkpoint._files
        whole = file.read("h.0.mlp.c_fc.weight")
        assert whole.shape == (16, 64)
        assert np.array_equal(file.read("h.0.mlp.c_fc.weight", 3, 9), whole[3:9])
        assert np.array_equal(file.read("h.0.mlp.c_fc.weight", 3), whole[3:])
        assert file.read("ln_f.bias", 99).shape == (0,)


def test_rows_without_a_token_are_not_read(tmp_path: Path) -> None:
    with open_checkpoint(make_release(tmp_path / "x", rows=320)) as checkpoint:
        assert checkpoint.read("wte.weight").shape == (300, 16)
        assert checkpoint.tokenizer.vocabulary == 300


@pytest.mark.parametrize("step", [1, 7, 300])
def test_damaged_numbers_are_noticed_however_they_are_read(folder: Path, step: int) -> None:
    path = folder / "model.ckpt.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[300 * 16 * 4 - 3] ^= 1  # in the last row of the first tensor, the token embedding
    path.write_bytes(data)
    with open_checkpoint(folder) as checkpoint:
        (file,) = checkpoint._files
        *before, last = range(0, 300, step)
        for start in before:
            file.read("wte.weight", start, start + step)
        with pytest.raises(CheckpointError, match=r"model/wte.*CRC"):
            file.read("wte.weight", last, last + step)
        assert np.isfinite(file.read("wpe.weight")).all()


def test_several_checkpoints_need_one_that_is_named(tmp_path: Path) -> None:
    folder = make_release(tmp_path / "run", prefix="model-1000")
    make_release(folder, prefix="model-2000", seed=1)
    assert "2 checkpoints" in refusal(folder)
    (folder / "checkpoint").write_text(
        'model_checkpoint_path: "/content/run/model-1000"\n'
        'all_model_checkpoint_paths: "/content/run/model-2000"\n'
    )
    assert fingerprint(folder) == fingerprint(make_tiny(tmp_path / "tiny"))
    assert "model-1000.index" in source_files(Source(folder))
    assert "checkpoint" not in source_files(Source(folder))


def test_it_is_imported_and_its_copy_serves_further_builds(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = Store(Paths(data, data / "cache", data / "logs", tmp_path / "r", tmp_path / "m"))
    source = make_release(tmp_path / "117M", shards=2)
    model = store.import_folder(source / "model.ckpt.index", build="cpu-fp32")
    shutil.rmtree(source)
    assert model.name == "117M"
    assert Manifest.read(model.folder).source["kind"] == "openai"
    add_build(model.folder, "cpu-int8", lambda fraction, text: None)
    assert sorted(Manifest.read(model.folder).builds) == ["cpu-fp32", "cpu-int8"]


# What is refused


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ("n_layer", 0, "from 1"),
        ("n_vocab", None, "whole number"),
        ("n_vocab", 10**400, "whole number"),
        ("n_vocab", 299, "only 299"),
        ("n_ctx", 1, "at least 2"),
        ("n_ctx", 1e3, "whole number"),
        ("n_head", 3, "divided"),
        ("n_embd", 2**63, "whole number"),
    ],
)
def test_hparams_are_checked(folder: Path, entry: str, value: object, expected: str) -> None:
    path = folder / "hparams.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {entry: value}))
    message = refusal(folder)
    assert expected in message
    if value != 299:
        assert "hparams.json" in message
        assert entry in message


def test_shapes_are_checked_against_hparams(folder: Path) -> None:
    path = folder / "hparams.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n_ctx": 65}))
    assert "hparams.json asks for [65, 16]" in refusal(folder)


@pytest.mark.parametrize(
    "name",
    [
        "model/h0/attn/bias",
        "model/h00/ln_1/g",
        "model/h0/ln_1/w",
        "model/h0/mlp/c_fc/g",
        "model/h2/ln_1/g",
        "model/lm_head/w",
    ],
)
def test_variables_of_another_model_are_refused(tmp_path: Path, name: str) -> None:
    folder = make_release(tmp_path / "x", extra={name: ("F32", (2,), bytes(8))})
    message = refusal(folder)
    assert "does not belong to a GPT-2 of n_layer 2" in message
    assert name in message or "h.2.ln_1.weight" in message


def test_a_type_that_is_none_of_ours(tmp_path: Path) -> None:
    folder = make_release(tmp_path / "x", extra={"model/ln_f/b": ("F64", (16,), bytes(128))})
    assert "type 2; weights must be fp32" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hparams.json", "hparams.json is missing"),
        ("encoder.json", "no tokenizer"),
        ("vocab.bpe", "no tokenizer"),
        ("model.ckpt.index", "no weights"),
        ("model.ckpt.data-00000-of-00001", "data-00000-of-00001 is missing"),
    ],
)
def test_what_is_missing_is_named(folder: Path, name: str, words: str) -> None:
    (folder / name).unlink()
    assert words in refusal(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none(tmp_path: Path, value: float) -> None:
    raw = np.array([value] * 16, "<f4").tobytes()
    folder = make_release(tmp_path / "x", extra={"model/ln_f/b": ("F32", (16,), raw)})
    assert "finite" in refusal(folder)
