"""The folder of an unfinished download: what is taken for whole, and what survives damage."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.errors import DownloadError
from explorer.system.paths import Paths
from explorer.weights.hub.downloads import Unfinished, discard_download, unfinished
from explorer.weights.hub.hub import HubFile
from explorer.weights.hub.partial_download import DownloadPlan, Incoming, Staging
from tests.hub_server import blob_id

DATA = b"weights" * 1000
LARGE = HubFile("model.safetensors", len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
SMALL = HubFile("onnx/config.json", len(DATA), blob=blob_id(DATA))
PLAN = DownloadPlan("me/model", "", "c" * 40, "mit", "Mine", "cpu-int8", (SMALL, LARGE))


def take(staging: Staging, file: HubFile, *blocks: bytes, finish: bool = True) -> Incoming:
    with Incoming(staging, file, lambda size: None) as incoming:
        for block in blocks:
            incoming.write(block)
        if finish:
            incoming.finish()
    return incoming


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    staging = Staging(tmp_path / "downloads", "me/model")
    staging.write(PLAN)
    return staging


def test_a_plan_comes_back_as_it_was(staging: Staging) -> None:
    assert staging.read() == PLAN


@pytest.mark.parametrize("file", [SMALL, LARGE])
@given(cuts=st.lists(st.integers(0, len(DATA)), max_size=4).map(sorted))
def test_a_file_is_whole_however_it_came(
    tmp_path_factory: pytest.TempPathFactory, file: HubFile, cuts: list[int]
) -> None:
    """Each cut is a restart of the program."""
    staging = Staging(tmp_path_factory.mktemp("x"), "me/model")
    places = [0, *cuts, len(DATA)]
    for start, stop in pairwise(places):
        assert not staging.has(file)
        assert staging.size(file) == start
        incoming = take(staging, file, DATA[start:stop], finish=stop == len(DATA))
        assert incoming.sha256 == hashlib.sha256(DATA[:stop]).hexdigest()
        if stop == len(DATA):
            break
    assert staging.has(file)
    assert (staging.files / file.name).read_bytes() == DATA


@pytest.mark.parametrize("file", [SMALL, LARGE])
def test_wrong_bytes_are_deleted(staging: Staging, file: HubFile) -> None:
    with pytest.raises(DownloadError, match="so it was deleted"):
        take(staging, file, DATA[:-1], b"!")
    assert (staging.size(file), staging.has(file)) == (0, False)
    with pytest.raises(DownloadError, match="so it was deleted"):
        take(staging, file, DATA[:-1])


def test_a_part_that_is_too_long_begins_anew(staging: Staging) -> None:
    take(staging, LARGE, DATA, finish=False)
    with (staging.files / "model.safetensors.part").open("ab") as part:
        part.write(b"more")
    take(staging, LARGE, DATA)
    assert staging.has(LARGE)


DAMAGE = ["", "{", "[]", "null", "{}", "9" * 5000, "[" * 100_000, '{"files": 3}', "\udcff"]


@pytest.mark.parametrize("text", DAMAGE)
def test_damaged_notes_are_no_plan(staging: Staging, text: str) -> None:
    notes = staging.folder / "download.json"
    notes.write_text(text, errors="surrogateescape")
    assert staging.read() is None


@pytest.mark.parametrize(
    ("entry", "value"),
    [("name", 3), ("files", []), ("files", [{"name": "../x", "size": 1}]), ("build", None),
     ("files", [{"name": "a", "size": -1}]), ("files", [{"name": "a", "size": "1"}])],
)  # fmt: skip
def test_notes_that_somebody_changed_are_no_plan(
    staging: Staging, entry: str, value: object
) -> None:
    notes = staging.folder / "download.json"
    values = json.loads(notes.read_text())
    notes.write_text(json.dumps({**values, entry: value}))
    assert staging.read() is None


def test_unfinished_downloads_are_listed_and_discarded(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path)
    assert unfinished(paths) == []
    discard_download(paths, "me/model")
    staging = Staging(paths.downloads, "me/model")
    staging.write(PLAN)
    take(staging, LARGE, DATA[:100], finish=False)
    take(staging, SMALL, DATA)
    done = len(DATA) + 100
    expected = Unfinished("me/model", "c" * 40, "Mine", "cpu-int8", done, 2 * len(DATA))
    assert unfinished(paths) == [expected]
    (staging.folder / "download.json").write_text("?")
    assert unfinished(paths) == [Unfinished("me/model", "", "", "", 0, 0)]
    discard_download(paths, "me/model")
    assert unfinished(paths) == []
