"""Both metrics from sums: any number of batches, in any order, in constant memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Float64
from hardneg.eci.bootstrap import Resamples, interval
from hardneg.eci.queries import COLUMNS, per_query, terms_of, uniform_blocks
from hardneg.eci.sem import Moments, SemReport


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
    above_positive: float
    """Share of negatives with s(q, n) >= s+."""
    above_positive_95: float
    """Share of negatives with ``s(q, n) >= s+ - 0.05 |s+|``."""
    intervals: Mapping[str, tuple[float, float]]
    """A 95 % interval of every term, by the bootstrap over queries. Empty where no resamples were given."""
    sem: SemReport | None = None
    """eci_sem and its parts, where there are triples."""


def score(positives: ArrayLike, negatives: ArrayLike, owners: ArrayLike | None = None) -> Report:
    """Every term of eci_v1, with intervals, of one set that is in memory; the arguments are those of `Tally.of`.

    >>> round(score([0.8, 0.9], [[0.4, 0.6], [0.7, 0.7]]).eci_v1, 3)
    0.388
    """
    columns = per_query(positives, negatives, owners)
    return Tally.of_columns(columns).report(Resamples.of(columns))


def _zeros() -> Float64:
    return np.zeros(len(COLUMNS))


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Sums over examples. The empty tally is ``Tally()``; tallies add up, and their order does not matter.

    >>> half = Tally.of(positives=[0.8], negatives=[0.4, 0.6], owners=[0, 0])
    >>> other = Tally.of(positives=[0.9], negatives=[0.7], owners=[0])
    >>> report = (half + other).report()
    >>> report.examples, report.size, round(report.hardness, 3), round(report.safety, 3)
    (2, 1.5, 0.6, 0.25)
    """

    examples: int = 0
    sums: Float64 = field(default_factory=_zeros)
    """Float64 [7]: sums of `eci.queries.COLUMNS`."""
    moments: Moments = field(default_factory=Moments)
    """The state of eci_sem."""

    @classmethod
    def of(cls, positives: ArrayLike, negatives: ArrayLike, owners: ArrayLike | None = None) -> Tally:
        """The tally of a batch of n examples with m negatives in all.

        ``positives`` [n]: s+ of each example; ``negatives`` [m]: s(q, n); ``owners`` [m], within 0..n-1: whose negative
        it is; or ``negatives`` [n, k] and no owners. Raises ValueError for a similarity that is not finite.
        """
        if owners is not None:
            return cls.of_columns(per_query(positives, negatives, owners))
        blocks = uniform_blocks(np.asarray(positives, dtype=np.float64), np.asarray(negatives))
        return sum(map(cls.of_columns, blocks), start=cls())

    @classmethod
    def of_columns(cls, columns: Float64) -> Tally:
        """From the columns [n, 7] that `eci.queries` makes."""
        return cls(len(columns), np.ones(len(columns)) @ columns)

    @classmethod
    def of_moments(cls, moments: Moments) -> Tally:
        """A tally that knows eci_sem of some triples and no example: to be added to one that knows the examples."""
        return cls(moments=moments)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.examples + other.examples, self.sums + other.sums, self.moments + other.moments)

    def report(self, resamples: Resamples | None = None) -> Report:
        """Every term; all 0 for an empty tally. ``resamples`` of the same columns give the intervals."""
        found = {name: float(value) for name, value in terms_of(self.sums / max(self.examples, 1)).items()}
        some = round(float(self.sums[0]))
        return Report(
            examples=some,
            without_negatives=self.examples - some,
            intervals={} if resamples is None else intervals(resamples.means),
            sem=self.moments.report() if self.moments.triples else None,
            **found,
        )


def intervals(means: Float64) -> dict[str, tuple[float, float]]:
    """The 95 % interval of every term, from resampled means [resamples, 7] of `eci.queries.COLUMNS`."""
    out = {}
    for name, values in terms_of(means, undefined=np.nan).items():
        low, high = interval(values)
        out[name] = (float(low), float(high))
    return out
