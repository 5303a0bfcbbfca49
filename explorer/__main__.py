"""The first word decides: a command runs without Qt, none opens the window.

Nothing else is imported here before Ctrl+C is taken care of.
"""

import sys

from explorer.system import interrupt

TYPE_CHECKING = False  # typing is large, and Ctrl+C may come while it is imported
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from explorer import cli


def start() -> "NoReturn":
    """Be the program: run it with its own arguments and end the process, quietly after Ctrl+C."""
    interrupt.end_at_once()
    try:
        code = main()
    except KeyboardInterrupt:  # when the work was already done
        code = interrupt.INTERRUPTED
    interrupt.end_at_once()  # Python's own way out is no place for an exception either
    sys.exit(code)


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the program with these arguments, by default its own; return the exit code."""
    interrupt.end_at_once()
    try:
        from explorer import cli
        from explorer.commands.terminal import prepare_streams

        prepare_streams()
        try:
            args = cli.parse(sys.argv[1:] if argv is None else argv)
        except SystemExit as end:  # --help, --version, or a line that cannot be understood
            return end.code if isinstance(end.code, int) else 0
        return cli.guarded(args, _window if args.command is None else cli.run)
    finally:
        interrupt.raise_again()


def _window(args: "cli.Arguments") -> int:
    from explorer import cli

    try:
        from explorer import app  # Qt is loaded only where a window opens
    except ImportError as error:
        from explorer.core.errors import ExplorerError
        from explorer.system import display

        if problem := display.library_problem(str(error)):
            raise ExplorerError(problem) from error
        raise
    return app.run(cli.places(args), args.debug)


if __name__ == "__main__":
    start()
