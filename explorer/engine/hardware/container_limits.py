"""What Linux grants this process and those beside it: the control groups of a container."""

from __future__ import annotations

from pathlib import Path


def folders(engine_loop: str, root: Path = Path("/")) -> list[Path]:
    """Return the folders of the groups around this process for ``memory``, ``cpu``, ...

    Innermost first; both of version 2, which has one tree, and of version 1, which has one each.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and engine_loop not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / (engine_loop if controllers else "")
        inner = base / path.lstrip("/")
        found += [each for each in (inner, *inner.parents) if each == base or base in each.parents]
    return found


def number(path: Path) -> int | None:
    """Return the number that a file holds; None where it holds another word, or is missing."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def processors(root: Path = Path("/")) -> float | None:
    """Return how many processors' time the groups grant together; None where there is no limit."""
    granted = []
    for folder in folders("cpu", root):
        try:
            quota, period = map(int, (folder / "cpu.max").read_text().split())
        except (OSError, ValueError):  # "max" is no limit
            quota = number(folder / "cpu.cfs_quota_us") or 0
            period = number(folder / "cpu.cfs_period_us") or 0
        if quota > 0 and period > 0:  # version 1 says -1 for no limit
            granted.append(quota / period)
    return min(granted, default=None)
