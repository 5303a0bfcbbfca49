"""What the library remembers, as plain frozen values, and how ids and figures are packed."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from explorer.library.connection import Row
from explorer.recipe import Recipe

End = Literal["end_of_text", "max_tokens", "context_full", "stopped", "dropped", "crash"]
"""How a try ended, in the engine's words."""

VerdictName = Literal["kept", "rejected", "skipped", "undone"]

SEED_LIMIT: Final = 2**64
"""Seeds are 0 .. 2**64 - 1; drawn ones stay below 2**53, which every reader of JSON has exactly."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model build as the library remembers it."""

    fingerprint: str
    """Of the build: another build, precision or device is another one (RULES 11)."""
    name: str
    build: str
    manifest_json: str


@dataclass(frozen=True, slots=True)
class Hunt:
    """All tries under one prompt, model build and recipe (RULES 1)."""

    id: int
    prompt_text: str
    prompt_ids: tuple[int, ...]
    model: ModelRef
    recipe: Recipe
    seed: int
    seed_fixed: bool
    created_at: str
    deliberate: bool = False
    """Whether a person asked for a new hunt where an earlier one could have gone on."""
    steered_from_try: int | None = None
    """The try that this hunt branched from; None for a plain hunt (RULES 12)."""

    @property
    def steered(self) -> bool:
        """Whether its tries are steered and never sum with plain ones (RULES 12)."""
        return self.steered_from_try is not None


@dataclass(frozen=True, slots=True)
class TryEnd:
    """What there was of a try when it ended."""

    reason: End
    ids: tuple[int, ...]
    text: str
    logprobs: tuple[float, ...]
    """One a token, natural, at temperature 1 over the full drawable vocabulary; kept as float32."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Try:
    """One candidate of which at least one token was shown."""

    id: int
    hunt_id: int
    index: int
    lane: int
    device: str
    versions: dict[str, str]
    started_at: str
    end: TryEnd | None
    """None while it streams."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of judgement; rows of one key press share ``decision``."""

    id: int
    decision: int
    try_id: int
    verdict: VerdictName
    undoes: int | None
    """The row that an ``undone`` row reverses."""
    redoes: int | None
    """The undone row that this one repeats."""
    at: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How refill was switched from ``at`` on (RULES 8)."""

    id: int
    hunt_id: int
    until_keep: bool
    """Whether a keep stops the refills of the hunt."""
    hold: bool
    """Whether a finished, unjudged try holds its lane."""
    at: str


def pack_ids(ids: Sequence[int]) -> bytes:
    """Return token ids as little-endian int32."""
    return struct.pack(f"<{len(ids)}i", *ids)


def unpack_ids(blob: bytes) -> tuple[int, ...]:
    """Return the token ids that :func:`pack_ids` packed."""
    return struct.unpack(f"<{len(blob) // 4}i", blob)


def pack_logprobs(logprobs: Sequence[float]) -> bytes:
    """Return log-probabilities as little-endian float32."""
    return struct.pack(f"<{len(logprobs)}f", *logprobs)


def unpack_logprobs(blob: bytes) -> tuple[float, ...]:
    """Return the log-probabilities that :func:`pack_logprobs` packed."""
    return struct.unpack(f"<{len(blob) // 4}f", blob)


WHOLE_TRIES: Final = (
    "tries LEFT JOIN ends ON ends.try_id = tries.id"
    " LEFT JOIN completions ON completions.try_id = tries.id"
)
"""The tables that together hold a try, for the FROM of a query."""


def try_from_row(row: Row) -> Try:
    """Make a try of a row of :data:`WHOLE_TRIES`."""
    end = None
    if row["reason"] is not None:
        end = TryEnd(
            cast(End, row["reason"]),
            unpack_ids(row["ids"]),
            row["text"],
            unpack_logprobs(row["logprobs"]),
            row["seconds"],
        )
    return Try(
        id=row["id"],
        hunt_id=row["hunt_id"],
        index=row["idx"],
        lane=row["lane"],
        device=row["device"],
        versions=json.loads(row["versions_json"]),
        started_at=row["started_at"],
        end=end,
    )
