"""model.json: what is written is read, what is damaged is refused."""

import contextlib
import dataclasses
import json
import os
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.core.errors import ModelError
from explorer.core.manifest import BUILD_NAMES, FILE_NAME, Build, Manifest, build_to_open
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality import measure

HASHES = {"model.onnx": "c" * 64, "weights.bin": "d" * 64}
BUILD = Build("cpu-int4", "cpu", "int4", "b" * 64, 16, 64, 4, 128, 8, True, 12, HASHES)
MANIFEST = Manifest("tiny", "a" * 64, 2, 2, 16, 64, 300, 0, 7000).with_build(BUILD)


def test_bytes_of_quantised_weights():
    layers, head = 128_000, 32_000
    replace = dataclasses.replace
    in_blocks = replace(BUILD, bits=8, block=32, head_bits=None)
    assert in_blocks.quantized_bytes(layers, head) == 160_000 + 4 * 5_000
    assert in_blocks.quantized_bytes(layers, head, scale=0) == 160_000
    by_outputs = replace(BUILD, bits=8, block=None, head_bits=None)
    assert by_outputs.quantized_bytes(layers, head, scale=8) == 160_000
    mixed = replace(BUILD, bits=4, block=128, head_bits=8)
    assert mixed.quantized_bytes(layers, head, scale=8) == 64_000 + 8 * 1_000 + 32_000
    with pytest.raises(ValueError, match="not quantised"):
        replace(BUILD, bits=None, block=None, head_bits=None).quantized_bytes(1, 1)


def test_round_trip(tmp_path):
    MANIFEST.write(tmp_path)
    assert Manifest.read(tmp_path) == MANIFEST
    assert [p.name for p in tmp_path.iterdir()] == [FILE_NAME]


def test_a_build_of_before_there_were_hashes_is_read(tmp_path):
    MANIFEST.write(tmp_path)
    path = tmp_path / FILE_NAME
    values = json.loads(path.read_text())
    del values["builds"]["cpu-int4"]["hashes"]
    path.write_text(json.dumps(values))
    build = dataclasses.replace(BUILD, hashes={})
    assert Manifest.read(tmp_path).builds["cpu-int4"] == build


@pytest.mark.parametrize("value", [None, 7, ["c" * 64], {}])
def test_a_hash_is_text(tmp_path, value):
    build = dataclasses.replace(BUILD, hashes={"model.onnx": value})
    MANIFEST.with_build(build).write(tmp_path)
    with pytest.raises(ModelError, match="damaged"):
        Manifest.read(tmp_path)


def test_what_starts_a_text_may_differ_from_what_ends_it(tmp_path):
    manifest = dataclasses.replace(MANIFEST, start_of_text=299)
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


@pytest.mark.parametrize("entry", ["end_of_text", "start_of_text"])
@pytest.mark.parametrize("token", [-1, 300, 2**70])
def test_a_token_that_the_vocabulary_lacks_is_damage(tmp_path, entry, token):
    dataclasses.replace(MANIFEST, **{entry: token}).write(tmp_path)
    with pytest.raises(ModelError, match="vocabulary has no token"):
        Manifest.read(tmp_path)


def stand_in(path, kind):
    """Put something there that is no file, or has no end."""
    path.unlink(missing_ok=True)
    try:
        os.mkfifo(path) if kind == "pipe" else path.symlink_to(kind)
    except (AttributeError, OSError):
        pytest.skip("this system has no such thing")
    if kind != "pipe" and not path.exists():
        pytest.skip("this system has no such thing")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "/"])
def test_what_is_no_file_is_neither_waited_for_nor_read_to_its_end(tmp_path, kind):
    MANIFEST.write(tmp_path)
    stand_in(tmp_path / FILE_NAME, kind)
    with pytest.raises(ModelError, match=r"cannot be read \(not a regular file\); remove"):
        Manifest.read(tmp_path)
    stand_in(tmp_path / "tokenizer.json", kind)
    with pytest.raises(ModelError, match=r"cannot be read \(not a regular file\); import"):
        Tokens.from_folder(tmp_path)
    MANIFEST.write(tmp_path)
    stand_in(tmp_path / measure.FILE_NAME, kind)
    assert measure.read_quality(tmp_path) == {}


def test_a_file_of_any_size_is_not_read(tmp_path):
    for name, size in ((FILE_NAME, 1 << 31), ("tokenizer.json", 1 << 31)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    with pytest.raises(ModelError, match="larger than 10 MB"):
        Manifest.read(tmp_path)
    with pytest.raises(ModelError, match="larger than 100 MB"):
        Tokens.from_folder(tmp_path)


def test_a_folder_without_one_says_what_to_do(tmp_path):
    with pytest.raises(ModelError, match="import a GPT-2 folder"):
        Manifest.read(tmp_path)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
names = st.sampled_from([f.name for f in dataclasses.fields(Manifest)])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names, junk)
def test_any_damage_is_a_sentence_or_harmless(tmp_path, name, value):
    MANIFEST.write(tmp_path)
    path = tmp_path / FILE_NAME
    values = json.loads(path.read_text())
    values[name] = value
    path.write_text(json.dumps(values))
    with contextlib.suppress(ModelError):
        assert isinstance(Manifest.read(tmp_path), Manifest)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\xff", '{"contract": 99}'])
def test_other_text_is_refused(tmp_path, text):
    (tmp_path / FILE_NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match="import it again"):
        Manifest.read(tmp_path)


def test_a_manifest_of_any_weight_takes_little_memory(tmp_path):
    (tmp_path / FILE_NAME).write_text(
        "[" + '{"a":0},' * 1_000_000 + "0]"
    )  # 8 MB: 200 MB of objects
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="more lists and objects"):
            Manifest.read(tmp_path)
        (tmp_path / FILE_NAME).write_text('{"name": "' + "x" * 9_000_000 + '"}')
        with pytest.raises(ModelError, match="contract version"):
            Manifest.read(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("number", [10**400, 10**300, 2**60])
def test_a_size_that_no_model_has_is_damage(tmp_path, number):
    for entry in ("layers", "context", "parameters"):
        MANIFEST.write(tmp_path)
        values = json.loads((tmp_path / FILE_NAME).read_text())
        (tmp_path / FILE_NAME).write_text(json.dumps(values | {entry: number}))
        with pytest.raises(ModelError, match="damaged"):
            Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "there", "opened"),
    [
        ("cpu-int8", ["cpu-fp32"], "cpu-fp32"),
        ("cpu-int8", ["cpu-fp32", "cpu-int4"], "cpu-fp32"),
        ("cpu-int8", ["cpu-int4"], "cpu-int4"),
        ("cpu-int8", ["cpu-fp32", "cpu-int8"], "cpu-int8"),
        ("cpu-int8", ["cuda-fp16"], "cpu-int8"),
        ("cpu-int8", [], "cpu-int8"),
        ("cuda-fp16", ["cpu-int8", "cpu-fp32"], "cuda-fp16"),
        ("cuda-fp16", ["cuda-fp16", "cpu-int8"], "cuda-fp16"),
    ],
)
def test_the_build_to_open_is_the_best_one_there_for_the_device(wanted, there, opened):
    assert build_to_open(wanted, there) == opened
    assert build_to_open(wanted, there[::-1]) == opened


def test_every_build_has_its_place_in_that_order():
    for build in BUILD_NAMES:
        other = "cuda-fp16" if build == "cuda-fp16" else "cpu-int8"
        assert build_to_open(other, [build]) == build
