"""Write into a file that a person names, whatever stands in its place.

A regular file appears, or changes, by one rename when it is complete, so a failure leaves what was
there; it keeps its mode and its owner. A link stays: what it leads to is replaced, in the folder
where that lies. Pipes, terminals and devices are written through. Folders, sockets and disks are
refused. A path such as ``/dev/stdout`` or ``/dev/fd/3`` means what this process has open there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

_DESCRIPTORS = {"stdin": 0, "stdout": 1, "stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")
_LONGEST = 240
"""Bytes of a name that an ending fits behind; file systems take 255."""


def why_not(target: Path) -> str:
    """Return what ``target`` is that cannot be written into, as "a folder"; mostly nothing."""
    mode = _mode(target)
    if not target.name or stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a disk" if stat.S_ISBLK(mode) else ""


def is_written_through(target: Path) -> bool:
    """Whether ``target`` is a pipe, a terminal or a device, which may have to be waited for."""
    mode = _mode(target)
    return bool(mode and not stat.S_ISREG(mode)) or _descriptor(target) is not None


def is_stdout(target: Path) -> bool:
    """Whether ``target`` is another name of standard output."""
    return _descriptor(target) == 1


def part_of(target: Path) -> Path:
    """Return where ``target`` is written before it is complete: beside the file itself."""
    real = Path(os.path.realpath(target))
    return real.with_name(os.fsdecode(os.fsencode(real.name)[:_LONGEST]) + ".part")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[TextIO]:
    """Open ``target`` for UTF-8 text that is written in full, or not at all where it is a file.

    Raises ``OSError``; :func:`why_not` says beforehand what is no place for text.
    """
    if (number := _descriptor(target)) is not None:
        with contextlib.suppress(AttributeError, ValueError):  # closed, or not ours
            sys.stdout.flush()
        with _text(os.dup(number)) as file:
            yield file
        return
    if reason := why_not(target):
        raise OSError(errno.EINVAL, f"it is {reason}")
    if "\0" in str(target):
        raise OSError(errno.EINVAL, "its name holds a zero byte")
    if is_written_through(target):
        with _text(os.open(target, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))) as file:
            yield file
        return
    real, part = Path(os.path.realpath(target)), part_of(target)
    before = _look(real)
    if before is not None and not os.access(real, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    part.unlink(missing_ok=True)  # what a killed program left, or a trap: it is not opened
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(part, flags, 0o666)
    try:
        with _text(descriptor) as file:
            yield file
            file.flush()
            if before is not None:
                _copy_rights(real, before, file.fileno())
            os.fsync(file.fileno())
        os.replace(part, real)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _text(descriptor: int) -> TextIO:
    return open(descriptor, "w", encoding="utf-8", newline="\n")


def _look(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _mode(target: Path) -> int:
    """Return the kind of what is at ``target``, links followed; 0 where it cannot be told."""
    try:
        return os.stat(target).st_mode
    except (OSError, ValueError):
        return 0


def _descriptor(target: Path) -> int | None:
    """Return the number of the open file that a path such as ``/dev/fd/3`` stands for."""
    if os.name != "posix":
        return None
    path = os.path.abspath(target)
    for name, number in _DESCRIPTORS.items():
        if path == f"/dev/{name}":
            return number
    found = _DESCRIPTOR.fullmatch(path)
    return int(found[1]) if found else None


def _copy_rights(path: Path, before: os.stat_result, descriptor: int) -> None:
    """Give a new file the owner, the mode and the access list of the one that it replaces."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # only root may give files away
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
    if sys.platform == "linux":
        for name in os.listxattr(path):
            with contextlib.suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(path, name))
