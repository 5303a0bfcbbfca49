"""What goes on with models, as the window sees it: tasks, and the work behind each.

A task is a picture of one child process at one moment, or of one that failed and has not been
waved off yet. Which function does the work is decided where the window is put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from explorer.jobs.job import Job
from explorer.studies.quality.measure import measure
from explorer.studies.quality.remake import make_build
from explorer.studies.quality.verify import verify
from explorer.system.paths import Paths
from explorer.weights.hub.download_preview import preview_download
from explorer.weights.hub.downloads import Unfinished, discard, download_model, unfinished
from explorer.weights.store.store_work import (
    ensure_build,
    import_model,
    remove_build,
    remove_model,
)

Kind = Literal[
    "open", "import", "convert", "look", "download", "verify", "measure", "remove", "discard"
]
Place = Literal["remove", "open", "work"]
"""In the order in which tasks are listed."""

SILENT_S = 3.0
WAITING = "waiting for the server"

_PLACES: dict[Kind, Place] = {"open": "open", "remove": "remove", "discard": "remove"}


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that is done to a model, and how far it is."""

    kind: Kind
    subject: str
    """The model, the folder that is imported, or the repository that is fetched."""
    title: str
    """What is done, such as ``Downloading gpt2``."""
    opens: bool = False
    """Whether the model is opened when this is done: then a Generate may wait for it."""
    fraction: float | None = None
    """0 to 1, None while nobody knows."""
    words: str = ""
    problem: str = ""
    """Why it failed, as a sentence; empty while it runs."""

    @property
    def key(self) -> tuple[Kind, str]:
        """What it is told apart by."""
        return self.kind, self.subject

    @property
    def place(self) -> Place:
        """Tasks of one place exclude each other; those of different places run side by side."""
        return _PLACES.get(self.kind, "work")

    @property
    def pausable(self) -> bool:
        """Whether it goes on where it was when it is begun again."""
        return self.kind == "download"

    def unheard(self, seconds: float) -> Task:
        """Return it as it is when nothing has been heard of it for so long.

        A rate and a time left are then not true any more.
        """
        amount, _, rest = self.words.partition(", ")
        if seconds < SILENT_S or not rest.endswith((" left", WAITING)):
            return self
        return replace(self, words=f"{amount}, nothing for {seconds:.0f} s; {WAITING}")

    def quiet(self) -> Task:
        """Return it as it is when its process does not answer."""
        return replace(self, words="its process does not answer; wait, or cancel it")

    @property
    def line(self) -> str:
        """Title and words in one line."""
        return f"{self.title}: {self.words}" if self.words else self.title


@dataclass(frozen=True, slots=True)
class Works:
    """The functions that do the work; each of the first kind runs in a child process.

    They take a progress function, :class:`Paths`, and what their task needs.
    """

    open: Callable[..., Any] = ensure_build
    make: Callable[..., Any] = make_build
    bring_in: Callable[..., Any] = import_model
    look: Callable[..., Any] = preview_download
    """What a download would fetch."""
    download: Callable[..., Any] = download_model
    verify: Callable[..., Any] = verify
    measure: Callable[..., Any] = measure
    remove: Callable[..., Any] = remove_model
    remove_build: Callable[..., Any] = remove_build
    discard: Callable[..., Any] = discard
    """Deletes what an unfinished download has fetched."""
    unfinished: Callable[[Paths], Sequence[Unfinished]] = unfinished
    """Called in the window: it must be quick."""
    start: Callable[..., Job] = Job.start
