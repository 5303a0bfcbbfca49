"""Quantised weights: packed as documented, as exact as their bits allow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from explorer.weights.builds import quantize as module
from explorer.weights.builds.quantize import dequantize, quantize, quantize_columns

WEIGHTS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(1, 70)),
    elements=st.floats(-1e3, 1e3, width=32),
)


@given(WEIGHTS, st.sampled_from([16, 32, 64]))
def test_int8_is_off_by_half_a_step_at_most(weight, block):
    packed = quantize(weight, 8, block)
    found = dequantize(packed, 8, weight.shape[1])
    step = np.repeat(np.abs(packed.scales), block, axis=1)[:, : weight.shape[1]]
    assert (np.abs(found - weight) <= 0.5001 * step + 1e-36).all()


@given(WEIGHTS, st.booleans())
def test_columns_are_off_by_half_a_step_at_most(weight, turned):
    weight = weight.T if turned else weight  # of any strides
    data, scales = np.full(weight.shape, 99, np.int8), np.empty(weight.shape[1], np.float32)
    quantize_columns(data, scales, weight)
    step = scales * module.LEVELS
    assert np.abs(data.astype(int)).max() <= module.COLUMN_LEVELS
    assert (np.abs(data * step - weight) <= 0.5001 * step + 1e-36).all()
    assert not scales[~weight.any(axis=0)].any()


@given(WEIGHTS, st.sampled_from([16, 32]))
def test_int4_is_no_worse_than_rounding_to_the_largest_weight(weight, block):
    inputs = weight.shape[1]
    found = dequantize(quantize(weight, 4, block), 4, inputs)
    for start in range(0, inputs, block):
        cell, got = weight[:, start : start + block], found[:, start : start + block]
        largest = np.take_along_axis(cell, np.abs(cell).argmax(1)[:, None], 1)
        scale = largest / np.float32(-8)
        safe = np.where(np.abs(scale) > np.finfo(np.float32).tiny, scale, 1)
        plain = np.rint(cell / safe).clip(-8, 7) * np.where(safe == scale, scale, 0)
        assert np.square(got - cell).sum() <= np.square(plain - cell).sum() * 1.001 + 1e-6


def plainly(weight, block):
    """Quantise to 4 bits as documented, block by block and all errors in float64."""
    outputs, inputs = weight.shape
    padded = np.zeros((outputs, -(-inputs // block) * block), np.float32)
    padded[:, :inputs] = weight
    cells = padded.reshape(outputs, -1, block)
    places = np.abs(cells).argmax(axis=2)[:, :, None]
    largest = np.take_along_axis(cells, places, axis=2)
    least, best = np.full(largest.shape, np.inf), np.zeros(cells.shape, np.uint8)
    scales = np.zeros_like(largest)
    for fraction in (1.0, 0.95, 0.9, 0.85, 0.8):
        scale = largest * np.float32(fraction / -8)
        usable = np.abs(scale) > np.finfo(np.float32).tiny
        inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=usable)
        levels = np.rint(cells * inverse).clip(-8, 7)
        error = np.square(levels * scale - cells, dtype=np.float64).sum(axis=2, keepdims=True)
        best = np.where(error < least, levels + 8, best)
        scales = np.where(error < least, scale, scales)
        least = np.minimum(least, error)
    best = best.astype(np.uint8)
    return best[:, :, 0::2] | (best[:, :, 1::2] << 4), scales[:, :, 0]


def same(weight, block):
    packed, (data, scales) = quantize(weight, 4, block), plainly(weight, block)
    assert np.array_equal(packed.data, data)
    assert np.array_equal(packed.scales.view(np.uint32), scales.view(np.uint32))


@given(WEIGHTS, st.sampled_from([16, 32, 64]), st.sampled_from([0, -70, 90, -130]))
def test_int4_is_what_float64_says(weight, block, power):
    # Also where squares leave the range of float32, where weights tie and where they are zero.
    same(np.ldexp(weight, power).astype(np.float32), block)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", [16, 32, 128])
def test_int4_of_many_weights_is_what_float64_says(seed, block):
    weight = np.random.default_rng(seed).standard_normal((300, 1000)).astype(np.float32)
    same(weight, block)
    same(np.asfortranarray(weight * np.float32(0.02)), block)
    same(np.round(weight * 4) / 4, block)  # ties in plenty


@pytest.mark.parametrize("bits", [4, 8])
def test_shapes_are_those_of_the_operator(bits):
    packed = quantize(np.ones((5, 33), np.float32), bits, 32)
    assert packed.data.shape == (5, 2, 32 * bits // 8)
    assert packed.data.dtype == np.uint8
    assert packed.scales.shape == (5, 2)


def test_the_even_input_is_in_the_low_half_of_a_byte():
    weight = np.zeros((1, 16), np.float32)
    weight[0, :3] = [-8, 3, 1]
    packed = quantize(weight, 4, 16)
    assert packed.scales[0, 0] == 1
    assert packed.data[0, 0, 0] == (0 | (11 << 4))
    assert packed.data[0, 0, 1] == (9 | (8 << 4))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("value", [0.0, 1e-45, -1e-39])
def test_a_block_of_nothing_stays_finite(bits, value):
    packed = quantize(np.full((2, 32), value, np.float32), bits, 32)
    found = dequantize(packed, bits, 32)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1e-38


@pytest.mark.parametrize("bits", [4, 8])
def test_huge_weights_keep_their_relative_error(bits):
    weight = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    small, huge = (quantize(weight * np.float32(factor), bits, 32) for factor in (1, 2.0**100))
    assert np.array_equal(small.data, huge.data)
    assert np.array_equal(small.scales * np.float32(2.0**100), huge.scales)


@pytest.mark.parametrize("bits", [4, 8])
def test_tiles_change_nothing(bits, monkeypatch):
    weight = np.random.default_rng(0).standard_normal((37, 50)).astype(np.float32)
    whole = quantize(weight, bits, 32)
    for tile, columns in ((256, 8), (32 * 37, 100), (2000, 20)):
        monkeypatch.setattr(module, "_TILE", tile)
        monkeypatch.setattr(module, "_COLUMNS", columns)
        parts = quantize(weight, bits, 32)
        assert np.array_equal(whole.data, parts.data)
        assert np.array_equal(whole.scales, parts.scales)
