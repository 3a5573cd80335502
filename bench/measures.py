"""Measures of a detector that only the benches need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardneg.arrays import Bool, Float64, Int64
from hardneg.report.detection import by_score, ratio


def false_share(scores: Float64, labels: Bool, kept: float, weights: NDArray[Any] | None = None) -> Float64:
    """Float64 [r]: the share of true entries among the ``kept`` share of entries with the lowest scores."""
    inside, weight, order = _lowest(scores, kept, weights)
    return ratio((inside * weight * labels[order]).sum(axis=1), (inside * weight).sum(axis=1))


def mean_kept(scores: Float64, values: Float64, kept: float, weights: NDArray[Any] | None = None) -> Float64:
    """Float64 [r]: the mean of ``values`` [m] over the ``kept`` share of entries with the lowest scores."""
    inside, weight, order = _lowest(scores, kept, weights)
    return ratio((inside * weight * values[order]).sum(axis=1), (inside * weight).sum(axis=1))


def lost(scores: Float64, labels: Bool, caught: float, weights: NDArray[Any] | None = None) -> Float64:
    """Float64 [r]: the share of false entries at or above the highest threshold that catches ``caught`` of the true."""
    true, false = (part[:, ::-1].cumsum(axis=1) for part in by_score(scores, labels, weights))
    end = (true >= caught * true[:, -1:]).argmax(axis=1)
    share = ratio(false[np.arange(len(false)), end], false[:, -1])
    return np.where(true[:, -1] > 0, share, np.nan)


def _lowest(scores: Float64, kept: float, weights: NDArray[Any] | None) -> tuple[Bool, Float64, Int64]:
    order = np.argsort(scores, kind="stable")
    weight = np.ones((1, len(scores))) if weights is None else weights[:, order]
    running = np.cumsum(weight, axis=1, dtype=np.float64)
    inside = running <= kept * running[:, -1:] + 1e-9
    return inside, np.asarray(weight, np.float64), order


def reliability(probabilities: Float64, labels: Bool, bins: int = 10) -> list[dict[str, Any]]:
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


def calibration_error(probabilities: Float64, labels: Bool, bins: int = 10) -> float:
    """The expected calibration error in [0, 1]: mean difference of probability and share over `reliability`'s bins."""
    curve = reliability(probabilities, labels, bins)
    off = sum(entry["count"] * abs(entry["probability"] - entry["true"]) for entry in curve)
    return float(off / max(len(labels), 1))
