"""Measure conversions: seconds, processor seconds, memory and bytes. The tables of the docs.

    python -m tests.benchmarks.conversion SHAPES [--only 124M] [--builds cpu-int8] [--before TREE]

``SHAPES`` holds the folders that ``tests.benchmarks.shapes`` writes. Every conversion runs in a
process of its own, on a disk that has nothing left to write, with the source dropped from the page
cache before it. Memory is the process's peak (VmHWM) minus what it held with numpy, onnx and the
conversion imported. ``--before`` names another tree of this program, whose conversions take turns
with ours; the files that both write must be the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from explorer.core.manifest import BUILD_NAMES
from tests.benchmarks.shapes import SHAPES

_CHILD = """
import json, resource, sys, time
from pathlib import Path
import numpy, onnx
from explorer.weights.builds import convert
def memory(entry):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(entry)) * 1024
source, target, build, copy = sys.argv[1:]
bare, begin = memory("VmRSS"), time.monotonic()
used = resource.getrusage(resource.RUSAGE_SELF)
if copy == "copy":
    convert.convert(Path(source), Path(target), [build], "shape", lambda *_: None)
else:
    with convert.open_checkpoint(Path(source)) as checkpoint:
        (Path(target) / build).mkdir(parents=True)
        convert.write_build(Path(target) / build, checkpoint, build, lambda *_: None)
seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "wall": seconds, "user": after.ru_utime - used.ru_utime, "sys": after.ru_stime - used.ru_stime,
    "bare": bare, "peak": memory("VmHWM") - bare,
}))
"""


def main() -> None:
    """Run the conversions and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", type=Path)
    parser.add_argument("--only", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--builds", nargs="*", default=list(BUILD_NAMES), choices=BUILD_NAMES)
    parser.add_argument("--copy", action="store_true", help="copy the source, as an import does")
    parser.add_argument("--before", type=Path, help="another tree of this program")
    parser.add_argument("--keep", type=Path, help="keep what was made in this folder")
    arguments = parser.parse_args()
    heads = ["size", "build", "s", "user+sys s", "peak MB", "MB on disk"]
    if arguments.before:
        heads += ["s before", "user+sys before", "peak before", "times quicker", "times less work"]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads), flush=True)
    for shape in arguments.only:
        for build in arguments.builds:
            print(_row(arguments, shape, build), flush=True)


def _row(arguments: argparse.Namespace, shape: str, build: str) -> str:
    source = arguments.shapes / shape
    with tempfile.TemporaryDirectory(dir=arguments.shapes) as scratch:
        before, found = None, ""
        if arguments.before:
            before = _measure(arguments.before, source, Path(scratch) / "m", build, arguments.copy)
            found = _digest(Path(scratch) / "m" / build / "weights.bin")
            shutil.rmtree(Path(scratch) / "m")
        after = _measure(Path.cwd(), source, Path(scratch) / "m", build, arguments.copy)
        size = sum(p.stat().st_size for p in (Path(scratch) / "m" / build).iterdir())
        if before and _digest(Path(scratch) / "m" / build / "weights.bin") != found:
            raise SystemExit(f"{shape} {build}: the trees write different weights")
        if arguments.keep:
            kept = arguments.keep / shape
            kept.mkdir(parents=True, exist_ok=True)
            (Path(scratch) / "m" / build).rename(kept / build)
    cells = [shape, build, *_cells(after), f"{size / 1e6:,.0f}"]
    if before:
        work = [m["user"] + m["sys"] for m in (before, after)]
        cells += [*_cells(before), f"{before['wall'] / after['wall']:.1f}"]
        cells.append(f"{work[0] / work[1]:.1f}")
    return "| " + " | ".join(cells) + " |"


def _cells(found: dict[str, Any]) -> list[str]:
    work = found["user"] + found["sys"]
    return [f"{found['wall']:.1f}", f"{work:.1f}", f"{found['peak'] / 1e6:,.0f}"]


def _measure(tree: Path, source: Path, target: Path, build: str, copy: bool) -> dict[str, Any]:
    os.sync()
    for path in source.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    command = [sys.executable, "-c", _CHILD, source, target, build, "copy" if copy else "stay"]
    result = subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True)
    values: dict[str, Any] = json.loads(result.stdout)
    return values


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
