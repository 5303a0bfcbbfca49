"""Which safetensors of a folder are the model: the file that a person chose, or the usual one.

A folder may hold a model beside its moving average, or in several variants of parts, each with an
index that names them. Without a choice it is ``model.safetensors``, or else the parts that
``model.safetensors.index.json`` names, as transformers has it. A chosen part stands for the set
that it belongs to.
"""

from __future__ import annotations

import re
from typing import Any

from explorer.core.errors import CheckpointError
from explorer.weights.formats.untrusted_folder import Source, shorten, shown

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
ENDING = ".safetensors"

INDEX = re.compile(r".*\.safetensors\.index(?:\.[\w-]+)?\.json", re.IGNORECASE)
"""What an index is called; a variant such as ``fp16`` stands before the last dot."""
PART = re.compile(r"-[0-9]{5}-of-[0-9]{5}\.")
"""What a name of one of several parts has in it."""

_MAX_PARTS = 200
_MAX_INDEXES = 20
_INDEX_LIMIT = 4_000_000


def choose(source: Source) -> str:
    """Return the name of the file that holds the weights, or of the index of several.

    Raises :class:`CheckpointError` for a chosen part that no index names, or several do, and for an
    adapter.
    """
    chosen = source.chosen
    if INDEX.fullmatch(chosen):
        return chosen
    if not chosen.lower().endswith(ENDING):
        return WEIGHTS_FILE if source.has(WEIGHTS_FILE) else INDEX_FILE
    if chosen.startswith("adapter"):
        raise CheckpointError(
            f"{shown(chosen)} is an adapter (LoRA), not a model; merge it into its model "
            "(merge_and_unload) and save that."
        )
    indexes = _indexes_of(source, chosen)
    if len(indexes) > 1:
        raise CheckpointError(
            f"{shown(chosen)} is a part of {len(indexes)} models ({shorten(', '.join(indexes))}); "
            "choose one of these files instead."
        )
    if not indexes and PART.search(chosen):
        raise CheckpointError(
            f"{shown(chosen)} is one of several parts; copy the index that names them "
            f"({INDEX_FILE}) there too."
        )
    return indexes[0] if indexes else chosen


def weight_files(source: Source) -> tuple[str, ...]:
    """Return the names of all files that the weights are in, after that of their index.

    Raises :class:`CheckpointError` where the index cannot be read or names nothing that can be.
    """
    name = choose(source)
    return (name, *parts(source, name)) if INDEX.fullmatch(name) else (name,)


def parts(source: Source, index: str) -> list[str]:
    """Return the names of the files that an index names; raises :class:`CheckpointError`."""
    named: Any = source.json(index, _INDEX_LIMIT).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise CheckpointError(
            f"{index}: weight_map must name a file for every tensor, found {shown(named)}."
        )
    names = sorted(set(named.values()))
    if not 0 < len(names) <= _MAX_PARTS:
        raise CheckpointError(f"{index} names {len(names)} files; 1 to {_MAX_PARTS} are expected.")
    return names


def _indexes_of(source: Source, name: str) -> list[str]:
    """Return the indexes that name a file; one that cannot be read names nothing."""
    found = []
    for index in [name for name in source.names(".json") if INDEX.fullmatch(name)][:_MAX_INDEXES]:
        try:
            if name in parts(source, index):
                found.append(index)
        except CheckpointError:
            continue
    return found
