"""How well a score finds what it is to find: measured over queries, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardneg import eci

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def auc(scores: Floats, labels: Bools, weights: Floats | None = None) -> Floats:
    """Float64 [...]: the area under the ROC curve of ``scores`` [m] (higher: rather true), ties counted as half.

    ``weights`` [..., m]: how often each counts, all once when left out. NaN where one of the two classes is empty.

    >>> float(auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])))
    0.75
    """
    weight = np.ones((1, len(scores))) if weights is None else weights.reshape(-1, len(scores))
    values, group = np.unique(scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    begins = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(values)))[:-1]])
    true = np.add.reduceat(np.where(labels, weight, 0.0)[:, order], begins, axis=1)
    false = np.add.reduceat(np.where(labels, 0.0, weight)[:, order], begins, axis=1)
    below = np.cumsum(false, axis=1) - false / 2
    pairs = true.sum(axis=1) * false.sum(axis=1)
    area = np.divide((true * below).sum(axis=1), pairs, out=np.full(len(weight), np.nan), where=pairs > 0)
    out: Floats = area[0] if weights is None else area.reshape(weights.shape[:-1])
    return out


def query_weights(owners: Ints, queries: int, *, seed: int = 0, resamples: int = 1_000) -> Floats:
    """Float64 [resamples, m]: for a bootstrap over queries, how often each of m entries counts in each resample."""
    drawn = eci.Resamples.of(np.eye(queries), seed=seed, resamples=resamples).sums
    return drawn[:, owners]


def auc_interval(scores: Floats, labels: Bools, owners: Ints, queries: int, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of `auc`, by a bootstrap over queries; ``owners`` [m] within 0..queries-1."""
    areas = auc(scores, labels, query_weights(owners, queries, seed=seed))
    areas = areas[np.isfinite(areas)]
    if not len(areas):
        return float("nan"), float("nan")
    low, high = eci.interval(areas)
    return float(low), float(high)


def reliability(probabilities: Floats, labels: Bools, bins: int = 10) -> list[dict[str, Any]]:
    """The reliability curve: for each of ``bins`` equal ranges of probability that occurs, how many, their mean
    probability, and the share that is true.
    """
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    out = []
    for number in range(bins):
        inside = place == number
        if inside.any():
            out.append(
                {
                    "count": int(inside.sum()),
                    "probability": float(probabilities[inside].mean()),
                    "true": float(labels[inside].mean()),
                }
            )
    return out


def calibration_error(probabilities: Floats, labels: Bools, bins: int = 10) -> float:
    """The expected calibration error in [0, 1]: mean difference of probability and share over `reliability`'s bins."""
    curve = reliability(probabilities, labels, bins)
    off = sum(entry["count"] * abs(entry["probability"] - entry["true"]) for entry in curve)
    return float(off / max(len(labels), 1))
