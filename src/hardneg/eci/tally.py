"""ECI version 1 from sums: any number of batches, in any order, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardneg.eci.terms import capacity, efficiency

NEAR = 0.05
"""A negative is nearly unsafe when s(q, n) >= s+ - NEAR |s+|: 95 % of the positive's similarity, whatever its sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The terms of eci_v1 for one set of negatives; `eci.terms` defines each."""

    examples: int
    """Examples with at least one negative: those that the means are over."""
    without_negatives: int
    size: float
    """Mean number of negatives an example, those without any included."""
    positive: float
    hardness: float
    safety: float
    capacity: float
    efficiency: float
    eci_v1: float
    unsafe_share: float
    """Share of negatives with s(q, n) >= s+."""
    unsafe_share_95: float
    """Share of negatives with s(q, n) >= s+ - 0.05 |s+|."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over examples. The empty tally is ``Tally()``; tallies add up, and their order does not matter.

    >>> half = Tally.of(positives=[0.8], negatives=[0.4, 0.6], owners=[0, 0])
    >>> other = Tally.of(positives=[0.9], negatives=[0.7], owners=[0])
    >>> report = (half + other).report()
    >>> report.examples, report.size, round(report.hardness, 3), round(report.safety, 3)
    (2, 1.5, 0.6, 0.25)
    """

    examples: int = 0
    without_negatives: int = 0
    negatives: int = 0
    positive: float = 0.0
    hardness: float = 0.0
    safety: float = 0.0
    unsafe: int = 0
    unsafe_95: int = 0

    @classmethod
    def of(cls, positives: ArrayLike, negatives: ArrayLike, owners: ArrayLike) -> Tally:
        """The tally of a batch of n examples with m negatives in all.

        ``positives`` [n]: s+ of each example; ``negatives`` [m]: s(q, n); ``owners`` [m], within 0..n-1: whose negative
        it is. Raises ValueError for a similarity that is not finite.
        """
        plus = np.asarray(positives, dtype=np.float64)
        minus = np.asarray(negatives, dtype=np.float64)
        owner = np.asarray(owners, dtype=np.int64)
        if not (np.isfinite(plus).all() and np.isfinite(minus).all()):
            raise ValueError("a similarity is not finite")
        counts = np.bincount(owner, minlength=len(plus))
        some = counts > 0
        means = np.bincount(owner, weights=minus, minlength=len(plus))[some] / counts[some]
        own = plus[owner]
        return cls(
            examples=int(some.sum()),
            without_negatives=int((~some).sum()),
            negatives=len(minus),
            positive=_sum(plus[some]),
            hardness=_sum(means),
            safety=_sum(plus[some] - means),
            unsafe=int((minus >= own).sum()),
            unsafe_95=int((minus >= own - NEAR * np.abs(own)).sum()),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Tally)))

    def report(self) -> Report:
        """Every term; all 0 for an empty tally."""
        n, total = max(self.examples, 1), max(self.examples + self.without_negatives, 1)
        size, hardness, safety = self.negatives / total, self.hardness / n, self.safety / n
        return Report(
            examples=self.examples,
            without_negatives=self.without_negatives,
            size=size,
            positive=self.positive / n,
            hardness=hardness,
            safety=safety,
            capacity=capacity(size),
            efficiency=efficiency(hardness, safety),
            eci_v1=capacity(size) * efficiency(hardness, safety),
            unsafe_share=self.unsafe / max(self.negatives, 1),
            unsafe_share_95=self.unsafe_95 / max(self.negatives, 1),
        )


def _sum(values: NDArray[np.float64]) -> float:
    return float(np.sum(values))
