"""Intervals by resampling queries, one batch at a time: the queries are the sampling unit.

Each resample weighs every query by an independent Poisson(1) number, which for more than a few dozen queries is the
bootstrap (Hanley and MacGibbon 2006; Chamandy et al. 2012). The weights of a query depend on the seed and on its batch
alone, so resamples of batches add up in any order, memory does not grow with the queries, and two sets of negatives of
the same queries are resampled alike: their difference is a paired one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hardneg.arrays import Float32, Float64

RESAMPLES = 1_000
LEVEL = 0.95
WEIGHTS_AT_ONCE = 1 << 22

_POISSON = np.searchsorted(
    np.cumsum(np.exp(-1.0) / np.concatenate([[1.0], np.cumprod(np.arange(1.0, 9.0))])),
    (np.arange(1 << 16) + 0.5) / (1 << 16),
).astype(np.float32)
"""Float32 [65536]: Poisson(1) numbers, each as often as is right; a uniform 16-bit number picks one."""


def poisson(draws: np.random.Generator, shape: tuple[int, int]) -> Float32:
    """Float32 ``shape``: independent Poisson(1) numbers."""
    return _POISSON[draws.integers(0, 1 << 16, shape, dtype=np.uint16)]


@dataclass(frozen=True, eq=False)
class Resamples:
    """Weighted sums of columns: ``sums`` float64 [resamples, ...], ``queries`` [resamples]: the weight."""

    sums: Float64
    queries: Float64

    @classmethod
    def of(cls, columns: Float64, *, batch: int = 0, seed: int = 0, resamples: int = RESAMPLES) -> Resamples:
        """Resamples of one batch: ``columns`` [n, ...], a row a query; ``batch`` is its number among the batches."""
        flat = np.asarray(columns, dtype=np.float32).reshape(len(columns), math.prod(columns.shape[1:]))
        draws = np.random.Generator(np.random.SFC64([seed, batch]))
        sums, queries = np.zeros((resamples, flat.shape[1])), np.zeros(resamples)
        step = max(1, WEIGHTS_AT_ONCE // resamples)
        for begin in range(0, len(flat), step):
            part = flat[begin : begin + step]
            weights = poisson(draws, (resamples, len(part)))
            sums += weights @ part
            queries += weights.sum(axis=1)
        return cls(sums.reshape(resamples, *columns.shape[1:]), queries)

    def __add__(self, other: Resamples) -> Resamples:
        return Resamples(self.sums + other.sums, self.queries + other.queries)

    @property
    def means(self) -> Float64:
        """Float64 [resamples, ...]: the mean over queries in each resample; NaN where a resample drew no query."""
        weights = self.queries.reshape(-1, *[1] * (self.sums.ndim - 1))
        return np.divide(self.sums, weights, out=np.full_like(self.sums, np.nan), where=weights > 0)


def interval(values: Float64, level: float = LEVEL) -> tuple[Float64, Float64]:
    """The percentile interval of resampled ``values`` [resamples, ...]: two arrays [...].

    Resamples without a value (NaN) are left out; where none has one, both ends are 0.

    >>> low, high = interval(np.arange(101.0)[:, None], 0.9)
    >>> low.round(6).tolist(), high.round(6).tolist()
    ([5.0], [95.0])
    """
    ends = [(1 - level) / 2, (1 + level) / 2]
    unknown = np.isnan(values)
    if not unknown.any():
        low, high = np.quantile(values, ends, axis=0)
        return low, high
    low, high = np.nanquantile(np.where(unknown.all(axis=0), 0.0, values), ends, axis=0)
    return low, high
