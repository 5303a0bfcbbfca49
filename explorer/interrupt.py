"""Ctrl+C: while the program is still being loaded it ends at once; later it is an exception.

Loading takes some tenths of a second, and an interruption in the middle of an import is a
traceback, or worse a message of whatever was being imported. There is nothing to lose or to close
yet, so the process then just ends, with the exit code that a shell gives to an interruption.
"""

from __future__ import annotations

import os

try:
    import signal
except KeyboardInterrupt:  # even this takes its time
    os._exit(130)

INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl+C."""


def end_at_once() -> None:
    """From now on Ctrl+C ends the process, silently; where it is ignored (nohup), it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """From now on Ctrl+C is a :class:`KeyboardInterrupt`, for work that has to be put in order."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: object) -> None:
    os._exit(INTERRUPTED)
