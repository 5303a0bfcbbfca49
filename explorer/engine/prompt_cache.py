"""Prompts that have been read, kept for their next candidates and for prompts that begin alike.

A prompt is read in chunks of :data:`CHUNK` tokens, counted from its start, and what comes out must
not depend on what was read before it. Tokens that it shares with a kept prompt are not read again
where that is certain to give the same bits: whole chunks always, parts of one where
:attr:`Session.prompts_go_on` says so.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.engine.messages import CHUNK

if TYPE_CHECKING:
    from explorer.engine.buffers import Cache
    from explorer.engine.session import Session

_KEPT = 2

_WORTH = 16
"""Tokens of a chunk that are worth going on from."""

_TILE = 16
"""Attention works on this many tokens at a time, or a multiple. One that is left over alone is
computed by another kernel, with other bits in the last places."""

Ids = tuple[int, ...]


@dataclass(slots=True, eq=False)
class Prompt:
    """A prompt, read up to ``done``; once all is read, the logits that follow it."""

    ids: Ids
    cache: Cache
    done: int = 0
    top_logits: NDArray[np.float32] | None = None  # [K]
    top_ids: NDArray[np.int64] | None = None  # [K]
    logsumexp: np.float32 | None = None
    logits: NDArray[np.float32] | None = None  # [V]

    @property
    def ready(self) -> bool:
        """Whether all of it is read."""
        return self.done == len(self.ids)


class Prompts:
    """The prompts used last; each has a cache of one row."""

    def __init__(self, session: Session) -> None:
        """Begin with none."""
        self._session = session
        self._kept: OrderedDict[Ids, Prompt] = OrderedDict()

    def get(self, ids: Ids, *, make: bool) -> Prompt | None:
        """Return the prompt if it is kept; if not and ``make``, a new one instead of the oldest.

        A new one has been read as far as a kept one that begins like it allows.
        """
        prompt = self._kept.get(ids)
        if prompt is None and make:
            prompt = self._kept[ids] = self._new(ids)
        if prompt is not None:
            self._kept.move_to_end(ids)
        return prompt

    def read(self, prompt: Prompt, stop: Callable[[], bool] | None) -> int:
        """Read on to the end of a chunk; return how many tokens that was.

        Raises what :meth:`Session.prefill` raises; the chunk has to be read again then.
        """
        session, end = self._session, prompt.done // CHUNK * CHUNK + CHUNK
        part = prompt.ids[prompt.done : end]
        output = session.prefill(prompt.cache, part, prompt.done, chunk=CHUNK, stop=stop)
        prompt.done += len(part)
        if prompt.ready:
            prompt.top_logits, prompt.top_ids = (
                output.top_logits[0].copy(),
                output.top_ids[0].copy(),
            )
            prompt.logsumexp, prompt.logits = output.logsumexp[0], output.logits(0).copy()
        return len(part)

    def _new(self, ids: Ids) -> Prompt:
        source, at = None, 0
        for kept in self._kept.values():
            start = goes_on_at(kept.done, _shared(kept.ids, ids), len(ids))
            if start > at:
                source, at = kept, start
        if at % CHUNK and not self._session.prompts_go_on:
            at -= at % CHUNK
        if len(self._kept) < _KEPT:
            cache = self._session.cache(1)
        else:
            cache = self._kept.popitem(last=False)[1].cache
        if source is not None and at and source.cache is not cache:
            self._session.copy_row(source.cache, 0, cache, 0, at)
        return Prompt(ids, cache, at)


def goes_on_at(read: int, shared: int, total: int) -> int:
    """Return how many tokens of a prompt of ``total`` need not be read.

    ``read`` tokens of another prompt have been, of which the first ``shared`` are the same. What
    is left gives the bits that reading whole chunks would give.
    """
    at = min(read, shared, total - 1)  # the last one is read for the logits that follow it
    if at == read and read % _TILE == 1:
        at -= 1  # it was alone
    begin = max(at, 0) // CHUNK * CHUNK
    end = min(begin + CHUNK, total)
    if at - begin < _WORTH or (end - begin) % _TILE == 1:  # the last one is to be alone
        return begin
    return at - ((end - at) % _TILE == 1)


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two prompts have in common from the start."""
    size = min(len(a), len(b))
    if a[:size] == b[:size]:
        return size
    return next(at for at in range(size) if a[at] != b[at])
