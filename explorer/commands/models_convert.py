"""``models convert``: make a model in another precision too, from the source it kept."""

from __future__ import annotations

import argparse
import time

from explorer.commands.console import Progress
from explorer.commands.opening import choose_build
from explorer.manifest import Manifest
from explorer.paths import Paths
from explorer.studies.verify import is_intact
from explorer.weights.store import Store


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Make the build where it is missing or damaged, and say which it was."""
    store = Store(paths)
    build = choose_build("auto", args.precision)
    model = store.find(args.name)
    there = model.has(build)
    if there and not is_intact(model, build):
        # It has the right size, so only its hashes tell; this is what `models verify` sends to.
        store.remove_build(args.name, build)
        there = False
    begin = time.monotonic()
    with Progress() as progress:
        folder = store.ensure(args.name, build, progress)
    size = f"{Manifest.read(folder).builds[build].bytes / 1e6:,.0f} MB"
    if there:
        print(f"{args.name} has the build {build} already, {size}.")
    else:
        took = f"{time.monotonic() - begin:.1f} s"
        print(f"{args.name} has the build {build} now: {size}, made in {took}.")
    return 0
