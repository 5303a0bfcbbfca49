"""Everything that the program reads of a library, as a window and an export would."""

from __future__ import annotations

from pathlib import Path

from explorer.core.errors import ExplorerError
from explorer.library.export.collection_file import chunks
from explorer.library.search import Search
from explorer.library.storage.access import open_or_stand_in
from explorer.library.storage.care_jobs import problems_of
from tests.library.desk import Desk


def read_all(path: Path) -> tuple[list[str], bool]:
    """Read all there is; return what was said of it, and whether it could be written.

    Raises whatever is no :class:`ExplorerError`, which is a bug.
    """
    opened = open_or_stand_in(path)
    said = [opened.trouble] if opened.trouble else []
    with opened.database as database:
        desk, search = Desk(database), Search(database)

        def read(*work) -> list:
            try:
                found = work[0](*work[1:])
            except ExplorerError as error:
                said.append(str(error))
                return []
            return list(found) if isinstance(found, list | tuple) else [found]

        read(desk.ledger.close_crashed)
        hunts = read(desk.history.ids)
        said += [each.sentence for each in read(desk.history.page, hunts) if each.sentence]
        for hunt in hunts:
            for work in (desk.ledger.hunt, desk.ledger.policies, desk.ledger.verdicts):
                read(work, hunt)
            said += [each.damage for each in read(desk.ledger.tries, hunt) if each.damage]
        read(search.hunts, hunts, "o")
        for collection in read(desk.collections.list):
            ids = read(desk.samples.ids, collection.id)
            read(desk.samples.page, ids)
            said += [each.sentence for each in read(desk.samples.damaged, ids)]
            read(search.samples, ids, "o")
            for form in ("jsonl", "markdown", "html"):
                read(lambda c=collection, f=form: list(chunks(desk.samples, c, f, "2026")))
        read(desk.history.tombstones)
        if not database.read_only:
            read(lambda: desk.kept(desk.hunt("one more")))
    return said, not opened.database.read_only


def full_check(path: Path) -> list[str]:
    """Return what the full check says; an error of opening is what it says too."""
    try:
        return problems_of(path)
    except ExplorerError as error:
        return [str(error)]
