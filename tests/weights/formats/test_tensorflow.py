"""TensorFlow checkpoints made to hurt: the same numbers, or one sentence, soon."""

from __future__ import annotations

import os
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.core.errors import CheckpointError
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from explorer.weights.formats.leveldb_table import MAX_TABLE, read_table, read_varint
from explorer.weights.formats.tensorflow import TensorFlowFile, read_bundle
from explorer.weights.formats.untrusted_folder import Source
from tests.release import (
    entry,
    make_release,
    message,
    number,
    pack,
    sealed,
    table,
    varint,
    write_bundle,
)
from tests.weights.checkpoints.test_hostile import damage

INDEX = "model.ckpt.index"
DATA = "model.ckpt.data-00000-of-00001"
HEADER = (b"", number(1, 1) + message(3, number(1, 1)))
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
SOME = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], database=None)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("valid") / "tiny"
    return make_release(folder, layers=1, width=8, context=8, block=300, restart=4)


@pytest.fixture(scope="module")
def fingerprint(valid: Path) -> str:
    return read_all(valid)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read_all(folder: Path) -> str:
    with open_checkpoint(folder) as checkpoint:
        return checkpoint.fingerprint()


def outcome(work: Callable[[], object]) -> object:
    """Return what comes of it, None where it is refused; the refusal must be a sentence."""
    try:
        return work()
    except CheckpointError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 700
    return None


def refused(data: bytes) -> str:
    """Return why a table is refused."""
    with pytest.raises(CheckpointError) as caught:
        read_table(data, INDEX)
    assert str(caught.value).startswith(INDEX)
    return str(caught.value)


def refused_entry(folder: Path, *values: bytes, header: bytes = HEADER[1]) -> str:
    """Return why a checkpoint is refused whose index has these entries, in a data file of 64."""
    entries = [(b"", header), *((b"t%d" % place, value) for place, value in enumerate(values))]
    (folder / INDEX).write_bytes(table(entries))
    (folder / DATA).write_bytes(bytes(64))
    with pytest.raises(CheckpointError) as caught:
        TensorFlowFile(Source(folder), "model.ckpt")
    assert "model.ckpt" in str(caught.value)
    assert len(str(caught.value)) < 700
    return str(caught.value)


# Any damage


@SOME
@given(name=st.sampled_from((INDEX, DATA)), harm=damage())
def test_damaged_bytes_are_noticed_or_do_not_matter(
    valid: Path, fingerprint: str, name: str, harm: Callable[[bytes], bytes]
) -> None:
    original = (valid / name).read_bytes()
    try:
        (valid / name).write_bytes(harm(original))
        assert outcome(lambda: read_all(valid)) in (fingerprint, None)
    finally:
        (valid / name).write_bytes(original)


@SOME
@given(name=st.sampled_from(("hparams.json", "encoder.json", "vocab.bpe")), harm=damage())
def test_damaged_text_never_crashes(valid: Path, name: str, harm: Callable[[bytes], bytes]) -> None:
    original = (valid / name).read_bytes()
    try:
        (valid / name).write_bytes(harm(original))
        outcome(lambda: read_all(valid))
    finally:
        (valid / name).write_bytes(original)


@SOME
@given(place=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_no_flipped_bit_of_the_numbers_is_missed(valid: Path, place: float, bit: int) -> None:
    path = valid / DATA
    original = path.read_bytes()
    harmed = bytearray(original)
    harmed[int(place * len(harmed))] ^= 1 << bit
    try:
        path.write_bytes(harmed)
        with pytest.raises(CheckpointError, match=r"CRC|finite"):
            read_all(valid)
    finally:
        path.write_bytes(original)


def spoil(blocks: list[tuple[bytes, bytes]], choices: st.DataObject) -> None:
    """Change one value behind its CRC, as only somebody who means harm can."""
    place = choices.draw(st.integers(0, len(blocks) - 1))
    key, value = blocks[place]
    at = choices.draw(st.integers(0, len(value)))
    new = choices.draw(
        st.binary(max_size=4)
        | st.integers(0, 2**64 - 1).map(varint)
        | st.just(b"\xff" * 11)
        | st.just(b"\x80\x00")
    )
    blocks[place] = (key, value[:at] + new + value[at + choices.draw(st.integers(0, 3)) :])


@SOME
@given(data=st.data())
def test_entries_that_lie_with_right_sums(valid: Path, data: st.DataObject) -> None:
    path = valid / INDEX
    original = path.read_bytes()
    entries = list(read_table(original, INDEX).items())
    spoil(entries, data)
    try:
        path.write_bytes(table(entries, block=300, restart=4))
        outcome(lambda: read_all(valid))
    finally:
        path.write_bytes(original)


@given(blocks=st.lists(st.binary(max_size=60), max_size=4), rest=st.binary(max_size=40))
def test_any_blocks_with_right_sums(blocks: list[bytes], rest: bytes) -> None:
    out = b""
    pointers = []
    for place, block in enumerate(blocks):
        pointers.append((bytes([place]), varint(len(out)) + varint(len(block))))
        out += sealed(block)
    index = pack(pointers, 1)
    footer = varint(0) + varint(0) + varint(len(out)) + varint(len(index)) + rest
    data = out + sealed(index) + footer[:40].ljust(40, b"\0") + MAGIC
    outcome(lambda: read_table(data, INDEX))


@given(
    keys=st.sets(st.binary(min_size=1, max_size=30), max_size=30),
    block=st.integers(1, 400),
    restart=st.integers(1, 20),
)
def test_any_table_reads_back(keys: set[bytes], block: int, restart: int) -> None:
    entries = [(key, key[::-1] * 3) for key in sorted(keys)]
    assert list(read_table(table(entries, block, restart), INDEX).items()) == entries


@given(value=st.integers(0, 2**64 - 1), before=st.binary(max_size=3), after=st.binary(max_size=3))
def test_any_number_reads_back(value: int, before: bytes, after: bytes) -> None:
    data = before + varint(value) + after
    assert read_varint(data, len(before)) == (value, len(data) - len(after))


# The table


@pytest.mark.parametrize("size", [0, 1, 7, 47])
def test_too_short_to_be_a_table(size: int) -> None:
    assert "no end" in refused(MAGIC[-size:] if size else b"")


@pytest.mark.parametrize("cut", [1, 8, 48, 100])
def test_a_truncated_table(cut: int) -> None:
    assert "no end" in refused(table([HEADER, (b"a", b"b" * 200)])[:-cut])


def with_footer(footer: bytes) -> bytes:
    return table([HEADER, (b"a", b"b")])[:-48] + footer.ljust(40, b"\0")[:40] + MAGIC


@pytest.mark.parametrize(
    ("footer", "words"),
    [
        (b"\xff" * 40, "number without an end"),
        (varint(0) * 2 + varint(2**64 - 1) + varint(2**64 - 1), "outside"),
        (varint(0) * 2 + varint(0) + varint(2**40), "outside"),
        (varint(0) * 2 + varint(0) + varint(3), "CRC"),
        (b"\0" * 40, "CRC"),
    ],
)
def test_a_footer_that_points_nowhere(footer: bytes, words: str) -> None:
    assert words in refused(with_footer(footer))


def index_of(*pointers: tuple[int, int], blocks: bytes) -> bytes:
    """Return a table with these pointers to its blocks."""
    named = [(b"k%03d" % place, varint(a) + varint(b)) for place, (a, b) in enumerate(pointers)]
    index = pack(named, 1)
    footer = varint(0) * 2 + varint(len(blocks)) + varint(len(index))
    return blocks + sealed(index) + footer.ljust(40, b"\0") + MAGIC


def test_blocks_that_are_read_again_and_again() -> None:
    block = pack([(b"a", b"b")], 1)
    assert "out of order" in refused(index_of(*[(0, len(block))] * 50, blocks=sealed(block)))


def test_blocks_that_overlap_or_lie_behind_their_index() -> None:
    block = sealed(pack([(b"a", b"b")], 1))
    size = len(block) - 5
    assert "out of order" in refused(index_of((0, size), (len(block) - 1, size), blocks=block * 2))
    assert "out of order" in refused(index_of((len(block), size), blocks=block))
    assert "out of order" in refused(index_of((2**63, 2**63), blocks=block))


def test_many_empty_blocks() -> None:
    block = sealed(pack([], 1))
    pointers = [(place * len(block), len(block) - 5) for place in range(50)]
    assert "empty" in refused(index_of(*pointers, blocks=block * 50))


def test_keys_that_do_not_ascend() -> None:
    assert "keys are out of order" in refused(table([HEADER, (b"b", b""), (b"a", b"")]))
    assert "keys are out of order" in refused(table([HEADER, (b"a", b""), (b"a", b"")], block=1))


@pytest.mark.parametrize("packing", [1, 2, 255])
def test_packed_blocks(packing: int) -> None:
    assert "packed" in refused(table([HEADER, (b"a", b"b")], packing=packing))


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\0\0\0",
        struct.pack("<I", 2**32 - 1),
        struct.pack("<I", 1),
        varint(1) + varint(0) + varint(0) + struct.pack("<2I", 0, 1),  # shares with nothing
        varint(0) + varint(2**63) + varint(0) + struct.pack("<2I", 0, 1),
        varint(0) + varint(1) + varint(2**63) + b"a" + struct.pack("<2I", 0, 1),
        varint(0) + varint(9) + varint(9) + struct.pack("<2I", 0, 1),
        b"\xff" * 12 + struct.pack("<2I", 0, 1),
        b"\x80" + struct.pack("<2I", 0, 1),
    ],
    ids=lambda block: block.hex()[:24],
)
def test_blocks_whose_entries_do_not_fit(block: bytes) -> None:
    refused(index_of((0, len(block)), blocks=sealed(block)))


def test_keys_that_grow_out_of_few_bytes_do_not_fill_the_memory() -> None:
    # Each shares all but its end with the one before.
    block = b"".join(
        varint(min(2 * place, 900)) + varint(2) + varint(0) + struct.pack(">H", place % 65536)
        for place in range(100_000)
    ) + struct.pack("<2I", 0, 1)
    data = index_of((0, len(block)), blocks=sealed(block))
    tracemalloc.start()
    try:
        assert "20000 entries" in refused(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * MAX_TABLE
    finally:
        tracemalloc.stop()


def test_more_entries_than_any_model_has() -> None:
    assert "20000 entries" in refused(table([(b"%06d" % n, b"") for n in range(20_001)]))


def test_an_index_of_any_size_is_not_read(folder: Path) -> None:
    with (folder / INDEX).open("wb") as file:
        file.truncate(MAX_TABLE + 1)
    with pytest.raises(CheckpointError, match="larger than"):
        read_bundle(Source(folder), "model.ckpt")


# What the index says of the tensors

NUMBERS = bytes(32)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "no header"),
        (number(2, 1) + number(1, 1), "big-endian"),
        (number(1, 0) + number(4, 1), "0 data files"),
        (number(1, 201), "201 data files"),
        (number(1, 2**64 - 1), "data files"),
        (b"\xff" * 20, "number without an end"),
        (message(1, b"x") + b"\x0b", "unknown kind"),
        (varint(3 << 3 | 2) + varint(2**40), "longer than its message"),
    ],
)
def test_headers(folder: Path, header: bytes, words: str) -> None:
    assert words in refused_entry(folder, header=header)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([entry(1, (8,), 1, 0, NUMBERS)], "data file 1 of 1"),
        ([entry(1, (8,), 2**63, 0, NUMBERS)], "data file"),
        ([entry(1, (8,), 0, 33, NUMBERS)], "truncated"),
        ([entry(1, (8,), 0, 2**64 - 1, NUMBERS)], "truncated"),
        ([entry(1, (8,), 0, 0, NUMBERS), entry(1, (8,), 0, 16, NUMBERS)], "within the one before"),
        ([entry(1, (8,), 0, 0, NUMBERS)] * 2, "within the one before"),
        ([entry(1, (1,) * 9, 0, 0, NUMBERS)], "9 axes"),
        ([entry(1, (1,) * 500, 0, 0, NUMBERS)], "500 axes"),
        ([entry(1, (8,), 0, 0, NUMBERS) + message(7, b"")], "slices"),
        ([number(1, 1) + message(2, number(3, 1))], "unknown shape"),
        ([b"\x08"], "number without an end"),
        ([b"\x0d\0"], "longer than its message"),
    ],
)
def test_entries(folder: Path, entries: list[bytes], words: str) -> None:
    assert words in refused_entry(folder, *entries)


@pytest.mark.parametrize("shape", [(9,), (2**63, 2**63), (0,), (2**64 - 1,)])
def test_shapes_that_are_not_those_of_the_bytes(folder: Path, shape: tuple[int, ...]) -> None:
    raw = bytes(64)
    (folder / INDEX).write_bytes(table([HEADER, (b"t", entry(1, shape, 0, 0, raw))]))
    (folder / DATA).write_bytes(raw)
    file = TensorFlowFile(Source(folder), "model.ckpt")
    try:
        with pytest.raises(CheckpointError, match="gives it 64"):
            file.read("t")
    finally:
        file.close()


def test_gaps_between_tensors_are_allowed(folder: Path) -> None:
    raw = np.arange(4, dtype="<f4").tobytes()
    (folder / INDEX).write_bytes(table([HEADER, (b"t", entry(1, (4,), 0, 48, raw))]))
    (folder / DATA).write_bytes(bytes(48) + raw)
    file = TensorFlowFile(Source(folder), "model.ckpt")
    try:
        assert list(file.read("t")) == [0, 1, 2, 3]
    finally:
        file.close()


def test_a_name_that_is_not_text(folder: Path) -> None:
    (folder / INDEX).write_bytes(table([HEADER, (b"\xff", entry(1, (8,), 0, 0, NUMBERS))]))
    with pytest.raises(CheckpointError, match="not UTF-8"):
        read_bundle(Source(folder), "model.ckpt")


# Files


@pytest.mark.parametrize("name", [INDEX, DATA, "hparams.json", "encoder.json", "vocab.bpe"])
def test_files_that_lead_out_or_are_none(valid: Path, tmp_path: Path, name: str) -> None:
    for kind in ("empty", "link", "folder", "pipe"):
        folder = shutil.copytree(valid, tmp_path / kind)
        (folder / name).unlink()
        match kind:
            case "empty":
                (folder / name).touch()
            case "link":
                if not hasattr(os, "mkfifo"):
                    continue  # links need rights on Windows
                (folder / name).symlink_to(valid / name)
            case "folder":
                (folder / name).mkdir()
            case _:
                if not hasattr(os, "mkfifo"):
                    continue
                os.mkfifo(folder / name)
        with pytest.raises(CheckpointError) as caught:
            read_all(folder)
        assert name.rpartition(".")[0] in str(caught.value)
        if kind == "link":
            assert "leads out" in str(caught.value)


def test_a_data_file_that_shrinks_while_it_is_read(valid: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(valid, tmp_path / "x")
    with open_checkpoint(folder) as checkpoint:
        os.truncate(folder / DATA, (folder / DATA).stat().st_size - 40)
        with pytest.raises(CheckpointError, match="changed while it was read"):
            checkpoint.fingerprint()


def test_prefixes_that_lead_out(tmp_path: Path) -> None:
    folder = make_release(tmp_path / "x", layers=1, prefix="a")
    write_bundle(folder, "b", {})
    for path in ("../secret", "/etc/passwd", "a/../../x", "", "nothing"):
        (folder / "checkpoint").write_text(f'model_checkpoint_path: "{path}"\n')
        with pytest.raises(CheckpointError, match="2 checkpoints"):
            open_checkpoint(folder)
