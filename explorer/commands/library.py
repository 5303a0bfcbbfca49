"""``library``: check it, back it up, go back to a backup, salvage what can be read."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from explorer.commands.terminal import Progress
from explorer.core.errors import InputError, LibraryError
from explorer.library.storage import backups, rescue
from explorer.library.storage.care_jobs import problems_of
from explorer.library.storage.connection import COMMAND_SECONDS, connect, opened
from explorer.library.storage.copying import copy_whole, require_free, written_beside
from explorer.library.storage.salvage import salvage
from explorer.system.paths import Paths


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Do what was asked; the exit code of ``check`` is 1 where something is damaged."""
    library = paths.library
    match args.action:
        case "check":
            return _check(args, library)
        case "backup":
            return _back_up(args, library)
        case "restore":
            return _list(args, library) if args.list else _restore(args, library)
        case _:
            return _salvage(args, library)


def _check(args: argparse.Namespace, library: Path) -> int:
    _require(library)
    try:
        problems = problems_of(library)
    except LibraryError as error:
        problems = [str(error)]
    sound = not problems
    values = {"library": str(library), "sound": sound, "problems": problems}
    lines = [f"{library} is sound."] if sound else [f"{library} is damaged:", *problems]
    _say(args, values, *lines)
    return 0 if sound else 1


def _back_up(args: argparse.Namespace, library: Path) -> int:
    _require(library)
    if args.output is None:
        with Progress() as progress:
            made = backups.back_up(progress, library)
    else:
        made = _copy(library, Path(args.output))
    _say(args, {"backup": str(made), "bytes": made.stat().st_size}, f"{made} was made and checked.")
    return 0


def _copy(library: Path, target: Path) -> Path:
    require_free(target)
    with written_beside(target) as part:
        with (
            opened(library),
            contextlib.closing(connect(library, "mode=ro", COMMAND_SECONDS)) as connection,
        ):
            copy_whole(connection, part, library)
        backups.require_sound(part)
    return target


def _list(args: argparse.Namespace, library: Path) -> int:
    made = backups.backups(library)
    listed = [{"day": str(b.day), "backup": str(b.path), "bytes": b.bytes} for b in made]
    lines = [f"{b.day}: {b.path} ({b.bytes / 1e6:,.1f} MB)" for b in made]
    folder = backups.folder_of(library)
    _say(args, {"backups": listed}, *(lines or [f"There is no backup in {folder}."]))
    return 0


def _restore(args: argparse.Namespace, library: Path) -> int:
    source = _meant(args.backup, library)
    aside = rescue.restore(library, source)
    kept = f" What was there is kept as {aside}." if aside else ""
    values = {"library": str(library), "backup": str(source), "kept": aside and str(aside)}
    _say(args, values, f"{library} is as it was in {source}.{kept}")
    return 0


def _meant(name: str | None, library: Path) -> Path:
    """Return the backup that is meant by a day, a path, or nothing."""
    made = backups.backups(library)
    if name is None:
        if not made:
            raise LibraryError(f"There is no backup in {backups.folder_of(library)}; name a file.")
        return made[0].path
    for backup in made:
        if str(backup.day) == name:
            return backup.path
    if not Path(name).is_file():
        raise InputError(f"{name} is neither the day of a backup nor a file; see restore --list.")
    return Path(name)


def _salvage(args: argparse.Namespace, library: Path) -> int:
    _require(library)
    if args.in_place:
        if args.output is not None:
            raise InputError("--in-place and --output cannot both be; give one of them.")
        salvaged, aside = rescue.salvage_in_place(library)
        then = f"It lies in {library}; what was there is kept as {aside}."
    else:
        target = Path(args.output) if args.output else rescue.salvage_beside(library)
        salvaged, aside = salvage(library, target), None
        then = f"It lies in {target}; library restore {target} puts it in place of the damaged one."
    tables = {name: asdict(rows) for name, rows in salvaged.tables.items()}
    lines = [
        f"{name}: {rows['saved']:,} read, {rows['mended']:,} with a value less, {rows['lost']:,}"
        f" lost, {rows['made']:,} that stand for lost ones"
        for name, rows in tables.items()
    ]
    values = {
        "library": str(salvaged.path),
        "whole": salvaged.whole,
        "tables": tables,
        "kept": aside and str(aside),
    }
    _say(args, values, *lines, salvaged.sentence(), then)
    return 0


def _require(library: Path) -> None:
    if not library.is_file():
        raise LibraryError(f"There is no library {library}.")


def _say(args: argparse.Namespace, values: Mapping[str, Any], *lines: str) -> None:
    print(json.dumps(values) if args.json else "\n".join(lines))
