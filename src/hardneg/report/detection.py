"""How well a score finds what it is to find: measured over queries, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardneg import eci
from hardneg.arrays import Bool, Float64, Int64

RESAMPLES = 1_000
ENTRIES_AT_ONCE = 1 << 24


def auc(scores: Float64, labels: Bool, weights: NDArray[Any] | None = None) -> Float64:
    """Float64 [r]: the area under the ROC curve of ``scores`` [m] (higher: rather true), ties counted as half.

    ``weights`` [r, m]: how often each entry counts; left out, r = 1 and each counts once. NaN where one of the two
    classes is empty.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])).tolist()
    [0.75]
    """
    true, false = by_score(scores, labels, weights)
    below = np.cumsum(false, axis=1) - false / 2
    return ratio((true * below).sum(axis=1), true.sum(axis=1) * false.sum(axis=1))


def by_score(scores: Float64, labels: Bool, weights: NDArray[Any] | None) -> tuple[Float64, Float64]:
    """Float64 [r, distinct scores] twice: the weight of true and of false entries of each score, rising."""
    weight = np.ones((1, len(scores))) if weights is None else weights
    values, group = np.unique(scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    begins = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(values)))[:-1]]).astype(np.int64)
    true = np.add.reduceat(np.where(labels, weight, 0.0)[:, order], begins, axis=1)
    return true, np.add.reduceat(np.where(labels, 0.0, weight)[:, order], begins, axis=1)


def ratio(part: Float64, whole: Float64) -> Float64:
    out: Float64 = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
    return out


def with_interval(
    measure: Callable[[NDArray[Any] | None], Float64], owners: Int64, queries: int, seed: int = 0
) -> tuple[float, float, float]:
    """A measure and its 95 % interval by a bootstrap over queries: (value, low, high).

    ``measure`` takes weights [r, m] (or None) and gives [r]; ``owners`` [m], within 0..queries-1, says whose each entry
    is.
    """
    draws = np.random.Generator(np.random.SFC64([seed, 0]))
    step = max(1, min(RESAMPLES, ENTRIES_AT_ONCE // max(len(owners), 1)))
    found = [
        measure(eci.poisson(draws, (min(step, RESAMPLES - done), queries))[:, owners])
        for done in range(0, RESAMPLES, step)
    ]
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    low, high = eci.interval(values) if len(values) else (np.float64(np.nan), np.float64(np.nan))
    return float(measure(None)[0]), float(low), float(high)
