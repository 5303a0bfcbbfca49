"""Long work in a child process: progress comes out, and it can be stopped at once.

A conversion holds hundreds of megabytes and both hands of the processor; in a process of its own it
neither slows the window nor takes it along when memory runs out. What such work leaves half-done
when it is killed, it must be able to clear away the next time (``weights.store`` does). The child
is spawned, never forked, and ends when its parent does.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Concatenate, ParamSpec

from explorer.core.errors import ExplorerError
from explorer.jobs.child_process import END_SECONDS, end, heed_requests, sheltered
from explorer.jobs.heartbeat import Listener, Pulse, beat

P = ParamSpec("P")
Report = Callable[[float, str], None]
"""Takes the fraction that is done, 0 to 1, and a few words about what is going on."""

_REPORT_SECONDS = 1 / 30


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is."""

    fraction: float
    """0 to 1."""
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The work is finished."""

    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The work could not be finished."""

    message: str
    """A sentence for a person."""
    details: str = ""
    """The traceback where it was a bug, for the log."""


Event = Progress | Done | Failed


class Job:
    """Work running in a child process; made by :meth:`start`."""

    def __init__(self, process: Any, events: Connection, lifeline: Connection) -> None:
        """Take over a started child and the ends of its two pipes."""
        self._process = process
        self._events = events
        # Never written to: the child ends when this end closes, by us or by our death.
        self._lifeline = lifeline
        self._running = True
        self._listener = Listener(time.monotonic)
        self.silent = False
        """Whether the child has not answered for some seconds, as the last poll found."""

    @classmethod
    def start(
        cls, work: Callable[Concatenate[Report, P], Any], *args: P.args, **kwargs: P.kwargs
    ) -> Job:
        """Call ``work(report, *args)`` in a new process.

        ``work`` must be importable by name, arguments and result must be picklable. An
        :class:`ExplorerError` that it raises becomes :class:`Failed` with its sentence.
        """
        context = multiprocessing.get_context("spawn")
        events, child_events = context.Pipe(duplex=False)
        child_lifeline, lifeline = context.Pipe(duplex=False)
        process = context.Process(
            target=_run,
            args=(child_events, child_lifeline, work, args, kwargs),
            name="sample-explorer job",
            daemon=True,
        )
        with sheltered():
            process.start()
        child_events.close()
        child_lifeline.close()
        return cls(process, events, lifeline)

    @property
    def running(self) -> bool:
        """Whether neither :class:`Done` nor :class:`Failed` was polled and nobody cancelled."""
        return self._running

    @property
    def pid(self) -> int:
        """Process number of the child."""
        return int(self._process.pid)

    def poll(self) -> list[Event]:
        """Return what happened since the last call, oldest first, without waiting."""
        events: list[Event] = []
        while self._running and self._events.poll():
            try:
                event = self._events.recv()
            except (EOFError, OSError):
                event = self._lost()
            self._listener.hear()
            if event is None:
                continue  # a beat
            events.append(event)
            if not isinstance(event, Progress):
                self._end()
        self.silent = self._running and self._listener.look()
        return events

    def cancel(self) -> None:
        """Kill the child now and wait until it is gone; nothing is polled after that."""
        if self._running:
            self._process.kill()
            self._end()

    def _lost(self) -> Failed:
        self._process.join(END_SECONDS)
        return Failed(
            f"The work ended unexpectedly (exit code {self._process.exitcode}); "
            "there may have been too little memory, so close other programs and try again."
        )

    def _end(self) -> None:
        self._running = False
        self._lifeline.close()
        self._process.join(END_SECONDS)
        end(self._process)
        self._events.close()


def _run(
    events: Connection,
    lifeline: Connection,
    work: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Be the child."""
    heed_requests()
    sending = threading.Lock()

    def send(event: Event | None) -> None:
        with sending:
            events.send(event)

    threading.Thread(target=beat, args=(lambda: send(None), Pulse()), daemon=True).start()
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    try:
        outcome: Event = Done(work(_reporter(send), *args, **kwargs))
    except ExplorerError as error:
        outcome = Failed(str(error))
    except Exception as error:
        outcome = _bug(error)
    try:
        send(outcome)
    except BrokenPipeError:
        pass  # the parent does not want to know
    except Exception as error:  # a result that cannot be pickled
        send(_bug(error))


def _bug(error: Exception) -> Failed:
    name = type(error).__name__
    if isinstance(error, MemoryError):
        return Failed("There was too little memory; close other programs and try again.", name)
    return Failed(
        f"The work failed because of an error in the program ({name}: {error}).",
        traceback.format_exc(),
    )


def _end_with_parent(lifeline: Connection) -> None:
    try:
        lifeline.recv()
    except (EOFError, OSError):
        # Not sys.exit: the work must not go on to its own cleaning up for minutes.
        os._exit(1)


def _reporter(send: Callable[[Event], None]) -> Report:
    """Return a progress function that sends at most thirty messages a second."""
    sent, said = 0.0, ""

    def report(fraction: float, text: str) -> None:
        nonlocal sent, said
        now = time.monotonic()
        if text != said or now - sent >= _REPORT_SECONDS:
            sent, said = now, text
            send(Progress(min(max(float(fraction), 0.0), 1.0), text))

    return report
