"""The engine in a process of its own, as the window sees it: send commands, poll events.

A driver that crashes or a machine without memory must not take the window along, and drawing must
not slow the tokens, so the engine (:mod:`.engine_main`) runs in a spawned process. Nothing
here waits for it: one thread writes what was sent, one reads what comes, and :meth:`poll` only
looks. A process that does not answer is noticed by its missing heartbeat (:attr:`silent`); what
becomes of it is for others to decide. When the process dies, :meth:`poll` says so once, starts
another and loads the same model there. Candidates that were streaming are lost; who counts them
concludes that. Where memory was the likely cause, the sentence has the numbers; a model that died
while it was loaded is not tried again by itself.
"""

from __future__ import annotations

import multiprocessing
import pickle
import queue
import signal
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from explorer.core.errors import ExplorerError
from explorer.core.manifest import Manifest
from explorer.engine import memory_estimate
from explorer.engine.messages import (
    Command,
    Crashed,
    Ended,
    Event,
    Key,
    Load,
    Quit,
    Ready,
    Refused,
    Start,
)
from explorer.engine.process import engine_main
from explorer.jobs.child_process import END_SECONDS, end, sheltered
from explorer.jobs.heartbeat import Listener

CRASHES = 3
CRASH_SECONDS = 60.0
"""After so many crashes within so many seconds no new process is started by itself."""

STARTS_AGAIN, STARTED_AGAIN = "it is being started again", "it was started again"
"""How the sentence of a :class:`Crashed` ends, and how it should once the model is there again."""


class EngineProcess:
    """An engine that cannot take its owner down; it starts with the object.

    All methods belong to one thread and return at once. While the engine is idle, poll it now and
    then all the same (once a second will do): that is how a dead process is noticed.
    """

    def __init__(
        self,
        opener: engine_main.Opener = engine_main.open_model,
        log: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``opener`` must be importable by name; ``log`` is the file of the engine's own log."""
        self._opener = opener
        self._log = log
        self._clock = clock
        self._load: Load | None = None
        self._loading = 0
        self._streaming: set[Key] = set()
        self._said: list[Event] = []  # by this side; for the next poll
        self._last_words = ""
        self._quitting = False
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._worker: _Worker | None = None
        self._begin()

    @property
    def pid(self) -> int | None:
        """Process id of the engine; None where none runs."""
        return None if self._worker is None else self._worker.pid

    @property
    def silent(self) -> bool:
        """Whether a process runs that has not answered for some seconds, as the last poll found."""
        return self._worker is not None and self._worker.silent

    @property
    def busy(self) -> bool:
        """Whether events are to come: a model loads or a candidate streams."""
        return bool(self._loading or self._streaming or self._said)

    def send(self, *commands: Command) -> None:
        """Send commands as one message: all of them are carried out between the same two steps."""
        loads = [command for command in commands if isinstance(command, Load)]
        if self._worker is None and loads:  # given up before; a person tries again
            self._crashes.clear()
            self._quitting = False
            self._begin()
        if self._worker is None:
            sentence = "The engine is not running; choose a model to start it again."
            starts = [command for command in commands if isinstance(command, Start)]
            self._said += [Refused(start.key, sentence) for start in starts]
            return
        self._loading += len(loads)
        self._load = loads[-1] if loads else self._load
        self._quitting |= any(isinstance(command, Quit) for command in commands)
        self._streaming.update([start.key for start in commands if isinstance(start, Start)])
        self._worker.send(commands)

    def poll(self, timeout: float = 0.0) -> list[Event]:
        """Return what has happened since the last call; wait for it at most ``timeout`` seconds."""
        events, self._said = self._said, []
        if self._worker is None:
            return events
        for message in self._worker.received(0.0 if events else timeout):
            if message is None and self._quitting:
                self.close()
                break
            if message is None:
                events += self._crashed(self._worker)
                break
            for event in message:
                if isinstance(event, Crashed):
                    self._last_words = event.message
                else:
                    self._note(event)
                    events.append(event)
        if self._worker is not None:
            self._worker.silent = self._worker.listener.look()
        return events

    def restart(self) -> None:
        """End the process, whatever it does, and load its model in a new one."""
        self.close()
        self._last_words, self._quitting = "", False
        self._begin_again()

    def close(self) -> None:
        """End the process; a second call does nothing."""
        if self._worker is not None:
            self._worker.close()
        self._worker = None
        self._loading = 0
        self._streaming.clear()

    def _begin(self) -> None:
        """Start a process, or say why none can be."""
        self._worker = None
        try:
            self._worker = _Worker(self._opener, self._log, self._clock)
        except OSError as error:  # no memory, or as many processes or open files as are allowed
            why = error.strerror or str(error)
            sentence = f"The engine could not be started ({why}); close other programs, then choose"
            self._said.append(Crashed(f"{sentence} a model.", restarting=False))

    def _begin_again(self) -> bool:
        """Start a process, and load the model again; return whether one could be started."""
        self._begin()
        if self._worker is None:
            return False
        if self._load is not None:
            self._loading = 1
            self._worker.send((self._load,))
        return True

    def _note(self, event: Event) -> None:
        match event:
            case Ready():
                self._loading -= 1
            case Refused(key=None):
                self._loading -= 1
                self._load = None  # a new process would refuse it too
            case Ended(key=key) | Refused(key=key):
                self._streaming.discard(key)
            case _:
                pass

    def _crashed(self, dead: _Worker) -> list[Event]:
        ending = dead.how_it_ended()
        reason, killed = self._last_words or ending, not self._last_words and "SIGKILL" in ending
        load, loading, lanes = self._load, self._loading > 0, len(self._streaming)
        dead.close()
        self._worker = None
        missing = _shortage(load, reason, killed, lanes) if load is not None else ""
        self._last_words, self._loading = "", 0
        self._streaming.clear()
        if missing and loading:
            # It would only die again, and take other programs' memory once more.
            self._load = None
            self._begin()
            sentence = f"The model could not be loaded: {missing}."
            return [Refused(None, sentence, shortage=True)]
        now = self._clock()
        self._crashes.append(now)
        if len(self._crashes) == CRASHES and now - self._crashes[0] < CRASH_SECONDS:
            self._worker = None
            sentence = (
                f"The engine stopped {CRASHES} times within a minute ({missing or reason}); choose"
                " another model, precision or device."
            )
            return [Crashed(sentence, restarting=False, shortage=bool(missing))]
        if not self._begin_again():
            said, self._said = self._said, []
            return said
        why = f"ran out of memory: {missing}" if missing else f"stopped ({reason.rstrip('.')})"
        sentence = f"The engine {why}; {STARTS_AGAIN}."
        return [Crashed(sentence, restarting=True, shortage=bool(missing))]


def _shortage(load: Load, reason: str, killed: bool, lanes: int) -> str:
    """Return what was missing, if memory was the likely cause; else an empty text.

    ``killed`` means that the system, or a person, ended the process without a word.
    """
    try:
        manifest = Manifest.read(load.folder)
        free = memory_estimate.free_memory(memory_estimate.home(load.build, load.device))
        needed = memory_estimate.estimate(manifest, load.build, max(lanes, 1))
        if "is not enough memory: " in reason:  # the session's own sentence
            return reason.partition("is not enough memory: ")[2].rstrip(".")
        if memory_estimate.is_shortage(reason) or (
            killed and memory_estimate.fit(needed, free) != "fits"
        ):
            return memory_estimate.shortage(manifest, load.build, max(lanes, 1), free)
    except (ExplorerError, OSError):
        pass  # a test's engine, or a folder that went away meanwhile: then only what is known
    return reason.rstrip(".") if memory_estimate.is_shortage(reason) else ""


class _Worker:
    """One process, the pipes to it, and the two threads that serve them."""

    def __init__(
        self, opener: engine_main.Opener, log: Path | None, clock: Callable[[], float]
    ) -> None:
        self.listener, self.silent = Listener(clock), False
        context = multiprocessing.get_context("spawn")  # a fork would copy the window's threads
        commands, self._outgoing = context.Pipe(duplex=False)
        self._incoming, events = context.Pipe(duplex=False)
        self._process = context.Process(
            target=engine_main.main,
            args=(commands, events, opener, log),
            name="engine",
            daemon=True,
        )
        with sheltered():
            self._process.start()
        # The child has them now. Ours must close, or its death would not end the pipe.
        commands.close()
        events.close()
        self.pid = self._process.pid
        self._unsent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._received: queue.SimpleQueue[list[Event] | None] = queue.SimpleQueue()
        self._threads = [
            Thread(target=_write, args=(self._outgoing, self._unsent), daemon=True),
            Thread(
                target=_read,
                args=(self._incoming, self._received, self.listener.hear),
                daemon=True,
            ),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, commands: tuple[Command, ...]) -> None:
        self._unsent.put(pickle.dumps(commands))

    def received(self, timeout: float) -> list[list[Event] | None]:
        """Return the messages that have come; the last is None where the process has ended."""
        messages: list[list[Event] | None] = []
        try:
            if timeout > 0:
                messages.append(self._received.get(timeout=timeout))
            while True:
                messages.append(self._received.get_nowait())
        except queue.Empty:
            return messages

    def how_it_ended(self) -> str:
        self._process.join(END_SECONDS)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"ended by {signal.Signals(-code).name}"
        return f"exit code {code}"

    def close(self) -> None:
        """End the process at once, whatever it is doing: it holds nothing that could be lost."""
        gone = end(self._process)
        self._unsent.put(None)
        if not gone:  # its ends of the pipes are open, and our threads may be waiting in them
            return
        for thread in self._threads:  # both pipes have closed
            thread.join()
        self._outgoing.close()
        self._incoming.close()


def _write(pipe: Connection, unsent: queue.SimpleQueue[bytes | None]) -> None:
    try:
        while (message := unsent.get()) is not None:
            pipe.send_bytes(message)
    except OSError:
        pass  # the process is gone; the reading thread says so


def _read(
    pipe: Connection,
    received: queue.SimpleQueue[list[Event] | None],
    hear: Callable[[], None],
) -> None:
    try:
        while True:
            if message := pipe.recv():  # a beat is a message without events
                received.put(message)
            hear()
    except (EOFError, OSError):
        pass
    finally:  # also where a message cannot be read: a dead process left half of it
        received.put(None)
