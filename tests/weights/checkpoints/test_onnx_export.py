"""ONNX exports made by others: real ones read as their model, all else is refused in a sentence."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from explorer.core.errors import CheckpointError
from explorer.weights.checkpoints.checkpoint import open_checkpoint, source_files
from explorer.weights.checkpoints.onnx_export import choose, open_export, weight_files
from explorer.weights.formats.config import read_config
from explorer.weights.formats.onnx_protobuf import MAX_NODES
from explorer.weights.formats.untrusted_folder import Source
from tests.tiny import encode, write_safetensors, write_tokenizer

DATA = Path(__file__).parents[2] / "data" / "onnx_exports"
FULL = ("optimum", "merged", "dynamo")
HALF = ("fp16", "fused_fp16")

Tensors = dict[str, NDArray[np.float32]]


def stored() -> Tensors:
    tensors = load_file(DATA / "source" / "model.safetensors")
    return {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}


def place(layout: str, folder: Path) -> Path:
    """Copy an export with its config.json."""
    shutil.copytree(DATA / layout, folder)
    shutil.copy(DATA / "source" / "config.json", folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Optimum's export: ``model.onnx`` in one piece."""
    return place("optimum", tmp_path / "optimum")


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def read_all(folder: Path) -> Tensors:
    source = Source(folder)
    weight_files(source)
    with open_export(source, read_config(source)) as file:
        return {name: file.read(name) for name in file.tensors}


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_all(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


@contextlib.contextmanager
def changed(folder: Path, name: str = "model.onnx") -> Iterator[ModelProto]:
    """Yield the model in a folder, to be written back as it is left."""
    model = onnx.load(folder / name)
    yield model
    onnx.save(model, folder / name)


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


def large(graph: GraphProto) -> list[TensorProto]:
    """Return the tensors of a graph that are weights."""
    return [t for t in graph.initializer if t.data_type in (1, 10, 16) and math.prod(t.dims) > 4]


def assert_same(found: Tensors, expected: Tensors) -> None:
    head = found.pop("lm_head.weight", expected["wte.weight"])
    assert np.array_equal(head, expected["wte.weight"])
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].flags.c_contiguous
        assert np.array_equal(found[name].view(np.uint32), tensor.view(np.uint32)), name


# Real exports


@pytest.mark.parametrize("layout", FULL)
def test_an_export_holds_its_model_bit_for_bit(layout: str, tmp_path: Path) -> None:
    assert_same(read_all(place(layout, tmp_path / layout)), stored())


@pytest.mark.parametrize("layout", HALF)
def test_a_half_precision_export_holds_the_rounded_model(layout: str, tmp_path: Path) -> None:
    rounded = {name: t.astype(np.float16).astype(np.float32) for name, t in stored().items()}
    assert_same(read_all(place(layout, tmp_path / layout)), rounded)


@pytest.mark.parametrize("layout", FULL + HALF)
def test_a_checkpoint_has_the_fingerprint_of_its_safetensors(layout: str, tmp_path: Path) -> None:
    folder, other = place(layout, tmp_path / layout), tmp_path / "safetensors"
    other.mkdir()
    shutil.copy(DATA / "source" / "config.json", other)
    dtype = "fp32" if layout in FULL else "fp16"
    write_safetensors(
        other / "model.safetensors", {name: encode(t, dtype) for name, t in stored().items()}
    )
    for each in (folder, other):
        write_tokenizer(each, 300)
    with open_checkpoint(folder) as one, open_checkpoint(other) as two:
        assert (one.kind, two.kind) == ("onnx", "huggingface")
        assert one.tied
        assert one.names == two.names
        assert one.fingerprint() == two.fingerprint()


def test_external_data_belongs_to_the_files(tmp_path: Path) -> None:
    folder = place("dynamo", tmp_path / "dynamo")
    write_tokenizer(folder, 300)
    assert weight_files(Source(folder)) == ("model.onnx", "model.onnx.data")
    names = source_files(Source(folder))
    assert set(names) == {"config.json", "tokenizer.json", "model.onnx", "model.onnx.data"}


def test_it_works_the_same_from_the_sub_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DATA / "dynamo", folder / "onnx")
    shutil.copy(DATA / "source" / "config.json", folder)
    assert weight_files(Source(folder)) == ("onnx/model.onnx", "onnx/model.onnx.data")
    assert_same(read_all(folder), stored())


def test_it_works_the_same_from_a_hub_cache(tmp_path: Path) -> None:
    """There every file is a link into the folder of blobs."""
    folder, blobs = tmp_path / "snapshots" / "main", tmp_path / "blobs"
    (folder / "onnx").mkdir(parents=True)
    blobs.mkdir()
    for name in ("model.onnx", "model.onnx.data"):
        shutil.copy(DATA / "dynamo" / name, blobs / name.replace(".", "-"))
        (folder / "onnx" / name).symlink_to(f"../../../blobs/{name.replace('.', '-')}")
    shutil.copy(DATA / "source" / "config.json", folder)
    assert_same(read_all(folder), stored())


@pytest.mark.parametrize("layout", FULL)
def test_rows_of_a_turned_head(layout: str, tmp_path: Path) -> None:
    folder = place(layout, tmp_path / layout)
    change_config(folder, tie_word_embeddings=False)
    expected = stored()["wte.weight"]
    with open_export(Source(folder), read_config(Source(folder))) as file:
        for start, stop in ((0, None), (0, 300), (7, 33), (299, 300), (5, 5), (290, 400)):
            found = file.read("lm_head.weight", start, stop)
            assert np.array_equal(found, expected[start:stop])
            assert found.flags.c_contiguous
            assert np.array_equal(file.read("wte.weight", start, stop), expected[start:stop])


def test_a_head_of_its_own_is_one(folder: Path) -> None:
    expected = stored()["wte.weight"] + 1
    with changed(folder) as model:
        (head,) = (t for t in model.graph.initializer if list(t.dims) == [16, 300])
        head.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(expected.T), head.name))
    assert np.array_equal(read_all(folder)["lm_head.weight"], expected)


def test_a_head_that_is_the_embedding_is_left_out(folder: Path) -> None:
    """Exports without constant folding turn the embedding in the graph."""
    with changed(folder) as model:
        (head,) = (t for t in model.graph.initializer if list(t.dims) == [16, 300])
        turn = helper.make_node("Transpose", ["transformer.wte.weight"], [head.name])
        model.graph.node.insert(0, turn)
        model.graph.initializer.remove(head)
    assert "lm_head.weight" not in read_all(folder)
    change_config(folder, tie_word_embeddings=False)  # then a checkpoint must have one
    assert np.array_equal(read_all(folder)["lm_head.weight"], stored()["wte.weight"])


# The same model, stored in other ways


def without_names(model: ModelProto) -> None:
    for number, graph in enumerate(graphs(model.graph)):
        new = {t.name: f"val_{number}_{i}" for i, t in enumerate(graph.initializer)}
        for tensor in graph.initializer:
            tensor.name = new[tensor.name]
        for inner in graphs(graph):
            for node in inner.node:
                node.name = ""
                node.input[:] = [new.get(name, name) for name in node.input]


def as_constants(model: ModelProto) -> None:
    for graph in graphs(model.graph):
        nodes = [
            helper.make_node("Constant", [], [tensor.name], value=tensor)
            for tensor in graph.initializer
        ]
        for node in nodes:
            node.attribute[0].t.name = ""
        nodes += graph.node
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)


def as_numbers(model: ModelProto) -> None:
    for graph in graphs(model.graph):
        for tensor in large(graph):
            values = numpy_helper.to_array(tensor)
            tensor.CopyFrom(
                helper.make_tensor(tensor.name, tensor.data_type, tensor.dims, values.ravel())
            )
            assert not tensor.raw_data


def turned_in_the_graph(model: ModelProto) -> None:
    """Store every matrix the other way round, as exporters do that keep PyTorch's Linear."""
    graph = model.graph
    nodes = []
    for tensor in large(graph):
        if len(tensor.dims) == 2 and "wte" not in tensor.name and "wpe" not in tensor.name:
            name, values = tensor.name, numpy_helper.to_array(tensor)
            turned = np.ascontiguousarray(values.T)
            tensor.CopyFrom(numpy_helper.from_array(turned, f"{name}_turned"))
            nodes.append(helper.make_node("Transpose", [f"{name}_turned"], [name], perm=[1, 0]))
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)


def turned_by_gemm(model: ModelProto) -> None:
    weights = {tensor.name: tensor for tensor in large(model.graph)}
    for node in model.graph.node:
        if node.op_type == "Gemm":
            tensor = weights[node.input[1]]
            turned = np.ascontiguousarray(numpy_helper.to_array(tensor).T)
            tensor.CopyFrom(numpy_helper.from_array(turned, tensor.name))
            kept = [a for a in node.attribute if a.name != "transB"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("transB", 1)])


def products_and_sums(model: ModelProto) -> None:
    """Write each Gemm as MatMul and Add, in either order of the summands."""
    nodes = []
    for i, node in enumerate(model.graph.node):
        if node.op_type == "Gemm":
            x, weight, bias = node.input
            nodes.append(helper.make_node("MatMul", [x, weight], [f"product_{i}"]))
            summands = [f"product_{i}", bias][:: 1 if i % 2 else -1]
            nodes.append(helper.make_node("Add", summands, list(node.output)))
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def with_mask_buffers(model: ModelProto) -> None:
    mask = np.tril(np.ones((1, 1, 40, 40), np.uint8))
    for i in range(2):
        name = f"transformer.h.{i}.attn.bias"
        model.graph.initializer.append(numpy_helper.from_array(mask, name))
    minus = np.full((), -1e4, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(minus, "transformer.h.0.masked_bias"))


def with_mask_of_one_length(model: ModelProto) -> None:
    """Compute with vectors on the way to a mask, which has nothing to do with weights."""
    row = numpy_helper.from_array(np.linspace(0, 1, 9, dtype=np.float32), "row")
    model.graph.initializer.append(row)
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=1),
        helper.make_node("Mul", ["mask", "row"], ["masked"]),
        helper.make_node("Add", ["row", "masked"], ["scores"]),
    ]
    for node in nodes[::-1]:
        model.graph.node.insert(0, node)


OTHER_WAYS = (
    without_names,
    as_constants,
    as_numbers,
    turned_in_the_graph,
    turned_by_gemm,
    products_and_sums,
    with_mask_buffers,
    with_mask_of_one_length,
)


@pytest.mark.parametrize("change", OTHER_WAYS)
def test_other_ways_to_store_the_same(folder: Path, change: Callable[[ModelProto], None]) -> None:
    with changed(folder) as model:
        change(model)
    assert_same(read_all(folder), stored())


def test_all_of_them_at_once(folder: Path) -> None:
    with changed(folder) as model:
        for change in OTHER_WAYS[::-1]:
            change(model)
    assert_same(read_all(folder), stored())


@pytest.mark.parametrize("change", [without_names, as_constants, as_numbers])
def test_other_ways_to_store_a_merged_one(
    tmp_path: Path, change: Callable[[ModelProto], None]
) -> None:
    folder = place("merged", tmp_path / "merged")
    with changed(folder, "decoder_model_merged.onnx") as model:
        change(model)
    assert_same(read_all(folder), stored())


def fused_further(model: ModelProto) -> None:
    """Give each bias to the operation behind it, as ONNX Runtime does where no Reshape is between.

    The attention itself and the embeddings with their layer norm become one operation each.
    """
    nodes = {name: node for node in model.graph.node for name in node.output}
    users = {name: node for node in model.graph.node for name in node.input}
    for node in [node for node in model.graph.node if node.op_type == "Gemm"]:
        x, weight, bias = node.input
        user = users[node.output[0]]
        while user.op_type == "Reshape":
            user = users[user.output[0]]
        if user.op_type in ("FastGelu", "SkipLayerNormalization"):
            wanted = 1 if user.op_type == "FastGelu" else 4
            assert len(user.input) == wanted
            user.input.append(bias)
            node.op_type, node.input[:] = "MatMul", [x, weight]
        else:
            node.op_type, node.domain = "Attention", "com.microsoft"
        del node.attribute[:]
    (norm,) = (node for node in model.graph.node if node.op_type == "LayerNormalization")
    total = nodes[norm.input[0]]
    words, places = (nodes[name] for name in total.input)
    norm.op_type, norm.domain = "EmbedLayerNormalization", "com.microsoft"
    tables = [words.input[1], "", words.input[0], places.input[0], ""]
    norm.input[:] = [*tables, *norm.input[1:]]
    norm.output[:] = [norm.output[0], "", total.output[0]]
    for node in (total, words, places):
        model.graph.node.remove(node)


def test_operations_that_take_several_weights(tmp_path: Path) -> None:
    folder = place("fused_fp16", tmp_path / "fused")
    before = read_all(folder)
    with changed(folder) as model:
        fused_further(model)
    after = read_all(folder)
    assert set(after) == set(before)
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "numbers"])
@pytest.mark.parametrize(
    ("kind", "dtype"), [(TensorProto.FLOAT16, "fp16"), (TensorProto.BFLOAT16, "bf16")]
)
def test_half_precision_numbers(folder: Path, kind: int, dtype: str, raw: bool) -> None:
    expected: Tensors = {}
    with changed(folder) as model:
        for tensor in large(model.graph):
            values = numpy_helper.to_array(tensor)
            bits = np.frombuffer(encode(values, dtype)[2], "<u2")
            name = tensor.name.removeprefix("transformer.")
            wide = bits.view("<f2") if dtype == "fp16" else (bits.astype("<u4") << 16).view("<f4")
            expected[name] = wide.astype(np.float32).reshape(values.shape)
            tensor.ClearField("raw_data")
            tensor.data_type = kind
            if raw:
                tensor.raw_data = bits.tobytes()
            else:
                tensor.int32_data.extend(int(n) for n in bits)
    expected = {name: t for name, t in expected.items() if not name.startswith("onnx::")}
    assert_same(read_all(folder), expected)


def test_many_packed_numbers(folder: Path) -> None:
    """More than are decoded at a time, so that blocks end within a number."""
    rows = 70_000
    values = np.random.default_rng(3).standard_normal((rows, 16), np.float32).astype(np.float16)
    with changed(folder) as model:
        for tensor in list(model.graph.initializer):
            if tensor.name == "transformer.wte.weight":
                table = helper.make_tensor(tensor.name, TensorProto.FLOAT16, values.shape, values)
                assert table.int32_data
                tensor.CopyFrom(table)
            elif list(tensor.dims) == [16, 300]:
                turned = np.ascontiguousarray(values.T)
                tensor.CopyFrom(numpy_helper.from_array(turned, tensor.name))
    change_config(folder, vocab_size=rows)
    with open_export(Source(folder), read_config(Source(folder))) as file:
        expected = values.astype(np.float32)
        assert np.array_equal(file.read("wte.weight"), expected)
        assert np.array_equal(file.read("wte.weight", 65_000, 65_010), expected[65_000:65_010])
        assert np.array_equal(file.read("lm_head.weight"), expected)


@pytest.mark.parametrize("one_file", [True, False], ids=["one file", "a file each"])
@pytest.mark.parametrize("layout", ["optimum", "merged"])
def test_external_data(layout: str, one_file: bool, tmp_path: Path) -> None:
    folder = place(layout, tmp_path / layout)
    (path,) = folder.glob("*.onnx")
    model = onnx.load(path)
    for graph in graphs(model.graph):
        for i, tensor in enumerate(large(graph)):
            tensor.raw_data = numpy_helper.to_array(tensor).tobytes()
            location = path.name + "_data" if one_file else f"onnx__{layout}_{i}_{len(graph.name)}"
            with (folder / location).open("ab" if one_file else "wb") as file:
                start = file.tell()
                file.write(tensor.raw_data)
            move_out(tensor, location, start if one_file else None, None)
    onnx.save(model, path)
    assert len(weight_files(Source(folder))) == 1 + len(list(folder.iterdir())) - 2
    assert_same(read_all(folder), stored())


def move_out(tensor: TensorProto, location: str, offset: object, length: object) -> None:
    """Let a tensor lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))


# Which file


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("decoder_model.onnx", "model.onnx"), "model.onnx"),
        (("decoder_model_merged.onnx", "decoder_model.onnx"), "decoder_model.onnx"),
        (
            ("decoder_with_past_model.onnx", "decoder_model_merged.onnx"),
            "decoder_model_merged.onnx",
        ),
        (("onnx/model.onnx", "decoder_model.onnx"), "decoder_model.onnx"),
        (("model_fp16.onnx", "onnx/decoder_model.onnx"), "onnx/decoder_model.onnx"),
        (("onnx/model_fp16.onnx", "onnx/model_q4.onnx", "onnx/model_int8.onnx"), None),
        (("gpt2.onnx", "gpt2_int8.onnx"), "gpt2.onnx"),
        (("onnx/gpt2-10.onnx",), "onnx/gpt2-10.onnx"),
    ],
)
def test_which_file_is_chosen(names: tuple[str, ...], chosen: str | None, tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    for name in names:
        (tmp_path / name).touch()
    assert choose(Source(tmp_path)) == (chosen or names[0])


@pytest.mark.parametrize(
    "name",
    ["model_q4", "model_q4f16", "model_int8", "model_uint8", "model_bnb4", "model_quantized"],
)
def test_quantised_files_are_not_chosen(name: str, tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / f"{name}.onnx").touch()
    with pytest.raises(CheckpointError, match=rf"only quantised .*{name}.*model_fp16\.onnx"):
        choose(Source(tmp_path))


def test_two_files_of_unknown_name_are_ambiguous(tmp_path: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=r"one\.onnx, two\.onnx.*rename"):
        choose(Source(tmp_path))


def test_the_sentence_names_the_file_that_was_chosen(folder: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "decoder_model.onnx")
    change_config(folder, n_layer=3)
    assert refused(folder).startswith("onnx/decoder_model.onnx: ")


# Not the model that it seems to be


@pytest.mark.parametrize(
    ("op", "domain"),
    [
        ("MatMulInteger", ""),
        ("DynamicQuantizeLinear", ""),
        ("QLinearMatMul", ""),
        ("DequantizeLinear", ""),
        ("MatMulNBits", "com.microsoft"),
        ("DynamicQuantizeMatMul", "com.microsoft"),
        ("GatherBlockQuantized", "com.microsoft"),
        ("QAttention", "com.microsoft"),
    ],
)
@pytest.mark.parametrize("layout", ["optimum", "merged"])
def test_quantised_graphs_are_refused(layout: str, op: str, domain: str, tmp_path: Path) -> None:
    folder = place(layout, tmp_path / layout)
    (path,) = folder.glob("*.onnx")
    with changed(folder, path.name) as model:
        *_, graph = graphs(model.graph)
        node = next(node for node in graph.node if node.op_type == "Gemm")
        node.op_type, node.domain = op, domain
    message = refused(folder)
    assert "quantised" in message
    assert op in message
    assert "model_fp16.onnx" in message


def tensor_of(model: ModelProto, name: str) -> TensorProto:
    return next(t for t in model.graph.initializer if t.name == f"transformer.{name}")


def replace_everywhere(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def eight_bits(model: ModelProto) -> None:
    table = tensor_of(model, "wte.weight")
    table.CopyFrom(numpy_helper.from_array(np.zeros((300, 16), np.int8), table.name))


def double(model: ModelProto) -> None:
    bias = tensor_of(model, "ln_f.bias")
    values = numpy_helper.to_array(bias).astype(np.float64)
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))


def other_layers_weight(model: ModelProto) -> None:
    one, two = (f"transformer.h.{i}.mlp.c_fc.weight" for i in (0, 1))
    replace_everywhere(model, one, "kept")
    replace_everywhere(model, two, one)
    replace_everywhere(model, "kept", two)


def other_activation(model: ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "Tanh":
            node.op_type = "Erf"


def other_epsilon(model: ModelProto) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = 1e-6


def scaled(model: ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Gemm")
    kept = [attribute for attribute in node.attribute if attribute.name != "alpha"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("alpha", 0.5)])


def shared_norm_skipped(model: ModelProto) -> None:
    """Let the MLP of layer 0 read what the attention reads, as GPT-J does."""
    norms = [node for node in model.graph.node if node.op_type == "LayerNormalization"]
    replace_everywhere(model, norms[1].output[0], norms[0].output[0])


def adapter(model: ModelProto) -> None:
    """Scale a product, as an adapter that was not merged into the weights does."""
    node = next(node for node in model.graph.node if node.op_type == "Gemm")
    inner = np.full(48, 1.5, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(inner, "adapter"))
    place = list(model.graph.node).index(node)
    scale = helper.make_node("Mul", ["before", "adapter"], [node.output[0]])
    node.output[0] = "before"
    model.graph.node.insert(place + 1, scale)


def one_length(model: ModelProto) -> None:
    """Fold the position embeddings of nine positions, as an export of fixed shape does."""
    table = numpy_helper.to_array(tensor_of(model, "wpe.weight"))
    gather = next(node for node in model.graph.node if "transformer.wpe.weight" in list(node.input))
    folded = numpy_helper.from_array(table[None, :9], "embedding_1")
    model.graph.initializer.append(folded)
    replace_everywhere(model, gather.output[0], "embedding_1")
    model.graph.node.remove(gather)


def no_positions(model: ModelProto) -> None:
    gather = next(node for node in model.graph.node if "transformer.wpe.weight" in list(node.input))
    gather.input[0] = "transformer.wte.weight"


def classifier(model: ModelProto) -> None:
    head = next(t for t in model.graph.initializer if list(t.dims) == [16, 300])
    head.CopyFrom(numpy_helper.from_array(np.zeros((16, 2), np.float32), head.name))


def cut_short(model: ModelProto) -> None:
    del model.graph.node[len(model.graph.node) // 2 :]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (eight_bits, "quantised export (wte.weight is stored in eight bits"),
        (double, "ln_f.bias) has ONNX's type 11"),
        (other_layers_weight, "which is meant cannot be told"),
        (other_activation, "Erf, where GPT-2 has the gelu"),
        (other_epsilon, "layer norms add 1e-06"),
        (scaled, "no scaled or turned products"),
        (shared_norm_skipped, "h.0.mlp.c_fc.weight of shape [16, 64] is expected there"),
        (adapter, "'adapter' of shape [48], but h.0.attn.c_proj.weight"),
        (one_length, "only 9 of the 40 position embeddings"),
        (no_positions, "token and position embeddings must come before it"),
        (classifier, "lm_head.weight of shape [16, 300] is expected there"),
        (cut_short, "does not follow where a GPT-2 of n_layer 2 has it"),
    ],
)
def test_other_models_are_refused(
    folder: Path, change: Callable[[ModelProto], None], words: str
) -> None:
    with changed(folder) as model:
        change(model)
    assert words in refused(folder)


@pytest.mark.parametrize(
    "sizes",
    [
        {"n_layer": 1},
        {"n_layer": 3},
        {"n_embd": 32},
        {"n_inner": 48},
        {"n_positions": 41},
        {"n_positions": 39},
        {"vocab_size": 299},
        {"layer_norm_epsilon": 1e-6},
    ],
    ids=str,
)
@pytest.mark.parametrize("layout", ["optimum", "dynamo", "fused_fp16"])
def test_a_config_of_other_sizes_is_refused(layout: str, sizes: dict, tmp_path: Path) -> None:
    folder = place(layout, tmp_path / layout)
    change_config(folder, **sizes)
    assert "config.json" in refused(folder) or "position embeddings" in refused(folder)


def into_branches(model: ModelProto) -> list[GraphProto]:
    """Give every branch of the outer If its own copy of all weights, and return the branches."""
    weights = large(model.graph)
    branches = [attribute.g for attribute in model.graph.node[-1].attribute]
    for branch in branches:
        branch.initializer.extend(weights)
    for tensor in weights:
        model.graph.initializer.remove(tensor)
    return branches


def test_weights_may_lie_in_the_branches(tmp_path: Path) -> None:
    folder = place("merged", tmp_path / "merged")
    with changed(folder, "decoder_model_merged.onnx") as model:
        assert len(into_branches(model)) == 2
    assert_same(read_all(folder), stored())


@pytest.mark.parametrize("tensor", range(29))
def test_branches_with_different_numbers_are_refused(tensor: int, tmp_path: Path) -> None:
    folder = place("merged", tmp_path / "merged")
    with changed(folder, "decoder_model_merged.onnx") as model:
        one, _ = into_branches(model)
        weight = large(one)[tensor]
        values = numpy_helper.to_array(weight).copy()
        values.flat[-1] += 1
        weight.raw_data = values.tobytes()
    assert "twice with different numbers" in refused(folder)


def test_names_count_in_a_merged_export_too(tmp_path: Path) -> None:
    folder = place("merged", tmp_path / "merged")
    with changed(folder, "decoder_model_merged.onnx") as model:
        one, two = (f"transformer.h.{i}.mlp.c_fc.weight_merged_0" for i in (0, 1))
        assert {one, two} <= {tensor.name for tensor in model.graph.initializer}
        other = {one: two, two: one}
        for graph in graphs(model.graph):
            for node in graph.node:
                node.input[:] = [other.get(name, name) for name in node.input]
    assert "which is meant cannot be told" in refused(folder)


def test_branches_with_different_models_are_refused(tmp_path: Path) -> None:
    folder = place("merged", tmp_path / "merged")
    with changed(folder, "decoder_model_merged.onnx") as model:
        one, _ = (attribute.g for attribute in model.graph.node[-1].attribute)
        del one.node[-120:]
    assert "different models" in refused(folder)


def test_as_many_tokens_as_positions_need_names(folder: Path) -> None:
    change_config(folder, n_positions=300)
    table = np.random.default_rng(1).standard_normal((300, 16), np.float32)
    with changed(folder) as model:
        positions = tensor_of(model, "wpe.weight")
        positions.CopyFrom(numpy_helper.from_array(table, positions.name))
    assert_same(read_all(folder), stored() | {"wpe.weight": table})
    with changed(folder) as model:
        without_names(model)
    assert "which embedding is which" in refused(folder)


# Hostile files


def one_outside(folder: Path, location: str, offset: object = 0, length: object = 64) -> None:
    with changed(folder) as model:
        move_out(tensor_of(model, "ln_f.bias"), location, offset, length)


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../outside.bin",
        "onnx/../../outside.bin",
        "a/b",
        "..",
        ".",
        "",
        "a\\b",
        "C:x",
    ],
)
def test_external_data_elsewhere_is_refused(folder: Path, location: str) -> None:
    (folder.parent / "outside.bin").write_bytes(bytes(64))
    one_outside(folder, location)
    with pytest.raises(CheckpointError, match="plain file name"):
        weight_files(Source(folder))
    assert "plain file name" in refused(folder)


def test_a_link_that_leads_out_is_refused(folder: Path) -> None:
    (folder.parent / "outside.bin").write_bytes(bytes(64))
    (folder / "weights.bin").symlink_to("../outside.bin")
    one_outside(folder, "weights.bin")
    assert "leads out" in refused(folder)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_refused(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "weights.bin")
    one_outside(folder, "weights.bin")
    assert "regular file" in refused(folder)


@pytest.mark.parametrize(
    ("offset", "length", "words"),
    [
        (1, 64, "truncated"),
        (64, 64, "truncated"),
        (10**17, 64, "truncated"),
        (-1, 64, "no number"),
        (10**30, 64, "no number"),
        ("0x0", 64, "no number"),
        ("", 64, "no number"),
        ("²", 64, "no number"),
        (0, 63, "needs 64 bytes"),
        (0, 10**17, "needs 64 bytes"),
        (0, "many", "no number"),
    ],
)
def test_external_places_are_checked(
    folder: Path, offset: object, length: object, words: str
) -> None:
    (folder / "weights.bin").write_bytes(bytes(64))
    one_outside(folder, "weights.bin", offset, length)
    assert words in refused(folder)


def test_missing_external_data(folder: Path) -> None:
    one_outside(folder, "model.onnx_data")
    assert "model.onnx_data is missing" in refused(folder)


def test_external_data_without_a_location(folder: Path) -> None:
    with changed(folder) as model:
        tensor = tensor_of(model, "ln_f.bias")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    assert "which one is not said" in refused(folder)


def test_overlapping_external_data(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(bytes(96))
    with changed(folder) as model:
        move_out(tensor_of(model, "ln_f.bias"), "weights.bin", 0, 64)
        move_out(tensor_of(model, "ln_f.weight"), "weights.bin", 32, 64)
    assert "overlap in weights.bin" in refused(folder)


def test_too_many_external_files(folder: Path) -> None:
    with changed(folder) as model:
        for i in range(2001):
            tensor = model.graph.initializer.add(name=f"more_{i}", data_type=1, dims=[1])
            move_out(tensor, f"file_{i}", None, None)
    assert "2001 other files" in refused(folder)


@pytest.mark.parametrize(
    ("dims", "words"),
    [
        ([17], "expected there"),
        ([16, 1], "expected there"),
        ([1 << 41], "impossible shape"),
        ([-16], "impossible shape"),
        ([1] * 9, "more than 8 axes"),
        ([1 << 40] * 8, "expected there"),
    ],
    ids=str,
)
def test_impossible_shapes(folder: Path, dims: list[int], words: str) -> None:
    with changed(folder) as model:
        del tensor_of(model, "ln_f.bias").dims[:]
        tensor_of(model, "ln_f.bias").dims.extend(dims)
    assert words in refused(folder)


def raw_too_short(tensor: TensorProto) -> None:
    tensor.raw_data = tensor.raw_data[:-1]


def raw_missing(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")


def raw_and_numbers(tensor: TensorProto) -> None:
    tensor.float_data.extend([0.0] * 16)


def numbers_of_another_type(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.double_data.extend([0.0] * 16)


def whole_numbers(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.int32_data.extend([0] * 16)


def too_few_halves(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_type = TensorProto.FLOAT16
    tensor.int32_data.extend([0x3C00] * 8)


def no_halves(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_type = TensorProto.FLOAT16
    tensor.int32_data.extend([0x1FFFF] * 16)


def negative_halves(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_type = TensorProto.FLOAT16
    tensor.int32_data.extend([0] * 15 + [-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (raw_too_short, "needs 64 bytes, the file has 63"),
        (raw_missing, "no numbers in one piece"),
        (raw_and_numbers, "no numbers in one piece"),
        (numbers_of_another_type, "no numbers in one piece"),
        (whole_numbers, "numbers of another type"),
        (too_few_halves, "not as many as its shape needs"),
        (no_halves, "not as many as its shape needs"),
        (negative_halves, "not as many as its shape needs"),
    ],
)
def test_numbers_that_do_not_match(
    folder: Path, change: Callable[[TensorProto], None], words: str
) -> None:
    with changed(folder) as model:
        change(tensor_of(model, "ln_f.bias"))
    assert words in refused(folder)


def field(number: int, data: bytes) -> bytes:
    """Return a length-delimited field of a protocol buffer."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    data = b""
    while number >= 0x80:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])


def deeply_nested(depth: int) -> bytes:
    graph = b""
    for _ in range(depth):
        attribute = field(1, b"then_branch") + field(6, graph)
        graph = field(1, field(4, b"If") + field(5, attribute))
    return field(7, graph)


HOSTILE = {
    "empty": (b"", "is empty"),
    "text": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "zeros": (bytes(1000), "holds no graph"),
    "no graph": (field(2, b"pytorch"), "holds no graph"),
    "empty graph": (field(7, b""), "does not follow"),
    "two graphs": (field(7, b"") * 2, "two graphs"),
    "graph is a number": (varint(7 << 3) + varint(5), "another type"),
    "a million nodes": (field(7, field(1, field(4, b"Add")) * 1_000_000), f"{MAX_NODES} nodes"),
    "a million inputs": (field(7, field(1, field(1, b"") * 1_100_000)), "fields"),
    "a tensor twice": (field(7, field(5, field(8, b"t")) * 2), "stores 't' twice"),
    "a long name": (field(7, field(1, field(4, b"A" * 100_000))), "names are longer"),
    "nested": (deeply_nested(30), "nested more than 8 deep"),
    "nested deeper than Python": (deeply_nested(3000), "nested more than 8 deep"),
    "endless number": (b"\xff" * 50, "has no end"),
    "longer than the file": (varint(7 << 3 | 2) + varint(1 << 62), "longer than what holds it"),
    "a group": (bytes([7 << 3 | 3]), "no known kind"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_structure(folder: Path, kind: str) -> None:
    data, words = HOSTILE[kind]
    (folder / "model.onnx").write_bytes(data)
    assert words in refused(folder)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    folder = place("dynamo", tmp_path / "dynamo")
    data = (folder / "model.onnx").read_bytes()
    for length in range(0, len(data) - 200, 997):  # at its end only the opset is missing
        (folder / "model.onnx").write_bytes(data[:length])
        refused(folder)


def test_a_file_that_shrinks_while_it_is_read(folder: Path) -> None:
    source = Source(folder)
    with open_export(source, read_config(source)) as file:
        os.truncate(folder / "model.onnx", 1000)
        with pytest.raises(CheckpointError, match="ends in the middle of wte"):
            file.read("wte.weight")
        (folder / "model.onnx").unlink()
        with pytest.raises(CheckpointError, match="cannot be read"):
            file.read("wte.weight")


def test_weights_are_not_in_memory_with_the_structure(folder: Path) -> None:
    """16 MB of unused numbers in the file, half as an initializer, half as a constant."""
    with changed(folder) as model:
        model.graph.initializer.append(helper.make_tensor("zeros", 1, [2 << 20], bytes(8 << 20), 1))
        constant = helper.make_tensor("", 1, [2 << 20], bytes(8 << 20), 1)
        model.graph.node.insert(0, helper.make_node("Constant", [], ["more"], value=constant))
    tracemalloc.start()
    try:
        assert_same(read_all(folder), stored())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6e6


# Any damage


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Return a function that harms some bytes: overwritten, cut out, put in, or cut off."""
    place = draw(st.floats(0, 1))
    new = draw(st.binary(min_size=1, max_size=8))
    kind = draw(st.sampled_from(("overwrite", "remove", "insert", "truncate", "flip")))

    def harm(data: bytes) -> bytes:
        at = int(place * (len(data) - 1))
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
                return data[:at] + bytes([data[at] ^ 1 << new[0] % 8]) + data[at + 1 :]

    return harm


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return place("dynamo", tmp_path_factory.mktemp("valid") / "dynamo")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(harm=damage())
def test_damaged_bytes_never_crash(valid: Path, harm: Callable[[bytes], bytes]) -> None:
    path = valid / "model.onnx"
    original = path.read_bytes()
    expected = {name: tensor.shape for name, tensor in stored().items()}
    try:
        path.write_bytes(harm(original))
        with contextlib.suppress(CheckpointError):
            found = {name: tensor.shape for name, tensor in read_all(valid).items()}
            found.pop("lm_head.weight", None)
            assert found == expected  # what opens in spite of all is a whole model
    finally:
        path.write_bytes(original)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_refused(valid: Path, data: bytes) -> None:
    path = valid / "model.onnx"
    original = path.read_bytes()
    try:
        path.write_bytes(data)
        refused(valid)
    finally:
        path.write_bytes(original)
