"""Which model is in use, which is coming, and whether memory will do: all that loads and unloads.

A model that is being loaded is *coming*; the one before goes on until it is there, or until it has
to make room. One that may not fit into memory is *held* back until a person has said what to do.
One that nobody has used for long is *asleep*: unloaded, and loaded again by the engine itself with
the next try. One whose files are to be removed is let go of first, unless it is in use.

Hunts are not known here: what has to happen to them when their model leaves is asked of the
engine loop, which hands on what the engine says of models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QObject, Signal

from explorer.core.errors import ExplorerError
from explorer.core.manifest import Manifest
from explorer.engine import memory_estimate
from explorer.engine.messages import (
    CancelLoad,
    Command,
    Crashed,
    Displaced,
    Event,
    Load,
    Ready,
    Refused,
    Restart,
    Silence,
    Unload,
)
from explorer.engine.process.engine_process import STARTED_AGAIN, STARTS_AGAIN
from explorer.engine.text.prompt_text import prompt_ids
from explorer.engine.text.tokens import Tokens
from explorer.library.rows import ModelRef
from explorer.loading.memory_advice import MemoryWarning, memory_warning, shortage
from explorer.system.settings import DeviceWish


class Engine(Protocol):
    """What the window needs of the engine process."""

    @property
    def silent(self) -> Silence:
        """Which process does not answer, as the last poll found."""

    def send(self, *commands: Command) -> None:
        """Carry out the commands between two steps."""

    def poll(self) -> Sequence[Event]:
        """Return what happened since the last call, at once."""

    def close(self) -> None:
        """End the process."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model that hunts run on."""

    folder: Path
    manifest: Manifest
    build: str
    tokens: Tokens

    @property
    def ref(self) -> ModelRef:
        """How the library knows this build."""
        return ModelRef(
            self.manifest.builds[self.build].fingerprint,
            self.manifest.name,
            self.build,
            json.dumps(asdict(self.manifest), sort_keys=True),
        )

    @property
    def drawable(self) -> int:
        """How many tokens the model can write."""
        return self.manifest.vocabulary - len(self.tokens.holes)

    def prompt(self, text: str, control: bool) -> list[int]:
        """Return the ids of a prompt that tries can go on from.

        Raises :class:`PromptError` for any other. The engine refuses those too, but only when the
        hunt on the screen has been left for them.
        """
        return prompt_ids(self.tokens, text, self.manifest.context, control)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model as somebody asked for it."""

    loaded: Loaded
    device: DeviceWish
    threads: int

    @property
    def command(self) -> Load:
        """What the engine is told."""
        return Load(self.loaded.folder, self.loaded.build, self.device, self.threads)


class Loading(QObject):
    """Loads, doubts, cancels and unloads models for the window."""

    engine_ready = Signal(object)
    """:class:`Ready`, or None while no model is loaded."""
    load_refused = Signal(str)
    """A build could not be opened, and why; :attr:`refused` is that one."""
    damaged = Signal(object, str)
    """(:class:`Loaded`, sentence): a build that could not be opened because of its files."""
    coming_changed = Signal(object)
    """:class:`Loaded` of the model that loads while another one goes on; None when that is over."""
    warned = Signal(object)
    """:class:`MemoryWarning` before a load; None when it no longer stands."""
    ran_out = Signal(object)
    """:class:`MemoryWarning`: memory ran out, and what can be done about it."""
    asleep_changed = Signal(bool)
    """Whether the model is unloaded until the next try starts."""
    silence_changed = Signal(str)
    """:data:`Silence`: which process does not answer; empty when that is over."""
    notice_changed = Signal(str, str)
    """(a sentence said before as a problem, what it is now)"""
    asked = Signal()
    """Something was asked of the engine; what it answers is wanted soon."""

    def __init__(
        self,
        engine: Engine,
        leave: Callable[[], bool],
        now: float,
        free: Callable[[str], int | None] = memory_estimate.free_memory,
        parent: QObject | None = None,
    ) -> None:
        """Load nothing yet; ``now`` is the time on the clock of :meth:`unload_if_idle`.

        ``leave`` ends what runs on the model in use and returns whether that was possible; ``free``
        gives the bytes that are free on a device, None where nobody knows.
        """
        super().__init__(parent)
        self.loaded: Loaded | None = None
        self.ready: Ready | None = None
        self.coming: Loaded | None = None
        self.refused: Loaded | None = None
        self.lanes = 1
        """Lanes that memory is asked for before a load."""
        self.unload_seconds = 0.0
        """Idle time after which the model is unloaded; 0 = never."""
        self.free = free
        self._engine = engine
        self._leave = leave
        self._held: Wanted | None = None  # until somebody has answered a warning
        self._wanted: Wanted | None = None  # what was asked of the engine last
        self._former: Loaded | None = None  # what the engine goes back to if that fails
        self._asleep = False
        self._active = now
        self._crash = ""
        self.silent: Silence = ""
        """Which process does not answer."""

    @property
    def under_way(self) -> bool:
        """Whether the engine is loading a model."""
        return self.coming is not None or (self.loaded is not None and self.ready is None)

    @property
    def held(self) -> Loaded | None:
        """The model that waits for an answer to a warning."""
        return self._held.loaded if self._held is not None else None

    # What a person asks for

    def load(self, loaded: Loaded, device: DeviceWish, threads: int = 0) -> None:
        """Let the engine open a build; :attr:`engine_ready` tells when it has.

        Where memory will not do, nothing happens but :attr:`doubted`, until :meth:`load_anyway`.
        """
        wanted = Wanted(loaded, device, threads)
        self._held = None
        found = self._memory_warning(wanted)
        self.warned.emit(found)
        if found is not None and found.fit == "too large":
            self._held = wanted
            return
        self._begin(wanted)

    def load_anyway(self) -> None:
        """Load what was held back, whatever the numbers say."""
        wanted, self._held = self._held, None
        self.warned.emit(None)
        if wanted is not None:
            self._begin(wanted)

    def set_lanes(self, lanes: int) -> None:
        """Reckon with so many lanes; what was held back is asked about again."""
        self.lanes = lanes
        if self._held is not None:
            self.load(self._held.loaded, self._held.device, self._held.threads)

    def cancel(self) -> None:
        """Give up the model that is coming; the one before, if there was one, goes on."""
        self._held = None
        self.warned.emit(None)
        if self.coming is None and (self.ready is not None or self.loaded is None):
            return
        self._engine.send(CancelLoad())
        if self.coming is not None:
            self._set_coming(None)
        else:
            self.loaded, self._former = self._former, None
            self.engine_ready.emit(None)
        self.asked.emit()

    def restart(self) -> None:
        """Put a new process in the place of the one that does not answer, with the same model."""
        if self.silent != "load":
            self.ready = None
            self.engine_ready.emit(None)
        self._engine.send(Restart())
        self.asked.emit()

    def release(self, folder: Path, build: str = "") -> str:
        """Free a model's files, or those of one build, before they are removed.

        When this returns no process holds them. What is in use stays: then a sentence says so, and
        nothing has happened; otherwise an empty text is returned.
        """

        def concerned(loaded: Loaded | None) -> bool:
            return loaded is not None and loaded.folder == folder and build in ("", loaded.build)

        now = self.loaded
        if now is not None and concerned(now) and (self.ready is not None or self._asleep):
            what = f"The {build} build of {now.manifest.name}" if build else now.manifest.name
            return f"{what} is in use; open another one first, then remove it."
        if concerned(self.held) or concerned(self.coming) or concerned(now):
            self.cancel()
        if concerned(self._former):
            self._former = None
        self._wanted = None
        self._engine.send(Unload(folder, build))
        return ""

    # What happens meanwhile

    def handle_event(self, event: Event) -> None:
        """Take what the engine says of models; other events are none of its affair."""
        match event:
            case Ready():
                self._take_ready(event)
            case Displaced() if self.coming is not None:
                former = self.loaded
                self._leave()
                self._replace(self.coming)
                self._former = former
            case Crashed():
                self.ready = None
                self._crash = event.message if event.restarting else ""
                crashed = self.loaded
                if not event.restarting:
                    self.loaded = None  # nobody loads it again by himself
                self.engine_ready.emit(None)
                self._offer(event, crashed, self.lanes)
            case Refused(key=None):
                device = self._wanted.device if self._wanted is not None else "auto"
                self._take_refused(event.message)
                if event.damaged and self.refused is not None:
                    self.damaged.emit(self.refused, event.message)
                gpu = self.refused is not None and self.refused.build.startswith("cuda")
                if not (gpu and device == "auto"):  # then the CPU's build is opened by itself
                    self._offer(event, self.refused, 1)
            case Refused():
                self._offer(event, self.loaded, self.lanes)

    def listen(self) -> None:
        """Say when a process stops answering, and when it answers again or is gone."""
        if self._engine.silent != self.silent:
            self.silent = self._engine.silent
            self.silence_changed.emit(self.silent)

    def touch(self, now: float) -> None:
        """Note that somebody has done something; ``now`` is in seconds."""
        self._active = now

    def unload_if_idle(self, now: float, running: bool) -> None:
        """Unload a model that nobody has used for long; ``running`` whether tries stream."""
        if running or self.coming is not None or self.ready is None or self._asleep:
            self._active = now
        elif self.unload_seconds and now - self._active >= self.unload_seconds:
            self._engine.send(Unload())
            self._set_asleep(True)

    def mark_active(self) -> None:
        """Note that a try starts: the engine loads a sleeping model by itself."""
        self._set_asleep(False)

    # Parts

    def _begin(self, wanted: Wanted) -> None:
        again = self._wanted is not None and self._wanted.command == wanted.command
        if self.loaded is None or self.ready is None or self._asleep or again:
            if not self._leave():
                self.asked.emit()
                return
            if self._asleep:
                self._former = self.loaded
            self._replace(wanted.loaded)
        else:
            self._set_coming(wanted.loaded)
        self._wanted = wanted
        self._engine.send(wanted.command)
        self.asked.emit()

    def _replace(self, loaded: Loaded) -> None:
        """Leave the model in use; another one is not there yet."""
        self._set_coming(None)
        self._set_asleep(False)
        self.loaded, self.ready = loaded, None
        self.engine_ready.emit(None)

    def _set_coming(self, loaded: Loaded | None) -> None:
        if loaded != self.coming:
            self.coming = loaded
            self.coming_changed.emit(loaded)

    def _set_asleep(self, asleep: bool) -> None:
        if asleep != self._asleep:
            self._asleep = asleep
            self.asleep_changed.emit(asleep)

    def _memory_warning(self, wanted: Wanted) -> MemoryWarning | None:
        loaded = wanted.loaded
        device = memory_estimate.home(loaded.build, wanted.device)
        free = self.free(device)
        # What the model in use holds there can be freed for the new one.
        now = self.loaded
        if free is not None and now is not None and self.ready is not None and not self._asleep:
            try:
                held = memory_estimate.estimate(now.manifest, now.build, 1, 1)
            except ExplorerError:
                held = None
            if held is not None and now.build.startswith("cuda") == device.startswith("cuda"):
                free += held.total
        return memory_warning(loaded.manifest, loaded.build, self.lanes, free)

    def _offer(self, event: Crashed | Refused, short: Loaded | None, lanes: int) -> None:
        """Offer what can be done where memory was what was missing for a model."""
        if short is None or not event.shortage:
            return
        wanted = self._wanted
        device = wanted.device if wanted is not None and wanted.loaded == short else "auto"
        free = self.free(memory_estimate.home(short.build, device))
        found = shortage(short.manifest, short.build, lanes, free, event.message)
        if found is not None:
            self.ran_out.emit(found)

    def _take_ready(self, ready: Ready) -> None:
        came = self.coming
        if came is not None and (came.folder, came.build) == (ready.folder, ready.build):
            self._leave()
            self.loaded = came
            self.coming = None
        self.ready, self._former, self.refused = ready, None, None
        if self._crash:
            self.notice_changed.emit(self._crash, self._crash.replace(STARTS_AGAIN, STARTED_AGAIN))
            self._crash = ""
        self.engine_ready.emit(ready)
        if came is not None and self.coming is None:
            self.coming_changed.emit(None)

    def _take_refused(self, sentence: str) -> None:
        self.refused = self.coming or self.loaded
        if self.coming is not None:
            self._set_coming(None)
        elif self._former is not None:
            self.loaded, self._former = self._former, None
        else:
            self.loaded = self.ready = None
            self.engine_ready.emit(None)
        self._wanted = None
        self.load_refused.emit(sentence)
