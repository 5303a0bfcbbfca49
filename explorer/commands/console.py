"""What the commands share on a terminal: its streams, progress, Ctrl+C, reading a file or stdin."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import TextIO

from explorer import interrupt
from explorer.errors import InputError


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
    """Return the UTF-8 text of a file, ``-`` for stdin; :class:`InputError` where that fails.

    A byte order mark, which some editors put first, says how a file is encoded: it is not text.
    """
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{what} {name} cannot be read: {error.strerror}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{what} {name} is not UTF-8 (byte {error.start}); save it in that encoding."
        ) from error
