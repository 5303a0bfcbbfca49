"""The heartbeat of a child process: that it runs, and that its work gets on.

Once a second a thread of the child sends a beat. A process that is stopped sends none. One whose
main thread hangs in a driver would still beat, so the thread looks what the main thread is about
(:class:`Pulse`): waiting for commands, it beats; in the middle of something, it beats as long as
that has not taken longer than it may. What has taken some seconds already, a long piece of a prompt
or a large model that loads, must show that the process works: processor time, or pages and blocks
that are read. A call that never returns and does nothing is noticed that way within seconds, one
that turns in circles when the time is over that the thing may take on the slowest machine.

The parent's side counts how long it has heard nothing (:class:`Listener`). The processes of long
work (:mod:`explorer.jobs.job`) only say that they run: they may wait for a slow server, and know
themselves how long.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

BEAT_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""Without a beat for so long, an engine does not answer."""
START_SECONDS = 30.0
"""The same before the first beat, while the process loads its libraries from a slow disk."""

IDLE_SECONDS = 3.0
"""What takes longer than this must show work."""
WORK_SHARE = 0.01
"""Processor time for each second of it, at least; work that waits for a busy machine is slow."""
STEP_SECONDS = 120.0
"""A step of all lanes and a piece of a prompt, of the largest model on the slowest machine."""
LOAD_SECONDS = 1200.0
"""The opening of the largest model from a slow disk."""


def work_done() -> float:
    """Return how much this process has worked: seconds of processor, what was read counted too."""
    done = time.process_time()
    with contextlib.suppress(ImportError):  # Windows
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        done += WORK_SHARE * (used.ru_majflt + used.ru_inblock)
    return done


class Pulse:
    """What the main thread of the child is about, and whether it gets on."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = work_done,
    ) -> None:
        """Begin at rest; ``clock`` gives seconds and ``work`` what :func:`work_done` does."""
        self._clock, self._work = clock, work
        self._act: tuple[float, float] | None = None  # (since when, until when at most)
        self._looked, self._seen = clock(), work()
        self._worked = self._looked

    def begin(self, seconds: float) -> None:
        """Note that the main thread begins something that may take so long."""
        now = self._clock()
        self._act = (now, now + seconds)

    def rest(self) -> None:
        """Note that it waits until there is something to do."""
        self._act = None

    def beats(self) -> bool:
        """Say whether all is well; asked once in :data:`BEAT_SECONDS`."""
        now, work, act = self._clock(), self._work(), self._act
        if work - self._seen >= WORK_SHARE * (now - self._looked):
            self._worked = now
        self._looked, self._seen = now, work
        if act is None:
            return True
        since, until = act
        return now <= until and now - max(since, self._worked) < IDLE_SECONDS


def beat(send: Callable[[], None], pulse: Pulse) -> None:
    """Send beats while all is well, until nobody takes them; for a thread of its own."""
    with contextlib.suppress(OSError):
        while True:
            if pulse.beats():
                send()
            time.sleep(BEAT_SECONDS)


class Listener:
    """How long nothing has come from a process, as whoever looks for it now and then counts it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin to listen to a process that is just starting; ``clock`` gives seconds."""
        self._clock = clock
        self._looked = clock()
        self._quiet = 0.0
        self._heard = False  # since the last look
        self._limit = START_SECONDS

    def hear(self) -> None:
        """Note that something came; from any thread."""
        self._heard = True

    def look(self) -> bool:
        """Say whether the process has been silent for too long."""
        now = self._clock()
        if self._heard:
            self._heard, self._quiet, self._limit = False, 0.0, SILENT_SECONDS
        else:
            # Whoever was stopped himself, or slept with the machine, has not listened meanwhile.
            self._quiet += min(now - self._looked, BEAT_SECONDS)
        self._looked = now
        return self._quiet >= self._limit
