"""The product with a matrix of whole numbers: exact, row by row, whatever the numbers are."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from explorer.weights.builds.graph_nodes import Nodes
from explorer.weights.builds.packing import COLUMNS, Packing
from explorer.weights.builds.quantize import quantize_columns
from explorer.weights.builds.weight_file import WeightWriter

INPUTS, OUTPUTS = 96, 72


def product(
    folder: Path, weight: np.ndarray, bias: np.ndarray | None = None, *, head: bool = False
):
    """Return a function that multiplies by ``weight`` [inputs, outputs] as a build does."""
    with WeightWriter(folder / "weights.bin") as weights:
        g = Nodes("int8", Packing(COLUMNS, COLUMNS), weights, lambda name: [])
        added = "" if bias is None else g.weight("bias", bias)
        if head:
            y = g.transposed("x", "w", [weight.T[:50], weight.T[50:]], weight.T.shape, added, "y")
        else:
            y = g.linear("x", "w", [weight[:64], weight[64:]], weight.shape, added)
        value = helper.make_tensor_value_info
        x = value("x", TensorProto.FLOAT, ["B", "S", len(weight)])
        model = g.model([x], [value(y, TensorProto.FLOAT, None)])
    onnx.save_model(model, folder / "model.onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(folder / "model.onnx", options)
    return lambda rows: session.run(None, {"x": rows[None]})[0][0]


def by_hand(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Do the same in numpy, the whole numbers without a limit."""
    data, scales = np.empty(weight.shape, np.int8), np.empty(weight.shape[1], np.float32)
    quantize_columns(data, scales, weight)
    size = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-30))
    numbers = np.rint(x / size / np.float32(1 / 127)).astype(np.int64)
    return (numbers @ data.astype(np.int64)).astype(np.float32) * scales * size


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("head", [False, True])
def test_it_is_exact_to_the_last_bit(tmp_path, head):
    x, weight = normal(7, INPUTS), normal(INPUTS, OUTPUTS, seed=1)
    assert np.array_equal(product(tmp_path, weight, head=head)(x), by_hand(x, weight))


def test_it_is_close_to_the_product_of_the_weights(tmp_path):
    x, weight = normal(200, INPUTS), normal(INPUTS, OUTPUTS, seed=1)
    off = product(tmp_path, weight)(x) - x @ weight
    assert np.sqrt(np.mean(off**2)) < 0.02 * np.sqrt(INPUTS)


def test_the_bias_is_added_after_everything_and_may_be_endless(tmp_path):
    x, weight, bias = normal(3, INPUTS), normal(INPUTS, OUTPUTS, seed=1), normal(OUTPUTS, seed=2)
    bias[5] = -np.inf
    found = product(tmp_path, weight, bias, head=True)(x)
    assert np.array_equal(found, by_hand(x, weight) + bias)
    assert (found[:, 5] == -np.inf).all()


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_the_largest_numbers_of_all_are_not_cut_off(tmp_path, signs):
    """Where a processor adds two products in 16 bits, this is the sum that has to fit."""
    x = np.full((2, INPUTS), signs[0], np.float32)
    weight = np.full((INPUTS, OUTPUTS), signs[1] * 3, np.float32)
    assert product(tmp_path, weight)(x) == pytest.approx(signs[0] * signs[1] * 3 * INPUTS)


def test_zeros_stay_zeros_in_rows_and_columns(tmp_path):
    x, weight = normal(3, INPUTS), normal(INPUTS, OUTPUTS, seed=1)
    x[1], weight[:, 7] = 0, 0
    found = product(tmp_path, weight)(x)
    assert not found[1].any()
    assert not found[:, 7].any()
    assert np.isfinite(found).all()


@pytest.mark.parametrize("factor", [1e-20, 1e-6, 1e6, 1e20])
def test_the_size_of_the_numbers_does_not_matter(tmp_path, factor):
    x, weight = normal(4, INPUTS), normal(INPUTS, OUTPUTS, seed=1)
    found = product(tmp_path, weight)(x * np.float32(factor)) / np.float32(factor)
    # The quotient by the largest is rounded, so that a number in the middle of two may move.
    assert found == pytest.approx(by_hand(x, weight), abs=0.1)


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    return product(tmp_path_factory.mktemp("lively"), normal(INPUTS, OUTPUTS, seed=1))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_row_sees_another(lively, data):
    rows = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=40))
    known = normal(31, INPUTS, seed=3) * np.logspace(-3, 3, 31, dtype=np.float32)[:, None]
    alone = np.concatenate([lively(known[row : row + 1]) for row in rows])
    assert np.array_equal(lively(known[rows]), alone)
