"""The command line: what can be typed, and what each error looks like.

Global options come first, then one command with its own::

    sample-explorer [--data-dir DIR] [--debug] generate --model demo --prompt "Once upon a time"

Without a command the window opens. Each command is one file in ``explorer/commands`` and is
imported only when it runs, so that ``--help`` and the window do not wait for it. An error that the
program can explain is one sentence on stderr; the exit code is 2 for input that cannot be used, 1
for a failure, 130 after Ctrl+C.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, get_args

from explorer.commands import library_options
from explorer.core.errors import ExplorerError
from explorer.core.recipe import EndOfText, Recipe, TopPRule
from explorer.system import interrupt
from explorer.system.paths import APP_NAME, Paths
from explorer.system.settings import is_device
from explorer.system.version import version

Arguments = argparse.Namespace

PRECISIONS = ("fp32", "fp16", "int8", "int4")
# The library's NAMES of formats, written out so that --help need not import it.
FORMATS = {"jsonl": "jsonl", "json": "jsonl", "markdown": "markdown", "md": "markdown",
           "html": "html", "htm": "html"}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """argparse, with errors as one sentence and no abbreviated options."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read more."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help).\n")


def parse(argv: Sequence[str]) -> Arguments:
    """Return what was typed; ``command`` is None where the window is wanted.

    Ends the program with :class:`SystemExit` for ``--help``, ``--version`` and what cannot be read.
    """
    return _parser().parse_args(argv)


def places(args: Arguments) -> Paths:
    """Return where things live for this run."""
    return Paths.default(args.data_dir)


def guarded(args: Arguments, work: Callable[[Arguments], int]) -> int:
    """Run ``work`` and turn what goes wrong into a sentence on stderr and an exit code."""
    if args.debug:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s: %(message)s")
    try:
        code = work(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough (``| head``): nothing may be written now, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return interrupt.INTERRUPTED
    except ExplorerError as error:
        if args.debug:
            traceback.print_exc()
        print(f"{APP_NAME}: {error}", file=sys.stderr)
        return error.exit_code
    except MemoryError:
        if args.debug:
            raise
        print(
            f"{APP_NAME}: there is too little memory for this; close other programs, or take a "
            "smaller model.",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        if args.debug:
            raise
        place = f" ({error.filename})" if error.filename else ""
        print(
            f"{APP_NAME}: reading or writing failed: {error.strerror or error}{place}.",
            file=sys.stderr,
        )
        return 1
    except Exception as error:
        if args.debug:
            raise
        kind = type(error).__name__
        print(
            f"{APP_NAME}: unexpected {kind}: {error}; run it again with --debug to see where.",
            file=sys.stderr,
        )
        return 1
    return code


def run(args: Arguments) -> int:
    """Run the command that was typed; return its exit code."""
    command: Callable[[Arguments, Paths], int]
    match args.command:
        case "self-test":
            from explorer import self_test

            interrupt.raise_again()
            return self_test.run()
        case "generate":
            from explorer.commands import generate

            command = generate.run
        case "score":
            from explorer.commands import score

            command = score.run
        case "models":
            from explorer.commands import models

            command = models.run
        case "export":
            from explorer.commands import export

            command = export.run
        case "library":
            from explorer.commands import library

            command = library.run
        case _:
            from explorer.commands import bench

            command = bench.run
    interrupt.raise_again()  # everything is loaded: from here on there may be something to finish
    return command(args, places(args))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=APP_NAME,
        description="See what GPT-2 really writes, and how many tries a good sample took.",
        epilog="Without a command, the window opens.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=None)
    add = parser.add_argument
    add("--version", action="version", version=f"{APP_NAME} {version()}")
    add(
        "--data-dir",
        type=_folder,
        metavar="DIR",
        help="keep library, settings and models below DIR",
    )
    add("--debug", action="store_true", help="log in detail and show where an error came from")
    add(
        "--self-test",
        dest="command",
        action="store_const",
        const="self-test",
        help="check that window, library and engine work here, and exit",
    )
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    _add_generate(commands)
    _add_score(commands)
    _add_models(commands)
    _add_export(commands)
    summary = "Check the library, back it up, restore or salvage it."
    library_options.declare(_new(commands, "library", summary), _Parser)
    _add_bench(commands)
    return parser


Commands = argparse._SubParsersAction  # noqa: SLF001  the type has no public name


def _new(commands: Commands[_Parser], name: str, summary: str) -> _Parser:
    parser = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    parser.set_defaults(command=name)
    return parser


def _add_generate(commands: Commands[_Parser]) -> None:
    parser = _new(commands, "generate", "Write continuations of a prompt.")
    _add_model(parser)
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", metavar="TEXT")
    prompt.add_argument(
        "--prompt-file",
        metavar="F",
        help="read it from a file or pipe, - for stdin, with line ends as the window has them: "
        "every kind becomes a line feed",
    )
    start = "start from <|endoftext|>, or the model's own token for that"
    prompt.add_argument("--unconditional", action="store_true", help=start)
    _add_control_tokens(parser)
    keep = parser.add_mutually_exclusive_group()
    for end in ("last", "first"):
        what = f"of a prompt that is too long, use the {end} tokens that fit"
        keep.add_argument(f"--keep-{end}", dest="keep", action="store_const", const=end, help=what)
    recipe, add = Recipe(), parser.add_argument
    add(
        "--top-k",
        type=_whole,
        default=recipe.top_k,
        metavar="K",
        help="0 = all (default %(default)s)",
    )
    add(
        "--temperature",
        type=_number,
        default=recipe.temperature,
        metavar="T",
        help="0 = greedy (default %(default)s)",
    )
    add("--top-p", type=_number, default=recipe.top_p, metavar="P", help="1 = off (the default)")
    add(
        "--top-p-rule",
        choices=get_args(TopPRule),
        default=recipe.top_p_rule,
        help="whether the token that crosses P is kept (huggingface, the default) or dropped",
    )
    add(
        "--max-tokens",
        type=_whole,
        default=recipe.max_tokens,
        metavar="N",
        help="default %(default)s",
    )
    add(
        "--end-of-text",
        choices=get_args(EndOfText),
        default=recipe.end_of_text,
        help="what its token does: end the text (default), nothing, or never be drawn",
    )
    add(
        "--seed", type=_whole, metavar="S", help="0 to 2**64 - 1; drawn and told where it is absent"
    )
    add("--count", type=_positive, default=1, metavar="N", help="candidates (default %(default)s)")
    add("--lanes", type=_lanes, metavar="N", help="how many at once, 1 to 16 (default: up to 4)")
    add("--jsonl", action="store_true", help="one JSON object a candidate, in order of index")
    add("--record", action="store_true", help="write the tries into the library, unjudged")


def _add_score(commands: Commands[_Parser]) -> None:
    parser = _new(commands, "score", "Say how likely each token of a text is.")
    _add_model(parser)
    text = "the text, - for stdin, read as it is: line ends too; at most 64 MB"
    parser.add_argument("--file", required=True, metavar="F", help=text)
    _add_control_tokens(parser)
    parser.add_argument("--jsonl", action="store_true", help="one JSON object a token")


def _add_models(commands: Commands[_Parser]) -> None:
    parser = _new(commands, "models", "Import, list, check, compare and remove models.")
    actions = parser.add_subparsers(metavar="ACTION", parser_class=_Parser, required=True)
    add = actions.add_parser("import", help="make a model of a GPT-2 folder", allow_abbrev=False)
    add.set_defaults(action="import")
    add.add_argument(
        "folder", type=_source, metavar="DIR", help="config.json, model.safetensors, ..."
    )
    add.add_argument(
        "--precision", choices=PRECISIONS, help="default: int8 on a CPU, fp16 on an NVIDIA GPU"
    )
    add.add_argument("--name", metavar="NAME", help="what to call it (default: the folder's name)")
    _add_download(actions)
    show = actions.add_parser("list", help="name what is installed", allow_abbrev=False)
    show.set_defaults(action="list")
    summary = "make an installed model in another precision too"
    more = actions.add_parser("convert", help=summary, allow_abbrev=False)
    more.set_defaults(action="convert")
    more.add_argument("name", metavar="NAME")
    more.add_argument("--precision", choices=PRECISIONS, required=True, help="which one")
    remove = actions.add_parser("remove", help="delete an imported model", allow_abbrev=False)
    remove.set_defaults(action="remove")
    remove.add_argument("name", metavar="NAME")
    _add_model_studies(actions)


def _add_download(actions: Commands[_Parser]) -> None:
    summary = "fetch a GPT-2 from the Hugging Face hub, or go on fetching it"
    download = actions.add_parser("download", help=summary, allow_abbrev=False)
    download.set_defaults(action="download")
    add = download.add_argument
    add("name", metavar="NAME|OWNER/NAME", help="one of models available, or any repository")
    add("--revision", metavar="R", help="branch, tag or commit (default: see models available)")
    add("--precision", choices=PRECISIONS, help="default: int8 on a CPU, fp16 on an NVIDIA GPU")
    add("--name", dest="called", metavar="NAME", help="what to call it (default: the repository's)")
    summary = "name the models that the program knows where to get"
    available = actions.add_parser("available", help=summary, allow_abbrev=False)
    available.set_defaults(action="available")


def _add_model_studies(actions: Commands[_Parser]) -> None:
    summary = "check hashes of all files, and ten tokens of every build"
    verify = actions.add_parser("verify", help=summary, allow_abbrev=False)
    verify.set_defaults(action="verify")
    verify.add_argument("name", metavar="NAME")
    summary = "measure what each precision costs in quality, on held-out text"
    compare = actions.add_parser("compare", help=summary, allow_abbrev=False)
    compare.set_defaults(action="compare")
    compare.add_argument("name", metavar="NAME")
    add = compare.add_argument
    add("--text", metavar="F", help="the text, - for stdin (default: one that ships)")
    precisions = ["fp32", "int8", "int4"]
    add("--precisions", choices=PRECISIONS, nargs="+", default=precisions, metavar="P",
        help=f"any of {' '.join(PRECISIONS)} (default: {' '.join(precisions)})")  # fmt: skip
    add("--json", action="store_true", help="print what quality.json holds, and nothing else")


def _add_export(commands: Commands[_Parser]) -> None:
    parser = _new(commands, "export", "Write a collection of samples into a file.")
    parser.add_argument("collection", metavar="COLLECTION", help="its name")
    forms = "jsonl, markdown or html; json, md and htm are understood too"
    parser.add_argument("--format", type=_format, required=True, metavar="FORMAT", help=forms)
    output = "the file, replaced if it is there; a pipe or device is written into; - for stdout"
    parser.add_argument("--output", required=True, metavar="F", help=output)


def _add_bench(commands: Commands[_Parser]) -> None:
    parser = _new(commands, "bench", "Measure how fast a model runs here.")
    _add_model(parser)
    parser.add_argument(
        "--lanes", type=_lanes, nargs="+", default=[1, 8], metavar="N", help="default: 1 8"
    )
    parser.add_argument(
        "--context",
        type=_positive,
        nargs="+",
        default=[64],
        metavar="N",
        help="tokens of the prompt that the lanes go on from, such as 64 256 1000 (default: 64)",
    )
    parser.add_argument("--json", action="store_true", help="add one line of JSON at the end")


def _add_model(parser: argparse.ArgumentParser) -> None:
    """Add what every command that runs a model needs to know."""
    add = parser.add_argument
    add("--model", required=True, metavar="NAME|DIR", help="an installed model, or a GPT-2 folder")
    add(
        "--device",
        type=_device,
        default="auto",
        metavar="DEVICE",
        help="auto (the default), cpu, cuda, or a certain GPU as cuda:0, cuda:1, ...",
    )
    best = (
        "default: the best that is there for the device (int8, then fp32, then int4 on a CPU; fp16 "
        "on an NVIDIA GPU); the first of these is made only where there is none"
    )
    add("--precision", choices=PRECISIONS, help=best)


def _add_control_tokens(parser: argparse.ArgumentParser) -> None:
    what = "read names such as <|endoftext|> as these tokens, not as letters"
    parser.add_argument("--control-tokens", action="store_true", help=what)


def _folder(text: str) -> Path:
    if not text:  # an unset variable; it would mean the folder that one happens to be in
        raise argparse.ArgumentTypeError("must name a folder, not ''")
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise argparse.ArgumentTypeError(f"names the home of somebody unknown: {text!r}")
    if os.path.exists(path) and not os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"must name a folder, {text!r} is a file")
    return Path(path)


def _source(text: str) -> Path:
    if not text:  # likewise
        raise argparse.ArgumentTypeError("must name a folder or one of its files, not ''")
    return Path(text)


def _format(text: str) -> str:
    try:
        return FORMATS[text.lower().removeprefix(".")]
    except KeyError:
        raise argparse.ArgumentTypeError(
            f"must be jsonl, markdown or html (or json, md, htm), not {text!r}"
        ) from None


def _device(text: str) -> str:
    if not is_device(text):
        raise argparse.ArgumentTypeError(
            f"must be auto, cpu, cuda or a GPU by its number such as cuda:0, not {text!r}"
        )
    return text


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        if any(sign in text for sign in ",\N{ARABIC DECIMAL SEPARATOR}"):
            raise argparse.ArgumentTypeError(
                f"must be written with a point as decimal sign, such as 0.7, not {text!r}"
            ) from None
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None


def _positive(text: str) -> int:
    if (number := _whole(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _lanes(text: str) -> int:
    # The engine's MAX_LANES, written out so that --help need not import it.
    if not 1 <= (number := _whole(text)) <= 16:
        raise argparse.ArgumentTypeError(f"must be from 1 to 16, not {number}")
    return number
