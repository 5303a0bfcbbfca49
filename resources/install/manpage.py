"""The man page, made of the parser of the command line, so that it can never say anything else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from explorer import cli
from explorer.system.version import version

_FILES = """.SH FILES
.TP
.I ~/.local/share/sample-explorer
Library, settings and imported models.
.TP
.I ~/.cache/sample-explorer
Builds of models that can be made again.
.TP
.I ~/.local/state/sample-explorer/log
Logs; no text of a prompt or a sample is in them.
.PP
A folder
.I data
beside the program takes the place of all three (portable mode), and so does the folder that
.B \\-\\-data\\-dir
names.
.SH EXIT STATUS
0 for success, 1 for a failure, 2 for input that cannot be used, 130 after Ctrl+C.
"""


def page(when: datetime) -> str:
    """Return the page in the man macros of roff."""
    parser = cli._parser()  # noqa: SLF001  nobody else reads it
    name = parser.prog
    lines = [
        f'.TH {name.upper()} 1 "{when:%Y-%m-%d}" "{name} {version()}" "User commands"',
        ".SH NAME",
        f"{escaped(name)} \\- see what GPT-2 really writes",
        ".SH SYNOPSIS",
        f".B {escaped(name)}\n[\\fIOPTION\\fR]... [\\fICOMMAND\\fR [\\fIOPTION\\fR]...]",
        ".SH DESCRIPTION",
        escaped(f"{parser.description} {parser.epilog}"),
        ".SH OPTIONS",
        *options(parser),
        ".SH COMMANDS",
        *commands(parser),
    ]
    return "\n".join(lines) + "\n" + _FILES


def commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[str]:
    """Yield a section for every command, and for the commands of commands."""
    for action in parser._actions:  # noqa: SLF001  argparse offers no other way to read a parser
        if not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            continue
        said = {choice.dest: choice.help for choice in action._choices_actions}  # noqa: SLF001
        for name, command in action.choices.items():
            yield f".SS {escaped(f'{before} {name}'.strip())}"
            words = command.description or said.get(name) or ""
            yield sentence(words)
            yield from options(command)
            yield from commands(command, f"{before} {name}".strip())


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the arguments of one parser, each with what is said of it."""
    formatter = parser.formatter_class(parser.prog)
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):  # noqa: SLF001
            continue
        words = [f"\\fB{escaped(name)}\\fR" for name in action.option_strings]
        if action.nargs != 0:
            value = formatter._format_args(action, action.dest.upper())  # noqa: SLF001
            words.append(f"\\fI{escaped(value)}\\fR")
        yield ".TP"
        yield " ".join(words)
        yield sentence(formatter._expand_help(action) if action.help else "")  # noqa: SLF001


def sentence(words: str) -> str:
    """Return the words of a help text as a sentence; without any, a space that roff keeps."""
    whole = words[:1].upper() + words[1:]
    return escaped(whole if whole.endswith(".") else f"{whole}.") if words else "\\&"


def escaped(text: str) -> str:
    """Return text in which roff finds no commands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("—", "\\(em")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.split("\n"))


if __name__ == "__main__":
    print(page(datetime.now(UTC)), end="")
