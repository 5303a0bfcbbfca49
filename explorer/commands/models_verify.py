"""``models verify``: is a model what it was made to be? Exit code 1 where anything is wrong."""

from __future__ import annotations

import argparse

from explorer.commands.terminal import Progress
from explorer.studies.quality.verify import verify
from explorer.system.paths import Paths


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Verify a model and print one line a finding."""
    with Progress() as progress:
        found = verify(progress, paths, args.name)
    for finding in found.findings:
        print(f"{'ok   ' if finding.ok else 'WRONG'} {finding.words}")
    if found.ok:
        print(f"{found.name} is sound.")
        return 0
    count = sum(not finding.ok for finding in found.findings)
    print(f"{found.name}: {count} thing{'s are' if count > 1 else ' is'} wrong.")
    return 1
