"""What the engine says it needs against what its process takes.

Each build of each model folder is opened in a process of its own, as the engine's child does it,
and texts are run through its lanes. Resident memory is read from /proc after the load and after 1
and 8 lanes of 200 tokens and of the whole context. A text is a prompt of all but eight tokens and
eight tokens that are drawn: what the cache holds afterwards is the same as for one that was drawn
from its first token on, and it takes seconds instead of minutes.

    python -m tests.benchmarks.memory MODEL_FOLDER... [--builds cpu-int8,cpu-int4,cpu-fp32]

Model folders of the four released shapes with random weights: tests/benchmarks/shapes.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from explorer.core.manifest import Manifest
from explorer.engine import memory_estimate

DRAWN = 8
CASES = ((1, 200), (8, 200), (1, 0), (8, 0))
"""(lanes, tokens of each text; 0 = the whole context)"""


def resident() -> dict[str, int]:
    """Return bytes of this process: VmRSS, VmHWM, RssAnon, RssFile."""
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM", "RssAnon", "RssFile"):
            found[name] = int(value.split()[0]) * 1024
    return found


def measure(folder: Path, build: str, lanes: int, length: int) -> None:
    """Open a build, run ``lanes`` texts, and print what is resident as one line of JSON."""
    from explorer.core.recipe import Recipe
    from explorer.engine.lanes import Lanes
    from explorer.engine.messages import Load, Start
    from explorer.engine.process.engine_main import open_model

    session, tokens = open_model(Load(folder, build, "cpu"))
    loaded = resident()
    length = length or session.manifest.context
    recipe = Recipe(max_tokens=DRAWN, end_of_text="never")
    # From all over the vocabulary, as no real text is: every token reads another part of the file.
    prompt = tuple(at * 977 % session.manifest.vocabulary for at in range(length - DRAWN))
    running = Lanes(session, tokens)
    for lane in range(lanes):
        running.start(Start((1, lane), lane, 9, prompt, recipe))
    while running.running:
        running.step()
    print(json.dumps([loaded, resident()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--builds", default="cpu-int8,cpu-int4,cpu-fp32")
    parser.add_argument("--case", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        measure(args.folders[0], args.builds, *args.case)
        return
    print("| model | build | lanes | tokens | estimate | measured | ratio | after loading | peak |")
    print("|" + " --- |" * 9)
    for folder in args.folders:
        manifest = Manifest.read(folder)
        for build in args.builds.split(","):
            if build in manifest.builds:
                for lanes, length in CASES:
                    print(row(folder, manifest, build, lanes, length), flush=True)


def row(folder: Path, manifest: Manifest, build: str, lanes: int, length: int) -> str:
    """Measure one case in a new process; return a line of the table, in MB."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", str(folder), "--builds", build]
    case = ["--case", str(lanes), str(length)]
    done = subprocess.run([*command, *case], capture_output=True, text=True, check=False)
    tokens = length or manifest.context
    needed = memory_estimate.estimate(manifest, build, lanes, tokens).total
    head = f"| {manifest.name} | {build} | {lanes} | {tokens} | {needed / 1e6:,.0f} |"
    if done.returncode:
        return f"{head} ended with {done.returncode} | | | |"
    loaded, ran = json.loads(done.stdout)
    numbers = (ran["VmRSS"], loaded["VmRSS"], ran["VmHWM"])
    took, start, peak = (f"{number / 1e6:,.0f}" for number in numbers)
    return f"{head} {took} | {needed / ran['VmRSS']:.2f} | {start} | {peak} |"


if __name__ == "__main__":
    main()
