"""Which candidates to judge, and what their judgments say of the level."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Bool, Float64, Int64
from hardneg.false_negatives.level import Level

SHARES = (0.01, 0.03, 0.1, 0.3)
"""Strata end after these shares of all candidates, the likeliest first: the doubtful ones are few and tell the most."""
SHAPE_SPREAD = 0.4
"""The error of the curve's shape, which judgments do not settle: a standard deviation of log odds."""


def bounds(probabilities: ArrayLike) -> Float64:
    """Float64 [4]: falling probabilities that part candidates [m] into five strata.

    Only the order of the candidates decides, so another level or slope parts them alike.
    """
    falling = -np.sort(-np.asarray(probabilities, dtype=np.float64))
    places = np.ceil(np.array(SHARES) * len(falling)).astype(np.int64) - 1
    return falling[np.maximum(places, 0)] if len(falling) else np.zeros(len(SHARES))


def strata(probabilities: ArrayLike, parted: ArrayLike) -> Int64:
    """Int64 [m]: the stratum of each candidate, from 0, the likeliest, to 4. ``parted`` [4]: the `bounds`."""
    rising = np.asarray(parted, dtype=np.float64)[::-1]
    above = np.searchsorted(rising, np.asarray(probabilities, dtype=np.float64), side="right")
    return (len(rising) - above).astype(np.int64)


def chances(counts: ArrayLike, wanted: int) -> Float64:
    """Float64 [5]: with which chance a candidate of each stratum is judged, so that about ``wanted`` are in all.

    ``counts`` [5]: how many candidates each stratum has. Strata get equal numbers of judgments. What a small stratum
    cannot use goes to the others.

    >>> chances(np.array([900, 90, 5, 0, 0]), 45).round(3).tolist()
    [0.022, 0.222, 1.0, 0.0, 0.0]
    """
    sizes = np.asarray(counts, dtype=np.float64)
    given, left = np.zeros(len(sizes)), min(float(wanted), float(sizes.sum()))
    order = np.argsort(sizes, kind="stable")
    for place, stratum in enumerate(order):
        given[stratum] = min(sizes[stratum], left / (len(order) - place))
        left -= given[stratum]
    return np.divide(given, sizes, out=np.zeros(len(sizes)), where=sizes > 0)


def judged_level(told: Level, probabilities: Float64, labels: Bool) -> Level:
    """The level that judged candidates ask for, with the estimate without labels as its prior.

    ``probabilities`` [k] are those that ``told`` gives; ``labels`` [k] say which candidates are relevant. The answer is
    the mode of the posterior of a shift of all log odds, which has a normal prior with ``told.spread``. How candidates
    were drawn does not matter as long as only their probabilities decided: the likelihood is conditional on those.

    The ``spread`` of the answer is that of the posterior and `SHAPE_SPREAD` together.

    >>> judged_level(Level(0.0, 1.6, 1.0), np.full(1000, 0.5), np.arange(1000) % 2 == 0).value
    0.0
    """
    clipped = np.clip(probabilities, 1e-9, 1 - 1e-9)
    logits = np.log(clipped) - np.log1p(-clipped)
    precision, shift = 1 / max(told.spread, 1e-3) ** 2, 0.0
    information = precision
    for _ in range(100):
        p = 1 / (1 + np.exp(-logits - shift))
        information = float((p * (1 - p)).sum()) + precision
        step = float(np.clip((float((labels - p).sum()) - precision * shift) / information, -1, 1))
        shift += step
        if abs(step) < 1e-9:
            break
    return Level(told.value + shift, told.slope, float(np.hypot(information**-0.5, SHAPE_SPREAD)))
