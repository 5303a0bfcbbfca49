"""Which folder a person means by what they chose or dropped, and what is refused at once."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import pytest

from explorer.core.errors import CheckpointError
from explorer.system.paths import Paths
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from explorer.weights.formats.untrusted_folder import Source, folder_of, looks_like_model
from explorer.weights.store.store import Store
from tests.release import make_release
from tests.tiny import make_tiny


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "decoder_model_merged.onnx",
        "model.onnx_data",
        "model.onnx.data",
        "model.ckpt.index",
        "model.ckpt.meta",
        "model.ckpt.data-00000-of-00001",
        "model-1000.data-00001-of-00004",
        "checkpoint",
        "config.json",
        "hparams.json",
        "encoder.json",
        "vocab.bpe",
        "tokenizer.json",
        "merges.txt",
    ],
)
def test_a_file_of_a_model_stands_for_its_folder(tmp_path: Path, name: str) -> None:
    assert folder_of(file(tmp_path / "x" / name)) == tmp_path / "x"


def test_a_folder_stands_for_itself_and_what_is_not_there_is_left_alone(tmp_path: Path) -> None:
    assert folder_of(tmp_path) == tmp_path
    assert folder_of(tmp_path / "absent.bin") == tmp_path / "absent.bin"
    assert folder_of(Path("~nobody-has-this-name/x")).name == "x"


def test_an_export_in_a_sub_folder_stands_for_the_model_above(tmp_path: Path) -> None:
    export = file(tmp_path / "x" / "onnx" / "model.onnx")
    assert folder_of(export) == export.parent
    file(tmp_path / "x" / "config.json")
    assert folder_of(export) == tmp_path / "x"
    assert folder_of(export.parent) == tmp_path / "x"


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        ("pytorch_model.bin", "can run code", "safe_serialization=True"),
        ("gpt2.pt", "can run code", "safe_serialization=True"),
        ("gpt2.PTH", "can run code", "safe_serialization=True"),
        ("model.pkl", "can run code", "safe_serialization=True"),
        ("epoch=3.ckpt", "can run code", "model.ckpt.index"),
        ("gpt2.zip", "archive", "unpack"),
        ("gpt2.tar", "archive", "unpack"),
        ("gpt2.tar.gz", "archive", "unpack"),
        ("gpt2.Q4_K_M.gguf", "llama.cpp", "safetensors"),
        ("tf_model.h5", "not read", "safetensors"),
        ("photo.png", "no part of a GPT-2", "model.safetensors"),
        ("data.json", "no part of a GPT-2", "model.safetensors"),
    ],
)
def test_other_files_are_refused_with_reason_and_remedy(
    tmp_path: Path, name: str, reason: str, remedy: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        folder_of(file(tmp_path / name))
    message = str(caught.value)
    assert message.startswith(name)
    assert reason in message
    assert remedy in message
    assert message.count(". ") == 0, "one sentence"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt2.Q4_K_M.gguf", "is a model for llama.cpp"),
        ("tf_model.h5", "is in a format that is not read"),
        ("gpt2.zip", "is an archive"),
        ("pytorch_model.bin", "can run code"),
    ],
)
def test_a_folder_with_nothing_else_says_what_is_in_it(
    tmp_path: Path, name: str, words: str
) -> None:
    folder = make_tiny(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(CheckpointError, match=rf"has no model\.safetensors .*{name} .*{words}.*;"):
        open_checkpoint(folder)


INSTEAD = {
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 548105171\n",
    "is a web page": b"\n<!DOCTYPE html>\n<html><title>404</title>" + b"-" * 99,
    "is an archive or a renamed PyTorch file": b"PK\x03\x04" + bytes(99),
    "is packed with gzip": gzip.compress(bytes(99)),
    "is a model for llama.cpp": b"GGUF\x03\0\0\0" + bytes(99),
}


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("tiny", "config.json"),
        ("tiny", "tokenizer.json"),
        ("tiny", "model.safetensors"),
        ("onnx", "model.onnx"),
        ("release", "hparams.json"),
        ("release", "vocab.bpe"),
        ("release", "model.ckpt.index"),
    ],
)
@pytest.mark.parametrize("words", INSTEAD)
def test_a_file_that_is_something_else_is_called_by_its_name(
    tmp_path: Path, layout: str, name: str, words: str
) -> None:
    folder = tmp_path / "x"
    make_release(folder) if layout == "release" else make_tiny(folder)
    if layout == "onnx":
        (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(INSTEAD[words])
    with pytest.raises(CheckpointError, match=rf"^{name} .*{words}.*\.$"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model (1).safetensors", r"'model \(1\)\.safetensors' .* rename it to model\.safetensors"),
        ("GPT2.SafeTensors", "rename it to model.safetensors"),
        ("modèle.onnx", r"'modèle\.onnx' .* rename it to model\.onnx"),
        ("model-00001-of-00002.safetensors", "only parts .* copy the index"),
        ("adapter_model.safetensors", "is an adapter .* merge it"),
    ],
)
def test_weights_of_another_name_are_named(tmp_path: Path, name: str, words: str) -> None:
    folder = make_tiny(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(CheckpointError, match=words) as caught:
        open_checkpoint(folder)
    assert str(caught.value).count(". ") == 0, "one sentence"


def test_a_model_of_this_program_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is a model of this program already; copy it"):
        open_checkpoint(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_what_is_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="neither a file nor a folder"):
        open_checkpoint(folder_of(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("name", ["x" * 100_000, "a\nb" * 50])
def test_a_name_of_any_length_and_kind_fits_into_one_sentence(name: str) -> None:
    with pytest.raises(CheckpointError, match="There is no folder") as caught:
        Source(Path(name))
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="nobody is kept out of a folder"
)
@pytest.mark.parametrize("mode", [0o000, 0o644])
def test_a_folder_that_may_not_be_read_does_not_seem_empty(tmp_path: Path, mode: int) -> None:
    folder = make_tiny(tmp_path / "tiny")
    folder.chmod(mode)
    try:
        with pytest.raises(CheckpointError, match=r"cannot be opened .*Permission denied"):
            open_checkpoint(folder)
    finally:
        folder.chmod(0o755)


def test_a_folder_that_the_system_refuses_does_not_seem_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, for those to whom everything is allowed."""
    folder, ask = make_tiny(tmp_path / "tiny"), os.stat

    def refuse(path: object, *rest: object, **more: object) -> os.stat_result:
        if str(path) == f"{folder}{os.sep}.":
            raise PermissionError(13, "Permission denied", str(path))
        return ask(path, *rest, **more)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be opened \(Permission denied\)"):
        Source(folder)


def test_where_safetensors_lie_beside_the_refusal_says_so(tmp_path: Path) -> None:
    file(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"choose the model\.safetensors beside it"):
        folder_of(file(tmp_path / "pytorch_model.bin"))


@pytest.mark.parametrize(
    "name",
    ["config.json", "hparams.json", "model.ckpt.index", "model.onnx", "onnx/decoder_model.onnx"],
)
def test_a_folder_with_signs_of_a_model_looks_like_one(tmp_path: Path, name: str) -> None:
    assert not looks_like_model(tmp_path)
    file(tmp_path / name)
    assert looks_like_model(tmp_path)


@pytest.mark.parametrize("name", ["text.txt", "docs/model.onnx", "onnx/deeper/model.onnx"])
def test_other_folders_do_not(tmp_path: Path, name: str) -> None:
    file(tmp_path / name)
    assert not looks_like_model(tmp_path)
    assert not looks_like_model(tmp_path / "absent")
    assert not looks_like_model(tmp_path / "bad\0name")


def test_the_export_folder_is_the_only_one_looked_into(tmp_path: Path) -> None:
    inside = file(tmp_path / "onnx" / "model.onnx")
    file(tmp_path / "b.onnx")
    file(tmp_path / "other" / "model.onnx")
    source = Source(tmp_path)
    assert source.path("onnx/model.onnx") == inside.resolve()
    assert source.names(".onnx") == ("b.onnx", "onnx/model.onnx")
    for name in (
        "other/model.onnx",
        "onnx/../b.onnx",
        "onnx/onnx/model.onnx",
        "onnx//model.onnx",
        "onnx/",
    ):
        with pytest.raises(CheckpointError, match="plain file name"):
            source.path(name)


def test_an_export_folder_that_leads_out_is_refused(tmp_path: Path) -> None:
    file(tmp_path / "elsewhere" / "model.onnx")
    (tmp_path / "x").mkdir()
    try:
        (tmp_path / "x" / "onnx").symlink_to(tmp_path / "elsewhere")
    except OSError:
        pytest.skip("links need rights here")
    with pytest.raises(CheckpointError, match="leads out"):
        Source(tmp_path / "x").path("onnx/model.onnx")


def test_the_store_takes_a_file_of_the_folder(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "kitten", layers=1)
    data = tmp_path / "data"
    store = Store(Paths(data, data / "cache", data / "logs", tmp_path / "r", tmp_path / "m"))
    assert store.import_folder(folder / "config.json", build="cpu-fp32").name == "kitten"
    with pytest.raises(CheckpointError, match="can run code"):
        store.import_folder(file(folder / "pytorch_model.bin"))
