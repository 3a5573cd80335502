"""The evidence for one candidate: at which ranks the query and its known positive have it, and what lies around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Bool, Float32, Float64, Int64, span

QUERY_SIDE = 2 / 3
"""What the ranks for the query weigh. The ranks for the known positive have the rest."""
OWN = 0.17
"""How much the depth of the known positive itself excuses the depth of a candidate."""
NEIGHBOURS, NEIGHBOUR_WEIGHT = 5, 1 / 3
"""How many of the nearest other candidates are looked at, and what their mean weighs."""


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


def smoothed(u: Float64, offsets: Int64, vectors: Float32, usable: Bool) -> Float64:
    """The evidence with a third of the mean evidence of the 5 nearest other candidates of the query.

    What lies among likely answers is likelier one (the cluster hypothesis). ``vectors`` [m, d]: unit vectors of the
    candidates, those of query i between two ``offsets``; ``usable`` bool [m]: which may serve as neighbours. Of equally
    near ones the earlier counts first.

    >>> smoothed(np.array([0.0, 3.0]), np.array([0, 2]), np.eye(2, dtype=np.float32), np.ones(2, bool)).tolist()
    [1.0, 2.0]
    """
    out = np.array(u, dtype=np.float64)
    for i in range(len(offsets) - 1):
        own = span(offsets, i)
        pool = np.flatnonzero(usable[own])
        near = vectors[own] @ vectors[own][pool].T
        near[pool, np.arange(len(pool))] = -np.inf  # nobody is its own neighbour
        order = np.argsort(-np.round(near, 6), axis=1, kind="stable")[:, :NEIGHBOURS]
        there = np.isfinite(np.take_along_axis(near, order, axis=1))
        count = there.sum(axis=1)
        around = np.where(there, u[own][pool][order], 0.0).sum(axis=1) / np.maximum(count, 1)
        out[own] = np.where(count > 0, u[own] + NEIGHBOUR_WEIGHT * (around - u[own]), u[own])
    return out


def probability(u: ArrayLike, level: float, slope: float) -> Float64:
    """The probability of being relevant, in [0, 1]: 1 / (1 + exp(-(level - slope u))).

    >>> probability([0.0, 2.0], 0.0, 1.6).round(3).tolist()
    [0.5, 0.039]
    """
    odds = level - slope * np.asarray(u, dtype=np.float64)
    out: Float64 = np.exp(-np.logaddexp(0.0, -odds))
    return out
