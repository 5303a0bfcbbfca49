"""Connections to SQLite and what can go wrong with them; the only file that knows sqlite3.

Errors that a person can act on leave here as :class:`LibraryError`, whose kind
says what has to be done; any other is a bug and leaves as it is. How long a statement waits for
another program's lock is said once, when a connection is made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from explorer.core.errors import (
    LibraryBusyError,
    LibraryDamagedError,
    LibraryError,
    LibraryFullError,
    LibraryReadOnlyError,
)

Connection = sqlite3.Connection
Cursor = sqlite3.Cursor
DatabaseError = sqlite3.DatabaseError
READ_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises: Python's module fails over a message that is no text, too."""
OperationalError = sqlite3.OperationalError
Row = sqlite3.Row
Value = str | int | float | bytes | None
Parameters = Sequence[Value] | Mapping[str, Value]
"""In the order of the question marks, or by name where one stands twice: Python 3.12.0 to 3.12.3
takes a numbered question mark for a name, and warns."""

WINDOW_SECONDS: Final = 0.15
"""The longest that a window's thread waits for another program's lock."""
COMMAND_SECONDS: Final = 10.0
"""The same where nobody looks on: a command, or work in a process of its own."""

NOT_WRITABLE: Final = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PROTOCOL,
)
"""Codes with which a library may still be read."""
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNUSABLE: Final = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
)
NO_SHARED_MEMORY: Final = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PROTOCOL,
)
"""Codes with which a write-ahead log may be impossible, and a rollback journal not."""
CANNOT_LOCK: Final = (
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_IOERR_LOCK,
    sqlite3.SQLITE_IOERR_RDLOCK,
    sqlite3.SQLITE_IOERR_UNLOCK,
    sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
)
"""Extended codes of a disk on which nothing can be locked."""
_FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT)
FULL: Final = "the disk is full"
_MOST_QUOTED: Final = 200
_PROBE_BYTES: Final = 256 * 1024  # SQLite's log and shared memory need as much to begin with


def connect(path: Path, options: str, patience: float) -> Connection:
    """Open the file at ``path``; ``options`` are those of SQLite's URIs, ``patience`` seconds."""
    with explained(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{options}",
            uri=True,
            timeout=patience,
            isolation_level=None,
        )
    connection.row_factory = Row
    return connection


def empty() -> Connection:
    """Return a database in memory with nothing in it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = Row
    return connection


def in_memory(connection: Connection) -> Connection:
    """Return a copy in memory and close the original."""
    memory = empty()
    with contextlib.closing(connection):
        connection.backup(memory)
    return memory


@contextlib.contextmanager
def closed_on_error(connection: Connection) -> Iterator[Connection]:
    """Close ``connection`` where the block raises."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what a person can act on into a :class:`LibraryError`; a bug of ours stays one."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        found = code(error)
        undecodable = isinstance(error, OperationalError) and not found  # told by Python's module
        if found in _DAMAGE or undecodable:
            raise damaged(path, str(error)) from error
        if found == sqlite3.SQLITE_READONLY:
            raise LibraryReadOnlyError(why_not(path, str(error))) from error
        if found in _BUSY:
            raise LibraryBusyError(
                f"Another program holds the library {path}; close it and try again."
            ) from error
        if found == sqlite3.SQLITE_FULL or (found in _UNUSABLE and refusal(path) == FULL):
            raise LibraryFullError(
                f"The disk is full and nothing was saved in {path}; free some space and try again."
            ) from error
        if found in _UNUSABLE:
            raise unusable(path, str(error)) from error
        raise
    except UnicodeDecodeError as error:  # of a message that names what is no text
        raise damaged(path, "its table of contents cannot be read") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[None]:
    """Explain errors as :func:`explained` does; while a file is opened, any other is damage too."""
    try:
        with explained(path):
            yield
    except (sqlite3.Error, ValueError, OverflowError, TypeError) as error:
        raise damaged(path, str(error)) from error


def code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's primary result code; 0 for errors that Python's module raised by itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def extended_code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's code with what exactly failed; 0 for errors of Python's module."""
    return int(getattr(error, "sqlite_errorcode", 0))


def refusal(path: Path) -> str:
    """Return why the disk takes nothing more beside ``path``, or an empty text where it does.

    SQLite calls many things a disk I/O error, the full disk among them.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return FULL if error.errno in _FULL_DISK else error.strerror or str(error)
    return ""


def damaged(path: Path, why: str) -> LibraryDamagedError:
    """Return the error of a file that cannot be trusted; ``why`` may quote what is in it."""
    why = " ".join("".join(sign if sign.isprintable() else " " for sign in why).split())
    why = why if len(why) <= _MOST_QUOTED else f"{why[:_MOST_QUOTED]} …"
    return LibraryDamagedError(
        f"The library {path} is damaged ({why}); restore a backup, salvage what can be read, or"
        " move it away to start with an empty one."
    )


def unusable(path: Path, why: str) -> LibraryError:
    """Return the error of a file that can be neither read nor written."""
    return LibraryError(
        f"The library {path} cannot be used ({why}); check the disk and the permissions of its"
        " folder, or start with another --data-dir."
    )


def why_not(path: Path, why: str) -> str:
    """Return why a library is only read."""
    if why == FULL:
        return (
            f"The disk is full, so the library {path} cannot be written; free some space and start"
            " the program again."
        )
    return (
        f"The library {path} cannot be written ({why}); verdicts are off until its folder is"
        " writable."
    )
