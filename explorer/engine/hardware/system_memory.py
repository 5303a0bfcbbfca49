"""How much memory this machine has and can give, asked of the system itself."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from explorer.engine.hardware import container_limits


def free() -> int | None:
    """Return the bytes that a new process can have; None where it cannot be found out.

    That is what the system can give without swapping, or what is left to this process's container
    where that is less.
    """
    system = platform.system()
    if system == "Windows":
        return _free_on_windows()
    if system == "Darwin":
        return _free_on_macos()
    return free_on_linux()


def left_to_this_process() -> int | None:
    """Return the bytes that this very process can still have: :func:`free`, or less by its limit.

    The limit (``ulimit -v``) is one of address space. Only on Linux it is known how much is taken.
    """
    left = free()
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):  # Windows has no such module, macOS no such file
        return left
    if limit == resource.RLIM_INFINITY:
        return left
    return min(max(limit - taken, 0), limit if left is None else left)


def total() -> int | None:
    """Return the bytes of memory that this machine has; None where it does not say."""
    system = platform.system()
    if system == "Windows":
        return _windows_status(1)
    if system == "Darwin":
        return _sysctl(b"hw.memsize", ctypes.c_uint64)
    return _field(Path("/proc/meminfo"), "MemTotal")


def free_on_linux(root: Path = Path("/")) -> int | None:
    """Return MemAvailable, or less where a control group of this process allows less."""
    found = _field(root / "proc/meminfo", "MemAvailable")
    left = [found] if found is not None else []
    for folder in container_limits.folders("memory", root):
        # cgroup 2, then 1.
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            most, now = (
                container_limits.number(folder / limit),
                container_limits.number(folder / used),
            )
            if most is not None and now is not None:
                # File pages that the group could drop count as used; they are free to us.
                left.append(max(most - now + _droppable(folder / "memory.stat"), 0))
    return min(left, default=None)


def _field(path: Path, name: str) -> int | None:
    """Return a field of /proc/meminfo in bytes."""
    try:
        for line in path.read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _droppable(path: Path) -> int:
    try:
        fields = dict(line.split() for line in path.read_text().splitlines())
        return int(fields.get("inactive_file", fields.get("total_inactive_file", 0)))
    except (OSError, ValueError):
        return 0


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of kernel32."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        *(
            (name, ctypes.c_uint64)
            for name in (
                "total",
                "available",
                "total_page_file",
                "available_page_file",
                "total_virtual",
                "available_virtual",
                "available_extended",
            )
        ),
    )


def _windows_status(
    field: int, call: Callable[[Any], int] | None = None
) -> int | None:  # pragma: no cover
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    call = call or ctypes.WinDLL("kernel32").GlobalMemoryStatusEx  # type: ignore[attr-defined]
    if not call(ctypes.byref(status)):
        return None
    return int(status.total if field == 1 else status.available)


def _free_on_windows() -> int | None:
    return _windows_status(2)


def _sysctl(name: bytes, kind: Any) -> int | None:
    """Return a number that macOS keeps under ``name``."""
    try:
        library = ctypes.CDLL("libc.dylib")
    except OSError:
        return None
    value = kind(0)
    size = ctypes.c_size_t(ctypes.sizeof(value))
    failed = library.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, 0)
    return None if failed else int(value.value)


def _free_on_macos() -> int | None:
    """Return free and purgeable pages, and file pages, which macOS drops when it needs memory."""
    page = _sysctl(b"hw.pagesize", ctypes.c_uint64)
    counts = [
        _sysctl(name, ctypes.c_uint32)
        for name in (b"vm.page_free_count", b"vm.page_pageable_external_count")
    ]
    if page is None or counts[0] is None:
        return None
    return page * sum(count for count in counts if count is not None)
