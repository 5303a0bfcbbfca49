"""A collection as a file: JSON lines for programs, Markdown and one web page for people.

An export is a dated snapshot: counts are those of the moment, later undoing changes only the next
one. Samples come in the order in which they were collected. JSON lines hold every text exactly; the
two documents are made by :mod:`explorer.library.export.documents`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal

from explorer.core.bounded_reading import parse_json, reason_of
from explorer.core.errors import ExplorerError, InputError
from explorer.library.collection import Collection, Collections
from explorer.library.export.documents import html_document, markdown_document
from explorer.library.samples import Sample, Samples
from explorer.library.storage.connection import COMMAND_SECONDS
from explorer.library.storage.database import Database, utc_now
from explorer.system.output_file import replacing, why_not

Report = Callable[[float, str], None]
"""Told the fraction done and words for it."""
Format = Literal["jsonl", "markdown", "html"]

SUFFIXES: Final[dict[Format, str]] = {"jsonl": ".jsonl", "markdown": ".md", "html": ".html"}
NAMES: Final[dict[str, Format]] = {
    "jsonl": "jsonl", "json": "jsonl",
    "markdown": "markdown", "md": "markdown",
    "html": "html", "htm": "html",
}  # fmt: skip
"""What people call a format, and how they end a file of it -> which one it is."""
_PAGE: Final = 500


def _silent(_fraction: float, _words: str) -> None:
    """Report progress to nobody."""


def _not_said(_damaged: int) -> None:
    """Say nothing of samples that were left out."""


def export(
    samples: Samples,
    collection: Collection,
    form: Format,
    target: Path,
    now: Callable[[], str] = utc_now,
    progress: Report = _silent,
    left_out: Callable[[int], object] = _not_said,
) -> int:
    """Write the samples of a collection into ``target`` and return how many there were.

    Damaged ones are left out, and their number is told to ``left_out``, if there are any.

    One that is there is replaced: whoever minds asks first. How, and what is not a file, see
    :mod:`explorer.system.output_file`; a failure leaves what was there before.
    Raises :class:`InputError` where ``target`` cannot be a file, :class:`ExplorerError` where it
    cannot be written.
    """
    if reason := why_not(target):
        remedy = "name a file in it" if reason == "a folder" else "name another place"
        raise InputError(f"{target} is {reason}; {remedy}.")
    if _belongs_to(samples.library, target):
        raise InputError(f"{target} is the library itself; name another file.")
    ids = samples.ids(collection.id)
    reading = _Reading(samples, ids, progress)
    try:
        with replacing(target) as file:
            file.writelines(_pieces(reading, collection.name, form, now()))
    except OSError as error:
        raise ExplorerError(
            f"{target} cannot be written ({reason_of(error)}); choose another place."
        ) from error
    if damaged := len(ids) - reading.given:
        left_out(damaged)
    return reading.given


def export_library(
    progress: Report, library: Path, collection_id: int, form: Format, target: Path
) -> tuple[int, int]:
    """Export a collection as :func:`export` does, with a connection of its own: work for a job.

    Returns how many samples it wrote, and how many it left out as damaged. What is kept meanwhile
    is not in it. Where the job is cancelled, :func:`explorer.system.output_file.part_of` is left.
    """
    reading = Database.open(library, writable=False, patience=COMMAND_SECONDS)
    with reading as database, database.snapshot():
        collection = Collections(database).get(collection_id)
        damaged: list[int] = []
        count = export(
            Samples(database), collection, form, target, progress=progress, left_out=damaged.append
        )
        return count, sum(damaged)


def chunks(
    samples: Samples,
    collection: Collection,
    form: Format,
    exported_at: str,
    left_out: Callable[[int], object] = _not_said,
) -> Iterator[str]:
    """Yield the file of :func:`export` piece by piece."""
    ids = samples.ids(collection.id)
    reading = _Reading(samples, ids, _silent)
    yield from _pieces(reading, collection.name, form, exported_at)
    if damaged := len(ids) - reading.given:
        left_out(damaged)


class _Reading:
    """The samples of an export in the order in which they were collected, read page by page."""

    def __init__(self, samples: Samples, ids: Sequence[int], progress: Report) -> None:
        """Read those of ``ids``, which are newest first, that are whole."""
        self._samples, self._ids, self._progress = samples, ids[::-1], progress
        self.given = 0
        """How many were given by now."""
        self.deleted_tries = samples.deleted_tries()
        """Of the whole library."""

    def __iter__(self) -> Iterator[Sample]:
        """Yield them, once."""
        for start, page in self._pages():
            self._progress(start / len(self._ids), f"{start:,} of {len(self._ids):,} samples")
            for sample in self._samples.page(page):
                self.given += 1
                yield sample

    def whole(self) -> int:
        """Return how many there will be; it costs reading all of them."""
        damaged = sum(len(self._samples.damaged(page)) for _, page in self._pages())
        return len(self._ids) - damaged

    def _pages(self) -> Iterator[tuple[int, Sequence[int]]]:
        for start in range(0, len(self._ids), _PAGE):
            yield start, self._ids[start : start + _PAGE]


def _pieces(reading: _Reading, name: str, form: Format, exported_at: str) -> Iterator[str]:
    if form == "jsonl":
        for number, sample in enumerate(reading):
            values = record(sample, number, name, exported_at, reading.deleted_tries)
            yield json.dumps(values) + "\n"
    else:
        document = markdown_document if form == "markdown" else html_document
        yield from document(reading, name, reading.whole(), exported_at, reading.deleted_tries)


def record(
    sample: Sample, number: int, collection: str, exported_at: str, deleted_tries: int
) -> dict[str, Any]:
    """Return the JSON object of one sample; ``number`` counts from 0 within the file (RULES 14).

    The first four fields are those of gpt-2-output-dataset, in its order. ``ended`` is whether
    end-of-text was drawn, also where the recipe ran on behind it.
    """
    attempt, hunt, cost, recipe = sample.attempt, sample.hunt, sample.cost, sample.hunt.recipe
    reason = attempt.end.reason if attempt.end else None
    manifest = _manifest(hunt.model.manifest_json)
    end_of_text, vocabulary = manifest.get("end_of_text"), manifest.get("vocabulary")
    return {
        "id": number,
        "ended": reason == "end_of_text" or end_of_text in sample.tokens,
        "length": len(sample.tokens),
        "text": sample.text,
        "machine_written": True,
        "prompt": hunt.prompt_text,
        "tries": cost.tries,
        "kept": cost.kept,
        "rejected": cost.rejected,
        "skipped": cost.skipped,
        "passed_over": cost.passed_over,
        "lost": cost.lost,
        "caption": sample.caption,
        "seed_fixed": hunt.seed_fixed,
        "steered_at": cost.steered_at,
        "plain_tries": cost.plain_tries,
        "prompt_tries": sample.prompt_tries,
        "prompt_kept": sample.prompt_kept,
        "deleted_tries": deleted_tries,
        "seed": hunt.seed,
        "index": attempt.index,
        "prompt_tokens": list(hunt.prompt_ids),
        "tokens": list(sample.tokens),
        "end": reason,
        "recipe": asdict(recipe),
        "effective_top_k": min(recipe.top_k or vocabulary, vocabulary)
        if isinstance(vocabulary, int)
        else None,
        "model": {
            "name": hunt.model.name,
            "build": hunt.model.build,
            "fingerprint": hunt.model.fingerprint,
        },
        "device": attempt.device,
        "versions": attempt.versions,
        "seconds": attempt.end.seconds if attempt.end else None,
        "hunt": hunt.id,
        "collection": collection,
        "note": sample.note,
        "kept_at": sample.kept_at,
        "exported_at": exported_at,
    }


def _belongs_to(library: Path, target: Path) -> bool:
    """Whether a path leads to the library, its log or its lock, however it is written."""
    for ending in ("", "-wal", "-shm", "-journal", ".lock"):
        with contextlib.suppress(OSError, ValueError):  # one of them is not there yet
            if target.samefile(library.with_name(library.name + ending)):
                return True
    return False


def _manifest(text: str) -> dict[str, Any]:
    try:
        values = parse_json(text)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
