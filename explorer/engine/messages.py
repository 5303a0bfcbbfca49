"""What goes into the engine and what comes out: plain frozen values for the process boundary.

A caller sends a tuple of commands as one message; the engine carries all of them out between two
steps, so a reject and the start of the next try in its lane happen together. The engine answers
with events. It has no rule of its own: which candidate starts where, and when, is decided above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.core.recipe import Recipe
from explorer.system.settings import DeviceWish

MAX_LANES = 16

CHUNK = 256
"""Tokens of a prompt that are read in one step; part of what a sample means."""

End = Literal["end_of_text", "max_tokens", "context_full", "stopped", "dropped", "crash"]
"""How a candidate ended. The engine never sends ``crash``: whoever misses it concludes it."""

Key = tuple[int, int]
"""(hunt, index): names a candidate. The hunt number means nothing to the engine."""

ALTERNATIVES = 10
"""Likeliest tokens reported with every step."""


# Commands


@dataclass(frozen=True, slots=True)
class Load:
    """Open one build of a model folder; everything that ran before is dropped."""

    folder: Path
    build: str
    device: DeviceWish = "auto"
    threads: int = 0
    """Threads inside an operator; 0 = physical cores."""


@dataclass(frozen=True, slots=True)
class Start:
    """Stream one candidate in a lane (0-based); whatever ran in that lane is dropped first.

    Refused where a candidate of the same key still runs, in that lane or another.
    """

    key: Key
    lane: int
    seed: int
    """0 <= seed < 2**64. With the index it determines every draw."""
    prompt: tuple[int, ...]
    """Token ids; empty = from ``<|endoftext|>``, or the model's own token to start from."""
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget a candidate; answered by :class:`Ended` with ``dropped`` if it was still running."""

    key: Key


@dataclass(frozen=True, slots=True)
class Stop:
    """End one candidate (or all, with None) and keep what it has: answered by ``stopped``."""

    key: Key | None = None


@dataclass(frozen=True, slots=True)
class Quit:
    """End the engine process."""


@dataclass(frozen=True, slots=True)
class CancelLoad:
    """Give up the :class:`Load` that is under way; what was loaded before goes on."""


@dataclass(frozen=True, slots=True)
class Unload:
    """Free all memory that models hold; the next :class:`Start` loads the last one again.

    With a folder, only what is held of that model, or of one build: before its files are removed.
    """

    folder: Path | None = None
    build: str = ""
    """Empty = every build."""

    def concerns(self, load: Load | None) -> bool:
        """Whether what ``load`` asked for is to go."""
        if load is None or self.folder is None:
            return load is not None
        return load.folder == self.folder and self.build in ("", load.build)


@dataclass(frozen=True, slots=True)
class Restart:
    """End the process that does not answer, and load its model in a new one; its tries are lost.

    Where each answers it is the one in use.
    """


Command = Load | Start | Drop | Stop | Quit | CancelLoad | Unload | Restart


Silence = Literal["", "engine", "load"]
"""Which process has not answered for some seconds: the one in use, or the one that loads."""

# Events


@dataclass(frozen=True, slots=True)
class Ready:
    """A build is loaded and runs on ``device``."""

    folder: Path
    build: str
    device: str
    """``cpu`` or ``cuda``: the provider that really runs."""
    device_name: str
    """What a person calls it: ``CPU, 8 cores`` or ``NVIDIA H200``."""
    reason: str
    """Why it is not the GPU, or not as quick there as it could be; empty or a sentence."""
    versions: dict[str, str]
    """Versions that a sample records: onnxruntime, tokenizers, numpy, the program."""


@dataclass(frozen=True, slots=True)
class Prefill:
    """A long prompt is being read: ``done`` of ``total`` tokens."""

    key: Key
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Steps:
    """n new tokens, oldest first, of any candidates, as columns.

    Log-probabilities are natural, at temperature 1 over the full drawable vocabulary (RULES 13).
    """

    keys: tuple[Key, ...]  # [n]
    lanes: tuple[int, ...]  # [n]
    tokens: NDArray[np.int32]  # [n]
    texts: tuple[str, ...]  # [n] text that became complete with this token; may be empty
    logprobs: NDArray[np.float32]  # [n]
    ranks: NDArray[np.int32]  # [n] from 0, ties by lower id
    top_ids: NDArray[
        np.int32
    ]  # [n, 10] likeliest first; fewer columns where the vocabulary is smaller
    top_logprobs: NDArray[np.float32]  # [n, 10]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arrays as one piece: five would take longer than drawing the tokens did."""
        columns = (self.tokens, self.logprobs, self.ranks, self.top_ids, self.top_logprobs)
        numbers = b"".join([column.tobytes() for column in columns])
        return _steps, (self.keys, self.lanes, self.texts, self.top_ids.shape[1], numbers)

    @classmethod
    def join(cls, parts: Sequence[Steps]) -> Steps:
        """Return the tokens of all ``parts`` in their order."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            tuple([key for part in parts for key in part.keys]),
            tuple([lane for part in parts for lane in part.lanes]),
            np.concatenate([part.tokens for part in parts]),
            tuple([text for part in parts for text in part.texts]),
            np.concatenate([part.logprobs for part in parts]),
            np.concatenate([part.ranks for part in parts]),
            np.concatenate([part.top_ids for part in parts]),
            np.concatenate([part.top_logprobs for part in parts]),
        )


def _steps(
    keys: tuple[Key, ...],
    lanes: tuple[int, ...],
    texts: tuple[str, ...],
    alternatives: int,
    numbers: bytes,
) -> Steps:
    """Return what was pickled, with arrays that cannot be written."""
    n = len(keys)
    words = np.frombuffer(numbers, np.int32)
    tokens, logprobs, ranks = words[: 3 * n].reshape(3, n)
    top_ids, top_logprobs = words[3 * n :].reshape(2, n, alternatives)
    return Steps(
        keys,
        lanes,
        tokens,
        texts,
        logprobs.view(np.float32),
        ranks,
        top_ids,
        top_logprobs.view(np.float32),
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """A candidate ended; ``text`` is what the incremental decoder still held back (often empty)."""

    key: Key
    lane: int
    reason: End
    text: str
    tokens: int
    """Generated tokens in all."""
    seconds: float
    """From its start to its end, as the engine saw it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A command could not be carried out (a prompt that leaves no room, a broken model folder)."""

    key: Key | None
    """The candidate that was refused, None where it was a :class:`Load`."""
    message: str
    shortage: bool = False
    """Whether memory was what was missing."""
    damaged: bool = False
    """Whether something is wrong with the files of the model."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The engine process died; unfinished candidates are lost, a new process is being started."""

    message: str
    restarting: bool
    shortage: bool = False
    """Whether memory was the likely cause."""


@dataclass(frozen=True, slots=True)
class Displaced:
    """The model in use had to make room for the one that loads; all that ran on it is dropped."""


Event = Ready | Prefill | Steps | Ended | Refused | Crashed | Displaced
