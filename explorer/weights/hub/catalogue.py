"""The models that the program offers to download: read from ``resources/catalogue.json``.

Each is pinned to one revision, so that everybody gets the same bytes; ``hashes`` are ours, taken
from several public sources, and stand against whatever a mirror announces. Any other repository of
the hub can be named by hand and is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from explorer.core.bounded_reading import read_json
from explorer.core.errors import ModelError

FILE_NAME = "catalogue.json"
_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model that can be downloaded."""

    name: str
    """What it is called here by default."""
    repository: str
    """``owner/name`` on the hub."""
    revision: str
    """The commit, 40 hex digits."""
    parameters: int
    bytes: int
    """Size of its weights, which is all but 2 MB of the download."""
    licence: str
    about: str
    """One line on what it is."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Hex SHA-256 by file name, where it is known."""


def read_catalogue(path: Path) -> tuple[CatalogueEntry, ...]:
    """Return the entries of a catalogue in the order of the file, none where there is no file.

    Raises :class:`ModelError` for a file that is not a catalogue.
    """
    try:
        values = read_json(path, _LIMIT)
        return tuple(CatalogueEntry(**value) for value in values)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path} is no list of models ({error}); install the program again."
        ) from error


def find_entry(entries: Sequence[CatalogueEntry], wanted: str) -> CatalogueEntry | None:
    """Return the entry of this name, repository or size (``1558M``), whatever its case."""
    wanted = wanted.casefold()
    for entry in entries:
        size = re.search(r"\b\d+M\b", entry.about) if entry.name.startswith("gpt2") else None
        names = (entry.name, entry.repository, size.group() if size else entry.name)
        if wanted in (name.casefold() for name in names):
            return entry
    return None
