"""Counts of numbers in bins whose width the numbers themselves decide, in any order and however they are grouped."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Int64

FINEST = -6
"""Bins are 1/64 wide at least, which are 128 for cosine similarities."""
MOST = 160
"""More bins than these are joined in pairs."""


def _nothing() -> Int64:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Binned:
    """Counts by bin. Bin i holds what is from i to i + 1 times 2**``exponent``; ``first`` is the first with a count.

    Bins begin at multiples of a power of two, so those of two histograms can always be joined to the same width, and
    the sum depends neither on the order nor on the grouping.

    >>> both = Binned.of([0.1, 0.9]) + Binned.of([40.0])
    >>> both.width, int(both.counts.sum())
    (0.5, 3)
    """

    exponent: int = FINEST
    first: int = 0
    counts: Int64 = field(default_factory=_nothing)

    @classmethod
    def of(cls, values: ArrayLike) -> Binned:
        """Of finite numbers; others are not counted."""
        given = np.asarray(values, dtype=np.float64)
        given = given[np.isfinite(given)]
        if not len(given):
            return cls()
        spread = max(abs(float(given.min())), abs(float(given.max())))
        exponent = max(FINEST, math.frexp(spread)[1] - 31)  # numbers of bins are exact
        bins = np.floor(given * 2.0**-exponent).astype(np.int64)
        first = int(bins.min())
        if (int(bins.max()) - first) >> 20:  # one far away number is no reason for a long array
            coarser = int(bins.max() - first).bit_length() - 20
            exponent, bins = exponent + coarser, bins >> coarser
            first = int(bins.min())
        return cls(exponent, first, np.bincount(bins - first)).joined()

    @property
    def width(self) -> float:
        """The width of a bin."""
        return float(2.0**self.exponent)

    def __add__(self, other: Binned) -> Binned:
        if not len(self.counts) or not len(other.counts):
            return self if len(self.counts) else other
        exponent = max(self.exponent, other.exponent)
        one, two = self.at(exponent), other.at(exponent)
        first = min(one.first, two.first)
        end = max(one.first + len(one.counts), two.first + len(two.counts))
        while end - first > 1 << 20:
            one, two = one.at(one.exponent + 1), two.at(two.exponent + 1)
            first, end = min(one.first, two.first), max(one.first + len(one.counts), two.first + len(two.counts))
        counts = np.zeros(end - first, dtype=np.int64)
        for part in (one, two):
            counts[part.first - first : part.first - first + len(part.counts)] += part.counts
        return Binned(one.exponent, first, counts).joined()

    def at(self, exponent: int) -> Binned:
        """The same with bins of 2**``exponent``, which is not below its own."""
        steps = exponent - self.exponent
        if not steps or not len(self.counts):
            return Binned(exponent, self.first, self.counts)
        bins = (self.first + np.arange(len(self.counts))) >> steps
        return Binned(exponent, int(bins[0]), np.bincount(bins - bins[0], weights=self.counts).astype(np.int64))

    def joined(self) -> Binned:
        """The same with as few bins as may be kept."""
        found = self
        while len(found.counts) > MOST:
            found = found.at(found.exponent + 1)
        return found


def together(histograms: dict[Any, Binned]) -> dict[str, Any]:
    """Histograms over common bins, as JSON: ``first`` (where the first bin begins), ``width``, and ``counts`` by key.

    >>> together({"a": Binned.of([0.0, 0.0]), "b": Binned.of([0.02])})
    {'first': 0.0, 'width': 0.015625, 'counts': {'a': [2, 0], 'b': [0, 1]}}
    """
    whole = sum(histograms.values(), start=Binned())
    counts: dict[Any, list[int]] = {}
    for key, own in histograms.items():
        fitted, row = own.at(whole.exponent), np.zeros(len(whole.counts), dtype=np.int64)
        if len(fitted.counts):
            begin = fitted.first - whole.first
            row[begin : begin + len(fitted.counts)] = fitted.counts
        counts[key] = row.tolist()
    return {"first": whole.first * whole.width, "width": whole.width, "counts": counts}
