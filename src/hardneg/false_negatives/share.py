"""The share of a set that is false, with an interval: from the probabilities of its members, in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Float64

EDGES = np.arange(-16.0, 16.0001, 0.05)
"""Bins of the log odds."""
NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """An estimated share in [0, 1] with its 95 % interval."""

    value: float
    low: float
    high: float


def _zeros() -> Float64:
    return np.zeros(len(EDGES) - 1)


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many members of a set have which probability. The empty one is ``Histogram()``; they add up in any order.

    >>> round(Histogram.of([0.02, 0.04]).share(spread=0.0).value, 6)
    0.03
    """

    counts: Float64 = field(default_factory=_zeros)
    total: float = 0.0
    """The sum of the probabilities."""

    @classmethod
    def of(cls, probabilities: ArrayLike) -> Histogram:
        """Of probabilities [m] within 0 and 1."""
        p = np.asarray(probabilities, dtype=np.float64)
        inside = np.clip(p, 1e-7, 1 - 1e-7)
        bins = np.clip(np.digitize(np.log(inside) - np.log1p(-inside), EDGES) - 1, 0, len(EDGES) - 2)
        return cls(np.bincount(bins, minlength=len(EDGES) - 1).astype(np.float64), float(p.sum()))

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.counts + other.counts, self.total + other.total)

    def share(self, spread: float) -> Share:
        """The expected false share. ``spread``: the standard deviation of the level, which all log odds have in common.

        0 with an interval of 0 for an empty set.
        """
        count = self.counts.sum()
        if not count:
            return Share(0.0, 0.0, 0.0)
        middle = (EDGES[:-1] + EDGES[1:]) / 2
        shifts = np.array([-NORMAL_95, NORMAL_95]) * spread
        low, high = ((1 / (1 + np.exp(-(middle + shift)))) @ self.counts / count for shift in shifts)
        return Share(float(self.total / count), float(low), float(high))


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share in [0, 1] among ``count`` entries, at least one.

    >>> [round(bound, 3) for bound in wilson(0.5, 10)]
    [0.237, 0.763]
    """
    z2 = NORMAL_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL_95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)
