"""``models convert``: make a model in another precision too, from the source it kept."""

from __future__ import annotations

import argparse
import time

from explorer.commands.open_model import choose_build
from explorer.commands.terminal import Progress
from explorer.core.manifest import Manifest
from explorer.studies.quality.remake import make_build
from explorer.system.paths import Paths
from explorer.weights.store.store import Store


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Make the build where it is missing or damaged, and say which it was."""
    build = choose_build("auto", args.precision)
    begin = time.monotonic()
    with Progress() as progress:
        made = make_build(progress, paths, args.name, build)
    folder = Store(paths).find(args.name).folder
    size = f"{Manifest.read(folder).builds[build].bytes / 1e6:,.0f} MB"
    if made:
        took = f"{time.monotonic() - begin:.1f} s"
        print(f"{args.name} has the build {build} now: {size}, made in {took}.")
    else:
        print(f"{args.name} has the build {build} already, {size}.")
    return 0
