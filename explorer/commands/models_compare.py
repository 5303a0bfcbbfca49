"""``models compare``: what each precision of a model costs in quality, on held-out text."""

from __future__ import annotations

import argparse
from pathlib import Path

from explorer.commands.open_model import choose_build
from explorer.commands.terminal import Progress, read_text
from explorer.studies.quality.held_out_text import HeldOut
from explorer.studies.quality.measure import Quality, as_json, measure, verdict
from explorer.system.paths import Paths
from explorer.weights.store.store import Store


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Measure and print a table and one sentence, or what ``quality.json`` would hold."""
    text = None
    if args.text is not None:
        name = "stdin" if args.text == "-" else Path(args.text).name
        text = HeldOut(name, read_text(args.text, "The text file"))
    builds = [choose_build("auto", precision) for precision in args.precisions]
    with Progress() as progress:
        found = measure(progress, paths, args.name, builds, text)
    if args.json:
        manifest = Store(paths).find(args.name).manifest
        print(as_json(manifest.fingerprint if manifest else "", found), end="")
        return 0
    print(f"{args.name} on {found[0].tokens:,} tokens of {found[0].text}")
    print(f"{'build':<10} {'MB':>8} {'KL':>9} {'KL 99%':>9} {'bits/byte':>9} {'change':>8}"
          f" {'same top':>8} {'tokens/s':>8}")  # fmt: skip
    for quality in found:
        print(_line(quality))
    print(verdict({quality.build: quality for quality in found}))
    return 0


def _line(quality: Quality) -> str:
    rate = "" if quality.rate is None else f"{quality.rate:.0f}"
    return (
        f"{quality.build:<10} {quality.bytes / 1e6:8,.1f} {quality.kl:9.2g} {quality.kl99:9.2g} "
        f"{quality.bits_per_byte:9.4f} {quality.change:+8.2%} {quality.top1:8.1%} {rate:>8}"
    )
