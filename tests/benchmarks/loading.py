"""Load builds on the CPU and generate: memory and tokens a second. A table of the docs.

    python -m tests.benchmarks.loading SHAPES MADE [--only 124M] [--builds cpu-int8]

``SHAPES`` holds the folders that ``tests.benchmarks.shapes`` writes, ``MADE`` the builds that
``tests.benchmarks.conversion --keep`` made of them. Every build is opened in a process of its own
and writes 20 tokens behind a prompt of 64, in one lane and then in eight; of the speeds the median
over the last 12 tokens counts. Memory is that of the process beyond the imports: after opening the
build, and the most that it ever was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from explorer.core.manifest import Manifest
from explorer.studies.speed.expected_build import expected_build
from explorer.weights.builds.convert import TOKENIZER_FILE, graph_spec
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from tests.benchmarks.shapes import SHAPES

_BUILDS = ("cpu-fp32", "cpu-int8", "cpu-int4")
_STEPS = 12
"""Tokens that are timed, after eight that are not."""

_CHILD = """
import json, sys, time
from pathlib import Path
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.engine.throughput import tokens_a_second
def memory(entry):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(entry)) * 1024
folder, build, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
bare, begin = memory("VmRSS"), time.monotonic()
session = Session(folder, build, "cpu")
tokens = Tokens.from_folder(folder, session.manifest.end_of_text)
found = {"open": time.monotonic() - begin, "held": memory("VmRSS") - bare}
for lanes in (1, 8):
    found[f"lanes{lanes}"] = tokens_a_second(session, tokens, lanes, steps, 1)
print(json.dumps(found | {"peak": memory("VmHWM") - bare}))
"""


def main() -> None:
    """Open the builds one after the other and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", type=Path)
    parser.add_argument("made", type=Path)
    parser.add_argument("--only", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--builds", nargs="*", default=list(_BUILDS), choices=_BUILDS)
    arguments = parser.parse_args()
    heads = ["size", "build", "s to open", "MB open", "MB at most", "tokens/s 1 lane", "8 lanes"]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads), flush=True)
    for shape in arguments.only:
        folder = arguments.made / shape
        builds = [build for build in arguments.builds if (folder / build).is_dir()]
        _describe(arguments.shapes / shape, folder, builds)
        for build in builds:
            command = [sys.executable, "-c", _CHILD, folder, build, str(_STEPS)]
            environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
            result = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            found = json.loads(result.stdout)
            cells = [
                shape,
                build,
                f"{found['open']:.1f}",
                f"{found['held'] / 1e6:,.0f}",
                f"{found['peak'] / 1e6:,.0f}",
                f"{found['lanes1']:.1f}",
                f"{found['lanes8']:.1f}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)


def _describe(source: Path, folder: Path, names: list[str]) -> None:
    """Write model.json and the tokenizer beside builds that were measured without them."""
    with open_checkpoint(source) as checkpoint:
        spec, config = graph_spec(checkpoint), checkpoint.config
        manifest = Manifest(
            name=source.name,
            fingerprint="0" * 64,
            layers=config.layers,
            heads=config.heads,
            width=config.width,
            context=config.context,
            vocabulary=spec.vocabulary,
            end_of_text=checkpoint.end_of_text,
            parameters=checkpoint.parameters,
        )
        (folder / TOKENIZER_FILE).write_bytes(checkpoint.tokenizer.json.encode())
    for name in names:
        size = sum(path.stat().st_size for path in (folder / name).iterdir())
        manifest = manifest.with_build(replace(expected_build(manifest, name), bytes=size))
    manifest.write(folder)


if __name__ == "__main__":
    main()
