"""Read what comes from outside, never more of it than it may have.

Files, pipes and devices that somebody else filled may have no end, and a few megabytes of JSON can
become gigabytes of objects. So every reader says how much it takes, and stops there. A regular file
is refused by its size before a byte of it is read; what has no size (a pipe, a device) is counted
while it comes. JSON is weighed before it is parsed.

Errors are the plain ones, so that a caller words them with one ``except (OSError, ValueError)``
and :func:`reason_of`: :class:`OSError` for what cannot be read, :class:`TooLargeError` among them,
and :class:`ValueError` for what was read and is not what it should be.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

TEXT_LIMIT = 64_000_000
"""Bytes of a prompt or of a text to score."""
JSON_MEMORY = 64_000_000
"""Bytes that the objects of one JSON text may take, unless its reader allows more."""

_BLOCK = 1 << 20
_FLOAT_DIGITS = 309
_SMALL = 1_000_000
"""Characters of a JSON text that may hold any kind of number."""
# Bytes in memory that each sign of JSON stands for at most, in CPython 3.11 to 3.14: half a string,
# a value in a list or an object, its key's place, a list, and an object, which has room for five.
_WEIGHTS = {'"': 32, ",": 40, ":": 60, "[": 96, "{": 232}


class TooLargeError(OSError):
    """There is more to read than is taken."""

    def __init__(self, limit: int) -> None:
        """Say how many bytes would be taken."""
        super().__init__(errno.EFBIG, f"larger than {amount(limit)}")


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes | None:
        """Return at most so many bytes, none at the end."""
        ...


def amount(limit: int) -> str:
    """Return a limit in bytes as it stands in a sentence: ``64 MB``."""
    return f"{limit / 1e6:g} MB" if limit >= 1_000_000 else f"{limit / 1e3:g} kB"


def read_stream(stream: _Stream, limit: int) -> bytes:
    """Return all that a stream holds, piece by piece; :class:`TooLargeError` behind ``limit``."""
    data = bytearray()
    while block := stream.read(min(_BLOCK, limit + 1 - len(data))):
        data += block
        if len(data) > limit:
            raise TooLargeError(limit)
    return bytes(data)


def read_bytes(path: Path, limit: int, *, only_regular: bool = True) -> bytes:
    """Return what a file of at most ``limit`` bytes holds.

    With ``only_regular`` anything but a regular file is an error: a pipe would be waited for. Else
    pipes and devices are read as far as ``limit``. Raises ``OSError``.
    """
    # Not to wait for the other end of a pipe, even of one that takes the place of a file just now.
    at_once = getattr(os, "O_NONBLOCK", 0) if only_regular else 0
    try:
        _check(path.stat(), limit, only_regular)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | at_once)
    except ValueError as error:  # a zero byte in its name
        raise OSError(errno.EINVAL, str(error)) from error
    with open(descriptor, "rb", buffering=0) as file:
        _check(os.fstat(descriptor), limit, only_regular)
        return read_stream(file, limit)


def read_text(path: Path, limit: int) -> str:
    """Return the UTF-8 text of a regular file of at most ``limit`` bytes.

    Raises ``OSError``, and ``ValueError`` for other bytes.
    """
    return read_bytes(path, limit).decode("utf-8")


def read_json(path: Path, limit: int, memory: int = JSON_MEMORY) -> Any:
    """Return what the JSON in a regular file of at most ``limit`` bytes stands for.

    ``memory`` is as for :func:`parse_json`. Raises ``OSError`` and ``ValueError``.
    """
    return parse_json(read_text(path, limit), memory)


def parse_json(
    text: str,
    memory: int = JSON_MEMORY,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Return what a JSON text stands for, unless its objects could take more than ``memory`` bytes.

    ``pairs`` is json's ``object_pairs_hook``. A whole number that no float could hold becomes
    infinity, as ``1e999`` does, in a text of less than a megabyte; above 4,300 digits it is an
    error. Raises ``ValueError``, at any depth too.
    """
    if len(text) + sum(text.count(sign) * weight for sign, weight in _WEIGHTS.items()) > memory:
        raise ValueError("more lists and objects, or values, than any such file needs")
    try:
        # A vocabulary would take half as long again; whoever reads one looks at its ids himself.
        whole = _whole if len(text) < _SMALL else None
        return json.loads(text, object_pairs_hook=pairs, parse_int=whole)
    except RecursionError:
        raise ValueError("lists and objects nested too deeply") from None


def _whole(text: str) -> float:
    number = int(text)  # refuses what would take long to read
    return number if len(text) < _FLOAT_DIGITS else float(text)


def reason_of(error: OSError | ValueError) -> str:
    """Return why something could not be read, as it stands inside a sentence."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return str(error)


def _check(found: os.stat_result, limit: int, only_regular: bool) -> None:
    if stat.S_ISDIR(found.st_mode) and not only_regular:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    regular = stat.S_ISREG(found.st_mode)
    if only_regular and not regular:
        raise OSError(errno.EINVAL, "not a regular file")
    if regular and found.st_size > limit:
        raise TooLargeError(limit)
