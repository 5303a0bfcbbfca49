"""Making a build that is asked for by name: missing, damaged, or as it was written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from explorer.core.errors import ModelError
from explorer.studies.quality.remake import make_build
from explorer.studies.quality.verify import verify
from explorer.system.paths import Paths
from explorer.weights.store.store import Store
from tests.studies.places import import_tiny, model_folder


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return import_tiny(tmp_path)


def quiet(fraction: float, text: str) -> None:
    pass


def damage(paths: Paths) -> Path:
    """Change one bit of a build, and neither its size nor its time."""
    path = model_folder(paths) / "cpu-int8" / "weights.bin"
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return path


def test_a_build_of_the_right_size_and_with_wrong_bytes_is_made_again(paths: Paths) -> None:
    path = model_folder(paths) / "cpu-int8" / "weights.bin"
    written = path.read_bytes()
    damage(paths)
    assert Store(paths).find("tiny").has("cpu-int8")
    assert make_build(quiet, paths, "tiny", "cpu-int8")
    assert path.read_bytes() == written
    assert verify(quiet, paths, "tiny").ok


def test_a_build_that_is_as_it_was_written_is_left_alone(paths: Paths) -> None:
    path = model_folder(paths) / "cpu-int8" / "weights.bin"
    before = path.stat()
    assert not make_build(quiet, paths, "tiny", "cpu-int8")
    after = path.stat()  # its time of reading may move: the bytes are looked at
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_missing_build_is_made(paths: Paths) -> None:
    Store(paths).remove_build("tiny", "cpu-int4")
    assert make_build(quiet, paths, "tiny", "cpu-int4")
    assert Store(paths).find("tiny").has("cpu-int4")


def test_what_is_damaged_is_not_given_up_before_there_is_something_better(paths: Paths) -> None:
    path = damage(paths)
    shutil.rmtree(model_folder(paths) / "source")
    with pytest.raises(ModelError, match="its source is gone"):
        make_build(quiet, paths, "tiny", "cpu-int8")
    assert path.exists()
    assert Store(paths).find("tiny").has("cpu-int8")
