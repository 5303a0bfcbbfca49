"""The list of models to download, as it ships."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from explorer.core.errors import ModelError
from explorer.system.paths import Paths
from explorer.weights.hub.catalogue import FILE_NAME, find_entry, read_catalogue
from explorer.weights.hub.hub import check_repository

ENTRIES = read_catalogue(Paths.default().resources / FILE_NAME)


def test_the_released_sizes_and_distilgpt2() -> None:
    sizes = {entry.name: entry.parameters for entry in ENTRIES}
    assert sizes == {
        "gpt2": 124_439_808,
        "gpt2-medium": 354_823_168,
        "gpt2-large": 774_030_080,
        "gpt2-xl": 1_557_611_200,
        "distilgpt2": 81_912_576,
    }


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_entries_are_pinned_and_plausible(entry) -> None:
    assert re.fullmatch("[0-9a-f]{40}", entry.revision)
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in entry.hashes.values())
    assert check_repository(entry.repository) == entry.repository
    # fp32, with the masks that Hugging Face's files carry: 1024 x 1024 a layer.
    layers = {"gpt2": 12, "gpt2-medium": 24, "gpt2-large": 36, "gpt2-xl": 48, "distilgpt2": 6}
    header = entry.bytes - 4 * (entry.parameters + layers[entry.name] * 1024 * 1024)
    assert 0 < header < 1400 * layers[entry.name]
    assert entry.licence
    assert len(entry.about) < 80


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("GPT2-XL", "gpt2-xl"),
        ("openai-community/gpt2", "gpt2"),
        ("1558m", "gpt2-xl"),
        ("124M", "gpt2"),
        ("distilgpt2", "distilgpt2"),
        ("else/gpt2", None),
        ("", None),
    ],
)
def test_entries_are_found(wanted: str, name: str | None) -> None:
    entry = find_entry(ENTRIES, wanted)
    assert (entry and entry.name) == name


def test_a_missing_list_is_empty_and_a_broken_one_is_said(tmp_path: Path) -> None:
    assert read_catalogue(tmp_path / FILE_NAME) == ()
    for text in ("{", "3", '[{"name": "x"}]', "[3]"):
        (tmp_path / FILE_NAME).write_text(text)
        with pytest.raises(ModelError, match="install the program again"):
            read_catalogue(tmp_path / FILE_NAME)
