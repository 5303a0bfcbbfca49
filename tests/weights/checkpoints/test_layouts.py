"""One model in every layout: one fingerprint, one import, whichever file a person points at."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from explorer.core.errors import CheckpointError
from explorer.core.manifest import Manifest
from explorer.system.paths import Paths
from explorer.weights.builds.convert import SOURCE_FOLDER, add_build
from explorer.weights.checkpoints.checkpoint import open_checkpoint, source_files
from explorer.weights.formats.untrusted_folder import Source
from explorer.weights.store.store import Store
from tests.release import original, write_bundle
from tests.tiny import encode, write_tokenizer

EXPORTS = Path(__file__).resolve().parents[2] / "data" / "onnx_exports"


@pytest.fixture
def huggingface(tmp_path: Path) -> Path:
    folder = shutil.copytree(EXPORTS / "source", tmp_path / "huggingface")
    write_tokenizer(folder, config(folder)["vocab_size"])
    return folder


@pytest.fixture
def openai(tmp_path: Path, huggingface: Path) -> Path:
    folder = tmp_path / "openai"
    folder.mkdir()
    tensors = {}
    for name, values in load_file(huggingface / "model.safetensors").items():
        if name != "lm_head.weight":
            renamed, shaped = original(name.removeprefix("transformer."), values)
            tensors[renamed] = encode(shaped, "fp32")
    write_bundle(folder, "model.ckpt", tensors, shards=2)
    sizes = config(huggingface)
    hparams = {name: sizes[name] for name in ("n_embd", "n_head", "n_layer")}
    hparams |= {"n_vocab": sizes["vocab_size"], "n_ctx": sizes["n_positions"]}
    (folder / "hparams.json").write_text(json.dumps(hparams))
    write_tokenizer(folder, sizes["vocab_size"], kind="vocab.json")
    (folder / "vocab.json").rename(folder / "encoder.json")
    (folder / "merges.txt").rename(folder / "vocab.bpe")
    return folder


@pytest.fixture
def onnx(tmp_path: Path, huggingface: Path) -> Path:
    """The layout of transformers.js: config and tokenizer above, the export in a sub-folder."""
    folder = tmp_path / "js"
    shutil.copytree(EXPORTS / "optimum", folder / "onnx")
    shutil.copy(huggingface / "config.json", folder)
    write_tokenizer(folder, config(huggingface)["vocab_size"], kind="vocab.json")
    return folder


def config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def fingerprint(folder: Path) -> tuple[str, str]:
    with open_checkpoint(folder) as checkpoint:
        return checkpoint.kind, checkpoint.fingerprint()


def store_in(tmp_path: Path) -> Store:
    data = tmp_path / "data"
    return Store(Paths(data, data / "cache", data / "logs", tmp_path / "r", tmp_path / "m"))


def test_one_model_has_one_fingerprint(huggingface: Path, openai: Path, onnx: Path) -> None:
    kinds, prints = zip(*map(fingerprint, (huggingface, openai, onnx)), strict=True)
    assert kinds == ("huggingface", "openai", "onnx")
    assert len(set(prints)) == 1


def test_every_layout_names_its_files(huggingface: Path, openai: Path, onnx: Path) -> None:
    for folder in (huggingface, openai, onnx):
        every = {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        }
        assert set(source_files(Source(folder))) == every


def test_safetensors_come_before_openais_and_those_before_an_export(
    huggingface: Path, openai: Path, onnx: Path
) -> None:
    shutil.copytree(openai, onnx, dirs_exist_ok=True)
    assert fingerprint(onnx)[0] == "openai"
    shutil.copytree(huggingface, onnx, dirs_exist_ok=True)
    assert fingerprint(onnx)[0] == "huggingface"


def test_an_export_is_imported_by_its_file_and_its_copy_serves_further_builds(
    onnx: Path, huggingface: Path, tmp_path: Path
) -> None:
    store = store_in(tmp_path)
    model = store.import_folder(onnx / "onnx" / "model.onnx", build="cpu-fp32")
    shutil.rmtree(onnx)
    assert model.name == "js"
    assert (model.folder / SOURCE_FOLDER / "onnx" / "model.onnx").is_file()
    add_build(model.folder, "cpu-int8", lambda fraction, text: None)
    manifest = Manifest.read(model.folder)
    assert manifest.source["kind"] == "onnx"
    assert sorted(manifest.builds) == ["cpu-fp32", "cpu-int8"]
    assert manifest.fingerprint == fingerprint(huggingface)[1]


def test_a_folder_by_its_path_need_not_be_imported(
    openai: Path, onnx: Path, huggingface: Path, tmp_path: Path
) -> None:
    store = store_in(tmp_path)
    prints = {
        Manifest.read(store.ensure(folder, "cpu-fp32")).fingerprint
        for folder in (openai, onnx, huggingface)
    }
    assert len(prints) == 1


def test_only_pytorch_files(huggingface: Path, tmp_path: Path) -> None:
    (huggingface / "model.safetensors").rename(huggingface / "pytorch_model-00001-of-00001.bin")
    with pytest.raises(CheckpointError, match=r"can run code.*safe_serialization"):
        open_checkpoint(huggingface)
    with pytest.raises(CheckpointError, match="can run code"):
        store_in(tmp_path).import_folder(huggingface)
    assert not list((tmp_path / "data").rglob("*.part"))


def test_a_folder_above_models_names_them(huggingface: Path, tmp_path: Path) -> None:
    above = tmp_path / "runs"
    for name in ("checkpoint-500", "checkpoint-1000"):
        shutil.copytree(huggingface, above / name)
    (above / "logs").mkdir()
    with pytest.raises(CheckpointError, match="'checkpoint-1000', 'checkpoint-500'; choose one"):
        source_files(Source(above))
    shutil.rmtree(above / "checkpoint-500")
    with pytest.raises(CheckpointError, match="a model in 'checkpoint-1000'; choose that folder"):
        source_files(Source(above))
