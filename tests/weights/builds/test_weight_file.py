"""Files on their way to the disk: right bytes, right hash, bounded, and an end to every error."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.weights.builds import weight_file
from explorer.weights.builds.weight_file import WeightWriter, copy_file, flush

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 3000), max_size=4), max_size=6))
def test_tensors_begin_on_pages_and_the_hash_is_that_of_the_file(
    tmp_path: Path, tensors: list[list[int]]
) -> None:
    path, expected = tmp_path / "w", b""
    with WeightWriter(path) as writer:
        for number, parts in enumerate(tensors):
            found = writer.begin(np.dtype(np.float32), [sum(parts)])
            expected += bytes(-len(expected) % 4096)
            assert found == ("w", len(expected), 4 * sum(parts))
            for size in parts:
                array = np.full(size, number + 1, np.float32)
                writer.put(array)
                expected += array.tobytes()
    assert path.read_bytes() == expected
    assert writer.sha256 == hashlib.sha256(expected).hexdigest()


def test_a_part_is_written_after_the_work_that_fills_it(tmp_path: Path) -> None:
    begun = threading.Event()

    def fill(array: np.ndarray, value: int) -> None:
        assert begun.wait(10)
        array[:] = value

    with WeightWriter(tmp_path / "w") as writer:
        arrays = [np.zeros(5, np.uint8) for _ in range(3)]
        works = [writer.work(fill, array, n + 1) for n, array in enumerate(arrays)]
        for array, work in zip(arrays, works, strict=True):
            writer.put(array, [work])
        begun.set()
    assert (tmp_path / "w").read_bytes() == b"\1" * 5 + b"\2" * 5 + b"\3" * 5


def test_what_fails_in_a_thread_reaches_the_caller(tmp_path: Path) -> None:
    def fail() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"), WeightWriter(tmp_path / "w") as writer:
        writer.put(np.zeros(3), [writer.work(fail)])
    with pytest.raises(KeyError, match="broken"), WeightWriter(tmp_path / "w") as writer:
        put_many(writer, [writer.work(fail)])


def put_many(writer: WeightWriter, after: Sequence[Future[None]] = ()) -> None:
    """Put more than may wait: what hangs, hangs here."""
    for _ in range(100):
        writer.put(np.zeros(1000), after)
        writer.work(lambda: None)


def test_an_error_outside_ends_all_threads_and_lets_go_of_the_file(tmp_path: Path) -> None:
    before = threading.active_count()
    with contextlib.suppress(KeyboardInterrupt), WeightWriter(tmp_path / "w") as writer:
        put_many(writer)
        raise KeyboardInterrupt
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="closed"):
        writer._file.write(b"")


def test_the_disk_begins_before_the_file_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(weight_file, "_BEHIND", 1000)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _, at, size, why: told.append((at, size)), raising=False
    )
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    with WeightWriter(tmp_path / "w") as writer:
        for size in (600, 600, 900, 1500, 10):
            writer.put(np.zeros(size, np.uint8))
    assert told == [(0, 1200), (1200, 2400)]


@needs_full
def test_a_full_disk_ends_the_writing() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), WeightWriter(FULL) as writer:
        put_many(writer)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000])
def test_a_copy_is_the_same_and_its_hash_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(weight_file, "_COPY_BLOCK", 100)
    data = np.random.default_rng(size).bytes(size)
    (tmp_path / "a").write_bytes(data)
    told: list[int] = []
    assert (
        copy_file(tmp_path / "a", tmp_path / "b", told.append) == hashlib.sha256(data).hexdigest()
    )
    assert (tmp_path / "b").read_bytes() == data
    assert sum(told) == size


def test_where_blocks_are_shared_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def share(source: int, target: int) -> bool:
        return os.write(target, os.pread(source, 1 << 20, 0)) > 0

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(weight_file, "_share_blocks", share)
    monkeypatch.setattr(weight_file, "_write_all", refuse)
    (tmp_path / "a").write_bytes(b"weights")
    digest = copy_file(tmp_path / "a", tmp_path / "b", lambda count: None)
    assert digest == hashlib.sha256(b"weights").hexdigest()
    assert (tmp_path / "b").read_bytes() == b"weights"


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        copy_file(tmp_path / "a", tmp_path / "b", lambda count: None)
    assert (tmp_path / "b").read_text() == "b"


def test_files_and_folders_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "a").chmod(0o400)  # also what may only be read
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(os.fstat(number).st_ino))
    flush(tmp_path / "a")
    flush(tmp_path)
    assert flushed == [path.stat().st_ino for path in (tmp_path / "a", tmp_path)]
    with contextlib.suppress(PermissionError):
        (tmp_path / "a").chmod(0o600)
