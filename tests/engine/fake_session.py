"""A session without a model: milliseconds instead of seconds, and it notices misuse.

It has the interface of :class:`explorer.engine.session.Session`. What it "computes" at a position
is a hash of the token there and of the hash before it, so a row that was copied, moved or fed
wrongly goes on with other tokens, as a real one would. Reading a position that was never written
fails.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from explorer.core.errors import EngineError, InterruptedPrefillError, ModelError
from explorer.engine.messages import Load

_STATES = 509
_MASK = 2**64 - 1


@functools.cache
def _tables(vocabulary: int) -> tuple[np.ndarray, ...]:
    """Return logits [states, V], their K likeliest, those ids, and logsumexp [states]."""
    table = np.random.default_rng(0).normal(-40, 2.0, (_STATES, vocabulary)).astype(np.float32)
    ids = np.argsort(-table, axis=1, kind="stable")[:, : min(64, vocabulary)]
    exact = table.astype(np.float64)
    peak = exact.max(1)
    logsumexp = (peak + np.log(np.exp(exact - peak[:, None]).sum(1))).astype(np.float32)
    return table, np.take_along_axis(table, ids, 1), ids, logsumexp


class FakeCache:
    """Hash of every row up to each position; 0 = never written."""

    def __init__(self, rows: int, context: int) -> None:
        self.rows = rows
        self.states = np.zeros((rows, context), np.uint64)


class FakeOutput:
    """Rows of the table of logits."""

    def __init__(self, session: FakeSession, states: list[int]) -> None:
        self._session = session
        self._at = np.array([(state >> 33) % _STATES for state in states])
        self.top_logits = session.top_logits[self._at]
        self.top_ids = session.top_ids[self._at]
        self.logsumexp = session.logsumexp[self._at]

    def logits(self, row: int) -> np.ndarray:
        self._session.full_rows += 1
        return self._session.table[self._at[row]]

    def probabilities(self, row: int) -> np.ndarray:
        logits = self._session.table[self._at[row]].astype(np.float64)
        exponentials = np.exp(logits - logits.max())
        return (exponentials / exponentials.sum()).astype(np.float32)


class FakeSession:
    """Deterministic logits with the interface of a real session."""

    device, device_name, reason = "cpu", "a table", "There is no GPU in a table."
    versions = {"onnxruntime": "0.0"}  # noqa: RUF012
    prompts_go_on = True

    def __init__(
        self,
        vocabulary: int = 300,
        context: int = 64,
        *,
        end_of_text: int | None = None,
        even_rows: bool = False,
        seconds: float = 0.0,
    ) -> None:
        """``seconds`` is how long a step takes, and 64 tokens of a prompt."""
        self.manifest = SimpleNamespace(
            name="fake", context=context, vocabulary=vocabulary, end_of_text=end_of_text
        )
        self.build = SimpleNamespace(name="cpu-fp32", even_rows=even_rows)
        self.seconds = seconds
        arrays = [array.copy() for array in _tables(vocabulary)]
        self.table, self.top_logits, self.top_ids, self.logsumexp = arrays
        self.steps: list[int] = []  # active rows of every step
        self.prefilled: list[tuple[int, int]] = []  # (start, tokens) of every call
        self.moved: list[int] = []  # positions of every copy
        self.full_rows = 0
        self.fails: str | None = None
        self.closed = False

    def cache(self, rows: int) -> FakeCache:
        return FakeCache(rows + rows % 2 * self.build.even_rows, self.manifest.context)

    def prefill(self, cache, ids, start=0, *, chunk=256, stop=None, rows="last") -> FakeOutput:
        assert ids
        assert start + len(ids) <= self.manifest.context
        finished = time.monotonic() + self.seconds * len(ids) / 64
        while True:
            if stop is not None and stop():
                raise InterruptedPrefillError("Reading the prompt was stopped.")
            if time.monotonic() >= finished:
                break
            time.sleep(0.005)
        if self.fails is not None:
            raise EngineError(self.fails)
        states = [self._feed(cache, 0, start + at, token) for at, token in enumerate(ids)]
        self.prefilled.append((start, len(ids)))
        return FakeOutput(self, states if rows == "all" else states[-1:])

    def step(self, cache, tokens, positions) -> FakeOutput:
        assert 0 < len(tokens) == len(positions) <= cache.rows
        time.sleep(self.seconds)
        self.steps.append(len(tokens))
        states = [
            self._feed(cache, row, int(position), int(token))
            for row, (token, position) in enumerate(zip(tokens, positions, strict=True))
        ]
        if self.build.even_rows and len(tokens) % 2:
            cache.states[len(tokens)] = 0  # what the padding row held is lost
        return FakeOutput(self, states)

    def _feed(self, cache, row: int, position: int, token: int) -> int:
        before = int(cache.states[row, position - 1]) if position else 1
        assert before, f"row {row} goes on at {position}, but {position - 1} was never written"
        state = ((before ^ token) * 6364136223846793005 + token + 1442695040888963407) & _MASK
        cache.states[row, position] = state or 1
        return state or 1

    def copy_row(self, source, source_row, target, target_row, positions) -> None:
        assert source.states[source_row, :positions].all(), "unwritten positions are copied"
        target.states[target_row] = 0
        target.states[target_row, :positions] = source.states[source_row, :positions]
        self.moved.append(positions)

    def close(self) -> None:
        self.closed = True


# For the engine process: opens what the build's name says (see engine_main.Opener).


def open_fake(load: Load):
    """Open a fake session; the build ``slow`` takes its time, ``missing`` is not there."""
    from explorer.engine.text.tokens import Tokens
    from tests.tiny import make_tiny

    if load.build == "missing":
        raise ModelError(f"{load.folder} has no build 'missing'.")
    if load.build == "bug":
        raise KeyError("a bug")
    folder = Path(load.folder)
    if not (folder / "tokenizer.json").is_file():
        make_tiny(folder, vocabulary=300, context=512)
    tokens = Tokens.from_folder(folder)
    seconds = {"slow": 0.05, "paced": 0.004}.get(load.build, 0.0)
    session = FakeSession(300, 512, end_of_text=tokens.end_of_text, seconds=seconds)
    if load.build == "broken":
        session.fails = "The model could not run."
    if load.build == "poisoned":
        session.logsumexp = np.full_like(session.logsumexp, np.nan)
    return session, tokens
