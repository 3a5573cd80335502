"""What the probe says of a set of negatives, and of two sets of the same queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardneg.eci import interval, poisson

Floats = NDArray[np.float32]

RESAMPLES = 1_000


@dataclass(frozen=True, eq=False)
class ProbeScore:
    """One set's score: means over queries that the probe was not trained on."""

    score: float
    """What ranks; higher is better: the mean reciprocal rank plus `NATS` = 0.03 of the log-likelihood."""
    low: float
    high: float
    """The 95 % interval of ``score`` over queries. It holds no uncertainty of the training."""
    log_likelihood: float
    """Nats per query: the mean log-softmax of the positive among the distractors."""
    mrr: float
    """The mean reciprocal rank of the positive among the distractors."""
    ndcg: float
    """nDCG@10 of the positive among the distractors."""
    distractors: int
    """How many passages stood beside the positive: numbers of different corpora or samples do not compare."""
    values: Floats
    """Float32 [n]: the score of each query."""
    log_likelihoods: Floats
    ndcgs: Floats

    def __repr__(self) -> str:
        return f"ProbeScore({self.score:.4f}, {self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True)
class Difference:
    """How much better one set is than another: the mean over queries of the difference of their scores."""

    mean: float
    low: float
    high: float

    @property
    def decided(self) -> bool:
        """Whether the 95 % interval leaves out 0."""
        return self.low > 0 or self.high < 0


def difference(one: ProbeScore, other: ProbeScore, seed: int = 0) -> Difference:
    """``one`` less ``other``, query by query.

    Raises ValueError where they are not of the same queries and distractors.
    """
    if one.values.shape != other.values.shape or one.distractors != other.distractors:
        raise ValueError("the two scores are not of the same queries and distractors")
    return Difference(*mean_and_interval(one.values - other.values, seed))


def mean_and_interval(values: Floats, seed: int = 0) -> tuple[float, float, float]:
    """The mean of ``values`` [n] and its 95 % interval, queries resampled by Poisson weights."""
    draws = np.random.Generator(np.random.SFC64(seed))
    weights = poisson(draws, (RESAMPLES, len(values)))
    total = weights.sum(axis=1)
    means = np.divide(weights @ values, total, out=np.full(RESAMPLES, np.nan, np.float32), where=total > 0)
    low, high = interval(means.astype(np.float64))
    return float(values.mean(dtype=np.float64)), float(low), float(high)
