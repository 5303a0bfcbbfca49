"""The graph writer: what it writes, where, and how it stops."""

import tracemalloc
from collections import Counter

import numpy as np
import onnx
import pytest

from explorer.core.errors import CheckpointError
from explorer.weights.builds.graph import write_graph
from explorer.weights.builds.packing import COLUMNS, FLOATING, GraphSpec, Packing, Storage
from tests.builds import reader, spec_of
from tests.tiny import make_tiny


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("source"))


def write(source, folder, precision="fp32", **changes):
    device_class = "cuda" if precision == "fp16" else "cpu"
    spec = spec_of(source, **changes)
    return write_graph(folder, spec, precision, device_class, reader(source)).packing


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4"])
def test_a_graph_is_valid_and_its_weights_lie_in_one_plain_file(source, tmp_path, precision):
    write(source, tmp_path, precision)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "weights.bin"}
    model = onnx.load_model(tmp_path / "model.onnx", load_external_data=False)
    size = (tmp_path / "weights.bin").stat().st_size
    ends = []
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if tensor.name.startswith("const_"):
            assert not entries
            continue
        assert entries["location"] == "weights.bin"
        offset, length = int(entries["offset"]), int(entries["length"])
        assert offset >= (ends[-1] if ends else 0)
        ends.append(offset + length)
    assert ends[-1] == size
    names = [value.name for value in model.graph.input]
    assert names[:5] == [
        "input_ids", "positions", "seqlens_k", "total_sequence_length", "rows",
    ]  # fmt: skip
    assert {value.name for value in model.graph.output} == {
        "top_logits", "top_ids", "logsumexp", "logits", "probabilities",
        *(name.replace("past", "present") for name in names[5:]),
    }  # fmt: skip


def test_it_says_how_matrices_are_packed(source, tmp_path):
    assert write(source, tmp_path) == Packing(FLOATING, FLOATING, even_rows=False)
    assert write(source, tmp_path, "int8") == Packing(COLUMNS, COLUMNS, even_rows=False)
    assert write(source, tmp_path, "int4") == Packing(Storage(4, 128), COLUMNS, even_rows=True)


@pytest.mark.parametrize(
    ("precision", "products"),
    [
        ("fp32", {"MatMul": 8, "Gemm": 1}),
        ("int8", {"MatMulInteger": 9}),
        ("int4", {"MatMulNBits": 8, "MatMulInteger": 1}),
    ],
)
def test_the_products_are_those_of_the_packing(source, tmp_path, precision, products):
    write(source, tmp_path, precision)  # two layers with four matrices each, and the head
    model = onnx.load_model(tmp_path / "model.onnx", load_external_data=False)
    found = Counter(node.op_type for node in model.graph.node)
    assert {op: n for op, n in found.items() if op.startswith(("MatMul", "Gemm"))} == products


def test_a_tied_table_is_written_once(source, tmp_path):
    write(source, tmp_path)
    spec = spec_of(source)
    table = spec.logit_columns * spec.width * 4
    names = [
        t.name
        for t in onnx.load(tmp_path / "model.onnx", load_external_data=False).graph.initializer
    ]
    assert "wte.weight" not in names
    assert "head" in names
    assert (tmp_path / "weights.bin").stat().st_size < 2 * table + 200_000


def test_quantised_builds_are_smaller(tmp_path):
    source, sizes = make_tiny(tmp_path / "wide", width=128), []
    for precision in ("fp32", "int8", "int4"):
        folder = tmp_path / precision
        folder.mkdir()
        write(source, folder, precision)
        sizes.append((folder / "weights.bin").stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[1]


def test_progress_rises_to_one(source, tmp_path):
    told = []
    write_graph(tmp_path, spec_of(source), "int8", "cpu", reader(source), told.append)
    assert told == sorted(told)
    assert told[0] == 0
    assert told[-1] == 1
    assert len(told) >= 4 * spec_of(source).layers


def test_progress_may_cancel(source, tmp_path):
    def cancel(done):
        if done > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_graph(tmp_path, spec_of(source), "int8", "cpu", reader(source), cancel)
    (tmp_path / "weights.bin").unlink()  # nothing holds it open


def test_memory_is_bounded_by_what_may_wait_not_by_the_model(tmp_path):
    spec = GraphSpec(layers=48, heads=2, width=128, context=8, vocabulary=7)
    shapes = {"c_attn": (128, 384), "c_fc": (128, 512), "wte": (7, 128), "wpe": (8, 128)}
    read_bytes = 0

    def read(name):
        nonlocal read_bytes
        part = name.split(".")[-2]
        shape = (512, 128) if "mlp.c_proj" in name else shapes.get(part, (128, 128))
        bias = name.endswith("bias") or "ln_" in name
        array = np.full(shape[-1:] if bias else shape, 0.5, np.float32)
        read_bytes += array.nbytes
        return [array]

    tracemalloc.start()
    try:
        write_graph(tmp_path, spec, "int8", "cpu", read)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read_bytes > 36_000_000
    assert peak < read_bytes / 4  # so many parts wait, however many layers there are


def test_a_number_too_large_for_fp16_is_refused_by_name(source, tmp_path):
    read = reader(source)

    def large(name):
        factor = np.float32(1e6 if name == "h.1.mlp.c_fc.weight" else 1)
        return [part * factor for part in read(name)]

    with pytest.raises(CheckpointError, match=r"h\.1\.mlp\.c_fc\.weight .* too large for float16"):
        write_graph(tmp_path, spec_of(source), "fp16", "cuda", large)


@pytest.mark.parametrize(("precision", "device"), [("fp16", "cpu"), ("int8", "cuda")])
def test_builds_that_no_device_runs_are_a_mistake(source, tmp_path, precision, device):
    with pytest.raises(ValueError, match="is not a build"):
        write_graph(tmp_path, spec_of(source), precision, device, reader(source))


@pytest.mark.parametrize(
    ("width", "heads", "padded"), [(16, 2, 8), (30, 3, 16), (12, 1, 16), (5, 5, 8), (64, 1, 64)]
)
def test_head_sizes_are_padded_to_eight(width, heads, padded):
    spec = GraphSpec(layers=1, heads=heads, width=width, context=8, vocabulary=7)
    assert spec.kv_head_size == padded
    assert spec.top == 7
    assert spec.logit_columns == 64
