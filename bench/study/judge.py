"""How well a predictor orders the sets, and what its first choice costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata, spearmanr

Floats = NDArray[np.float64]


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """The rank correlation; 0 where one side is the same for all."""
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(spearmanr(left, right).statistic)


def kendall(left: Sequence[float], right: Sequence[float]) -> float:
    """Kendall's tau-b; 0 where one side is the same for all."""
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(kendalltau(left, right).statistic)


def resampled(predicted: Floats, groups: Floats, resamples: int = 1_000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of Spearman over queries *and* sets: ``predicted`` [s], ``groups`` [s, g] nDCG of query groups.

    Each resample draws groups of held-out queries and draws sets, both with replacement.
    """
    rng = np.random.default_rng(seed)
    sets, count = groups.shape
    found = []
    for _ in range(resamples):
        rows, columns = rng.integers(0, sets, sets), rng.integers(0, count, count)
        found.append(spearman(predicted[rows], groups[rows][:, columns].mean(1)))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def exact_p(left: Sequence[float], right: Sequence[float]) -> float:
    """The one-sided p of a Spearman at least this high: exact up to 8 sets, from 100,000 draws above."""
    n, a, b = len(left), rankdata(left), rankdata(right)
    observed = float(a @ b) - 1e-9
    if n <= 8:
        return float(np.mean([a @ np.array(order) >= observed for order in permutations(b)]))
    rng = np.random.default_rng(0)
    draws = rng.permuted(np.tile(b, (100_000, 1)), axis=1)
    return float((1 + (draws @ a >= observed).sum()) / 100_001)


def ceiling(groups: Mapping[int, Floats]) -> float:
    """How well the truth agrees with itself: the Spearman between two halves of seeds *and* queries, stepped up.

    ``groups``: seed -> [s, g]. The mean over splits r is of halves; Spearman-Brown's 2r / (1 + r) is of the whole, and
    its root is what a perfect predictor of the noiseless truth could reach against the whole.
    """
    seeds = sorted(groups)
    found = []
    for split in range(20):
        rng = np.random.default_rng(split)
        columns = rng.permutation(next(iter(groups.values())).shape[1])
        half = len(columns) // 2
        order = rng.permutation(seeds)
        cut = max(1, len(order) // 2)
        one, other = order[:cut], order[cut:] if len(order) > 1 else order
        left = np.mean([groups[s][:, columns[:half]].mean(1) for s in one], axis=0)
        right = np.mean([groups[s][:, columns[half:]].mean(1) for s in other], axis=0)
        found.append(spearman(left, right))
    r = max(0.0, float(np.mean(found)))
    return float(np.sqrt(2 * r / (1 + r)))


def regret(predicted: Floats, truth: Floats) -> float:
    """nDCG that the predictor's first choice lacks against the best set; equal first choices count by their mean."""
    return float(truth.max() - truth[predicted >= predicted.max() - 1e-12].mean())
