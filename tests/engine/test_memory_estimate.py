"""What is needed and what is free: exact parts exactly, the rest by its direction.

How close it comes to real processes is a benchmark's affair (tests/benchmarks/memory.py).
"""

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.errors import ModelError
from explorer.core.manifest import Build, Manifest
from explorer.engine import memory_estimate
from explorer.engine.buffers import Cache, Device, Sizes
from explorer.engine.hardware import system_memory
from explorer.engine.hardware.system_memory import free_on_linux
from explorer.engine.memory_estimate import Estimate, estimate, fit, gigabytes
from tests.engine.hardware.linux_tree import write_groups

WIDTH, HEADS, LAYERS, CONTEXT, VOCABULARY = 64, 4, 3, 128, 300
COLUMNS = 320
STATUS = Path("/proc/self/statm")


def manifest(layers=LAYERS, width=WIDTH, context=CONTEXT):
    matrices = layers * 12 * width * width
    table = COLUMNS * width
    sizes = {
        "cpu-fp32": (4 * (matrices + table), None, None),
        "cpu-int8": ((matrices + table) * 9 // 8 + 2 * table, 8, 32),
        "cpu-int4": ((matrices + table) * 5 // 8 + 2 * table, 4, 32),
        "cuda-fp16": (2 * (matrices + table), None, None),
    }
    builds = {
        name: Build(
            name,
            name.split("-")[0],
            name.split("-")[1],
            "f" * 64,
            width // HEADS,
            64,
            bits,
            block,
            bytes=size,
        )
        for name, (size, bits, block) in sizes.items()
    }
    return Manifest(
        "tiny", "a" * 64, layers, HEADS, width, context, VOCABULARY, 0, 1, builds=builds
    )


@pytest.mark.parametrize(("lanes", "length"), [(1, 1), (3, 50), (8, 128)])
def test_the_cache_is_lanes_times_positions(lanes, length):
    found = estimate(manifest(), "cpu-int8", lanes, length)
    assert found.cache == lanes * length * LAYERS * 2 * WIDTH * 4
    assert found.total == found.weights + found.cache + found.work


def test_no_length_is_the_whole_context_and_more_is_not_there():
    whole = estimate(manifest(), "cpu-int8", 2)
    assert whole == estimate(manifest(), "cpu-int8", 2, CONTEXT)
    assert whole == estimate(manifest(), "cpu-int8", 2, 10 * CONTEXT)


def test_a_gpu_has_whole_rows_in_the_number_of_its_steps():
    row = CONTEXT * LAYERS * 2 * WIDTH * 2
    for lanes, rows in ((1, 16), (8, 16), (16, 16), (17, 17)):
        assert estimate(manifest(), "cuda-fp16", lanes, 10).cache == rows * row
    assert estimate(manifest(), "cuda-fp16", 1).weights == manifest().builds["cuda-fp16"].bytes


def test_packed_weights_have_a_scale_and_a_sum_for_each_block():
    count = LAYERS * 12 * WIDTH * WIDTH + COLUMNS * WIDTH
    table = COLUMNS * WIDTH
    # Beside them the scales of the file and the embedding, which is smaller than one read.
    found = estimate(manifest(), "cpu-int8", 1).weights
    assert found == count * 5 // 4 + count // 8 + 2 * table
    found = estimate(manifest(), "cpu-int4", 1).weights
    assert found == count * 3 // 4 + count // 8 + 2 * table
    # The head is the embedding too: one packed, one to look tokens up in.
    assert estimate(manifest(), "cpu-fp32", 1).weights == 4 * (count + table)
    own = replace(manifest().builds["cpu-fp32"], bytes=4 * (count + table))
    other = replace(manifest(), builds={"cpu-fp32": own})
    assert estimate(other, "cpu-fp32", 1).weights == own.bytes


def test_of_a_large_embedding_counts_the_middle_between_what_tokens_read_and_all():
    large = replace(manifest(), vocabulary=50_000)  # 6.4 MB, 98 reads
    build = replace(large.builds["cpu-int8"], bytes=10_000_000)
    large = replace(large, builds={"cpu-int8": build})
    counts = [estimate(large, "cpu-int8", 1, length).weights for length in (1, 2, 100)]
    assert (
        memory_estimate.READ_AROUND * 0.95
        < 2 * (counts[1] - counts[0])
        < memory_estimate.READ_AROUND
    )
    assert 3_000_000 < 2 * (counts[2] - counts[0]) < 6_400_000
    whole = estimate(large, "cpu-int8", 16, CONTEXT).weights
    assert 3_000_000 < whole - counts[0] < 3_300_000


@given(
    st.sampled_from(["cpu-fp32", "cpu-int8", "cpu-int4", "cuda-fp16"]),
    st.integers(1, 15),
    st.integers(1, CONTEXT - 1),
)
def test_more_never_needs_less(build, lanes, length):
    here = estimate(manifest(), build, lanes, length).total
    assert here <= estimate(manifest(), build, lanes + 1, length).total
    assert here <= estimate(manifest(), build, lanes, length + 1).total
    assert here < estimate(manifest(layers=LAYERS + 1), build, lanes, length).total
    assert here < estimate(manifest(width=2 * WIDTH), build, lanes, length).total


def test_fewer_bits_need_less():
    def total(name):
        return estimate(manifest(width=512), name, 4).total

    assert total("cpu-int4") < total("cpu-int8") < total("cpu-fp32")


def test_a_build_that_is_not_there_has_no_estimate():
    with pytest.raises(ModelError, match="has no build cpu-int3"):
        estimate(manifest(), "cpu-int3", 1)


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_a_cache_takes_memory_only_where_it_is_written():
    def resident():
        return int(STATUS.read_text().split()[1]) * 4096

    sizes = Sizes(2, (8, 1024, 64), np.dtype(np.float32), 64, 320, 300, True)
    before = resident()
    cache = Cache(16, sizes, Device("cpu"))  # 2 x 33 MB
    for array in cache._arrays:
        assert not array.any()
        array[:, :, :16] = 1  # one of the 64 pages of each head
    assert resident() - before < 20_000_000


@pytest.mark.parametrize(
    ("free", "answer"),
    [
        (None, "fits"),
        (1250, "fits"),
        (1249, "tight"),
        (1000, "tight"),
        (999, "too large"),
        (0, "too large"),
    ],
)
def test_the_thresholds(free, answer):
    assert fit(Estimate(700, 200, 100), free) == answer


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0.0 GB"), (94e6, "0.1 GB"), (3.14e9, "3.1 GB"), (9.96e9, "10 GB")]
)
def test_gigabytes(count, words):
    assert gigabytes(int(count)) == words


def test_a_shortage_has_the_numbers_and_what_to_do():
    found = memory_estimate.shortage(manifest(), "cpu-int8", 4, 1_000_000_000)
    assert found == (
        "tiny (cpu-int8) needs about 0.1 GB with 4 lanes, 1.0 GB is free; choose fewer lanes or a"
        " smaller precision"
    )
    assert memory_estimate.shortage(manifest(), "cpu-int4", 1, None) == (
        "tiny (cpu-int4) needs about 0.1 GB with 1 lane; close other programs"
    )
    assert "; choose the CPU" in memory_estimate.shortage(manifest(), "cuda-fp16", 8, 1)
    assert "fewer lanes or the CPU" in memory_estimate.shortage(manifest(), "cuda-fp16", 17, 1)


@pytest.mark.parametrize(
    ("message", "short"),
    [
        ("std::bad_alloc", True),
        ("Failed to allocate memory for requested buffer of size 617", True),
        ("CUDA failure 2: out of memory ; GPU=0", True),
        ("CUDA failure 209: no kernel image", False),
        ("MemoryError: Unable to allocate 24 MiB", True),
        ("[Errno 12] Cannot allocate memory", True),
        ("bad magic", False),
    ],
)
def test_what_a_shortage_looks_like(message, short):
    assert memory_estimate.is_shortage(message) is short


def tree(root, available="1000 kB", group="0::/a/b\n", **files):
    write_groups(root, group, **files)
    (root / "proc/meminfo").write_text(f"MemTotal: 4000 kB\nMemAvailable:   {available}\n")
    return root


def test_what_the_system_has(tmp_path):
    assert free_on_linux(tree(tmp_path)) == 1_024_000


def test_a_container_may_have_less(tmp_path):
    files = {
        "a__b__memory_DOT_max": "max\n",
        "a__b__memory_DOT_current": "5\n",
        "a__memory_DOT_max": "600000\n",
        "a__memory_DOT_current": "200000\n",
        "a__memory_DOT_stat": "anon 1\ninactive_file 50000\n",
    }
    assert free_on_linux(tree(tmp_path, **files)) == 450_000


def test_a_container_of_the_first_version(tmp_path):
    files = {
        "memory__a__memory_DOT_limit_in_bytes": "500000\n",
        "memory__a__memory_DOT_usage_in_bytes": "600000\n",
        "memory__a__memory_DOT_stat": "total_inactive_file 0\n",
    }
    root = tree(tmp_path, group="9:cpu:/x\n5:hugetlb,memory:/a\n", **files)
    assert free_on_linux(root) == 0


def test_nothing_is_known_where_nothing_can_be_read(tmp_path):
    assert free_on_linux(tmp_path) is None


def test_this_machine_says_what_it_has():
    free, total = memory_estimate.free_memory("cpu"), system_memory.total()
    assert free is not None
    assert total is not None
    assert 0 < free <= total


def test_a_gpu_is_asked_through_its_driver(monkeypatch):
    from tests.engine.hardware.test_device import H200, T4, facts

    monkeypatch.setattr(memory_estimate.devices, "probe", lambda provider: facts(gpus=(H200, T4)))
    assert memory_estimate.free_memory("cuda") == H200.free_bytes
    assert memory_estimate.free_memory("cuda:1") == T4.free_bytes
    assert memory_estimate.free_memory("cuda:2") is None


def test_windows_is_asked_for_available_memory():
    def call(pointer):
        status = pointer._obj
        assert status.length == ctypes.sizeof(status) == 64
        status.total, status.available = 32, 8
        return 1

    assert system_memory._windows_status(2, call) == 8
    assert system_memory._windows_status(1, call) == 32
    assert system_memory._windows_status(2, lambda pointer: 0) is None
