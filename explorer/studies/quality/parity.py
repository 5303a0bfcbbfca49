"""Ten tokens through a build and through the checkpoint that it was made from: do both agree?

The prompt is the same for every model, so a finding can be repeated. The first half goes in as a
prompt, the rest in steps of one token, because these take different ways through a graph.

A build in fp32 must agree in every logit. The others round their weights, so what counts is what
that does to the prediction: the mean divergence from the checkpoint's, bounded by precision. The
bounds are several times what real models show and far below what another model's weights give,
which is whole nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import PromptError
from explorer.core.manifest import Precision
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality.divergence import divergence, log_odds

if TYPE_CHECKING:
    from explorer.engine.session import Session

PROMPT = "Once upon a time there was a king who had three sons and no daughter."
COUNT = 10
LOGIT_BOUND = 1e-4
"""What a logit of fp32 may be off, times max(1, its size)."""
KL_BOUNDS: dict[Precision, float] = {"fp16": 0.01, "int8": 0.05, "int4": 0.5}
"""Nats a token that a build may be off, mean over the positions."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How a build compares with its source."""

    precision: Precision
    kl: float
    """Mean over the positions, nats; not finite where the build's numbers are not."""
    worst: float
    """Largest difference of a logit."""
    excess: float
    """Largest difference of a logit, divided by what fp32 may be off there: above 1 is too much."""

    @property
    def agrees(self) -> bool:
        """Whether that is within the bound of the precision."""
        if self.precision == "fp32":
            return self.excess <= 1
        return self.kl <= KL_BOUNDS[self.precision]

    @property
    def words(self) -> str:
        """The numbers and their bound, in a few words."""
        if self.precision == "fp32":
            return (
                f"the largest difference of a logit is {self.worst:.1e}, {self.excess:.2g} times "
                "what is allowed"
            )
        return (
            f"the divergence is {self.kl:.2g} nats, at most {KL_BOUNDS[self.precision]:g} is "
            f"allowed; the largest difference of a logit is {self.worst:.2g}"
        )


def fixed_ids(tokens: Tokens, context: int) -> list[int]:
    """Return the ids that every check of this vocabulary uses: ten, or fewer in a tiny context."""
    drawable = [token for token in range(tokens.vocabulary) if token not in tokens.holes]
    # A vocabulary that cannot spell English, or does it in fewer tokens, gets some of its own.
    spread = [drawable[n * len(drawable) // COUNT] for n in range(COUNT)]
    try:
        ids = tokens.encode(PROMPT)
    except PromptError:
        ids = []
    return [*ids, *spread][: min(COUNT, context)]


def logits_of(session: Session, ids: Sequence[int]) -> NDArray[np.float64]:
    """Return the logits of a build after every token of ``ids``: [S, V], -inf where no token is."""
    half = (len(ids) + 1) // 2
    prompt, lanes = session.cache(1), session.cache(2)
    output = session.prefill(prompt, ids[:half], rows="all")
    found = [output.logits(row).astype(np.float64) for row in range(half)]
    session.copy_row(prompt, 0, lanes, 0, half)
    for position in range(half, len(ids)):
        token = np.array([ids[position]], np.int64)
        output = session.step(lanes, token, np.array([position], np.int64))
        found.append(output.logits(0).astype(np.float64))
    return np.array(found)


def compare(
    expected: NDArray[np.float64], found: NDArray[np.float64], precision: Precision
) -> Parity:
    """Compare a build's logits with the source's, both [S, V] without columns that have no token.

    Numbers that are not finite never agree.
    """
    if not np.isfinite(found).all():
        return Parity(precision, np.inf, np.inf, np.inf)
    difference = np.abs(found - expected)
    allowed = LOGIT_BOUND * np.maximum(1, np.abs(expected))
    kl = divergence(log_odds(expected), log_odds(found))
    return Parity(
        precision,
        float(kl.mean()),
        float(difference.max()),
        float((difference / allowed).max()),
    )
