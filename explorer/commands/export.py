"""``export``: one collection as JSON lines, Markdown or a self-contained page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from explorer.library.collection import Collections
from explorer.library.export.collection_file import chunks, export
from explorer.library.samples import Samples
from explorer.library.storage.connection import COMMAND_SECONDS
from explorer.library.storage.database import Database, utc_now
from explorer.system.output_file import is_stdout
from explorer.system.paths import Paths


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Write the collection into a file, or to stdout for ``-``."""
    damaged: list[int] = []
    # Reading only, so that it works beside a running window.
    with Database.open(paths.library, writable=False, patience=COMMAND_SECONDS) as database:
        collection = Collections(database).find(args.collection)
        samples = Samples(database)
        if args.output == "-" or is_stdout(Path(args.output)):
            pieces = chunks(samples, collection, args.format, utc_now(), damaged.append)
            sys.stdout.writelines(pieces)
        else:
            count = export(
                samples, collection, args.format, Path(args.output), left_out=damaged.append
            )
            print(f"{count} sample{'' if count == 1 else 's'} written to {args.output}.")
    if number := sum(damaged):
        print(f"{number} damaged sample{'' if number == 1 else 's'} left out.", file=sys.stderr)
    return 0
