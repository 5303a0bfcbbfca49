"""The engine's side of the process boundary: commands in, events out, one step after the other.

A reader thread takes every message off the pipe at once, so that whoever sends never waits, and
notices when the pipe closes: then the window is gone, and the process ends on the spot, whatever it
was computing. Everything else happens in one loop in the main thread. Between two steps it carries
out the commands that have come; what the steps yield is gathered and sent at most 60 times a
second.

A second thread tells the window that all is well (:mod:`explorer.jobs.heartbeat`).

Errors that can be explained are answered with their sentence. Anything else ends the process: it is
logged, its sentence is the last message, and the other side starts a new process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING

import numpy as np
import tokenizers

from explorer.core.errors import ExplorerError, ModelError
from explorer.engine import memory_estimate
from explorer.engine.lanes import Lanes
from explorer.engine.messages import (
    Command,
    Crashed,
    Drop,
    Event,
    Key,
    Load,
    Quit,
    Ready,
    Refused,
    Start,
    Steps,
    Stop,
)
from explorer.engine.text.tokens import Tokens
from explorer.jobs.child_process import heed_requests
from explorer.jobs.heartbeat import LOAD_SECONDS, STEP_SECONDS, Pulse, beat
from explorer.system.version import version

if TYPE_CHECKING:
    from explorer.engine.session import Session

Opener = Callable[[Load], "tuple[Session, Tokens]"]
"""Opens a model; given by name to the process, so that tests can give another."""

MESSAGES_PER_SECOND = 60

LOG_BYTES = 1_000_000

_log = logging.getLogger(__name__)


def open_model(load: Load) -> tuple[Session, Tokens]:
    """Open a build of a model folder; raise what :class:`Session` and :class:`Tokens` raise."""
    # Here and not above: the window's process imports this file and must not pay for onnxruntime.
    from explorer.engine.session import Session

    session = Session(load.folder, load.build, load.device, load.threads)
    return session, Tokens.of_model(load.folder, session.manifest)


def main(commands: Connection, events: Connection, opener: Opener, log: Path | None) -> None:
    """Serve until ``Quit``, or until the other end of ``commands`` closes."""
    heed_requests()
    _start_log(log)
    inbox = Inbox()
    Thread(target=_receive, args=(commands, inbox), name="commands", daemon=True).start()
    sending, pulse = Lock(), Pulse()

    def send(message: list[Event]) -> None:
        with sending:
            events.send(message)

    outbox = Outbox(send)
    try:
        if opener is open_model:
            # While the window is still being made, so that the first model need not wait for it.
            from explorer.engine import session  # noqa: F401
        Thread(target=beat, args=(lambda: send([]), pulse), name="beats", daemon=True).start()
        _serve(inbox, outbox, Engine(opener, inbox.coming), pulse)
    except BrokenPipeError:
        os._exit(0)  # nobody is left to tell
    except Exception as error:
        _log.exception("The engine cannot go on")
        outbox.add([Crashed(_sentence(error), restarting=False)])
        outbox.flush()
        logging.shutdown()
        os._exit(1)


def _serve(inbox: Inbox, outbox: Outbox, engine: Engine, pulse: Pulse) -> None:
    while True:
        # Busy: only look. Idle: wait for a command, or until what is left may be sent.
        pulse.rest()
        commands = inbox.take(0.0 if engine.running else outbox.pause())
        pulse.begin(STEP_SECONDS)
        for command in commands:
            if isinstance(command, Quit):
                outbox.flush()
                return
            if isinstance(command, Load):
                # Opening may take long: what was dropped for it is said before.
                outbox.add(engine.unload())
                outbox.flush()
                pulse.begin(LOAD_SECONDS)
            outbox.add(engine.carry_out(command))
        if outbox.pause() == 0.0:
            outbox.flush()
        pulse.begin(STEP_SECONDS)
        outbox.add(engine.step())


class Engine:
    """One model at a time, and its lanes."""

    def __init__(self, opener: Opener, coming: Callable[[], Sequence[Command]]) -> None:
        """``coming`` returns the commands that have come and are not carried out yet."""
        self._opener = opener
        self._coming = coming
        self._session: Session | None = None
        self._lanes: Lanes | None = None

    @property
    def running(self) -> bool:
        """Whether the next step has something to do."""
        return self._lanes is not None and self._lanes.running > 0

    def step(self) -> list[Event]:
        """Run one step and return what happened since the last one."""
        return [] if self._lanes is None else self._lanes.step()

    def unload(self) -> list[Event]:
        """Drop all candidates and free the model."""
        if self._lanes is None or self._session is None:
            return []
        self._lanes.drop()
        events = self._lanes.step()
        self._session.close()
        self._lanes = self._session = None
        return events

    def carry_out(self, command: Command) -> list[Event]:
        """Carry out a command; return the answer where there is one at once."""
        match command:
            case Load():
                return [self._load(command)]
            case Start():
                return self._start(command)
            case Drop() if self._lanes is not None:
                self._lanes.drop(command.key)
            case Stop() if self._lanes is not None:
                self._lanes.stop(command.key)
        return []

    def _load(self, load: Load) -> Event:
        try:
            session, tokens = self._opener(load)
        except ExplorerError as error:
            return _refused(None, error)
        except Exception as error:
            _log.exception("A model could not be loaded")
            return Refused(None, f"The model could not be loaded: {_sentence(error)}")
        self._session = session
        self._lanes = Lanes(session, tokens, coming=self._coming)
        versions = {
            "sample-explorer": version(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tokenizers": tokenizers.__version__,
            **session.versions,
        }
        return Ready(
            load.folder, load.build, session.device, session.device_name, session.reason, versions
        )

    def _start(self, start: Start) -> list[Event]:
        if self._lanes is None:
            return [Refused(start.key, "No model is loaded; choose one first.")]
        try:
            self._lanes.start(start)
        except ExplorerError as error:
            return [_refused(start.key, error)]
        return []


class Outbox:
    """Events on their way out: gathered, steps joined, sent at most 60 times a second."""

    def __init__(
        self,
        send: Callable[[list[Event]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``send`` takes one message; ``clock`` gives seconds."""
        self._send = send
        self._clock = clock
        self._events: list[Event] = []
        self._next = 0.0

    def add(self, events: Sequence[Event]) -> None:
        """Take events to be sent."""
        self._events += events

    def pause(self) -> float | None:
        """Return the seconds until the next message may go; None where there is none to send."""
        return max(self._next - self._clock(), 0.0) if self._events else None

    def flush(self) -> None:
        """Send what there is, now."""
        if self._events:
            message, self._events = joined(self._events), []
            self._next = self._clock() + 1 / MESSAGES_PER_SECOND
            self._send(message)


def joined(events: Sequence[Event]) -> list[Event]:
    """Return ``events`` with every run of neighbouring :class:`Steps` as one; the order stays."""
    result: list[Event] = []
    for is_steps, run in itertools.groupby(events, lambda event: isinstance(event, Steps)):
        if is_steps:
            result.append(Steps.join([event for event in run if isinstance(event, Steps)]))
        else:
            result += run
    return result


class Inbox:
    """Commands that have come: one thread puts them, another takes all of them at once."""

    def __init__(self) -> None:
        """Begin empty."""
        self._commands: list[Command] = []
        self._changed = Condition()

    def put(self, commands: Sequence[Command]) -> None:
        """Add what one message holds."""
        with self._changed:
            self._commands += commands
            self._changed.notify()

    def take(self, wait: float | None) -> list[Command]:
        """Return all that has come, after waiting at most so many seconds (None: ever) for some."""
        with self._changed:
            self._changed.wait_for(lambda: self._commands, wait)
            taken, self._commands = self._commands, []
        return taken

    def coming(self) -> tuple[Command, ...]:
        """Return what nobody has taken yet, and leave it there."""
        with self._changed:
            return tuple(self._commands)


def _receive(commands: Connection, inbox: Inbox) -> None:
    try:
        while True:
            inbox.put(commands.recv())
    except (EOFError, OSError):
        os._exit(0)
    finally:  # a message that cannot be read: better no engine than a deaf one
        os._exit(1)


def _refused(key: Key | None, error: ExplorerError) -> Refused:
    short, damaged = memory_estimate.is_shortage(str(error)), isinstance(error, ModelError)
    return Refused(key, str(error), shortage=short, damaged=damaged and not short)


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, ExplorerError) else f"{type(error).__name__}: {error}"


def keep_small(log: Path) -> None:
    """Put a log that has grown large aside, in the place of the one before."""
    # At the start only: two engines may write to it, and on Windows neither can then move it.
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))


def _start_log(path: Path | None) -> None:
    """Log warnings, and the stack of a crash in native code, to ``path`` or to stderr."""
    shape = "%(asctime)s engine %(levelname)s %(message)s"
    if path is None:
        logging.basicConfig(level=logging.WARNING, format=shape)
        if sys.stderr is not None:  # a windowed program may have none
            faulthandler.enable()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    keep_small(path)
    logging.basicConfig(filename=path, level=logging.WARNING, format=shape, encoding="utf-8")
    faulthandler.enable(path.open("a", encoding="utf-8"))
