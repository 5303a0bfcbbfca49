"""Large pages for the weights in memory, so that fewer addresses must be translated to read them.

A step reads every weight once. In pages of 4 kB those are 30,000 addresses for a model of 124 MB,
in pages of 2 MB sixty. Linux gives the large ones only to memory that asks, and onnxruntime does
not.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HUGE_PAGE = 1 << 21
"""Bytes of a large page on x86-64 and on arm64 with small pages of 4 kB."""

_COLLAPSE = 25
"""MADV_COLLAPSE of <linux/mman.h>: copy to large pages now. Linux 6.1 is the first to know it."""
_FILLED = 0.9
"""Share of a mapping that must be in memory: what was never touched would be made real."""

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) .w.p \S+ \S+ 0 *(?:\[heap\])?\n")

Advise = Callable[[int, int], object]
"""Is given the address and the bytes of a range."""


def gather(proc: Path = Path("/proc/self/smaps"), advise: Advise | None = None) -> None:
    """Move the memory of this process into large pages where the system can; else do nothing.

    What is moved was nearly all filled already, so the process hardly grows.
    """
    if advise is None:
        if not sys.platform.startswith("linux") or _forbidden():
            return
        advise = _advise
    try:
        with proc.open() as lines:
            for start, stop in _ranges(lines):
                advise(start, stop - start)
    except OSError:
        return  # a system without /proc


def _ranges(lines: Iterator[str]) -> Iterator[tuple[int, int]]:
    """Yield [start, stop) of whole large pages in filled mappings of our own memory."""
    start = stop = 0
    for line in lines:
        if found := _MAPPING.fullmatch(line):
            start, stop = (int(found[at], 16) for at in (1, 2))
        elif not line[0].isupper():
            start = stop = 0  # a file, shared or only for reading
        elif line.startswith("Rss:") and stop > start:
            filled = int(line.split()[1]) << 10
            inner = -(-start // HUGE_PAGE) * HUGE_PAGE, stop // HUGE_PAGE * HUGE_PAGE
            if filled >= _FILLED * (stop - start) and inner[1] > inner[0]:
                yield inner


def _forbidden() -> bool:
    """Whether somebody switched large pages off for this machine."""
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    try:
        return "[never]" in setting.read_text()
    except OSError:
        return True


def _advise(start: int, size: int) -> None:
    # What it answers does not matter: a page that cannot be moved stays where it is.
    ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _COLLAPSE)
