"""The first word decides: a command runs without Qt, none opens the window."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from explorer import cli
from explorer.commands.console import prepare_streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with these arguments, by default its own; return the exit code."""
    prepare_streams()
    try:
        args = cli.parse(sys.argv[1:] if argv is None else argv)
    except SystemExit as end:  # --help, --version, or a line that cannot be understood
        return end.code if isinstance(end.code, int) else 0
    return cli.guarded(args, _window if args.command is None else cli.run)


def _window(args: cli.Arguments) -> int:
    from explorer import app  # Qt is loaded only where a window opens

    return app.run(cli.places(args), args.debug)


if __name__ == "__main__":
    sys.exit(main())
