"""Continuous batching: candidates come and go, every step runs all that stream.

A lane is a place on the screen; a *row* is a place in the batch. Rows that stream form a prefix of
the batch, so a lane that waits for a verdict costs nothing: when a candidate ends, the keys and
values of the last row move into its row. A prompt is read once, alone, and kept; each of its
candidates starts from a copy of its keys and values and draws its first token from the logits that
the prompt ended with. So a refill streams in the very next step and the others never notice.

Nothing here depends on the company a candidate keeps: its draws are its own (sampling.uniforms), a
row's logits do not depend on other rows (Session), and a prompt is cut into the same chunks
whenever it is read, for other cuts would round differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import (
    EngineError,
    ExplorerError,
    InterruptedPrefillError,
    PromptError,
    PromptTooLongError,
    RecipeError,
)
from explorer.engine import sampling
from explorer.engine.messages import (
    CHUNK,
    MAX_LANES,
    Command,
    Drop,
    End,
    Ended,
    Event,
    Key,
    Load,
    Prefill,
    Quit,
    Refused,
    Start,
    Steps,
    Stop,
)
from explorer.engine.prompt_cache import Prompt, Prompts

if TYPE_CHECKING:
    from explorer.engine.buffers import Cache, Output
    from explorer.engine.session import Session
    from explorer.engine.text.tokens import TextDecoder, Tokens

_FIRST_ROWS = 4
"""Rows of the cache at first; it doubles when more are needed."""


@dataclass(slots=True, eq=False)
class _Candidate:
    """A candidate that streams, or waits for its prompt."""

    start: Start
    prompt: tuple[int, ...]
    uniforms: list[float]  # [tokens that it may have at most]
    decoder: TextDecoder
    began: float = field(default_factory=perf_counter)
    count: int = 0
    token: int = -1
    """The newest token; not yet in the cache."""

    @property
    def cached(self) -> int:
        """Positions of its row that are filled, which is also where the newest token goes."""
        return len(self.prompt) + max(self.count - 1, 0)

    def end(self, end_of_text: int | None) -> End | None:
        """Say whether the newest token is the last, and why."""
        recipe = self.start.recipe
        if self.token == end_of_text and recipe.end_of_text == "stop":
            return "end_of_text"
        if self.count == recipe.max_tokens:
            return "max_tokens"
        return "context_full" if self.count == len(self.uniforms) else None


class _Batch:
    """Candidates that draw together, and what stays the same from step to step."""

    def __init__(self, rows: list[_Candidate], end_of_text: int | None) -> None:
        self.rows = rows
        self.settings = sampling.Settings([row.start.recipe for row in rows], end_of_text)
        self.keys = tuple([row.start.key for row in rows])
        self.lanes = tuple([row.start.lane for row in rows])


class Lanes:
    """Streams candidates of one model, up to ``lanes`` at a time.

    :meth:`start`, :meth:`drop` and :meth:`stop` take effect at once; what they cause is among the
    events of the next :meth:`step`. ``coming`` returns the commands that wait to be carried out; it
    is asked, from another thread, while a prompt is read. When they leave nobody who waits for that
    prompt the step ends early, and that piece is read again if somebody comes back to it.
    """

    def __init__(
        self,
        session: Session,
        tokens: Tokens,
        lanes: int = MAX_LANES,
        coming: Callable[[], Sequence[Command]] = tuple,
    ) -> None:
        """Take an open session and its vocabulary; nothing is computed before the first step."""
        self.lanes = lanes
        self._session = session
        self._tokens = tokens
        self._coming = coming
        self._context = session.manifest.context
        self._vocabulary = session.manifest.vocabulary
        self._cache: Cache | None = None
        self._rows: list[_Candidate | None] = []  # by row; None = free
        self._waiting: list[_Candidate] = []  # for their prompt
        self._prompts = Prompts(session)
        self._crew = _Batch([], None)  # of the last step
        self._events: list[Event] = []

    @property
    def running(self) -> int:
        """How many candidates stream or wait for their prompt."""
        return len(self._waiting) + len(self._rows) - self._rows.count(None)

    def start(self, start: Start) -> None:
        """Let a candidate stream from the next step on; what ran in its lane is dropped.

        Raises :class:`PromptError` for a prompt that leaves no room or that the model cannot read,
        :class:`RecipeError` where the recipe leaves nothing to draw, and :class:`EngineError` for a
        lane or a key that cannot be used; nothing is changed then.
        """
        if not 0 <= start.lane < self.lanes:
            raise EngineError(
                f"There is no lane {start.lane}; lanes go from 0 to {self.lanes - 1}."
            )
        if any(candidate.start.key == start.key for candidate in self._candidates()):
            raise EngineError(f"Candidate {start.key} streams already; drop it first.")
        tokens = self._tokens
        drawable = self._vocabulary - len(tokens.holes) - (tokens.end_of_text is not None)
        if start.recipe.end_of_text == "never" and not drawable:
            raise RecipeError(
                "This model has no other token than the one that ends a text, so it must be drawn; "
                "let it stop the text or run on."
            )
        prompt = self._checked_prompt(start)
        room = min(start.recipe.max_tokens, self._context - len(prompt))
        uniforms = sampling.uniforms(start.seed, start.key[1], room).tolist()
        for candidate in self._candidates():
            if candidate.start.lane == start.lane:
                self._end(candidate, "dropped")
        self._waiting.append(_Candidate(start, prompt, uniforms, self._tokens.decoder()))

    def drop(self, key: Key | None = None) -> None:
        """Forget one candidate, or all: ``dropped``, if it still runs."""
        for candidate in self._candidates():
            if key is None or candidate.start.key == key:
                self._end(candidate, "dropped")

    def stop(self, key: Key | None = None) -> None:
        """End one candidate, or all: ``stopped``."""
        for candidate in self._candidates():
            if key is None or candidate.start.key == key:
                self._end(candidate, "stopped")

    def step(self) -> list[Event]:
        """Run one step of everything that streams; return what happened since the last one.

        At most one :class:`Steps`, then what ended. Empty when idle. Raises
        :class:`OutOfMemoryError` where a cache cannot be had; all is as it was then.
        """
        parts = []
        begun = self._view()
        if begun:
            crew = _Batch([candidate for candidate, _ in begun], self._tokens.end_of_text)
            parts.append(self._draw(crew, _FirstLogits(begun)))
        rows = self._close_ranks()
        if rows:
            assert self._cache is not None
            output = self._session.step(
                self._cache,
                np.array([candidate.token for candidate in rows], np.int64),
                np.array([candidate.cached for candidate in rows], np.int64),
            )
            if rows != self._crew.rows:
                self._crew = _Batch(rows, self._tokens.end_of_text)
            parts.append(self._draw(self._crew, output))
        ended, self._events = self._events, []
        return [Steps.join(parts), *ended] if parts else ended

    def _candidates(self) -> list[_Candidate]:
        return [candidate for candidate in self._rows if candidate is not None] + self._waiting

    def _checked_prompt(self, start: Start) -> tuple[int, ...]:
        prompt, start_of_text = start.prompt, self._tokens.start_of_text
        if not prompt:
            if start_of_text is None:
                raise PromptError.without_start()
            prompt = (start_of_text,)
        if len(prompt) >= self._context:
            raise PromptTooLongError(len(prompt), self._context)
        unknown = [token for token in prompt if not 0 <= token < self._vocabulary]
        if unknown:
            raise PromptError(
                f"The prompt holds token id {unknown[0]}, but this model has ids 0 to "
                f"{self._vocabulary - 1}; type the prompt anew."
            )
        return prompt

    # From a prompt to a row

    def _view(self) -> list[tuple[_Candidate, Prompt]]:
        """Give rows to candidates whose prompt is read; read at most one chunk for the others."""
        begun: list[tuple[_Candidate, Prompt]] = []
        budget = CHUNK
        for candidate in list(self._waiting):
            prompt = self._prompts.get(candidate.prompt, make=budget > 0)
            if prompt is None:
                continue
            while not prompt.ready and budget > 0:
                read = self._read(candidate, prompt)
                budget = budget - read if read else 0
            if prompt.ready:
                self._copy(candidate, prompt)
                self._waiting.remove(candidate)
                begun.append((candidate, prompt))
        return begun

    def _read(self, candidate: _Candidate, prompt: Prompt) -> int:
        """Read the next chunk; return its size, or 0 where it was given up or failed."""
        try:
            read = self._prompts.read(prompt, lambda: self._is_given_up(prompt))
        except InterruptedPrefillError:
            return 0
        except ExplorerError as error:
            self._waiting.remove(candidate)
            self._events.append(Refused(candidate.start.key, str(error)))
            return 0
        if len(prompt.ids) > CHUNK:
            self._events.append(Prefill(candidate.start.key, prompt.done, len(prompt.ids)))
        return read

    def _is_given_up(self, prompt: Prompt) -> bool:
        """Whether the commands that are coming end everybody who waits for ``prompt``.

        Others are no reason to stop: whoever rejects in other lanes quicker than a piece is read
        would keep it from ever being read.
        """
        waiting = [each.start for each in self._waiting if each.prompt == prompt.ids]
        for command in self._coming():
            match command:
                case Load() | Quit() | Stop(key=None):
                    return True
                case Stop(key=key) | Drop(key=key):
                    waiting = [start for start in waiting if start.key != key]
                case Start(lane=lane):
                    waiting = [start for start in waiting if start.lane != lane]
        return not waiting

    def _copy(self, candidate: _Candidate, prompt: Prompt) -> None:
        """Put a candidate into the first free row, with the keys and values of its prompt."""
        cache = self._grown(self.running)
        if None not in self._rows:
            self._rows.append(None)
        row = self._rows.index(None)
        self._session.copy_row(prompt.cache, 0, cache, row, len(prompt.ids))
        self._rows[row] = candidate

    def _grown(self, rows: int) -> Cache:
        """Return the cache with room for ``rows``, which grows: some systems reserve all of it."""
        old = self._cache
        if old is not None and old.rows >= rows:
            return old
        twice = min(2 * old.rows, self.lanes) if old is not None else 0
        grown = self._session.cache(max(twice, _FIRST_ROWS, rows))
        for row, candidate in enumerate(self._rows):
            if old is not None and candidate is not None:
                self._session.copy_row(old, row, grown, row, candidate.cached)
        self._cache = grown
        return grown

    def _close_ranks(self) -> list[_Candidate]:
        """Move the last rows into free ones, so that those that stream are a prefix."""
        rows = self._rows
        while rows and rows[-1] is None:
            rows.pop()
        while None in rows:
            assert self._cache is not None
            free, last = rows.index(None), rows.pop()
            assert last is not None
            self._session.copy_row(self._cache, len(rows), self._cache, free, last.cached)
            rows[free] = last
            while rows[-1] is None:
                rows.pop()
        return [candidate for candidate in rows if candidate is not None]

    # From logits to tokens

    def _draw(self, crew: _Batch, output: Output | _FirstLogits) -> Steps:
        """Draw a token for each of ``crew``, whose rows are those of ``output``."""
        if not np.isfinite(output.logsumexp).all():
            raise EngineError(
                "The model gives numbers that are not finite; its weights may be damaged or too "
                "large for this precision."
            )
        draws = sampling.draw(
            output.top_logits,
            output.top_ids,
            output.logsumexp,
            output.logits,
            self._vocabulary,
            crew.settings,
            np.array([candidate.uniforms[candidate.count] for candidate in crew.rows]),
            output.probabilities,
        )
        end_of_text = self._tokens.end_of_text
        texts: list[str] = []
        for candidate, token in zip(crew.rows, draws.tokens.tolist(), strict=True):
            candidate.token = token
            candidate.count += 1
            reason = candidate.end(end_of_text)
            # The token that ends a text is no part of it.
            texts.append("" if reason == "end_of_text" else candidate.decoder.feed(token))
            if reason is not None:
                self._end(candidate, reason)
        return Steps(
            crew.keys,
            crew.lanes,
            draws.tokens.astype(np.int32),
            tuple(texts),
            draws.logprobs,
            draws.ranks.astype(np.int32),
            draws.top_ids.astype(np.int32),
            draws.top_logprobs,
        )

    def _end(self, candidate: _Candidate, reason: End) -> None:
        if candidate in self._waiting:
            self._waiting.remove(candidate)
        else:
            self._rows[self._rows.index(candidate)] = None
        start = candidate.start
        seconds = perf_counter() - candidate.began
        rest = candidate.decoder.flush()
        self._events.append(Ended(start.key, start.lane, reason, rest, candidate.count, seconds))


class _FirstLogits:
    """What prompts ended with, as the output of a step whose rows are their candidates."""

    def __init__(self, begun: list[tuple[_Candidate, Prompt]]) -> None:
        self._prompts = [prompt for _, prompt in begun]
        self.top_logits = np.array([prompt.top_logits for prompt in self._prompts])  # [R, K]
        self.top_ids = np.array([prompt.top_ids for prompt in self._prompts])  # [R, K]
        self.logsumexp = np.array([prompt.logsumexp for prompt in self._prompts])  # [R]

    def logits(self, row: int) -> NDArray[np.float32]:
        logits = self._prompts[row].logits
        assert logits is not None
        return logits

    def probabilities(self, row: int) -> None:
        """Say that they are not kept: a prompt is drawn from once for each of its candidates."""
