"""The library file: one writer, any number of readers, whole transactions.

One process writes (an operating-system lock beside the file, and on a byte of it, says who),
anybody may read. A commit is on disk before it returns. Deleted rows are overwritten with zeros.

A library that cannot be written is not an error: :meth:`Database.open` then gives a reading
connection whose ``reason`` says why, so that a window on a read-only disk still opens. How a file
is opened stands in :mod:`explorer.library.storage.opening`, what can go wrong with SQLite in
:mod:`explorer.library.storage.connection`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from explorer.core.errors import (
    LibraryBusyError,
    LibraryError,
    LibraryFullError,
    LibraryLostError,
    LibraryReadOnlyError,
)
from explorer.library.storage import integrity, migrations, opening
from explorer.library.storage.connection import (
    WINDOW_SECONDS,
    Connection,
    Cursor,
    DatabaseError,
    Parameters,
    Row,
    closed_on_error,
    damaged,
    empty,
    explained,
    unusable,
    why_not,
)
from explorer.library.storage.copying import copy_whole, require_free, written_beside
from explorer.library.storage.opening import NotWritableError
from explorer.library.storage.place import Place, identity
from explorer.library.storage.salvage import salvage_from
from explorer.system.lock import NO_LOCKS, FileLock, HeldError, is_byte_held, is_held

GUARDED_BYTE: Final = 0x40000000 + 1024
"""Of the library file, for the lock: SQLite never stores anything in the page that begins at 2**30,
and its own locks take the first 512 bytes of it."""


def utc_now() -> str:
    """Return the time as the library writes it: ISO 8601 in UTC; text order is time order."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clean(text: str) -> str:
    """Return ``text`` with lone surrogates, which no UTF-8 file can hold, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


MEMORY: Final = Path(":memory:")
"""Where a library lies that is gone when it is closed."""


class Database:
    """An open library. Not to be shared between threads: a thread that reads opens its own."""

    def __init__(
        self,
        connection: Connection,
        path: Path,
        lock: FileLock | None,
        reason: str,
        *,
        patience: float = WINDOW_SECONDS,
        unseen_writer: bool = False,
    ) -> None:
        """Wrap a checked connection; callers use :meth:`open`."""
        self.path = path
        self.remark = opening.remark(connection, path)
        """What else a person should know of how it lies on its disk, or empty."""
        self.damage = integrity.as_sentence(path, integrity.light(connection))
        """What an opening finds wrong with the newest rows, as a sentence; empty where nothing."""
        self._reason = reason
        self._lost = ""
        self._log_saved = False
        self._place = None if reason or path == MEMORY else Place(path)
        self._generation = 0
        self._connection = connection
        self._lock = lock
        self._patience = patience
        self._turned_away = False
        self._unseen_writer = unseen_writer  # its lock file was deleted
        self._depth = 0

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        writable: bool = True,
        reason: str = "The library was opened for reading only.",
        patience: float = WINDOW_SECONDS,
    ) -> Database:
        """Open the library at ``path``, creating it and its folder where they are missing.

        With ``writable=False`` (for the given ``reason``), or where the disk does not let us write,
        it is opened for reading; a missing library then is an empty one in memory. An older one is
        backed up and migrated. A statement waits for another program's lock for ``patience``
        seconds, and from then on not at all until it is let in.

        Raises :class:`LibraryBusyError` (another instance writes to it),
        :class:`LibraryTooNewError`, :class:`LibraryDamagedError`, or :class:`LibraryError` where it
        cannot be read either.
        """
        if not writable:
            return cls._reading(path, reason, patience)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(lock_of(path), byte_of=(path, GUARDED_BYTE))
        except HeldError as error:
            by = f" (process {error.holder})" if error.holder else ""
            raise LibraryBusyError(
                f"Sample Explorer already runs with the library {path}{by}; use that window, or"
                " start with another --data-dir."
            ) from error
        except OSError as error:
            return cls._reading(path, _no_lock(path, error), patience)
        try:
            before = identity(path)
            connection = opening.open_writing(path, patience)
            with closed_on_error(connection):
                opening.finish_erasing(connection, path)
                database = cls(connection, path, lock, "", patience=patience)
                if database._place is not None and before not in (None, database._place.library):
                    raise unusable(path, "it was replaced while it was opened")
            return database
        except NotWritableError as error:
            lock.release()
            return cls._reading(path, str(error), patience)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def lent(cls, path: Path, patience: float) -> Database:
        """Open the library for writing in a child of the process that holds its lock.

        One writer stays the rule: the holder writes nothing until the child has closed it.
        """
        return cls(opening.open_writing(path, patience), path, None, "", patience=patience)

    @classmethod
    def in_memory(cls, reason: str = "") -> Database:
        """Return an empty library, gone when it is closed; read-only if there is a reason."""
        path = MEMORY
        with closed_on_error(empty()) as connection:
            migrations.migrate(connection, path, 0)
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA query_only={'ON' if reason else 'OFF'}")
        return cls(connection, path, None, reason)

    @classmethod
    def _reading(cls, path: Path, reason: str, patience: float) -> Database:
        # Asked before there is a connection, which the answer would rob of its locks.
        unseen = is_byte_held(path, GUARDED_BYTE) and not is_held(lock_of(path))
        connection = opening.open_reading(path, patience)
        return cls(connection, path, None, reason, patience=patience, unseen_writer=unseen)

    @property
    def reason(self) -> str:
        """Why it cannot be written, as a sentence; empty where it can."""
        return self._lost or self._reason

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written; ``reason`` says why."""
        return bool(self.reason)

    @property
    def written_elsewhere(self) -> bool:
        """Whether another window or command may be writing: what has no end there still streams."""
        if not self.read_only:
            return False
        return self._unseen_writer or is_held(lock_of(self.path))

    @property
    def version(self) -> tuple[int, int, int]:
        """A value that differs after every change to the library, whoever made it."""
        data_version = self.value("PRAGMA data_version")
        return self._generation, self._connection.total_changes, data_version

    def check_place(self) -> str:
        """Return what happened to the file while it was open, as a sentence; empty if nothing.

        Nothing is written while it is not empty; what was committed can still be read.
        """
        self._lost = self._place.change() if self._place is not None else ""
        if not self._lost:
            self._log_saved = False
        elif self._place is not None and not (self._log_saved or self._connection.in_transaction):
            self._log_saved = True
            if self._place.only_beside():
                # Only the log lost its name: what it holds goes into the file while it can.
                with contextlib.suppress(LibraryError), explained(self.path):
                    self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return self._lost

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is on disk when this ends, or none of it is, where it raises.

        Inside another one it is a part of that: the outermost end is the commit.
        Raises :class:`LibraryReadOnlyError` with the reason where nothing can be written, and
        :class:`LibraryLostError` where the file is not in its place any more.
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
            if not depth:
                self._require_place()
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

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run one statement and return the id of the row it inserted (0 where it inserted none).

        Raises :class:`LibraryReadOnlyError` with the reason where nothing can be written.
        """
        self._require_writable()
        return self._run(sql, parameters).lastrowid or 0

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Run one query and return all its rows; columns by name or position."""
        with self._explained():
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Run one query and return its first row, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """Run one query and return the first column of its first row, or None."""
        found = self.row(sql, parameters)
        return found[0] if found else None

    def erase_deleted(self) -> None:
        """Make deleted hunts leave every byte of the library's files, old backups included.

        Takes as long as copying the library. What does not succeed is made up for at the next
        start: raises :class:`LibraryError` then, to say so.
        """
        try:
            with self._explained():
                left = opening.erase(self._connection, self.path)
        except (LibraryError, OSError) as error:
            raise LibraryError(
                "It is deleted, but its text leaves the file only when Sample Explorer starts the"
                f" next time ({error})."
            ) from error
        if left:
            raise LibraryError(
                "It is deleted, but a damaged library that was kept aside may still hold its text;"
                f" delete {', '.join(map(str, left))} too."
            )

    def save_as(self, target: Path) -> str:
        """Write everything that can still be read into a new file, and go on with that one.

        ``target`` may be where the library was, if nothing is there now. Nothing changes unless
        the copy is sound. Returns what could not be read any more, as a sentence, or an empty text.
        Raises :class:`InputError` where something is there, and :class:`LibraryError`.
        """
        left = self._place.left() if self._place is not None and target == self.path else []
        require_free(target, left)
        with written_beside(target) as part:
            target.parent.mkdir(parents=True, exist_ok=True)
            said = self._copy(part)
            if self._lock is not None and lock_of(target) == lock_of(self.path):
                self._lock.release()  # it lies where the new one has to
            for path in left:
                path.unlink()
        self.become(Database.open(target, patience=self._patience))
        return said

    def _copy(self, part: Path) -> str:
        try:
            copy_whole(self._connection, part, self.path)
        except LibraryFullError:
            raise
        except LibraryError:  # not all of it is to be had: row by row, then
            return salvage_from(self._connection, part).sentence()
        return ""

    def become(self, other: Database) -> None:
        """Go on with another library, which must not be used otherwise; this one is closed."""
        self.close()
        generation = self._generation + 1
        self.__dict__.update(other.__dict__)
        self._generation = generation

    def close(self) -> None:
        """Close the file and let the next writer in; the second call does nothing."""
        self._place, self._lost = None, ""
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
        if self._reason:
            raise LibraryReadOnlyError(self._reason)
        if not self._depth:
            self._require_place()

    def _require_place(self) -> None:
        """Look before each commit: it would succeed in a file that nobody finds again."""
        if self.check_place():
            raise LibraryLostError(self._lost)

    def _run(self, sql: str, parameters: Parameters = ()) -> Cursor:
        with self._explained():
            return self._connection.execute(sql, parameters)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Explain errors, and wait for a lock once only: who was turned away asks without waiting.

        A window asks several things for one key press, and must not wait for each of them.
        """
        try:
            with explained(self.path):
                yield
        except LibraryBusyError:
            self._wait(0.0, turned_away=True)
            raise
        except DatabaseError as error:  # a bug of ours, unless the file is not what it should be
            if found := integrity.culprit(self._connection):
                raise damaged(self.path, found) from error
            raise
        if self._turned_away:
            self._wait(self._patience, turned_away=False)

    def _wait(self, seconds: float, *, turned_away: bool) -> None:
        self._turned_away = turned_away
        self._connection.execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")


def lock_of(path: Path) -> Path:
    """Return the file that the writer of a library locks."""
    return path.with_name(path.name + ".lock")


def _no_lock(path: Path, error: OSError) -> str:
    """Return why a library is only read whose lock could not be taken."""
    why = error.strerror or str(error)
    if error.errno in NO_LOCKS:
        return opening.NO_LOCKS.format(path=path, why=why)
    return why_not(path, why)
