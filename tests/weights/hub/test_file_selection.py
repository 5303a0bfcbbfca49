"""What is fetched of a repository, and which names of repositories are understood."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from explorer.core.errors import DownloadError, InputError
from explorer.weights.hub import hub
from explorer.weights.hub.file_selection import needed_files
from explorer.weights.hub.hub import HubFile, Repository, check_repository, check_revision

HASH = "0" * 64


def chosen(*names: str) -> list[str]:
    """Return what is fetched of a repository with these files."""
    files = {name: HubFile(name, 1, sha256=HASH) for name in names}
    return [file.name for file in needed_files(Repository("a/b", "c" * 40, "", files))]


REAL = (
    ".gitattributes", "64-8bits.tflite", "64.tflite", "README.md", "config.json",
    "flax_model.msgpack", "generation_config.json", "merges.txt", "model.safetensors",
    "onnx/config.json", "onnx/decoder_model.onnx", "onnx/decoder_model_merged.onnx",
    "onnx/decoder_with_past_model.onnx", "pytorch_model.bin", "rust_model.ot", "tf_model.h5",
    "tokenizer.json", "tokenizer_config.json", "vocab.json",
)  # fmt: skip
"""What openai-community/gpt2 holds."""


def test_of_everything_only_what_is_needed() -> None:
    tokenizer = ["tokenizer.json", "tokenizer_config.json"]
    assert chosen(*REAL) == ["config.json", *tokenizer, "README.md", "model.safetensors"]


def test_shards_with_their_index() -> None:
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = "model.safetensors.index.json"
    pair = ["vocab.json", "merges.txt", "added_tokens.json"]
    found = chosen("config.json", *pair, index, *shards, "x.safetensors")
    assert found == ["config.json", *pair, index, *shards]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["onnx/model.onnx", "onnx/model_int8.onnx"], ["onnx/model.onnx"]),
        (["onnx/model_q4.onnx", "onnx/model_fp16.onnx"], ["onnx/model_fp16.onnx"]),
        (["model.onnx", "model.onnx_data", "onnx/model.onnx"], ["model.onnx", "model.onnx_data"]),
        (["decoder_model.onnx", "decoder_model.onnx.data"],
         ["decoder_model.onnx", "decoder_model.onnx.data"]),
        (["onnx/decoder_model_merged.onnx"], ["onnx/decoder_model_merged.onnx"]),
    ],
)  # fmt: skip
def test_an_export_where_there_is_nothing_better(files: list[str], expected: list[str]) -> None:
    small = ["config.json", "tokenizer.json"]
    assert chosen(*small, *files) == small + expected
    assert chosen(*small, *files, "model.safetensors") == [*small, "model.safetensors"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["pytorch_model.bin"], "can run code"),
        (["gpt2.Q8_0.gguf"], "llama.cpp"),
        (["tf_model.h5", "onnx/model_q4.onnx"], "no weights"),
        (["model.safetensors.index.json"], "no weights"),
    ],
)
def test_what_cannot_be_read_is_refused(files: list[str], words: str) -> None:
    with pytest.raises(DownloadError, match=words):
        chosen("config.json", "tokenizer.json", *files)


def test_a_huge_config_is_refused() -> None:
    sizes = {"config.json": 10**12, "tokenizer.json": 1, "model.safetensors": 1}
    files = {name: HubFile(name, size, sha256=HASH) for name, size in sizes.items()}
    with pytest.raises(DownloadError, match="far more than a GPT-2 needs"):
        needed_files(Repository("a/b", "c" * 40, "", files))


@given(st.lists(st.text(min_size=1, max_size=40), max_size=8))
@example(["../model.safetensors", "/etc/passwd", "C:\\x.onnx", "onnx/../../x.onnx", "a\0.onnx"])
def test_only_plain_names_are_ever_fetched(names: list[str]) -> None:
    found = chosen("config.json", "tokenizer.json", "model.safetensors", *names)
    assert all(re.fullmatch(r"(onnx/)?[A-Za-z0-9][A-Za-z0-9._-]*", name) for name in found)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("gpt2", "gpt2"),
        (" openai-community/gpt2-xl ", "openai-community/gpt2-xl"),
        ("https://huggingface.co/openai-community/gpt2", "openai-community/gpt2"),
        ("https://hf.co/a/b_c.d/tree/main?x=1#y", "a/b_c.d"),
        ("http://www.huggingface.co/a/b/", "a/b"),
    ],
)
def test_names_of_repositories(typed: str, name: str) -> None:
    assert check_repository(typed) == name


BAD = ["", "/", "a/", "/b", "a/b/c", "..", "a/..", "../b", "a/.b", "a--b/c", "a/b.git", "a b/c",
       "größe/x", "a/b\n", "a\\b", "a/b%2f", "C:/b", "~/b", "a/b.", "a/-b", "https://evil.org/a/b",
       "https://huggingface.co/", "x" * 97, "a\0b"]  # fmt: skip


@pytest.mark.parametrize("typed", BAD)
def test_names_that_are_none(typed: str) -> None:
    if typed == "a/b\n":
        assert check_repository(typed) == "a/b"
        return
    with pytest.raises(InputError, match="no name of a repository"):
        check_repository(typed)


@given(st.text(max_size=60))
def test_a_name_is_refused_or_safe_as_a_folder(typed: str) -> None:
    try:
        name = check_repository(typed)
    except InputError:
        return
    assert re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name, re.ASCII)
    assert ".." not in name
    assert not name.startswith(".")


@pytest.mark.parametrize("typed", ["", "..", "a/../b", "x y", "-x", "x" * 201, "a\0"])
def test_revisions_that_are_none(typed: str) -> None:
    with pytest.raises(InputError, match="no revision"):
        check_revision(typed)
    assert check_revision(" refs/pr/1 ") == "refs/pr/1"


def test_a_token_that_cannot_be_sent_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The HTTP library would print it in its error."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret\nx")
    with pytest.raises(DownloadError, match="no token has") as found:
        hub._token()
    assert "secret" not in str(found.value)
    monkeypatch.setenv("HF_TOKEN", " hf_mine\n")
    assert hub._token() == "hf_mine"
    monkeypatch.setenv("HF_TOKEN", "")
    assert hub._token() is False
