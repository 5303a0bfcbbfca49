"""The library file: opening, transactions, and what can go wrong; the only file that knows sqlite3.

One process writes (an operating-system lock beside the file says who), anybody may read. A commit
is on disk before it returns: write-ahead log with ``synchronous=FULL``. Deleted rows are
overwritten with zeros.

A library that cannot be written is not an error: :meth:`Database.open` then gives a reading
connection whose ``reason`` says why, so that a window on a read-only disk still opens. Errors of
SQLite that a person can act on leave here as :class:`~explorer.errors.LibraryError`; any other is a
bug and leaves as it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from explorer.errors import (
    LibraryBusyError,
    LibraryDamagedError,
    LibraryError,
    LibraryReadOnlyError,
)
from explorer.library import migrations
from explorer.lock import FileLock, HeldError

Row = sqlite3.Row
Value = str | int | float | bytes | None

BUSY_SECONDS: Final = 5.0
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NOT_WRITABLE: Final = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_FULL,
)


def utc_now() -> str:
    """Return the time as the library writes it: ISO 8601 in UTC; text order is time order."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clean(text: str) -> str:
    """Return ``text`` with lone surrogates, which no UTF-8 file can hold, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Database:
    """An open library. Not to be shared between threads: a thread that reads opens its own."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, lock: FileLock | None, reason: str
    ) -> None:
        """Wrap a checked connection; callers use :meth:`open`."""
        self.path: Final = path
        self.reason: Final = reason
        """Why it cannot be written, as a sentence; empty where it can."""
        self._connection = connection
        self._lock = lock
        self._depth = 0

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        writable: bool = True,
        reason: str = "The library was opened for reading only.",
    ) -> Database:
        """Open the library at ``path``, creating it and its folder where they are missing.

        With ``writable=False`` (for the given ``reason``), or where the disk does not let us write,
        it is opened for reading; a missing library then is an empty one in memory. An older one is
        backed up and migrated.

        Raises :class:`LibraryBusyError` (another instance writes to it),
        :class:`LibraryTooNewError`, :class:`LibraryDamagedError`, or :class:`LibraryError` where it
        cannot be read either.
        """
        if not writable:
            return cls._reading(path, reason)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_name(path.name + ".lock"))
        except HeldError as error:
            by = f" (process {error.holder})" if error.holder else ""
            raise LibraryBusyError(
                f"Sample Explorer already runs with the library {path}{by}; use that window, or"
                " start with another --data-dir."
            ) from error
        except OSError as error:
            return cls._reading(path, _why_not(path, error.strerror or str(error)))
        try:
            return cls(_open_writing(path), path, lock, "")
        except _NotWritableError as error:
            lock.release()
            return cls._reading(path, _why_not(path, str(error)))
        except BaseException:
            lock.release()
            raise

    @classmethod
    def lent(cls, path: Path) -> Database:
        """Open the library for writing in a child of the process that holds its lock.

        One writer stays the rule: the holder writes nothing until the child has closed it.
        """
        return cls(_open_writing(path), path, None, "")

    @classmethod
    def in_memory(cls, reason: str = "") -> Database:
        """Return an empty library, gone when it is closed; read-only if there is a reason."""
        path = Path(":memory:")
        with _closed_on_error(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            migrations.migrate(connection, path, 0)
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA query_only={'ON' if reason else 'OFF'}")
        return cls(connection, path, None, reason)

    @classmethod
    def _reading(cls, path: Path, reason: str) -> Database:
        return cls(_open_reading(path), path, None, reason)

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written; ``reason`` says why."""
        return bool(self.reason)

    @property
    def version(self) -> tuple[int, int]:
        """A value that differs after every change to the library, whoever made it."""
        return self._connection.total_changes, self.value("PRAGMA data_version")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is on disk when this ends, or none of it is, where it raises.

        Inside another one it is a part of that: the outermost end is the commit.
        Raises :class:`LibraryReadOnlyError` with the reason where nothing can be written.
        """
        self._require_writable()
        depth = self._depth
        begin, commit, rollback = (
            (f"SAVEPOINT level{depth}", f"RELEASE level{depth}", f"ROLLBACK TO level{depth}")
            if depth
            else ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
        )
        self._run(begin)
        self._depth = depth + 1
        try:
            yield
            self._run(commit)
        except BaseException:
            # On some errors (a full disk) SQLite has rolled back by itself.
            if self._connection.in_transaction:
                self._connection.execute(rollback)
            raise
        finally:
            self._depth = depth

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything that is read inside is of one moment, whoever writes meanwhile."""
        self._run("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run one statement and return the id of the row it inserted (0 where it inserted none).

        Raises :class:`LibraryReadOnlyError` with the reason where nothing can be written.
        """
        self._require_writable()
        return self._run(sql, parameters).lastrowid or 0

    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Run one query and return all its rows; columns by name or position."""
        with _explained(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """Run one query and return its first row, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def value(self, sql: str, parameters: Sequence[Value] = ()) -> Any:
        """Run one query and return the first column of its first row, or None."""
        found = self.row(sql, parameters)
        return found[0] if found else None

    def erase_deleted(self) -> None:
        """Make deleted hunts leave every byte of the library's files, old backups included.

        Takes as long as copying the library. What does not succeed is made up for at the next
        start: raises :class:`LibraryError` then, to say so.
        """
        try:
            with _explained(self.path):
                _erase(self._connection, self.path)
        except LibraryError as error:
            raise LibraryError(
                "It is deleted, but its text leaves the file only when Sample Explorer starts the"
                f" next time ({error})."
            ) from error

    def close(self) -> None:
        """Close the file and let the next writer in; the second call does nothing."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Database:
        """Return itself, to be closed at the end of the ``with``."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def _require_writable(self) -> None:
        if self.read_only:
            raise LibraryReadOnlyError(self.reason)

    def _run(self, sql: str, parameters: Sequence[Value] = ()) -> sqlite3.Cursor:
        with _explained(self.path):
            return self._connection.execute(sql, parameters)


class _NotWritableError(Exception):
    """The library cannot be opened for writing, for the reason in the message."""


def _open_writing(path: Path) -> sqlite3.Connection:
    with _closed_on_error(_connect(path, "mode=rwc")) as connection, _explained(path):
        try:
            version = migrations.version_of(connection, path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")
            # A file that cannot be written says so here, not at the first verdict.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA user_version={version}")
            connection.execute("ROLLBACK")
            # What a killed program left in the log moves into the file, deleted text leaves it.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if 0 < version < migrations.latest():
                _back_up(connection, path, version)
            migrations.migrate(connection, path, version)
        except sqlite3.OperationalError as error:
            if _code(error) in _NOT_WRITABLE:
                raise _NotWritableError(str(error)) from error
            raise
        connection.execute("PRAGMA foreign_keys=ON")
        if connection.execute("SELECT 1 FROM tombstones WHERE NOT erased").fetchone():
            # A deletion was cut short; where it still cannot be finished, the next start tries.
            with contextlib.suppress(LibraryError), _explained(path):
                _erase(connection, path)
    return connection


def _open_reading(path: Path) -> sqlite3.Connection:
    with _explained(path):
        try:
            connection = _connect_reading(path) if path.exists() else sqlite3.connect(":memory:")
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error
        with _closed_on_error(connection):
            version = migrations.version_of(connection, path)
        if version < migrations.latest():
            with _closed_on_error(_in_memory(connection)) as connection:
                migrations.migrate(connection, path, version)
        connection.execute("PRAGMA query_only=ON")
        connection.row_factory = sqlite3.Row
        return connection


def _connect_reading(path: Path) -> sqlite3.Connection:
    """Connect without writing, on disks too where SQLite cannot make its shared-memory file."""
    log = path.with_name(path.name + "-wal")
    with _closed_on_error(_connect(path, "mode=ro")) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
            return connection
        except sqlite3.OperationalError as error:
            if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            connection.close()
    if not log.exists() or log.stat().st_size == 0:
        return _connect(path, "mode=ro&immutable=1")
    with tempfile.TemporaryDirectory(prefix="sample-explorer-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name(log.name))
        return _in_memory(_connect(copy, "mode=rw"))


def _connect(path: Path, options: str) -> sqlite3.Connection:
    with _explained(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{options}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
        )
    connection.row_factory = sqlite3.Row
    return connection


def _in_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy in memory and close the original."""
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with contextlib.closing(connection):
        connection.backup(memory)
    return memory


def _erase(connection: sqlite3.Connection, path: Path) -> None:
    """Rewrite the file without what was deleted.

    Zeroing deleted rows (``secure_delete``) is not enough: pages that were rearranged before keep
    copies of rows in their unused space. Raises :class:`LibraryBusyError` where another program's
    reading holds old pages in the log.
    """
    connection.execute("VACUUM")
    connection.execute("UPDATE tombstones SET erased = 1")
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    for backup in path.parent.glob(f"{path.name}.before-m*.bak*"):
        backup.unlink(missing_ok=True)
    if busy:
        raise LibraryBusyError("another program is reading it")


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Write a copy beside the library, named for the first step that is about to be taken."""
    target = path.with_name(f"{path.name}.before-m{version + 1:03}.bak")
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(part)) as copy:
        connection.backup(copy)
    os.replace(part, target)


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what a person can act on into a :class:`LibraryError`; a bug of ours stays one."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = _code(error)
        if code in _DAMAGE:
            raise LibraryDamagedError(
                f"The library {path} is damaged ({error}); put a copy in its place, or move it away"
                " to start with an empty one."
            ) from error
        if code == sqlite3.SQLITE_READONLY:
            raise LibraryReadOnlyError(_why_not(path, str(error))) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LibraryBusyError(
                f"Another program holds the library {path}; close it and try again."
            ) from error
        if code == sqlite3.SQLITE_FULL:
            raise LibraryError(
                f"The disk is full and nothing was saved in {path}; free some space and try again."
            ) from error
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise _unusable(path, str(error)) from error
        raise


def _code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's primary result code; 0 for errors that Python's module raised by itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _unusable(path: Path, why: str) -> LibraryError:
    return LibraryError(
        f"The library {path} cannot be used ({why}); check the disk and the permissions of its"
        " folder, or start with another --data-dir."
    )


def _why_not(path: Path, why: str) -> str:
    return (
        f"The library {path} cannot be written ({why}); verdicts are off until its folder is"
        " writable."
    )
