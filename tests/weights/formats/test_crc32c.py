"""CRC32C against its published values and against the definition, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.weights.formats import crc32c as module
from explorer.weights.formats.crc32c import crc32c, masked
from tests import release


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        # RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_values(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


def test_the_sparse_polynomials_are_multiples() -> None:
    near, middle, far = module._STEPS
    terms = (0, far - middle, far - near, far)
    remainder = 0
    for exponent in terms:  # x^exponent modulo the polynomial, highest bit first
        power = 1
        for _ in range(exponent):
            power <<= 1
            if power >> 32:
                power ^= 0x11EDC6F41
        remainder ^= power
    assert remainder == 0


@pytest.mark.parametrize("size", [1, 3, 4, 5685, 11370, 11371, 11372, 22740, 100_003])
def test_long_data_by_definition(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert masked(crc32c(data)) == release.masked(data)


def test_blocks_go_on_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(0).bytes(100_000)
    whole = crc32c(data)
    for block in (1, 7, 11_372, 40_000):
        monkeypatch.setattr(module, "_BLOCK", block)
        assert crc32c(data[: 3 * block]) == crc32c(data[block : 3 * block], crc32c(data[:block]))
    assert crc32c(data) == whole


@given(front=st.binary(max_size=80), back=st.binary(max_size=80))
def test_any_cut(front: bytes, back: bytes) -> None:
    assert crc32c(back, crc32c(front)) == crc32c(front + back)
    assert masked(crc32c(front)) == release.masked(front)


def test_any_flipped_bit_is_noticed() -> None:
    data = bytearray(np.random.default_rng(1).bytes(30_000))
    crc = crc32c(bytes(data))
    for place in (0, 3, 4, 5000, 18_000, 29_999):
        data[place] ^= 16
        assert crc32c(bytes(data)) != crc
        data[place] ^= 16
