"""Work for the model desk that goes as the test says: no child process, no time of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from explorer.gui.model_parts.model_tasks import Works
from explorer.jobs.job import Done, Event, Failed, Progress
from explorer.weights.hub.downloads import Unfinished


@dataclass
class ScriptedJob:
    """One job: what it was asked, and what it will say at the next poll."""

    work: str
    arguments: tuple[Any, ...]
    events: list[Event] = field(default_factory=list)
    cancelled: bool = False
    silent: bool = False

    def poll(self) -> list[Event]:
        """Return what the test had it say."""
        events, self.events = self.events, []
        return events

    def cancel(self) -> None:
        """Remember that it was ended."""
        self.cancelled = True

    def say(self, fraction: float, words: str) -> None:
        """Report how far it is."""
        self.events.append(Progress(fraction, words))

    def finish(self, result: Any = None) -> None:
        """Be done."""
        self.events.append(Done(result))

    def fail(self, sentence: str) -> None:
        """Fail with a sentence."""
        self.events.append(Failed(sentence))


class ScriptedWorks:
    """Stands in for the functions behind a desk; the test drives :attr:`jobs`."""

    NAMES = (
        "open", "make", "bring_in", "look", "download", "verify", "measure", "remove",
        "remove_build", "discard",
    )  # fmt: skip

    def __init__(self) -> None:
        self.jobs: list[ScriptedJob] = []
        self.left: list[Unfinished] = []
        doers: dict[str, Callable[..., Any]] = {name: _named(name) for name in self.NAMES}
        self.works = Works(**doers, unfinished=lambda _: list(self.left), start=self._start)

    @property
    def last(self) -> ScriptedJob:
        """The job that was started last."""
        return self.jobs[-1]

    def asked(self) -> list[tuple[Any, ...]]:
        """Return every job as (work, arguments…), without the paths."""
        return [(job.work, *job.arguments) for job in self.jobs]

    def leave(self, repository: str, done: int = 412_000_000, total: int = 548_000_000) -> None:
        """Have an unfinished download lie there."""
        name = repository.partition("/")[2]
        self.left.append(Unfinished(repository, "a" * 40, name, "cpu-int8", done, total))

    def _start(self, work: Callable[..., Any], _paths: Any, *arguments: Any) -> Any:
        self.jobs.append(ScriptedJob(work.__name__, arguments))
        return self.jobs[-1]


def _named(name: str) -> Callable[..., Any]:
    def work(*_: Any) -> None:
        raise AssertionError(f"{name} was called in the window")

    work.__name__ = name
    return work


@dataclass
class Bare:
    """As much of an installed model as the pages read."""

    name: str
    folder: Path = Path("nowhere")
    manifest: Any = None
    problem: str = ""
    bundled: bool = False
    source: Path | None = None
    bytes_on_disk: int = 0
    used: float | None = None

    def has(self, build: str) -> bool:
        """Return whether this build is there."""
        return self.manifest is not None and build in self.manifest.builds


def names(rows: Sequence[Any]) -> list[str]:
    """Return the names of rows."""
    return [row.name for row in rows]
