"""What salvage does with the rows it could read: each must point at one that is there.

A try without its hunt would have to go, and with it a text that a person kept. A hunt, a prompt, a
model or a collection that is lost is therefore replaced by one that says so; a text without its end
gets one. What still points nowhere goes, and is counted.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from explorer.core.recipe import Recipe
from explorer.library.storage.connection import READ_ERRORS, Connection

LOST: Final = "(lost with a damaged part of the library)"


@dataclass
class Rows:
    """What became of the rows of one table."""

    saved: int = 0
    mended: int = 0
    """Of those that were saved: how many had a value that had to be replaced."""
    lost: int = 0
    """Rows that could not be read or used; of a page that cannot be read, an estimate."""
    made: int = 0
    """Rows that stand for lost ones."""


@dataclass
class Salvaged:
    """What a salvage brought."""

    path: Path
    tables: dict[str, Rows] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether nothing was lost or had to be replaced."""
        return not any(each.lost or each.mended or each.made for each in self.tables.values())

    def sentence(self) -> str:
        """Return what to say of it."""
        saved, lost, mended, made = (
            sum(getattr(each, name) for each in self.tables.values())
            for name in ("saved", "lost", "mended", "made")
        )
        tries = self.tables.get("tries", Rows())
        if self.whole:
            return f"Everything was read: {saved:,} rows, {tries.saved:,} of them tries."
        return (
            f"{saved:,} rows were read, {tries.saved:,} of them tries ({tries.lost:,} lost);"
            f" {lost:,} rows of all kinds could not be, {mended:,} have a value less, and {made:,}"
            " stand for lost ones."
        )


def join(target: Connection, salvaged: Salvaged) -> None:
    """Let every row point at one that is there: lost parents are replaced, or children go."""
    tables = salvaged.tables
    default = Recipe().to_json()
    tables["models"].made += _made(
        target,
        "INSERT INTO models (id, fingerprint, name, build, manifest_json)"
        " SELECT DISTINCT model_id, 'lost-' || model_id, 'unknown', 'unknown', '{}' FROM hunts"
        " WHERE model_id NOT IN (SELECT id FROM models)",
    )
    tables["hunts"].made += _made(
        target,
        "INSERT INTO hunts (id, prompt_id, model_id, recipe, seed, seed_fixed, deliberate,"
        " next_index, created_at) SELECT hunt_id, -hunt_id, -1, ?, '0', 0, 0, max(idx) + 1,"
        " min(started_at) FROM tries WHERE hunt_id NOT IN (SELECT id FROM hunts) GROUP BY hunt_id",
        (default,),
    )
    if tables["hunts"].made:
        tables["models"].made += _made(
            target,
            "INSERT OR IGNORE INTO models (id, fingerprint, name, build, manifest_json)"
            " VALUES (-1, 'lost', 'unknown', 'unknown', '{}')",
        )
    tables["prompts"].made += _made(
        target,
        "INSERT INTO prompts (id, ids_sha256, text_sha256, text, ids)"
        " SELECT DISTINCT prompt_id, 'lost-' || prompt_id, 'lost-' || prompt_id, ?, x'' FROM hunts"
        " WHERE prompt_id NOT IN (SELECT id FROM prompts)",
        (LOST,),
    )
    tables["collections"].made += _made(
        target,
        "INSERT INTO collections (id, name, created_at)"
        " SELECT DISTINCT collection_id, 'Lost collection ' || collection_id, min(added_at)"
        " FROM samples WHERE collection_id NOT IN (SELECT id FROM collections)"
        " GROUP BY collection_id",
    )
    if not target.execute("SELECT 1 FROM collections WHERE deleted_at IS NULL").fetchone():
        tables["collections"].made += _made(
            target,
            "INSERT INTO collections (name, created_at)"
            " VALUES ('Kept samples', strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now'))",
        )
    tables["ends"].made += _made(
        target,
        "INSERT INTO ends (try_id, reason, seconds, ended_at, tokens)"
        " SELECT try_id, 'stopped', 0.0, started_at, length(ids) / 4"
        " FROM completions JOIN tries ON tries.id = try_id"
        " WHERE try_id NOT IN (SELECT try_id FROM ends)",
    )
    _mend_contents(target, salvaged, default)
    for (try_id,) in target.execute(
        "SELECT try_id FROM ends WHERE tokens AND try_id NOT IN (SELECT try_id FROM completions)"
    ).fetchall():
        _without_tokens(target, try_id)
    while sum(going := [_orphans(target, table) for table in tables]):
        for rows, gone in zip(tables.values(), going, strict=True):
            rows.saved -= gone
            rows.lost += gone
    _count_on(target)


def _mend_contents(target: Connection, salvaged: Salvaged, default: str) -> None:
    """Replace what is of the right type and still cannot be used."""
    tables = salvaged.tables
    mends = (
        ("models", "manifest_json = '{}'", "NOT json_valid(manifest_json)", ()),
        ("hunts", "recipe = ?", "NOT readable(recipe)", (default,)),
        ("hunts", "seed = '0'", "seed = '' OR seed GLOB '*[^0-9]*' OR length(seed) > 20", ()),
        ("tries", "versions_json = '{}'", "NOT json_valid(versions_json)", ()),
        ("prompts", "ids = x''", "length(ids) % 4", ()),
    )
    target.create_function("readable", 1, _is_recipe, deterministic=True)
    for table, change, wrong, values in mends:
        tables[table].mended += _made(target, f"UPDATE {table} SET {change} WHERE {wrong}", values)
    # Tokens that do not fit their count are worth less than the text beside them.
    for bad in target.execute(
        "SELECT try_id, text, tokens FROM completions JOIN ends USING (try_id)"
        " WHERE length(ids) <> 4 * tokens OR length(logprobs) <> 4 * tokens"
    ).fetchall():
        target.execute("DELETE FROM completions WHERE try_id = ?", (bad[0],))
        target.execute(
            "INSERT INTO completions (try_id, text, ids, logprobs) VALUES (?, ?, x'', x'')", bad[:2]
        )
        _without_tokens(target, bad[0])
        tables["completions"].mended += 1


def _without_tokens(target: Connection, try_id: int) -> None:
    """Let an end say that no token of its text is left; ends are never updated, so anew."""
    row = target.execute("SELECT * FROM ends WHERE try_id = ?", (try_id,)).fetchone()
    values = {**dict(row), "tokens": 0}
    target.execute("DELETE FROM ends WHERE try_id = ?", (try_id,))
    marks = ", ".join("?" * len(values))
    target.execute(
        f"INSERT INTO ends ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
    )


def _orphans(target: Connection, table: str) -> int:
    """Delete the rows of a table that point nowhere; return how many."""
    numbers = {row[1] for row in target.execute(f"PRAGMA foreign_key_check({table})").fetchall()}
    target.execute(
        f"DELETE FROM {table} WHERE rowid IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(numbers)),),
    )
    return len(numbers)


def _count_on(target: Connection) -> None:
    """Let every hunt go on behind its last number."""
    target.execute(
        "UPDATE hunts SET next_index = 1 + (SELECT max(idx) FROM tries WHERE hunt_id = hunts.id)"
        " WHERE next_index <= (SELECT max(idx) FROM tries WHERE hunt_id = hunts.id)"
    )


def numbers_go_on(source: Connection, target: Connection) -> None:
    """Give no number again that the source has given, also to what it has deleted."""
    with contextlib.suppress(*READ_ERRORS):
        for name, last in source.execute("SELECT name, seq FROM sqlite_sequence").fetchall():
            if isinstance(last, int) and isinstance(name, str):
                target.execute(
                    "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (last, name)
                )


def _made(target: Connection, sql: str, values: Sequence[Any] = ()) -> int:
    return max(target.execute(sql, values).rowcount, 0)


def _is_recipe(text: Any) -> bool:
    try:
        Recipe.from_json(text)
    except Exception:  # whatever it is made of
        return False
    return True
