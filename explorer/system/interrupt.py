"""Ctrl+C: while the program is still being loaded it ends at once; later it is an exception.

Loading takes some tenths of a second, and an interruption in the middle of an import is a
traceback, or worse a message of whatever was being imported. There is nothing to lose or to close
yet, so the process then just ends, with the exit code that a shell gives to an interruption. The
window and long commands take over themselves what a signal means (:func:`code_after` their end).
"""

import os

try:
    import signal
except KeyboardInterrupt:  # even this takes its time
    os._exit(130)

INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl+C."""


def ending_signals() -> list[signal.Signals]:
    """Return the signals that ask the program to end here, without those that it is to ignore.

    Ctrl+C, a polite request (``kill``, the end of a session), a terminal that was closed.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last one is Windows'
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def code_after(number: int) -> int:
    """Return the exit code after a signal, as a shell counts."""
    return 128 + number


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
