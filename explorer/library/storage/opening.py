"""How a library file is opened: for writing, for reading, and on disks that lack something.

A commit is on disk before it returns: a write-ahead log with ``synchronous=FULL``. Where a disk has
no memory that programs can share (many network shares), there can be no such log, and a rollback
journal takes its place: as safe, and somewhat slower.

For reading nothing needs to be writable: what SQLite would write beside the file is done without,
or in memory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from explorer.core.errors import LibraryBusyError, LibraryError
from explorer.library.storage import integrity, migrations
from explorer.library.storage.backups import purge
from explorer.library.storage.connection import (
    CANNOT_LOCK,
    NO_SHARED_MEMORY,
    NOT_WRITABLE,
    Connection,
    OperationalError,
    closed_on_error,
    code,
    connect,
    damaged,
    empty,
    extended_code,
    in_memory,
    opened,
    refusal,
    unusable,
    why_not,
)

BESIDE: Final = ("-wal", "-journal")
"""What SQLite may have left beside a library, without which its file alone is not whole."""
NO_LOCKS: Final = (
    "The library {path} lies on a disk on which nothing can be locked ({why}), so two programs"
    " could write into it at once; nothing is recorded there. Put it on a disk of this computer, or"
    " start with another --data-dir."
)
NO_LOG: Final = (
    "The library {path} lies on a disk without memory that programs can share, as many network"
    " disks are. Every verdict is as safe there, but takes longer, and another window may have to"
    " wait."
)


class NotWritableError(Exception):
    """The library cannot be opened for writing; the message says why, as a sentence."""


def open_writing(path: Path, patience: float) -> Connection:
    """Open the library, or make it, and bring it up to date.

    Raises :class:`NotWritableError` where it may still be read, and what
    :func:`~explorer.library.storage.connection.explained` raises.
    """
    for journal in ("WAL", "TRUNCATE"):
        with opened(path):
            try:
                return _prepared(path, patience, journal)
            except OperationalError as error:
                found = code(error)
                if found not in NOT_WRITABLE:
                    raise
                if why := refusal(path):
                    raise NotWritableError(why_not(path, why)) from error
                if extended_code(error) in CANNOT_LOCK and journal != "WAL":
                    raise NotWritableError(NO_LOCKS.format(path=path, why=error)) from error
                if found not in NO_SHARED_MEMORY or journal != "WAL":
                    raise NotWritableError(why_not(path, str(error))) from error
    raise AssertionError  # the second journal returned or raised


def _prepared(path: Path, patience: float, journal: str) -> Connection:
    with closed_on_error(connect(path, "mode=rwc", patience)) as connection:
        if journal != "WAL":
            # A log that is there can be read without shared memory by whoever is alone.
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        version = migrations.version_of(connection, path)
        (mode,) = connection.execute(f"PRAGMA journal_mode={journal}").fetchone()
        if mode not in ("wal", "truncate"):  # SQLite asked the disk for shared memory by itself
            connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA locking_mode=NORMAL")
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
        connection.execute("PRAGMA foreign_keys=ON")
        _require_structure(connection, path)
    return connection


def open_reading(path: Path, patience: float, *, checked: bool = True) -> Connection:
    """Open the library for reading, an older one as it will be; a missing one is an empty one.

    Without ``checked``, tables that are missing are found by whoever reads them.
    """
    with opened(path):
        try:
            connection = _connect_reading(path, patience) if path.exists() else empty()
        except OSError as error:
            raise unusable(path, error.strerror or str(error)) from error
        with closed_on_error(connection):
            version = migrations.version_of(connection, path)
        if version < migrations.latest():
            with closed_on_error(in_memory(connection)) as connection:
                migrations.migrate(connection, path, version)
        with closed_on_error(connection):
            if checked:
                _require_structure(connection, path)
            connection.execute("PRAGMA query_only=ON")
        return connection


def _require_structure(connection: Connection, path: Path) -> None:
    if problems := integrity.structure(connection):
        raise damaged(path, problems[0])


def remark(connection: Connection, path: Path) -> str:
    """Return what a person should know of how the library is written, or an empty text."""
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return NO_LOG.format(path=path) if mode == "truncate" else ""


def erase(connection: Connection, path: Path) -> list[Path]:
    """Rewrite the file, and every copy of it, without what was deleted.

    Zeroing deleted rows (``secure_delete``) is not enough: pages that were rearranged before keep
    copies of rows in their unused space. Returns damaged libraries that were kept aside and cannot
    be rewritten. Raises :class:`LibraryBusyError` where another program's reading holds old pages
    in the log, and ``OSError``.
    """
    connection.execute("VACUUM")
    tombstones = connection.execute("SELECT * FROM tombstones WHERE NOT erased").fetchall()
    left = purge(path, [dict(row) for row in tombstones])
    for backup in path.parent.glob(f"{path.name}.before-m*.bak*"):
        backup.unlink(missing_ok=True)
    connection.execute("UPDATE tombstones SET erased = 1")
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise LibraryBusyError("another program is reading it")
    return left


def finish_erasing(connection: Connection, path: Path) -> None:
    """Finish a deletion that was cut short; where it still cannot be, the next start tries."""
    with contextlib.suppress(LibraryError, OSError), opened(path):
        if connection.execute("SELECT 1 FROM tombstones WHERE NOT erased").fetchone():
            erase(connection, path)


def _connect_reading(path: Path, patience: float) -> Connection:
    """Connect without writing, on disks too where SQLite cannot make its shared-memory file."""
    with closed_on_error(connect(path, "mode=ro", patience)) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
            return connection
        except OperationalError as error:
            if code(error) not in NOT_WRITABLE:
                raise
            connection.close()
    left = [log for each in BESIDE if (log := path.with_name(path.name + each)).exists()]
    if not any(log.stat().st_size for log in left):
        return connect(path, "mode=ro&immutable=1", patience)
    with tempfile.TemporaryDirectory(prefix="sample-explorer-", dir=_roomy(path)) as folder:
        copy = Path(folder) / path.name
        for source in (path, *left):
            shutil.copyfile(source, copy.with_name(source.name))
        return in_memory(connect(copy, "mode=rw", patience))


def _roomy(path: Path) -> str | None:
    """Return where a copy has room, since the disk of the library may be full; None = as usual."""
    memory = "/dev/shm"
    if not os.path.isdir(memory):
        return None
    return (
        None if shutil.disk_usage(tempfile.gettempdir()).free > 3 * path.stat().st_size else memory
    )


def _back_up(connection: Connection, path: Path, version: int) -> None:
    """Write a copy beside the library, named for the first step that is about to be taken."""
    target = path.with_name(f"{path.name}.before-m{version + 1:03}.bak")
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    with contextlib.closing(connect(part, "mode=rwc", 0.0)) as copy:
        connection.backup(copy)
    os.replace(part, target)
