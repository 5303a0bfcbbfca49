"""What decides among several checkpoints of one folder: the chosen file, names, ``checkpoint``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from explorer.core.errors import CheckpointError
from explorer.core.manifest import Manifest
from explorer.studies.quality.verify import verify
from explorer.system.paths import Paths
from explorer.weights.builds.convert import SOURCE_FOLDER, add_build
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from explorer.weights.formats.untrusted_folder import source_of
from explorer.weights.store.store import Store
from tests.release import make_release
from tests.tiny import make_tiny

EXPORTS = Path(__file__).resolve().parents[2] / "data" / "onnx_exports"
BASE, TUNED, OTHER = 0, 1, 2
"""Seeds: which weights a checkpoint has."""
HALF = "model.safetensors.index.fp16.json"


def meant(path: Path) -> str:
    """Return the fingerprint of what a person means by ``path``."""
    with open_checkpoint(source_of(path)) as checkpoint:
        return checkpoint.fingerprint()


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        meant(path)
    message = str(caught.value)
    assert message.endswith(".")
    assert message.count(". ") == 0, "one sentence"
    return message


@pytest.fixture(scope="module")
def prints(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Fingerprints by seed, from folders in which there is nothing to choose."""
    place = tmp_path_factory.mktemp("alone")
    return {seed: meant(make_tiny(place / str(seed), seed=seed)) for seed in (BASE, TUNED, OTHER)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A fine-tune in the folder of its base, as everybody's recipe has it."""
    folder = make_release(tmp_path / "run", seed=BASE)
    make_release(folder, prefix="model-500", seed=OTHER, shards=2)
    make_release(folder, prefix="model-1000", seed=TUNED)
    state(folder, "model-1000")
    return folder


def state(folder: Path, path: str, *kept: str, quote: str = '"') -> None:
    lines = [f"model_checkpoint_path: {quote}{path}{quote}"] if path else []
    lines += [f"all_model_checkpoint_paths: {quote}{each}{quote}" for each in kept]
    (folder / "checkpoint").write_text("\n".join(lines) + "\n")


# TensorFlow


def test_what_checkpoint_names_goes_before_the_usual_name(run: Path, prints: dict) -> None:
    assert meant(run) == prints[TUNED]


@pytest.mark.parametrize(
    "text",
    [
        'model_checkpoint_path: "./model-500"',
        'model_checkpoint_path: "/content/drive/My Drive/run/model-500"',
        r'model_checkpoint_path: "C:\\Users\\me\\run\\model-500"',
        "model_checkpoint_path: 'model-500'",
        'model_checkpoint_path:"model-500"all_model_checkpoint_paths:"model-1000"',
        '# model_checkpoint_path: "model-1000"\nmodel_checkpoint_path: "model" "-500"  # the best',
        r'model_checkpoint_path: "model\055\x35\060\60"',
        'all_model_checkpoint_paths: "model-1000"\nall_model_checkpoint_paths: "model-500"',
        'all_model_checkpoint_paths: "model-1000"\nmodel_checkpoint_path: "model-500"\n'
        "all_model_checkpoint_timestamps: 1556.5\nlast_preserved_timestamp: 1.5e9",
        'all_model_checkpoint_paths: ["model-1000", "model-500"]',
    ],
)
def test_every_way_to_write_checkpoint(run: Path, prints: dict, text: str) -> None:
    (run / "checkpoint").write_bytes(text.encode())
    assert meant(run) == prints[OTHER]


def test_checkpoint_that_names_what_is_not_here_is_not_guessed_about(run: Path) -> None:
    state(run, "/elsewhere/model-2000", "model-1000", "/elsewhere/model-2000")
    message = refusal(run)
    for name in ("model-2000", "model-1000.index", "model-500.index", "model.ckpt.index"):
        assert name in message
    for name in ("model-500", "model-1000"):
        for part in run.glob(f"{name}.*"):
            part.unlink()
    assert "model-2000" in refusal(run), "the base alone is not what was fine-tuned"
    (run / "checkpoint").unlink()
    assert meant(run)


@pytest.mark.parametrize("text", ["", "not a protocol buffer {", 'model_checkpoint_path: ""'])
def test_where_nothing_decides_the_candidates_are_named(run: Path, text: str) -> None:
    (run / "checkpoint").write_text(text)
    message = refusal(run)
    assert "model-500.index" in message
    assert "model.ckpt.index" in message
    assert "choose the file that is meant" in message


def test_a_folder_called_checkpoint_names_nothing(tmp_path: Path, prints: dict) -> None:
    folder = make_release(tmp_path / "x", seed=TUNED, prefix="model-7")
    (folder / "checkpoint").mkdir()
    assert meant(folder) == prints[TUNED]


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("model-500.index", OTHER),
        ("model-500.data-00001-of-00002", OTHER),
        ("model-500.meta", OTHER),
        ("model-1000.data-00000-of-00001", TUNED),
        ("model.ckpt.index", BASE),
        ("model.ckpt.meta", BASE),
        ("checkpoint", TUNED),
        ("hparams.json", TUNED),
        ("encoder.json", TUNED),
    ],
)
def test_a_chosen_file_of_tensorflow(run: Path, prints: dict, name: str, seed: int) -> None:
    if name.endswith(".meta"):
        (run / name).touch()
    assert meant(run / name) == prints[seed]


@pytest.mark.parametrize("name", ["model-500.index", "model-500.meta", "checkpoint"])
def test_a_chosen_file_goes_before_the_order_of_layouts(run: Path, prints: dict, name: str) -> None:
    make_tiny(run, seed=BASE)
    (run / "model-500.meta").touch()
    assert meant(run) == prints[BASE]
    assert meant(run / name) == prints[TUNED if name == "checkpoint" else OTHER]


@pytest.mark.parametrize("stem", ["model (1)", "modèle 500", "_last"])
def test_a_chosen_file_may_have_any_name(
    run: Path, prints: dict, stem: str, tmp_path: Path
) -> None:
    for part in run.glob("model-500.*"):
        part.rename(run / part.name.replace("model-500", stem))
    assert meant(run / f"{stem}.index") == prints[OTHER]
    folder = make_tiny(tmp_path / "x")
    shutil.copy(
        make_tiny(tmp_path / "y", seed=OTHER) / "model.safetensors", folder / f"{stem}.safetensors"
    )
    assert meant(folder / f"{stem}.safetensors") == prints[OTHER]


def test_a_chosen_part_without_the_rest(run: Path) -> None:
    (run / "model-500.index").unlink()
    assert "model-500.index is missing" in refusal(run / "model-500.data-00000-of-00002")


def test_weights_alone_say_which_files_are_missing(run: Path) -> None:
    for name in ("hparams.json", "encoder.json", "vocab.bpe"):
        (run / name).unlink()
    assert "hparams.json, encoder.json and vocab.bpe" in refusal(run)


# safetensors


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A model with its moving average, and another one in two parts, in two variants."""
    folder = make_tiny(tmp_path / "tiny", seed=BASE)
    parts = make_tiny(tmp_path / "parts", seed=OTHER, shards=2)
    shutil.copy(
        make_tiny(tmp_path / "ema", seed=TUNED) / "model.safetensors",
        folder / "model_ema.safetensors",
    )
    index = json.loads((parts / "model.safetensors.index.json").read_text())
    for name in set(index["weight_map"].values()):
        shutil.copy(parts / name, folder / name.replace("model-", "model.fp16-"))
    index["weight_map"] = {
        key: name.replace("model-", "model.fp16-") for key, name in index["weight_map"].items()
    }
    (folder / HALF).write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("model.safetensors", BASE),
        ("model_ema.safetensors", TUNED),
        (HALF, OTHER),
        ("model.fp16-00002-of-00002.safetensors", OTHER),
        ("config.json", BASE),
        ("tokenizer.json", BASE),
        ("", BASE),
    ],
)
def test_a_chosen_file_of_safetensors(tiny: Path, prints: dict, name: str, seed: int) -> None:
    assert meant(tiny / name) == prints[seed]


def test_the_index_beside_a_whole_file_counts_where_it_is_chosen(
    tmp_path: Path, prints: dict
) -> None:
    folder = make_tiny(tmp_path / "x", seed=OTHER, shards=2)
    whole = make_tiny(tmp_path / "y", seed=BASE)
    shutil.copy(whole / "model.safetensors", folder)
    assert meant(folder) == prints[BASE]
    assert meant(folder / "model.safetensors.index.json") == prints[OTHER]
    assert meant(folder / "model-00001-of-00002.safetensors") == prints[OTHER]


def test_a_part_that_no_index_names_or_two_do(tiny: Path) -> None:
    part = "model.fp16-00001-of-00002.safetensors"
    shutil.copy(tiny / HALF, tiny / "model.safetensors.index.again.json")
    message = refusal(tiny / part)
    assert HALF in message
    assert "again" in message
    (tiny / HALF).unlink()
    (tiny / "model.safetensors.index.again.json").unlink()
    assert "copy the index" in refusal(tiny / part)


def test_a_chosen_adapter_is_not_a_model(tiny: Path) -> None:
    (tiny / "model_ema.safetensors").rename(tiny / "adapter_model.safetensors")
    assert "is an adapter" in refusal(tiny / "adapter_model.safetensors")


def test_several_of_which_none_has_the_usual_name(tiny: Path) -> None:
    (tiny / "model.safetensors").rename(tiny / "best.safetensors")
    message = refusal(tiny)
    assert "best.safetensors" in message
    assert "model_ema.safetensors" in message
    assert "choose that file" in message


# ONNX


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """Two exports, whose epsilon tells which one was read, and one in ``onnx``."""
    folder = shutil.copytree(EXPORTS / "source", tmp_path / "x")
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    shutil.copy(make_tiny(tmp_path / "y", vocabulary=vocabulary) / "tokenizer.json", folder)
    for name in ("model.onnx", "model.onnx.data"):
        shutil.copy(EXPORTS / "dynamo" / name, folder / name)
    shutil.copy(EXPORTS / "merged" / "decoder_model_merged.onnx", folder)
    (folder / "onnx").mkdir()
    shutil.copy(EXPORTS / "optimum" / "model.onnx", folder / "onnx" / "mine.onnx")
    return folder


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        ("model.onnx", "model.onnx"),
        ("model.onnx.data", "model.onnx"),
        ("decoder_model_merged.onnx", "decoder_model_merged.onnx"),
        ("onnx/mine.onnx", "onnx/mine.onnx"),
        ("onnx", "onnx/mine.onnx"),
        ("model.safetensors", "model.safetensors"),
        ("", "model.safetensors"),
    ],
)
def test_a_chosen_export(exports: Path, choice: str, taken: str) -> None:
    with open_checkpoint(source_of(exports / choice)) as checkpoint:
        (file,) = checkpoint._files
        assert file.name == taken


def test_a_chosen_export_that_is_rounded_is_refused(exports: Path) -> None:
    rounded = exports / "model_quantized.onnx"
    (exports / "decoder_model_merged.onnx").rename(rounded)
    assert "rounded for good" in refusal(rounded)


def test_the_data_of_an_export_that_is_gone(exports: Path) -> None:
    (exports / "other.onnx_data").touch()
    assert "other.onnx is missing" in refusal(exports / "other.onnx_data")


# What is kept


@pytest.mark.parametrize(
    ("layout", "name", "kept"),
    [
        ("run", "model-500.index", "model.ckpt.index"),
        ("tiny", "model_ema.safetensors", "model.safetensors"),
        ("tiny", "model.fp16-00001-of-00002.safetensors", "model.safetensors.index.json"),
        ("exports", "decoder_model_merged.onnx", "model.onnx"),
        ("exports", "onnx/mine.onnx", "onnx/model.onnx"),
    ],
)
def test_the_copy_is_the_chosen_one_and_says_so(
    request: pytest.FixtureRequest, tmp_path: Path, layout: str, name: str, kept: str
) -> None:
    folder: Path = request.getfixturevalue(layout)
    expected = meant(folder / name)
    with open_checkpoint(source_of(folder / name)) as checkpoint:
        taken = checkpoint.files()
    data = tmp_path / "data"
    paths = Paths(data, data / "cache", data / "logs", tmp_path / "r", tmp_path / "m")
    store = Store(paths)
    model = store.import_folder(folder / name, build="cpu-fp32")
    shutil.rmtree(folder)
    manifest = Manifest.read(model.folder)
    assert manifest.fingerprint == expected
    assert manifest.source["file"] in taken
    assert manifest.source["path"] == str(folder.resolve())
    source = model.folder / SOURCE_FOLDER
    assert (source / kept).is_file()
    assert {p.relative_to(source).as_posix() for p in source.rglob("*.*")} == set(manifest.hashes)
    add_build(model.folder, "cpu-int8", lambda fraction, text: None)
    assert verify(lambda fraction, text: None, paths, model.name).ok
    assert store.import_folder(source, "again", "cpu-fp32").manifest.fingerprint == expected
