"""A draw from a whole vocabulary, in descending order of logit, without putting it in order.

Tokens go into buckets, stretches of equal width on the scale of logits, so that the buckets' order
is that of their tokens. Only the bucket in which the draw falls is sorted; of the others their
weight is enough.

What a draw means is defined with weights in float64, but their exponentials cost more than all the
rest. So the weights are taken in float32 first, with a bound on what they are off. A draw that is
farther from both ends of its token than the bound allows is what float64 would draw; the few others
are drawn again in float64.
"""

from __future__ import annotations

import math
import threading
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BUCKET = 64
"""Tokens a bucket, on average."""

_FAR = 64.0
"""Below the peak by so many temperatures, tokens share the last bucket: 1e-28 of its weight."""

_FLAT = 1e-37
"""Narrowest bucket that float32 can count; all logits are equal then, or as good as."""

_QUICK_TEMPERATURES = (0.01, 100.0)
"""Where float32 holds a logit divided by the temperature; 100 is the highest that there is."""

_EXP_ERROR = 5e-7
"""Bound on the relative error of a float32 exponential, four units in the last place, beside what
all of them are off alike: numpy's are within two, those of onnxruntime's softmax too."""

_ROUNDING = 6e-8
"""Relative error of one float32 operation."""

_DEEP = 20.0
"""Tokens so many temperatures below the peak weigh 1e-4 of it together: beneath notice is what the
error of one of them has beyond this depth."""

_SUM_ERROR = 1e-8
"""Bound on what all that lies deep is off, and a sum of float64, relative to the sum."""

Doubles = NDArray[np.float64]


class Scratch:
    """Arrays [V] that one draw after the other fills.

    New ones are pages that the system clears first, which may take longer than the draw; and
    ``bincount`` makes such a copy of whatever has other types than ``weights`` and ``wide``.
    """

    def __init__(self, size: int) -> None:
        """Make room for ``size`` tokens."""
        self.fall, self.quick = np.empty(size, np.float32), np.empty(size, np.float32)
        self.weights, self.buckets = np.empty(size), np.empty(size, np.int32)
        self.wide = np.empty(size, np.intp)


class _Scratches(threading.local):
    """The room of each thread, for the vocabulary that it drew from last."""

    def __init__(self) -> None:
        self._room = Scratch(0)

    def of(self, size: int) -> Scratch:
        if len(self._room.fall) != size:
            self._room = Scratch(size)
        return self._room


_rooms = _Scratches()


def draw_whole(
    logits: NDArray[np.float32],  # [V]
    temperature: float,
    top_p: float,
    uniform: float,
    *,
    openai: bool,
    banned: int = -1,
    probabilities: NDArray[np.float32] | None = None,  # [V]
) -> tuple[int, int]:
    """Return the token that ``uniform`` means, and its rank among all, the banned one included.

    ``openai`` says which rule top-p follows; ``banned`` is an id that is never drawn, -1 = none;
    ``probabilities``, the softmax of the logits, save most of the work at temperature 1.
    """
    room = _rooms.of(len(logits))
    least, most = _QUICK_TEMPERATURES
    for quick in (True, False) if least <= temperature <= most else (False,):
        shares = probabilities if quick and temperature == 1 else None
        whole = FullVocabularyDraw(
            logits, temperature, banned, quick=quick, room=room, probabilities=shares
        )
        drawn = whole.draw(top_p, uniform, openai=openai)
        if drawn is not None:
            return drawn
    raise AssertionError("nothing is left open where nothing is off")


class _Place(NamedTuple):
    """A token of the order, by the bucket in which it stands."""

    bucket: int
    ids: NDArray[np.int64]
    """[n]: of the bucket, in order."""
    running: Doubles
    """[n]: the running sum of weights after each."""
    at: int
    """Which of them is meant; n where rounding hides it."""
    before: float
    """The sum before the first."""


class FullVocabularyDraw:
    """The weights of one row, and as much of their order as a draw needs."""

    def __init__(
        self,
        logits: NDArray[np.float32],
        temperature: float,
        banned: int = -1,
        *,
        quick: bool,
        room: Scratch | None = None,
        probabilities: NDArray[np.float32] | None = None,
    ) -> None:
        """Weigh the tokens of one row [V] in float32 (``quick``) or float64, and sort coarsely.

        ``room`` is used until the next one uses it; ``probabilities`` [V] are the weights where the
        temperature is 1.
        """
        room = room or Scratch(len(logits))
        peak = logits.max()
        self._taken: tuple[float, int] | None = None  # logit and id of the likeliest, if banned
        if banned >= 0 and logits[banned] == peak:
            self._taken = float(peak), banned
            logits = logits.copy()
            logits[banned] = -np.inf
            peak = logits.max()
            probabilities = None  # good beside the one that is taken out, not in its absence
        self._logits = logits
        fall = np.subtract(logits, peak, out=room.fall)  # 0 at the peak; rounding keeps the order
        deepest, far = -float(fall.min()), _FAR * temperature
        self._weights = room.weights  # [V]
        if probabilities is not None:
            self._weights[...] = probabilities
        elif quick:
            self._weights[...] = _quick(fall, temperature, room.quick)
        else:
            _exact(logits, temperature, self._weights)
        if banned >= 0:
            self._weights[banned] = 0
        self._error = _error(deepest, temperature) if quick else 0.0
        count = max(1, len(logits) // _BUCKET)
        width = min(deepest, far) / count
        with np.errstate(over="ignore"):
            fall *= np.float32(-1 / width if width > _FLAT else 0)
        if deepest > far:  # a slow operation
            np.minimum(fall, count, out=fall)
        self._buckets = room.buckets  # [V]
        self._buckets[...] = fall
        room.wide[...] = self._buckets  # from float32 at once there is no instruction
        self._reach = np.cumsum(np.bincount(room.wide, self._weights))  # [count + 1]

    def draw(self, top_p: float, uniform: float, *, openai: bool) -> tuple[int, int] | None:
        """Return the token that ``uniform`` means, and its rank; None where it is left open."""
        kept = self._kept(top_p, openai=openai)
        if kept is None:
            return None
        total, last = kept
        # Rounding may put the product on the total itself; the last one that has weight is meant.
        target = min(uniform * total, math.nextafter(total, 0.0))
        found = self._find(target, "right", uniform, total)
        if found is None:
            return None
        # Or beyond it: a bucket's running sum may round above what the bucket adds to the whole.
        if last is not None and (last.bucket, last.at) < (found.bucket, found.at):
            found = last
        end = found.running[found.at if found is last else -1]
        at = min(found.at, int(found.running.searchsorted(end)))
        token = int(found.ids[at])
        rank = int(np.count_nonzero(self._buckets < self._buckets[token])) + at
        if self._taken is not None:
            peak, banned = self._taken
            rank += banned < token or bool(self._logits[token] < peak)
        return token, rank

    def _kept(self, top_p: float, *, openai: bool) -> tuple[float, _Place | None] | None:
        """Return the weight of the tokens that top-p keeps, and the last of them where it is known:
        not if all are kept, or all of the buckets before. None where it is open which.
        """
        total = float(self._reach[-1])
        bar = top_p * total
        if top_p == 1 or bar >= total:
            return total, None
        found = self._find(bar, "right" if openai else "left", top_p, total)
        if found is None:
            return None
        if not openai:  # up to the first that reaches p
            last = found._replace(at=min(found.at, len(found.running) - 1))
        elif found.at or not found.before:  # those that stay within p, and at least one
            last = found._replace(at=max(found.at - 1, 0))
        else:
            return found.before, None
        return float(last.running[last.at]), last

    def _find(
        self, target: float, side: Literal["left", "right"], share: float, total: float
    ) -> _Place | None:
        """Return where the running sum of weights passes ``target``, a ``share`` of ``total``.

        ``side`` says whether to reach the target is enough ("left") or it must be exceeded. None
        where the error of the weights leaves open which token it is.
        """
        # A bucket's running sum may round above what the bucket adds to the whole.
        last = self._reach.searchsorted(self._reach[-1])
        bucket = int(min(self._reach.searchsorted(target, side), last))
        ids = np.flatnonzero(self._buckets == bucket)
        ids = ids[np.argsort(-self._logits[ids], kind="stable")]  # ties by lower id
        before = float(self._reach[bucket - 1]) if bucket else 0.0
        running = before + np.cumsum(self._weights[ids])
        at = int(running.searchsorted(target, side))
        if self._error:
            # An error that all weights have in common changes no share. At worst those before the
            # target are off one way and those behind it the other way.
            margin = (2 * self._error * share * (1 - share) + _SUM_ERROR) * total
            begin = running[at - 1] if at else before
            if at == len(ids) or target - begin < margin or running[at] - target < margin:
                return None
        return _Place(bucket, ids, running, at, before)


def _exact(logits: NDArray[np.float32], temperature: float, weights: Doubles) -> None:
    np.subtract(logits, logits.max(), out=weights, dtype=np.float64)
    if temperature != 1:
        weights /= temperature
    np.exp(weights, out=weights)


def _quick(
    fall: NDArray[np.float32], temperature: float, weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Fill ``weights`` with the exponentials of ``fall`` / ``temperature`` and return it."""
    if temperature != 1:
        fall = np.multiply(fall, np.float32(1 / temperature), out=weights)
    return np.exp(fall, out=weights)


def _error(deepest: float, temperature: float) -> float:
    """Bound the relative error of :func:`_quick`: one rounding below the peak, two to divide."""
    roundings = 1 if temperature == 1 else 3
    return _EXP_ERROR + roundings * _ROUNDING * min(deepest / temperature, _DEEP)
