"""Folders made to hurt: each ends in one sentence, in bounded time and memory, never in a crash."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.core.errors import CheckpointError
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from explorer.weights.formats import tokenizer
from explorer.weights.formats.safetensors import MAX_HEADER, SafetensorsFile
from tests.release import make_release
from tests.tiny import make_tiny

FILES = ("config.json", "model.safetensors", "tokenizer.json")


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("valid") / "tiny", layers=1, width=8, context=8)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded") / "tiny"
    return make_tiny(folder, layers=1, width=8, context=8, shards=2, tokenizer="vocab.json")


@pytest.fixture
def folder(valid: Path, tmp_path: Path) -> Path:
    return shutil.copytree(valid, tmp_path / "hostile")


def read_all(folder: Path) -> None:
    with open_checkpoint(folder) as checkpoint:
        checkpoint.fingerprint()


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_all(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def try_to_read(folder: Path) -> None:
    """Read everything; a refusal is as good as success, any other error is not."""
    with contextlib.suppress(CheckpointError):
        read_all(folder)


# Any damage


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Return a function that harms some bytes: overwritten, cut out, put in, or cut off."""
    place = draw(st.floats(0, 1))
    near_start = draw(st.booleans())
    new = draw(st.binary(min_size=1, max_size=12))
    kind = draw(st.sampled_from(("overwrite", "remove", "insert", "truncate", "double")))

    def harm(data: bytes) -> bytes:
        at = int(place * min(len(data), 3000 if near_start else len(data)))
        match kind:
            case "overwrite":
                return data[:at] + new + data[at + len(new) :]
            case "remove":
                return data[:at] + data[at + len(new) :]
            case "insert":
                return data[:at] + new + data[at:]
            case "truncate":
                return data[:at]
            case _:
                return data[:at] + data

    return harm


SOME = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], database=None)


@SOME
@given(name=st.sampled_from(FILES), harm=damage())
def test_damaged_bytes_never_crash(valid: Path, name: str, harm: Callable[..., bytes]) -> None:
    original = (valid / name).read_bytes()
    try:
        (valid / name).write_bytes(harm(original))
        try_to_read(valid)
    finally:
        (valid / name).write_bytes(original)


@SOME
@given(
    name=st.sampled_from(("model.safetensors.index.json", "vocab.json", "merges.txt")),
    harm=damage(),
)
def test_damaged_shards_never_crash(sharded: Path, name: str, harm: Callable[..., bytes]) -> None:
    original = (sharded / name).read_bytes()
    try:
        (sharded / name).write_bytes(harm(original))
        try_to_read(sharded)
    finally:
        (sharded / name).write_bytes(original)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from((10**30, -(2**63), "\ud800", "", "../x")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def replace_somewhere(value: Any, choices: st.DataObject, new: Any) -> Any:
    """Walk into ``value`` along drawn steps and put ``new`` there."""
    if isinstance(value, dict | list) and value and choices.draw(st.integers(0, 3)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[choices.draw(st.integers(0, len(keys) - 1))]
        value[key] = replace_somewhere(value[key], choices, new)
        return value
    return new


@SOME
@given(name=st.sampled_from(("config.json", "tokenizer.json")), data=st.data(), new=ANYTHING)
def test_any_value_anywhere_in_json(
    valid: Path, name: str, data: st.DataObject, new: object
) -> None:
    original = (valid / name).read_text(encoding="utf-8")
    try:
        changed = replace_somewhere(json.loads(original), data, new)
        (valid / name).write_text(json.dumps(changed), encoding="utf-8")
        try_to_read(valid)
    finally:
        (valid / name).write_text(original, encoding="utf-8")


@SOME
@given(data=st.data(), new=ANYTHING)
def test_any_value_anywhere_in_a_header(valid: Path, data: st.DataObject, new: object) -> None:
    path = valid / "model.safetensors"
    original = path.read_bytes()
    (length,) = struct.unpack("<Q", original[:8])
    header = replace_somewhere(json.loads(original[8 : 8 + length]), data, new)
    text = json.dumps(header).encode()
    try:
        path.write_bytes(struct.pack("<Q", len(text)) + text + original[8 + length :])
        try_to_read(valid)
    finally:
        path.write_bytes(original)


# Headers of safetensors


def with_header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


BIAS = "transformer.ln_f.bias"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"shape": [9]}, "needs 36 bytes"),
        ({"shape": [-8]}, "wrongly"),
        ({"shape": [8.0]}, "wrongly"),
        ({"shape": [True]}, "wrongly"),
        ({"shape": [1] * 1000}, "wrongly"),
        ({"shape": [2**40, 2**40]}, "needs"),
        ({"shape": "8"}, "wrongly"),
        ({"dtype": "F4"}, "unknown type"),
        ({"dtype": ["F32"]}, "wrongly"),
        ({"data_offsets": [0, 32]}, "overlap"),
        ({"data_offsets": [2**62, 2**62 + 32]}, "gap"),
        ({"data_offsets": [-32, 0]}, "wrongly"),
        ({"data_offsets": [32, 0]}, "data_offsets give -32"),
        ({"data_offsets": [0]}, "wrongly"),
        ({"data_offsets": [0, 10**30]}, "wrongly"),
        ({"data_offsets": None}, "wrongly"),
    ],
    ids=str,
)
def test_a_header_that_lies_about_a_tensor(
    folder: Path, entry: dict[str, object], words: str
) -> None:
    with_header(folder, lambda header: header[BIAS].update(entry))
    message = refused(folder)
    assert words in message
    assert "model.safetensors" in message


@pytest.mark.parametrize(
    "length", [0, 1, MAX_HEADER, MAX_HEADER + 1, 2**31, 2**63, 2**64 - 1, "one too many"]
)
def test_a_header_length_that_lies(folder: Path, length: int | str) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    value = len(data) - 7 if isinstance(length, str) else length
    path.write_bytes(struct.pack("<Q", value) + data[8:])
    refused(folder)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, -1])
def test_a_truncated_file(folder: Path, size: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    message = refused(folder)
    assert "model.safetensors" in message
    if size == -1:
        assert "truncated" in message


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    assert name in refused(folder)


def test_a_file_that_is_longer_than_its_header_says(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"extra")
    assert "longer" in refused(folder)


def test_a_tensor_named_twice(folder: Path) -> None:
    path = folder / "model.safetensors"
    entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    text = f'{{"a":{entry},"a":{entry}}}'.encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    assert "twice" in refused(folder)


def test_a_file_that_shrinks_while_it_is_read(folder: Path) -> None:
    path = folder / "model.safetensors"
    with open_checkpoint(folder) as checkpoint:
        os.truncate(path, path.stat().st_size - 200)
        with pytest.raises(CheckpointError, match="changed while it was read"):
            checkpoint.fingerprint()


def test_a_header_of_empty_lists_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    bomb = b'{"a":[' + b"[]," * ((MAX_HEADER - 100) // 3) + b"0]}"
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(struct.pack("<Q", len(bomb)) + bomb)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="more lists"):
            SafetensorsFile(path, path.name)
        assert tracemalloc.get_traced_memory()[1] < 6 * MAX_HEADER
    finally:
        tracemalloc.stop()


# JSON


BOMBS = {
    "deep lists": "[" * 900_000,
    "deep objects": '{"a":' * 900_000,
    "many objects": "{}" * 2_000_000,
    "long number": '{"n_layer": ' + "9" * 50_000 + "}",
    "zero byte": "\0",
    "nothing": "",
}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors.index.json"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_json_bombs(folder: Path, name: str, bomb: str) -> None:
    if name == "model.safetensors.index.json":
        (folder / "model.safetensors").unlink()
    (folder / name).write_text(BOMBS[bomb])
    assert name in refused(folder)


@pytest.mark.parametrize(
    "name",
    [
        "hparams.json",
        "encoder.json",
        "added_tokens.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
    ],
)
@pytest.mark.parametrize("bomb", BOMBS)
def test_json_bombs_in_openais_layout(tmp_path: Path, name: str, bomb: str) -> None:
    folder = make_release(tmp_path / "x", layers=1, width=8, context=8)
    (folder / name).write_text(BOMBS[bomb])
    assert name in refused(folder)


@pytest.mark.parametrize(("name", "size"), [("config.json", 2 << 20), ("tokenizer.json", 33 << 20)])
def test_json_that_is_too_large_is_not_parsed(folder: Path, name: str, size: int) -> None:
    (folder / name).write_bytes(b" " * size)
    assert "larger than" in refused(folder)


def test_a_million_added_tokens(folder: Path) -> None:
    values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    values["added_tokens"] = [{"id": i, "content": f"<{i}>"} for i in range(300, 400_000)]
    (folder / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    assert "added tokens" in refused(folder)


def test_a_million_merges(folder: Path) -> None:
    values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    values["model"]["merges"] = values["model"]["merges"][:1] * 1_000_000
    (folder / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    assert "tokenizer.json has 1000000 merges for 300 tokens" in refused(folder)


def test_a_million_merges_beside_a_vocabulary(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "x", layers=1, width=8, context=8, tokenizer="vocab.json")
    (folder / "merges.txt").write_text("a b\n" * 5_000_000)
    tracemalloc.start()
    try:
        assert "merges.txt has 5000000 merges" in refused(folder)
        assert tracemalloc.get_traced_memory()[1] < 4 * 20_000_000
    finally:
        tracemalloc.stop()


def test_a_million_added_tokens_beside_a_pair(tmp_path: Path) -> None:
    folder = make_release(tmp_path / "x", layers=1, width=8, context=8)
    million = {f"<{i}>": i for i in range(300, 1_000_300)}
    (folder / "added_tokens.json").write_text(json.dumps(million))
    assert "added tokens" in refused(folder)
    decoder = {str(i): {"content": str(i)} for i in range(300, 500_300)}
    settings = {"added_tokens_decoder": decoder}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert "added tokens" in refused(folder)


@pytest.mark.parametrize(
    "entries",
    [
        {"n_layer": 10_000},
        {"n_embd": 1 << 20, "n_head": 1},
        {"n_inner": 1 << 22},
        {"n_embd": 1 << 20, "n_inner": 1 << 22, "vocab_size": 1 << 24, "n_positions": 1 << 24},
        {"vocab_size": 1 << 24},
        {"n_positions": 1 << 24},
        {"vocab_size": 10**400},
        {"n_layer": -1},
        {"n_layer": 2**64 + 1},
        {"n_head": 2**31},
        {"n_inner": 2**63},
        {"n_positions": 1e308},
        {"layer_norm_epsilon": 1e400},
        {"layer_norm_epsilon": -0.0},
    ],
    ids=str,
)
def test_sizes_that_overflow(folder: Path, entries: dict[str, float]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    tracemalloc.start()
    try:
        refused(folder)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_million_tokens_are_counted_before_they_are_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    values["model"]["vocab"] = {str(i): i for i in range(1_000_000)}
    (folder / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    monkeypatch.delattr(tokenizer, "_canonical")
    assert "needs 1000000 embedding rows" in refused(folder)


# Paths


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
        "",
        "C:\\x",
        "x\0y",
        "~",
        ".",
    ],
)
def test_shard_names_stay_inside(valid: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(valid, tmp_path / "tiny")
    (folder / "model.safetensors").rename(tmp_path / "secret.safetensors")
    index = {"weight_map": {"wte.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "plain file name" in refused(folder)


@pytest.mark.parametrize(
    "index",
    [
        [],
        {},
        {"weight_map": {}},
        {"weight_map": []},
        {"weight_map": {"a": 1}},
        {"weight_map": {str(n): f"{n}.safetensors" for n in range(500)}},
    ],
    ids=lambda index: str(index)[:30],
)
def test_an_index_that_is_none(folder: Path, index: object) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model.safetensors.index.json" in refused(folder)


def test_a_shard_that_is_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"wte.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00001-of-00002.safetensors is missing" in refused(folder)


needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")


@needs_links
@pytest.mark.parametrize("name", FILES)
def test_links_that_lead_out_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    assert "leads out" in refused(folder)


@needs_links
def test_links_inside_and_into_a_hugging_face_cache_are_followed(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "model.safetensors").rename(folder / "weights")
    (folder / "model.safetensors").symlink_to("weights")
    read_all(folder)
    snapshot = tmp_path / "models--org--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    blobs = tmp_path / "models--org--name" / "blobs"
    blobs.mkdir()
    (folder / "model.safetensors").unlink()
    (folder / "weights").rename(folder / "model.safetensors")
    for name in FILES:
        (folder / name).rename(blobs / name[::-1])
        (snapshot / name).symlink_to(Path("../../blobs") / name[::-1])
    read_all(snapshot)


@needs_links
def test_a_link_to_itself_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("model.safetensors")
    refused(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
@pytest.mark.parametrize("name", FILES)
def test_a_pipe_does_not_hang(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert "not a regular file" in refused(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    assert "not a regular file" in refused(folder)
