"""The evidence for one candidate: at which ranks the query and its known positive have it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Float64, Int64

QUERY_SIDE = 2 / 3
"""What the ranks for the query weigh. The ranks for the known positive have the rest."""
OWN = 0.17
"""How much the depth of the known positive itself excuses the depth of a candidate."""
SLOPE = 1.6
"""How fast the odds of being relevant fall with the evidence."""


def evidence(query: Float64, positive: Float64, own: Float64, owners: Int64) -> Float64:
    """u, float64 [m]: (2 mean(query) + mean(positive)) / 3 - 0.17 mean(own); low is rather relevant.

    ``query`` and ``positive`` [m, views]: natural logarithms of the ranks of each candidate for its query and for the
    known positive, in the whole corpus, from 0 at rank 1, a column per ranker. ``own`` [n, views]: those of the known
    positive for the query. ``owners`` [m] within 0..n-1. NaN: that ranker has no rank for the candidate.

    >>> evidence(np.log([[1.0, 4.0]]), np.log([[2.0, 2.0]]), np.zeros((1, 2)), np.array([0])).round(3).tolist()
    [0.693]
    """
    sides = np.nanmean(query, axis=1) * QUERY_SIDE + np.nanmean(positive, axis=1) * (1 - QUERY_SIDE)
    u: Float64 = sides - OWN * np.nanmean(own, axis=1)[owners]
    return u


def probability(u: ArrayLike, level: float) -> Float64:
    """The probability of being relevant, in [0, 1]: 1 / (1 + exp(-(level - 1.6 u))).

    >>> probability([0.0, 2.0], 0.0).round(3).tolist()
    [0.5, 0.039]
    """
    odds = level - SLOPE * np.asarray(u, dtype=np.float64)
    out: Float64 = np.exp(-np.logaddexp(0.0, -odds))
    return out
