"""What the window reads from the library, in one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from explorer.library.collection import Collections
from explorer.library.history import History
from explorer.library.samples import Samples
from explorer.library.search import Search


@dataclass(frozen=True, slots=True)
class LibraryAccess:
    """Where the pages of the window look things up."""

    samples: Samples
    collections: Collections
    history: History
    search: Search
    export: Callable[[int, str, Path], tuple[int, int]]
    """Write a collection (id, format, file); returns how many samples, and how many damaged ones
    were left out."""
