"""What the library remembers, as plain frozen values, and how ids and figures are packed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from explorer.core.errors import LibraryDamagedError
from explorer.core.recipe import Recipe
from explorer.library.damage import UNREADABLE, Fields, require_types
from explorer.library.storage.connection import Row

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
    steered_offset: int | None = None
    """The token of that try at which it branched."""
    damage: str = ""
    """What of it could not be read, as ``its prompt is missing from the library``; empty where it
    is whole. What could not is empty, or a default, and nothing goes on with such a hunt."""

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
    cut: bool = False
    """Whether a verdict ended it: what streamed when it was kept was stopped by keeping."""


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
    damage: str = ""
    """What of it could not be read, as in :attr:`Hunt.damage`; such a try cannot be judged."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of judgement; rows of one key press share ``action``."""

    id: int
    action: int
    try_id: int
    verdict: VerdictName
    undoes: int | None
    """The row that an ``undone`` row reverses."""
    redoes: int | None
    """The undone row that this one repeats."""
    mark: int
    """The newest try of its hunt that had been shown when it was given (RULES 5)."""
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

WHOLE_HUNTS: Final = (
    "hunts LEFT JOIN prompts ON prompts.id = prompt_id LEFT JOIN models ON models.id = model_id"
)
"""The tables that together hold a hunt."""

HUNT_COLUMNS: Final = "hunts.*, text, ids, fingerprint, name, build, manifest_json"
"""What :func:`hunt_from_row` needs of them."""


def try_from_row(row: Row) -> Try:
    """Make a try of a row of :data:`WHOLE_TRIES`; what cannot be read is said in its damage."""
    read = Fields(row)
    end = None
    if any(row[column] is not None for column in ("reason", "text", "ids", "logprobs")):
        text = read.text("text", "its text")
        ids = read.packed("ids", "the list of its tokens", unpack_ids)
        end = TryEnd(
            cast(End, read.word("reason", "its end", get_args(End), "crash")),
            ids,
            text,
            read.packed("logprobs", "the list of its probabilities", unpack_logprobs),
            read.number("seconds", "its duration"),
            row["action"] is not None,
        )
        if row["tokens"] != len(ids):
            read.blame("some of its tokens are missing from the library")
    return Try(
        id=row["id"],
        hunt_id=read.whole("hunt_id", "its hunt"),
        index=read.whole("idx", "its number"),
        lane=read.whole("lane", "its lane"),
        device=read.text("device", "its device"),
        versions=read.words("versions_json", "the record of its versions"),
        started_at=read.text("started_at", "its beginning"),
        end=end,
        damage=read.damage,
    )


def hunt_from_row(row: Row) -> Hunt:
    """Make a hunt of a row of :data:`WHOLE_HUNTS`; what cannot be read is said in its damage."""
    read = Fields(row)
    parent = row["steered_from_try"]
    return Hunt(
        id=row["id"],
        prompt_text=read.text("text", "its prompt"),
        prompt_ids=read.packed("ids", "the list of its prompt's tokens", unpack_ids),
        model=ModelRef(
            read.text("fingerprint", "its model"),
            read.text("name", "the name of its model"),
            read.text("build", "the build of its model"),
            read.text("manifest_json", "what its model was"),
        ),
        recipe=read.recipe("recipe"),
        seed=read.seed("seed"),
        seed_fixed=bool(row["seed_fixed"]),
        created_at=read.text("created_at", "its beginning"),
        deliberate=bool(row["deliberate"]),
        steered_from_try=None if parent is None else read.whole("steered_from_try", "its parent"),
        steered_offset=None if parent is None else read.whole("steered_offset", "its branch"),
        damage=read.damage,
    )


def verdict_from_row(row: Row) -> Verdict:
    """Make a verdict of a row; :class:`LibraryDamagedError` where it says nothing that counts."""
    require_types(row, _VERDICT_TYPES, "A verdict")
    if row["verdict"] not in get_args(VerdictName):
        raise LibraryDamagedError(
            "A verdict in the library cannot be counted, because its word is damaged."
        )
    return Verdict(*row)


def unreadable_hunt(hunt_id: int) -> Hunt:
    """Return what stands for a hunt whose row SQLite does not hand out."""
    model = ModelRef("", "", "", "")
    return Hunt(hunt_id, "", (), model, Recipe(), 0, False, "", damage=UNREADABLE)


_OPTIONAL: Final = (int, type(None))
_VERDICT_TYPES: Final = ((int,), (int,), (int,), (str,), _OPTIONAL, _OPTIONAL, (int,), (str,))
