"""Up to two engines: the one in use, and the one before it or the one that loads.

It takes and gives what one :class:`EngineProcess` does. A :class:`Load` opens the model in a second
process while the first goes on; only its :class:`Ready` makes it the one in use, so a load that is
refused or cancelled changes nothing. The model before stays parked in its process, which waits for
a message and costs no processor time, and switching back to it is at once.

Two are held only where both fit into what is free. Where they do not, the one in use has to make
room first, and is loaded again should the new one fail.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

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
    Start,
    Stop,
    Unload,
)
from explorer.engine.process import engine_main
from explorer.engine.process.engine_process import STARTS_AGAIN, EngineProcess

LANES = 8
"""Lanes that room is kept for when it is asked whether two models fit."""

_log = logging.getLogger(__name__)


def both_fit(load: Load) -> bool:
    """Whether ``load`` fits, as :func:`memory.fit` means it, into what is free right now."""
    try:
        needed = memory_estimate.estimate(Manifest.read(load.folder), load.build, LANES)
    except ExplorerError:
        return True  # it will be refused, and must not push out what works
    return (
        memory_estimate.fit(
            needed, memory_estimate.free_memory(memory_estimate.home(load.build, load.device))
        )
        == "fits"
    )


def _refusal(event: Refused | Crashed) -> Refused:
    """Return what to say of a model that did not load; its process is not started again."""
    if isinstance(event, Refused):
        return event
    why = event.message.removesuffix(f"; {STARTS_AGAIN}.").rstrip(".")
    sentence = f"The model could not be loaded: {why[:1].lower()}{why[1:]}."
    return Refused(None, sentence, event.shortage)


class _Member:
    """A process, and the model that it was given."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.load: Load | None = None
        self.ready: Ready | None = None
        self._stamps: tuple[int, ...] = ()

    def begin(self, load: Load) -> None:
        """Let the process load a model, starting it if it has ended."""
        self.load, self.ready, self._stamps = load, None, _stamps(load)
        self.engine.send(load)

    def holds(self, load: Load) -> bool:
        """Whether it has loaded this, from files that are still the same."""
        return self.load == load and self._stamps == _stamps(load)


def _stamps(load: Load) -> tuple[int, ...]:
    """Return when the files of a build were written."""
    build = load.folder / load.build
    paths = (load.folder / "model.json", build / "model.onnx", build / "weights.bin")
    return tuple([path.stat().st_mtime_ns for path in paths if path.exists()])


class EnginePool:
    """The engine for a window; its processes start when they are needed.

    All methods belong to one thread and return at once; see :class:`EngineProcess`.
    """

    def __init__(
        self,
        opener: engine_main.Opener = engine_main.open_model,
        log: Path | None = None,
        fits: Callable[[Load], bool] = both_fit,
    ) -> None:
        """``fits`` says whether a model can be loaded beside the one in use."""
        self._opener, self._log = opener, log
        self._fits = fits
        # Started now: by the time a model has been chosen it has imported what it needs.
        self._used: _Member = _Member(self._make())
        self._coming: _Member | None = None
        self._parked: _Member | None = None
        self._former: Load | None = None  # to go back to, where it had to make room
        self._asleep: Load | None = None  # unloaded while nothing ran
        self._said: list[Event] = []

    @property
    def pid(self) -> int | None:
        """Process id of the engine in use; None where none runs."""
        return self._used.engine.pid

    @property
    def pids(self) -> list[int]:
        """Process ids of all that run."""
        members = (self._used, self._coming, self._parked)
        found = [member.engine.pid for member in members if member is not None]
        return [pid for pid in found if pid is not None]

    @property
    def silent(self) -> Silence:
        """Which process has not answered for some seconds; the one in use is named first."""
        if self._used.engine.silent:
            return "engine"
        return "load" if self._coming is not None and self._coming.engine.silent else ""

    @property
    def busy(self) -> bool:
        """Whether events are to come."""
        return bool(self._said or self._coming or self._used.engine.busy)

    def send(self, *commands: Command) -> None:
        """Send commands as one message to the model in use; a load goes where there is room."""
        rest: list[Command] = []
        for command in commands:
            match command:
                case Load():
                    self._pass_on(rest)
                    rest = []
                    self._load(command)
                case CancelLoad():
                    self._give_up_load()
                case Unload(folder=None):
                    self._unload()
                case Unload():
                    self._let_go(command)
                case Restart():
                    self._restart()
                case _:
                    rest.append(command)
        self._pass_on(rest)

    def poll(self, timeout: float = 0.0) -> list[Event]:
        """Return what has happened since the last call; wait for it at most ``timeout`` seconds."""
        events, self._said = self._said, []
        if self._coming is not None:
            for event in self._coming.engine.poll(0.0 if events else timeout):
                if isinstance(event, Ready | Refused | Crashed):
                    events.append(self._arrived(self._coming, event))
                    break
        for event in self._used.engine.poll(0.0 if events or self._coming else timeout):
            events.append(event)
            match event:
                case Ready():
                    self._used.ready, self._former = event, None
                case Refused(key=None):
                    self._used.ready = self._used.load = None
                    self._go_back()
                case Crashed():
                    self._used.ready = None
                    self._drop_parked()  # where memory was short, it is the first to go
        # What a parked one still says of dropped candidates interests nobody; that it died does.
        parked = self._parked.engine.poll() if self._parked is not None else []
        if any(isinstance(event, Crashed) for event in parked):
            _log.warning("A parked engine died")
            self._drop_parked()
        return events

    def close(self) -> None:
        """End all processes; a second call does nothing."""
        for member in (self._used, self._coming, self._parked):
            if member is not None:
                member.engine.close()
        self._coming = self._parked = self._former = self._asleep = None

    # Loading

    def _make(self) -> EngineProcess:
        return EngineProcess(self._opener, self._log)

    def _load(self, load: Load) -> None:
        self._drop_coming()
        if self._asleep is not None:
            self._former, self._asleep = self._asleep, None
        used, parked = self._used, self._parked
        if used.ready is None or load == used.load:
            # Nothing to lose, or the same once more: somebody wants it afresh.
            if used.load is not None and used.ready is None:
                used.engine.close()  # whatever it is loading is no longer wanted
            used.begin(load)
        elif parked and parked.ready and not parked.engine.silent and parked.holds(load):
            self._used, self._parked = parked, used
            used.engine.send(Stop())
            self._said.append(parked.ready)
        else:
            self._drop_parked()
            if self._fits(load):
                self._coming = _Member(self._make())
                self._coming.begin(load)
            else:
                # Ended and not only unloaded: memory that was freed may stay with a process.
                self._former = used.load
                used.engine.close()
                used.begin(load)
                self._said.append(Displaced())

    def _arrived(self, member: _Member, event: Ready | Refused | Crashed) -> Event:
        """Put the model that has loaded into use, or forget it; return what to say of it."""
        self._coming = None
        if not isinstance(event, Ready):
            member.engine.close()
            return _refusal(event)
        former, self._used = self._used, member
        member.ready = event
        if former.ready is None or former.engine.silent:
            former.engine.close()
        else:
            former.engine.send(Stop())
            self._parked = former
        return event

    def _restart(self) -> None:
        """Put new processes in the place of those that do not answer, at least of the one used."""
        if self.silent != "load":
            self._used.ready = None
            self._used.engine.restart()
        if self._coming is not None and self._coming.engine.silent:
            self._coming.engine.restart()

    def _give_up_load(self) -> None:
        if self._coming is not None:
            self._drop_coming()
        elif self._used.load is not None and self._used.ready is None:
            self._used.engine.close()
            self._used.load = None
            self._go_back()

    def _go_back(self) -> None:
        """Load again what had to make room for a model that then did not come."""
        former, self._former = self._former, None
        if former is not None:
            self._used.begin(former)

    def _unload(self) -> None:
        self._drop_coming()
        self._drop_parked()
        self._asleep = self._used.load
        self._used.engine.close()
        self._used.ready = None

    def _let_go(self, unload: Unload) -> None:
        """End what holds the files of a model; when this returns nobody has them open."""
        if self._parked is not None and unload.concerns(self._parked.load):
            self._drop_parked()
        if self._coming is not None and unload.concerns(self._coming.load):
            self._drop_coming()
        if unload.concerns(self._former):
            self._former = None
        if unload.concerns(self._asleep):
            self._asleep = None
        if unload.concerns(self._used.load):
            self._used.engine.close()
            self._used.load = self._used.ready = None
            self._go_back()

    def _pass_on(self, commands: list[Command]) -> None:
        asleep, self._asleep = self._asleep, None
        if asleep is not None and any(isinstance(command, Start) for command in commands):
            commands = [asleep, *commands]
        else:
            self._asleep = asleep
        if commands:
            self._used.engine.send(*commands)

    def _drop_coming(self) -> None:
        if self._coming is not None:
            self._coming.engine.close()
        self._coming = None

    def _drop_parked(self) -> None:
        if self._parked is not None:
            self._parked.engine.close()
        self._parked = None
