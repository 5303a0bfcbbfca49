"""What is left when the process dies without a Python error: a report, on this machine only.

A driver or a library can end the whole program. Python's faulthandler then writes which lines were
running, and no text of a person, into a file beside the log; the next start finds it and says so.
"""

from __future__ import annotations

import contextlib
import faulthandler
from collections.abc import Iterator
from pathlib import Path

REPORT, EARLIER = "crash.log", "crash-earlier.log"


@contextlib.contextmanager
def watched(logs: Path) -> Iterator[str]:
    """While this lasts, a crash leaves its report in ``logs``.

    Gives a sentence about the crash that ended the last run; empty where there was none. Where the
    folder cannot be written, nothing is watched.
    """
    report, earlier = logs / REPORT, logs / EARLIER
    said = ""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            logs.mkdir(parents=True, exist_ok=True)
            if report.exists() and report.stat().st_size:
                report.replace(earlier)
                said = (
                    f"The program ended unexpectedly the last time. {earlier} says where; it stays"
                    " on this machine unless you send it to somebody."
                )
            file = stack.enter_context(report.open("a", encoding="utf-8"))
            faulthandler.enable(file)
            stack.callback(faulthandler.disable)
        yield said
