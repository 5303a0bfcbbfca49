"""What can be typed behind ``library``; apart from the command, so that --help need not load it."""

from __future__ import annotations

import argparse
from typing import Any


def declare(parser: argparse.ArgumentParser, parser_class: Any) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(metavar="ACTION", parser_class=parser_class, required=True)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(
            name, help=summary, description=summary, allow_abbrev=False
        )
        added.set_defaults(action=name)
        added.add_argument("--json", action="store_true", help="print one JSON object, and no more")
        return added

    action("check", "Read every row of the library and say what is damaged.")
    backup = action("backup", "Make the backup of today, or a copy in a file of your own.")
    backup.add_argument("--output", metavar="F", help="the file, which must not be there yet")
    restore = action("restore", "Put a backup in the place of the library, which is kept aside.")
    restore.add_argument(
        "backup", metavar="BACKUP", nargs="?", help="its day or its file (default: the newest)"
    )
    restore.add_argument("--list", action="store_true", help="name the backups, newest first")
    salvage = action("salvage", "Write what can be read of a damaged library into a new one.")
    salvage.add_argument(
        "--output", metavar="F", help="the file, which must not be there yet (default: beside it)"
    )
    salvage.add_argument(
        "--in-place",
        action="store_true",
        help="put it in the place of the library, which is kept aside",
    )
