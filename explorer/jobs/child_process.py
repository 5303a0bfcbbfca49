"""Child processes that never outlive us, and that leave to us what ends the program from outside.

Ctrl+C in a terminal, a terminal that closes and the end of a session reach the children as well as
their parent. The parent has something to put in order first, for which it may need them, and they
end when their pipe to it closes. So a child starts with these signals blocked, from its very first
instruction: none is heard in the middle of an import. A request to end that its parent does not
see to, for it was meant for the child alone, is granted a moment later, even where a driver hangs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing import process, resource_tracker
from pathlib import Path
from threading import Thread

from explorer.system.interrupt import code_after

GRACE_SECONDS = 2.0
"""How long the parent has, after a request to end, to put in order what it needs the child for."""


END_SECONDS = 2.0
"""How long a process that was killed, or has closed its pipes, may take to be gone."""


@contextlib.contextmanager
def sheltered() -> Iterator[None]:
    """Processes that are started meanwhile hear nothing of what ends the program from outside."""
    _stand_somewhere()
    if sys.platform == "win32":
        yield
        return
    # Python's own helper; started later it would unblock the signals in this thread.
    resource_tracker.ensure_running()
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stand_somewhere() -> None:
    """Leave a working folder that was deleted: no process can be started from there."""
    try:
        os.getcwd()
    except OSError:
        os.chdir(Path(sys.executable).anchor or os.sep)


def end(child: process.BaseProcess) -> bool:
    """Kill a process, whatever it is doing; return whether it is gone.

    In a call of a driver that cannot be broken off the system ends it only when that returns. The
    program then does not wait for it, not even at its own end.
    """
    child.kill()
    child.join(END_SECONDS)
    if child.exitcode is None:
        # What Python waits for at its end; there is no public way to leave one out.
        process._children.discard(child)  # type: ignore[attr-defined]  # noqa: SLF001
        return False
    child.close()
    return True


def heed_requests() -> None:
    """In a child: ignore Ctrl+C, and end a moment after any other request to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        # Ignored by now, and no longer blocked, so that none is left pending.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        Thread(target=_end_on_request, name="requests", daemon=True).start()


def _end_on_request() -> None:
    if sys.platform != "win32":
        number = signal.sigwait({signal.SIGTERM, signal.SIGHUP})
        time.sleep(GRACE_SECONDS)
        os._exit(code_after(number))
