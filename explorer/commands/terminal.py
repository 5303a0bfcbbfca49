"""What the commands share on a terminal: its streams, progress, Ctrl+C, reading a file or stdin."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import TextIO

from explorer.core.bounded_reading import (
    TEXT_LIMIT,
    TooLargeError,
    amount,
    read_bytes,
    read_stream,
    reason_of,
)
from explorer.core.errors import InputError
from explorer.system import interrupt

# What a text field of Qt makes one line end of; the last two are its own marks.
_LINE_ENDS = re.compile("\r\n|[\r\u2028\u2029\ufdd0\ufdd1]")


def prepare_streams() -> None:
    """Make the standard streams safe to write any text to, whoever started the program.

    A stream that was closed leads nowhere: left alone, the library would be the next file that is
    opened and take its number. Into a pipe or a file goes UTF-8, which is what exports are; what a
    terminal cannot show is spelled out.
    """
    for name in ("stdin", "stdout", "stderr"):  # in the order of their numbers
        stream = getattr(sys, name)
        if stream is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  to the end
        elif name != "stdin" and isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


class Progress:
    """One line on stderr that a long job rewrites; nothing where stderr is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to ``stream``, by default stderr."""
        self._stream = stream or sys.stderr
        self._shown = 0

    def __call__(self, fraction: float, text: str) -> None:
        """Show that ``fraction`` (0 to 1) is done; called by the job."""
        if self._stream.isatty():
            line = f"{fraction:4.0%} {text}"
            self._stream.write("\r" + line.ljust(self._shown))
            self._stream.flush()
            self._shown = len(line)

    def __enter__(self) -> Progress:
        """Begin with nothing shown."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the line."""
        if self._shown:
            self._stream.write("\r" + " " * self._shown + "\r")
            self._stream.flush()


class Interruption:
    """Turns the first Ctrl+C, or request to end, into a flag, so that a command can end in order.

    ``with Interruption() as interrupted: ... if interrupted(): ...``; the second signal kills.
    """

    def __init__(self) -> None:
        """Not interrupted yet."""
        self.code = 0
        """The exit code that tells of it; 0 where nothing came."""
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __call__(self) -> bool:
        """Whether the command is to end."""
        return bool(self.code)

    def __enter__(self) -> Interruption:
        """Listen from here on."""
        for number in interrupt.ending_signals():
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the signals mean again what they meant before."""
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.code = interrupt.code_after(number)
        for each in self._before:
            again = signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL
            signal.signal(each, again)


def read_text(name: str, what: str) -> str:
    """Return the UTF-8 text of a file, pipe or device, ``-`` for stdin.

    A byte order mark, which some editors put first, says how a file is encoded: it is not text.
    Raises :class:`InputError` where it cannot be read, or is longer than any text may be.
    """
    named = "The text on stdin" if name == "-" else f"{what} {name}"
    try:
        data = (
            read_stream(sys.stdin.buffer, TEXT_LIMIT)
            if name == "-"
            else read_bytes(Path(name), TEXT_LIMIT, only_regular=False)
        )
    except TooLargeError as error:
        raise InputError(
            f"{named} has more than {amount(TEXT_LIMIT)}, the most that is read; give a part of it."
        ) from error
    except OSError as error:
        raise InputError(
            f"{named} cannot be read ({reason_of(error)}); give a text file, or - for stdin."
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{named} is not UTF-8 (byte {error.start}); save it in that encoding."
        ) from error


def read_prompt(name: str) -> str:
    """Return a prompt as :func:`read_text` does, with line ends as they would be in the window.

    The prompt field makes a line feed of every kind of line end, so a file means the same hunt
    wherever it is opened.
    """
    return _LINE_ENDS.sub("\n", read_text(name, "The prompt file"))
