"""The terms of ECI version 1 (arXiv:2603.20990v1, section 3).

s(q, n) is the cosine similarity of query and passage under the encoder that is to be trained. Averages come first, over
an example's negatives and then over examples; one harmonic mean is taken at the end, of the set's two numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Float64


def hardness(negatives: Sequence[ArrayLike]) -> float:
    """S, the paper's Signal: mean over examples of the mean s(q, n) over the example's negatives.

    ``negatives``: one sequence of similarities in [-1, 1] an example; examples without negatives are left out, 0 when
    none has any. Raises ValueError for a similarity that is not finite.

    >>> hardness([[0.4, 0.6], [0.9]])
    0.7
    """
    means = [float(np.mean(_finite(values))) for values in negatives if np.size(values)]
    return float(np.mean(means)) if means else 0.0


def safety(positives: Sequence[ArrayLike], negatives: Sequence[ArrayLike]) -> float:
    """Delta, the paper's Max-Margin: mean over examples of the mean s+ - s(q, n), s+ the mean over its positives.

    One sequence of similarities an example in each; examples without negatives are left out, 0 when none has any.
    Raises ValueError for a similarity that is not finite and for an example without a positive.

    >>> round(safety([[0.8, 0.6], [0.9]], [[0.4, 0.6], [0.7]]), 9)
    0.2
    """
    margins = []
    for own, others in zip(positives, negatives, strict=True):
        if np.size(others):
            if not np.size(own):
                raise ValueError("an example has negatives and no positive")
            margins.append(float(np.mean(_finite(own)) - np.mean(_finite(others))))
    return float(np.mean(margins)) if margins else 0.0


def capacity(size: float) -> float:
    """C = ln(1 + size), natural logarithm; ``size`` is the mean number of negatives an example.

    >>> round(capacity(50), 4)
    3.9318
    """
    if not size >= 0:
        raise ValueError(f"size must be at least 0, not {size!r}")
    return math.log1p(size)


def efficiency(hardness: float, safety: float) -> float:
    """H = 2 S D / (S + D), the harmonic mean of hardness and safety; 0 when either is not above 0 (the paper's strict
    penalty), with no epsilon anywhere.

    >>> round(efficiency(0.577, 0.199), 4)
    0.2959
    >>> efficiency(0.5, -0.1)
    0.0
    """
    if not (math.isfinite(hardness) and math.isfinite(safety)):
        raise ValueError(f"hardness and safety must be finite, not {hardness!r} and {safety!r}")
    if hardness <= 0 or safety <= 0:
        return 0.0
    return 2 * hardness * safety / (hardness + safety)


def eci_v1(hardness: float, safety: float, size: float) -> float:
    """ECI version 1: capacity times efficiency (arXiv:2603.20990v1; its Table 1, first row, prints 1.16).

    >>> round(eci_v1(0.577, 0.199, 50), 2)
    1.16
    """
    return capacity(size) * efficiency(hardness, safety)


def _finite(values: ArrayLike) -> Float64:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError("a similarity is not finite")
    return array
