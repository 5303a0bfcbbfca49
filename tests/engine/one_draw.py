"""A draw in its plain form: from all logits of one position, without a list of the likeliest."""

from typing import NamedTuple

import numpy as np

from explorer.engine import sampling


class Draw(NamedTuple):
    """One drawn token, with its figures."""

    token: int
    logprob: float
    rank: int


def draw_one(logits, recipe, uniform, end_of_text=None):
    """Draw from the logits [V] of one position, without a list of the likeliest."""
    token, place = sampling._draw_full(logits, sampling.Settings([recipe], end_of_text), 0, uniform)
    values = logits.astype(np.float64)
    logsumexp = values.max() + np.log(np.exp(values - values.max()).sum())
    return Draw(token, float(values[token] - logsumexp), place)
