"""A conversion is all or nothing, and its result is what the checkpoint was."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from explorer.core.errors import CheckpointError, ModelError
from explorer.core.manifest import BUILD_NAMES, Manifest
from explorer.engine.session import Session
from explorer.weights.builds import convert as conversion
from explorer.weights.builds.convert import add_build, convert, graph_spec, has_build
from explorer.weights.builds.packing import BUILD_REVISION
from explorer.weights.checkpoints import checkpoint
from explorer.weights.formats.untrusted_folder import Source
from tests.reference import load_reference
from tests.tiny import make_tiny, random_weights, write_weights

SIZES = {"layers": 2, "width": 16, "context": 64, "rows": 300}


def quiet(fraction: float, text: str) -> None:
    assert 0 <= fraction <= 1
    assert text


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "source")


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_model_folder_has_what_the_engine_needs(source: Path, tmp_path: Path) -> None:
    manifest = convert(source, tmp_path / "out" / "model", BUILD_NAMES, "tiny", quiet)
    folder = tmp_path / "out" / "model"
    assert contents(tmp_path / "out") == {
        "model",
        "model/model.json",
        "model/tokenizer.json",
        "model/source",
        *(f"model/source/{path.name}" for path in source.iterdir()),
        *(f"model/{build}" for build in BUILD_NAMES),
        *(
            f"model/{build}/{file}"
            for build in BUILD_NAMES
            for file in ("model.onnx", "weights.bin")
        ),
    }
    assert Manifest.read(folder) == manifest
    assert manifest.name == "tiny"
    assert (manifest.layers, manifest.heads, manifest.width, manifest.context) == (2, 2, 16, 64)
    assert (manifest.vocabulary, manifest.end_of_text) == (300, 299)
    assert manifest.parameters == sum(tensor.size for tensor in random_weights(**SIZES).values())
    for name, digest in manifest.hashes.items():
        data = (folder / "source" / name).read_bytes()
        assert data == (source / name).read_bytes()
        assert digest == hashlib.sha256(data).hexdigest()
    for name, build in manifest.builds.items():
        size = sum(path.stat().st_size for path in (folder / name).iterdir())
        assert build.bytes == size
        assert build.hashes == {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (folder / name).iterdir()
        }
        assert has_build(folder, manifest, name)
    assert len({build.fingerprint for build in manifest.builds.values()}) == len(BUILD_NAMES)


def test_the_weights_of_the_graph_are_those_of_the_checkpoint(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "m", ["cpu-fp32"], "tiny", quiet)
    model = onnx.load(tmp_path / "m" / "cpu-fp32" / "model.onnx")
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = random_weights(**SIZES)
    for name in ("wpe.weight", "h.0.mlp.c_fc.weight", "h.1.mlp.c_proj.bias", "ln_f.weight"):
        assert np.array_equal(stored[name], weights[name])


@pytest.mark.parametrize(
    "shape",
    [
        {"heads": 4, "inner": 24, "holes": (7, 9), "rows": 310, "head": "own", "context": 9},
        {"dtype": "fp16", "shards": 3, "prefix": "", "vocabulary": 7, "width": 6},
    ],
    ids=str,
)
def test_a_converted_model_computes_what_the_checkpoint_says(tmp_path: Path, shape: dict) -> None:
    source = make_tiny(tmp_path / "source", **shape)
    manifest = convert(source, tmp_path / "m", ["cpu-fp32"], "odd", quiet)
    ids = [0, 3, 5, 3, 1]
    expected = load_reference(source).logits(ids)[-1]  # [rows]
    session = Session(tmp_path / "m", "cpu-fp32", "cpu", 1)
    logits = session.prefill(session.cache(1), ids).logits(0)  # [V]
    session.close()
    assert len(logits) == manifest.vocabulary
    drawable = [i for i in range(manifest.vocabulary) if i not in shape.get("holes", ())]
    np.testing.assert_allclose(logits[drawable], expected[drawable], rtol=1e-4, atol=1e-4)
    assert all(logits[i] == -np.inf for i in shape.get("holes", ()))


def test_sizes_reach_the_graph(tmp_path: Path) -> None:
    folder = make_tiny(
        tmp_path / "odd", heads=4, inner=24, holes=(7, 9), rows=310, head="own", context=9
    )
    with conversion.open_checkpoint(folder) as checkpoint:
        spec = graph_spec(checkpoint)
    assert (spec.layers, spec.heads, spec.width, spec.context, spec.inner) == (2, 4, 16, 9, 24)
    assert (spec.vocabulary, spec.undrawable, spec.tied) == (300, (7, 9), False)
    assert (spec.head_size, spec.kv_head_size) == (4, 8)
    manifest = convert(folder, tmp_path / "m", ["cpu-int8"], "odd", quiet)
    assert manifest.builds["cpu-int8"].kv_head_size == 8


def test_progress_grows_and_says_what_is_done(source: Path, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    convert(
        source, tmp_path / "m", ["cpu-fp32", "cpu-int4"], "tiny", lambda *said: told.append(said)
    )
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    texts = [text for _, text in told]
    for build in ("cpu-fp32", "cpu-int4"):
        assert any(build in text for text in texts)


def test_without_a_copy_the_source_stays_where_it_is(source: Path, tmp_path: Path) -> None:
    manifest = convert(source, tmp_path / "m", ["cpu-int8"], "tiny", quiet, copy_source=False)
    assert not (tmp_path / "m" / "source").exists()
    assert manifest.hashes["config.json"]
    grown = add_build(tmp_path / "m", "cpu-fp32", quiet, source)
    assert set(grown.builds) == {"cpu-int8", "cpu-fp32"}


def test_where_it_came_from_can_be_told(source: Path, tmp_path: Path) -> None:
    origin = {"kind": "huggingface", "repository": "somebody/gpt2", "revision": "4f2a"}
    manifest = convert(source, tmp_path / "m", ["cpu-int8"], "tiny", quiet, origin=origin)
    assert manifest.source == origin
    path = {"kind": "huggingface", "path": str(source)}
    assert convert(source, tmp_path / "n", ["cpu-int8"], "tiny", quiet).source == path


# A source that is moved


@pytest.mark.parametrize("links", [True, False], ids=["same disk", "no links"])
def test_a_source_can_be_moved(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse_link)
    expected = convert(source, tmp_path / "copied", ["cpu-int8"], "tiny", quiet)
    (source / "notes.txt").write_text("not part of the model")
    manifest = convert(source, tmp_path / "m", ["cpu-int8"], "tiny", quiet, move_source=True)
    assert manifest == expected
    assert contents(source) == {"notes.txt"}
    for name, digest in manifest.hashes.items():
        data = (tmp_path / "m" / "source" / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest


def refuse_link(*_: object) -> None:
    raise OSError(errno.EXDEV, "another disk")


@pytest.mark.parametrize("links", [True, False], ids=["same disk", "no links"])
def test_a_source_stays_where_it_is_until_the_model_is_there(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse_link)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    work = tmp_path / "work"
    calls: list[str] = []
    convert(source, tmp_path / "m", ["cpu-int8"], "tiny", lambda _, text: calls.append(text))
    for call in range(0, len(calls) - 1, 3):
        with pytest.raises(KeyboardInterrupt):
            convert(
                source,
                work / "m",
                ["cpu-int8"],
                "tiny",
                CancelAt(call),
                move_source=True,
                hashes={},
            )
        assert {path.name: path.read_bytes() for path in source.iterdir()} == before
        assert not work.exists() or contents(work) == set()


def test_what_was_hashed_is_not_hashed_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = convert(source, tmp_path / "m", ["cpu-int8"], "tiny", quiet).hashes
    read: list[str] = []
    monkeypatch.setattr(Source, "sha256", lambda self, name, progress=None: read.append(name))
    told = {name: digest[::-1] for name, digest in known.items()}
    for number, move in enumerate((False, True)):  # the moving one comes last: it eats the source
        manifest = convert(
            source,
            tmp_path / str(number),
            ["cpu-int8"],
            "tiny",
            quiet,
            copy_source=False,
            move_source=move,
            hashes=told,
        )
        assert manifest.hashes == told
    assert read == []


def test_the_same_source_gives_the_same_fingerprints(source: Path, tmp_path: Path) -> None:
    one = convert(source, tmp_path / "one", ["cpu-int8"], "one", quiet)
    other = make_tiny(tmp_path / "other", shards=2, prefix="", tokenizer="vocab.json")
    two = convert(other, tmp_path / "two", ["cpu-int8"], "two", quiet, copy_source=False)
    assert one.fingerprint == two.fingerprint
    assert one.builds["cpu-int8"].fingerprint == two.builds["cpu-int8"].fingerprint
    weights = [tmp_path / name / "cpu-int8" / "weights.bin" for name in ("one", "two")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


# Nothing is left behind


class CancelAt:
    """A progress function that cancels at its n-th call."""

    def __init__(self, call: int) -> None:
        self.left = call

    def __call__(self, fraction: float, text: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_cancelled_at_any_moment_nothing_is_left(source: Path, tmp_path: Path) -> None:
    calls: list[float] = []
    work = tmp_path / "work"
    convert(source, work / "m", ["cpu-int8"], "tiny", lambda fraction, _: calls.append(fraction))
    shutil.rmtree(work)
    assert len(calls) > 10
    for call in range(len(calls) - 1):  # the last one comes after the rename
        with pytest.raises(KeyboardInterrupt):
            convert(source, work / "m", ["cpu-int8"], "tiny", CancelAt(call))
        assert not work.exists() or contents(work) == set()


def test_a_refusal_leaves_nothing(source: Path, tmp_path: Path) -> None:
    weights = random_weights(**SIZES)
    weights["ln_f.bias"][3] = np.nan
    write_weights(source, weights)
    work = tmp_path / "work"
    for copy in (True, False):
        with pytest.raises(CheckpointError, match="finite"):
            convert(source, work / "m", ["cpu-fp32"], "tiny", quiet, copy)
        assert contents(work) == set()


KILLED = """
import os, sys
from pathlib import Path
from explorer.weights.builds.convert import add_build, convert
def progress(fraction, text):
    if fraction > 0.6:
        os.kill(os.getpid(), 9)
source, target = Path(sys.argv[1]), Path(sys.argv[2])
if sys.argv[3] == "add":
    add_build(target, "cpu-int4", progress)
else:
    convert(source, target, ["cpu-int8"], "tiny", progress, move_source=sys.argv[3] == "move")
"""


def killed(source: Path, target: Path, what: str) -> None:
    command = [sys.executable, "-c", KILLED, str(source), str(target), what]
    result = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert result.returncode not in (0, 1)


@pytest.mark.parametrize("what", ["copy", "move"])
def test_what_a_killed_conversion_left_is_in_nobodys_way(
    source: Path, tmp_path: Path, what: str
) -> None:
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    target = tmp_path / "work" / "m"
    killed(source, target, what)
    assert not target.exists()
    assert (tmp_path / "work" / "m.part").is_dir()
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    convert(source, target, ["cpu-int8"], "tiny", quiet)
    assert not (tmp_path / "work" / "m.part").exists()


def test_a_build_that_was_killed_is_not_there_and_can_be_made(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    made = convert(source, folder, ["cpu-int8"], "tiny", quiet)
    killed(source, folder, "add")
    assert Manifest.read(folder) == made
    assert (folder / "cpu-int4.part").is_dir()
    assert set(add_build(folder, "cpu-int4", quiet).builds) == {"cpu-int8", "cpu-int4"}
    assert not (folder / "cpu-int4.part").exists()


def test_an_existing_model_is_not_replaced(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "m", ["cpu-int8"], "tiny", quiet)
    before = contents(tmp_path / "m")
    with pytest.raises(ModelError, match="exists already"):
        convert(source, tmp_path / "m", ["cpu-fp32"], "tiny", quiet)
    assert contents(tmp_path / "m") == before
    assert not (tmp_path / "m.part").exists()


def test_an_unknown_build_names_the_known_ones(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cpu-fp32, cpu-int8, cpu-int4, cuda-fp16"):
        convert(source, tmp_path / "m", ["cpu-int3"], "tiny", quiet)
    assert not (tmp_path / "m.part").exists()


def test_too_little_room_is_said_before_anything_is_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ModelError, match="too little room"):
        convert(source, tmp_path / "work" / "m", ["cpu-fp32"], "tiny", quiet)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EROFS, "cannot be written"),
        (errno.EACCES, "cannot be written"),
        (errno.ENOTDIR, "look what is there"),
        (errno.EFBIG, "cannot hold a file of this size"),
        (errno.EIO, "failed"),
    ],
)
def test_a_disk_that_refuses(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, "what the system says")

    monkeypatch.setattr("explorer.weights.builds.graph.write_graph", refuse)
    work = tmp_path / "work"
    with pytest.raises(ModelError, match=words) as caught:
        convert(source, work / "m", ["cpu-fp32"], "tiny", quiet)
    assert str(work) in str(caught.value)
    assert contents(work) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("file", ["weights.bin", "model.onnx", "model.safetensors"])
def test_a_disk_that_fills_up_meanwhile(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    # The file is opened as usual, and every write into it finds the disk full.
    opening = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r", *rest, **more: opening(
        Path("/dev/full") if path.name == file and mode[0] in "wx" else path,
        mode.replace("x", "w"), *rest, **more,
    ))  # fmt: skip
    work = tmp_path / "work"
    with pytest.raises(ModelError, match="is full; make room"):
        convert(source, work / "m", ["cpu-int8"], "tiny", quiet)
    assert contents(work) == set()


@pytest.mark.parametrize("file", ["tokenizer.json", "model.safetensors"])
def test_a_source_that_vanishes_while_it_is_copied(source: Path, tmp_path: Path, file: str) -> None:
    def vanish(fraction: float, text: str) -> None:
        if text == "Copying the files":
            (source / file).unlink(missing_ok=True)

    work = tmp_path / "work"
    with pytest.raises(ModelError, match=f"{file} cannot be read any more .*try again"):
        convert(source, work / "m", ["cpu-int8"], "tiny", vanish)
    assert contents(work) == set()


def test_a_source_that_changes_while_it_is_copied_is_checked_once_more(
    source: Path, tmp_path: Path
) -> None:
    def change(fraction: float, text: str) -> None:
        if text == "Copying the files":
            os.truncate(source / "model.safetensors", 5000)

    work = tmp_path / "work"
    with pytest.raises(CheckpointError, match="truncated"):
        convert(source, work / "m", ["cpu-int8"], "tiny", change)
    assert contents(work) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_fills_up_during_one_more_build(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "m"
    made = convert(source, folder, ["cpu-int8"], "tiny", quiet)
    before = contents(folder)
    opening = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r", *rest, **more: opening(
        Path("/dev/full") if path.name == "weights.bin" and "w" in mode else path,
        mode, *rest, **more,
    ))  # fmt: skip
    with pytest.raises(ModelError, match="is full; make room"):
        add_build(folder, "cpu-int4", quiet)
    assert contents(folder) == before
    assert Manifest.read(folder) == made


def test_nothing_is_named_before_it_is_on_the_disk(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: dict[int, int] = {}  # file -> its size at the last flush
    fsync, rename = os.fsync, Path.rename

    def flush(number: int) -> None:
        status = os.fstat(number)
        flushed[status.st_ino] = status.st_size
        fsync(number)

    def check(path: Path, target: Path) -> Path:
        if path.name == "m.part":
            for file in (path, *path.rglob("*")):
                assert flushed[file.stat().st_ino] == file.stat().st_size, file
            flushed.clear()
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "rename", check)
    convert(source, tmp_path / "m", ["cpu-int8"], "tiny", quiet)
    assert tmp_path.stat().st_ino in flushed  # and the name itself


# The bits of a build are those it always had

GOLDEN = {
    "cpu-fp32": "1d2b456a80a5af67cb450d20a2ca6a9a6406ed556df3338d84c4726b7794a16b",
    "cpu-int8": "94e4c5ec89807b7161eb6aacc150227b3f7ddbcbe22613257a13172e088f1557",
    "cpu-int4": "4e7fbcf0585ec42e359e139278c45025a6be47929202208050ece3722a54de4d",
    "cuda-fp16": "67370f9f4b03fb21dfb08e0fbc8f7cb78676aea7f183f1d8cc79a9659837f173",
}
"""What the first version with these packings wrote, one tensor after the other."""


@pytest.mark.parametrize(("build", "digest"), GOLDEN.items())
def test_the_same_weights_are_written_as_ever(tmp_path: Path, build: str, digest: str) -> None:
    source = make_tiny(tmp_path / "source", width=48, heads=4, inner=100, vocabulary=700)
    made = convert(source, tmp_path / "m", [build], "tiny", quiet).builds[build]
    assert made.hashes["weights.bin"] == digest


GRAPHS = {
    "cpu-fp32": "aefffbab633d7832095d3ea05c17a0e98bdec09c586aaa3ca84650dc19164c81",
    "cpu-int8": "5e4935ac7457c346ee82e6fbf8d70ead5c126792a4d3825d2bf2482baf97ce94",
    "cpu-int4": "1c1ff482fc5953f08507d54c36d900b96bd597f4767ce61f788cdf4755c21667",
    "cuda-fp16": "da38796ef092c7edccd4b014c9127b82d3846eebc6d34a6127f138779387cd16",
}
"""What the graphs of this FORM compute, node by node."""


@pytest.mark.parametrize(("build", "digest"), GRAPHS.items())
def test_a_graph_that_changes_counts_as_another_form(
    source: Path, tmp_path: Path, build: str, digest: str
) -> None:
    """Else a fingerprint stands for builds that give other tokens, and caches keep old ones."""
    convert(source, tmp_path / "m", [build], "tiny", quiet)
    graph = onnx.load(tmp_path / "m" / build / "model.onnx", load_external_data=False).graph
    nodes = [
        (
            node.domain,
            node.op_type,
            list(node.input),
            list(node.output),
            sorted(
                (each.name, str(onnx.helper.get_attribute_value(each))) for each in node.attribute
            ),
        )
        for node in graph.node
    ]
    inside = [
        (each.name, numpy_helper.to_array(each).tolist())
        for each in graph.initializer
        if each.data_location != onnx.TensorProto.EXTERNAL
    ]
    found = hashlib.sha256(json.dumps([nodes, inside]).encode()).hexdigest()
    assert (BUILD_REVISION, found) == (5, digest), "count FORM on, then enter what is written now"


def test_the_form_of_the_graph_is_part_of_a_builds_fingerprint(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = convert(source, tmp_path / "one", ["cpu-fp32", "cpu-int8"], "one", quiet)
    monkeypatch.setattr(conversion, "BUILD_REVISION", BUILD_REVISION + 1)
    two = convert(source, tmp_path / "two", ["cpu-fp32", "cpu-int8"], "two", quiet)
    assert one.fingerprint == two.fingerprint
    prints = [each.fingerprint for made in (one, two) for each in made.builds.values()]
    assert len(set(prints)) == 4


def test_parts_of_tensors_change_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_tiny(tmp_path / "long", width=160, heads=5, vocabulary=700, context=300)
    whole = convert(source, tmp_path / "whole", BUILD_NAMES, "tiny", quiet)
    monkeypatch.setattr(checkpoint, "_BLOCK", 1)
    with checkpoint.open_checkpoint(source) as opened:
        assert [len(part) for part in opened.blocks("wte.weight")] == [128] * 5 + [60]
    assert convert(source, tmp_path / "parts", BUILD_NAMES, "tiny", quiet) == whole


def test_what_is_not_finite_is_named_in_whatever_part_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_tiny(tmp_path / "long", vocabulary=700)
    weights = random_weights(**SIZES | {"rows": 700})
    weights["wte.weight"][650, 3] = np.inf
    write_weights(source, weights)
    monkeypatch.setattr(checkpoint, "_BLOCK", 1)
    with pytest.raises(CheckpointError, match=r"wte\.weight holds inf at \[650, 3\]"):
        convert(source, tmp_path / "m", ["cpu-int8"], "tiny", quiet)


# One more build


def test_a_build_can_be_made_once_more(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    first = convert(source, folder, ["cpu-int8"], "tiny", quiet)
    weights = folder / "cpu-int8" / "weights.bin"
    good = weights.read_bytes()
    weights.write_bytes(bytes(len(good)))  # whole by its size
    assert add_build(folder, "cpu-int8", quiet) == first
    assert weights.read_bytes() != good
    assert add_build(folder, "cpu-int8", quiet, again=True) == first
    assert weights.read_bytes() == good


def test_a_missing_build_is_made_from_the_kept_source(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    first = convert(source, folder, ["cpu-int8"], "tiny", quiet)
    shutil.rmtree(source)
    second = add_build(folder, "cpu-fp32", quiet)
    assert set(second.builds) == {"cpu-int8", "cpu-fp32"}
    assert second.builds["cpu-int8"] == first.builds["cpu-int8"]
    assert Manifest.read(folder) == second
    assert add_build(folder, "cpu-fp32", CancelAt(0)) == second  # nothing to do


def test_a_cancelled_build_leaves_the_model_as_it_was(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    convert(source, folder, ["cpu-int8"], "tiny", quiet)
    before = contents(folder)
    with pytest.raises(KeyboardInterrupt):
        add_build(folder, "cpu-fp32", CancelAt(4))
    assert contents(folder) == before


def _cut(folder: Path) -> None:
    (folder / "cpu-int8" / "weights.bin").write_bytes(b"")


def _lose(folder: Path) -> None:
    (folder / "cpu-int8" / "model.onnx").unlink()


def _forget(folder: Path) -> None:
    values = json.loads((folder / "model.json").read_text())
    values["builds"] = {}
    (folder / "model.json").write_text(json.dumps(values))


@pytest.mark.parametrize("damage", [_cut, _lose, _forget])
def test_a_broken_build_is_made_again(
    source: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "m"
    before = convert(source, folder, ["cpu-int8"], "tiny", quiet)
    damage(folder)
    assert not has_build(folder, Manifest.read(folder), "cpu-int8")
    assert add_build(folder, "cpu-int8", quiet) == before
    assert has_build(folder, before, "cpu-int8")


def test_a_source_that_changed_is_noticed(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    convert(source, folder, ["cpu-int8"], "tiny", quiet)
    write_weights(folder / "source", random_weights(**SIZES, seed=9))
    with pytest.raises(ModelError, match="has changed"):
        add_build(folder, "cpu-fp32", quiet)
    assert not (folder / "cpu-fp32").exists()
    assert not (folder / "cpu-fp32.part").exists()


def test_a_source_that_was_damaged_meanwhile_is_said(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    convert(source, folder, ["cpu-int8"], "tiny", quiet)
    (folder / "source" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tiny was made from .* damaged now .*; remove the model"):
        add_build(folder, "cpu-fp32", quiet)
    assert not (folder / "cpu-fp32.part").exists()


def test_a_source_that_is_gone_is_said(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    convert(source, folder, ["cpu-int8"], "tiny", quiet)
    shutil.rmtree(folder / "source")
    with pytest.raises(ModelError, match="import the model again"):
        add_build(folder, "cpu-fp32", quiet)
