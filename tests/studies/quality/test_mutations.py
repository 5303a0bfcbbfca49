"""A model whose files were harmed is refused in a sentence, or imported and sound: nothing between.

What is harmed is a real folder of each layout, what is done with it is all that a person would do.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.core.errors import CheckpointError
from explorer.studies.quality.verify import verify
from explorer.system.paths import Paths
from explorer.weights.store.store import Store
from tests.release import make_release
from tests.studies.places import make_places
from tests.tiny import make_tiny, write_tokenizer

EXPORTS = Path(__file__).parents[2] / "data" / "onnx_exports"
SMALL = {"layers": 1, "width": 8, "context": 8}
NUMBERS = (b"0", b"-1", b"9" * 30, b"1e999", b"null", b"true", b'""', b"[]", b"3")


def make_export(folder: Path) -> Path:
    shutil.copytree(EXPORTS / "dynamo", folder)
    shutil.copy(EXPORTS / "source" / "config.json", folder)
    rows = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    write_tokenizer(folder, rows)
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, dict[str, Path]]:
    root = tmp_path_factory.mktemp("mutations")
    pair = {"tokenizer": "vocab.json", "shards": 2, "head": "own"}
    layouts = {
        "tokenizer.json": make_tiny(root / "one", **SMALL, added=("<|end|>",)),
        "vocab.json": make_tiny(root / "two", **SMALL, **pair),
        "OpenAI": make_release(root / "three", **SMALL),
        "ONNX": make_export(root / "four"),
    }
    return make_places(root / "places"), layouts


def harm(data: bytes, draw: st.DataObject) -> bytes:
    """Return bytes that were flipped, cut out, put in, cut off, doubled, or another number."""
    reach = len(data) if draw.draw(st.booleans()) else min(len(data), 400)
    at = draw.draw(st.integers(0, reach))
    some = draw.draw(st.binary(min_size=1, max_size=12))
    match draw.draw(st.sampled_from(("flip", "remove", "insert", "truncate", "double", "number"))):
        case "flip" if at < len(data):
            return data[:at] + bytes([data[at] ^ 1 << some[0] % 8]) + data[at + 1 :]
        case "remove":
            return data[:at] + data[at + len(some) :]
        case "insert":
            return data[:at] + some + data[at:]
        case "truncate":
            return data[:at]
        case "number" if found := list(re.finditer(rb"[0-9]+", data[:4000])):
            number = draw.draw(st.sampled_from(found))
            return (
                data[: number.start()] + draw.draw(st.sampled_from(NUMBERS)) + data[number.end() :]
            )
        case _:
            return data + data


@settings(
    max_examples=120,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)
@given(data=st.data())
def test_harmed_files_are_refused_or_sound(
    places: tuple[Paths, dict[str, Path]], data: st.DataObject
) -> None:
    paths, layouts = places
    source = layouts[data.draw(st.sampled_from(sorted(layouts)))]
    file = data.draw(st.sampled_from(sorted(source.iterdir())))
    original, store = file.read_bytes(), Store(paths)
    file.write_bytes(harm(original, data))
    try:
        store.import_folder(source, "harmed", "cpu-fp32")
    except CheckpointError as error:
        message = str(error)
        assert "\n" not in message
        assert message.endswith(".")
        assert len(message) < 500
    else:
        found = verify(lambda fraction, text: None, paths, "harmed")
        assert found.ok, found.findings
        store.remove("harmed")
    finally:
        file.write_bytes(original)
    assert not [path for path in paths.models.glob("*") if path.name != ".lock"]
