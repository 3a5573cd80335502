"""ECI's safety as a rule for keeping a negative: bounds on s(q, n), sign-safe and inclusive.

A bound that is met exactly keeps the negative. Similarities may be cosines or the scores of any model; cross-encoder
scores are often negative, so no rule multiplies a score by a share of itself.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Bool, Float64

Rule = Literal["margin", "relative", "ceiling", "percentile", "calibrated"]
Reference = Literal["mean", "min", "max"]


def reference(positives: ArrayLike, owners: ArrayLike, examples: int, how: Reference = "mean") -> Float64:
    """s+, float64 [n]: one number for the similarities of an example's positives.

    ``positives`` [p], ``owners`` [p] within 0..n-1, ``examples`` = n. The mean is ECI's own (arXiv:2603.20990v1,
    section 3); ``min`` is the strictest. Raises ValueError for an example without a positive and for a similarity that
    is not finite.

    >>> reference([0.8, 0.6, 0.9], [0, 0, 1], 2).round(3).tolist()
    [0.7, 0.9]
    >>> reference([0.8, 0.6, 0.9], [0, 0, 1], 2, "min").tolist()
    [0.6, 0.9]
    """
    values, owner = np.asarray(positives, dtype=np.float64), np.asarray(owners, dtype=np.int64)
    counts = np.bincount(owner, minlength=examples)
    if not counts.all():
        raise ValueError(f"example {int(np.argmin(counts))} has no positive")
    if not np.isfinite(values).all():
        raise ValueError("a similarity of a positive is not finite")
    if how == "mean":
        return np.bincount(owner, weights=values, minlength=examples) / counts
    out = np.full(examples, np.inf if how == "min" else -np.inf)
    (np.minimum if how == "min" else np.maximum).at(out, owner, values)
    return out


def position(scores: ArrayLike, quantiles: ArrayLike) -> Float64:
    """Where scores are in a distribution, in [0, 1]; ``quantiles`` [k]: its evenly spaced quantiles, the first its
    minimum and the last its maximum, with straight lines between.

    >>> position([0.1, 0.6, 0.9], [0.2, 0.6, 1.0]).tolist()
    [0.0, 0.5, 0.875]
    """
    grid = np.asarray(quantiles, dtype=np.float64)
    return np.interp(np.asarray(scores, dtype=np.float64), grid, np.linspace(0.0, 1.0, len(grid)))


def limits(plus: ArrayLike, rule: Rule, threshold: float, quantiles: ArrayLike | None = None) -> Float64:
    """The highest s(q, n) that each example accepts, float64 [n], from s+ [n].

    ``margin`` m: s+ - m. ``relative`` r: ``s+ - |s+| r`` (NV-Retriever's TopK-PercPos at 95 %, arXiv:2407.15831, is
    r = 0.05 where s+ is positive). ``ceiling`` c: c. ``percentile`` u: the score whose `position` among the scores of
    all positives (``quantiles``) is u times that of s+, whatever the scale of the scores. ``calibrated`` t: t, where
    the scores are probabilities.

    >>> limits([0.8, -2.0], "relative", 0.05).round(3).tolist()
    [0.76, -2.1]
    >>> limits([0.6, 1.0], "percentile", 0.5, quantiles=[0.2, 0.6, 1.0]).round(3).tolist()
    [0.4, 0.6]
    """
    values = np.asarray(plus, dtype=np.float64)
    if rule == "margin":
        return values - threshold
    if rule == "relative":
        return values - np.abs(values) * threshold
    if rule == "percentile":
        if quantiles is None:
            raise ValueError("the rule `percentile` needs the quantiles of the positives' scores")
        grid = np.asarray(quantiles, dtype=np.float64)
        return np.interp(threshold * position(values, grid), np.linspace(0.0, 1.0, len(grid)), grid)
    return np.full_like(values, threshold)


def safe(
    negatives: ArrayLike, plus: ArrayLike, rule: Rule, threshold: float, quantiles: ArrayLike | None = None
) -> Bool:
    """Bool [m]: what a rule keeps of s(q, n) [m]; ``plus`` [m] is s+ of each one's example. Equality is kept.

    Raises ValueError for a similarity that is not finite.

    >>> safe([0.75, 0.76], [0.8, 0.8], "margin", 0.05).tolist()
    [True, False]
    """
    if rule == "percentile":  # by positions: where positives tie, a position has no single score
        kept: Bool = thresholds(negatives, plus, rule, quantiles) <= threshold
        return kept & keep(negatives, np.inf)
    return keep(negatives, limits(plus, rule, threshold))


class Judgment(NamedTuple):
    """What a rule says of m negatives of n examples."""

    keep: Bool
    """Bool [m]: the negatives that are kept."""
    limits: Float64
    """Float64 [n]: the highest s(q, n) that each example accepts."""
    plus: Float64
    """Float64 [n]: s+ of each example."""


def judge(
    rule: Rule,
    threshold: float,
    positives: ArrayLike,
    positive_owners: ArrayLike,
    negatives: ArrayLike,
    owners: ArrayLike,
    examples: int,
    *,
    how: Reference = "mean",
    quantiles: ArrayLike | None = None,
    precision: type[np.float32 | np.float64] = np.float64,
) -> Judgment:
    """Applies one rule: the one way in which jobs, `ECIFilter` and the drop-in decide what is too near.

    ``positives`` [p] and ``negatives`` [m]: similarities, with the example of each in ``positive_owners`` [p] and
    ``owners`` [m], within 0..examples-1. ``how`` makes s+ of several positives. Bounds are rounded to ``precision``.
    Raises ValueError as `reference` and `safe` do.

    >>> judge("margin", 0.1, [0.8], [0], [0.75, 0.2], [0, 0], 1).keep.tolist()
    [False, True]
    """
    plus = reference(positives, positive_owners, examples, how)
    bounds = limits(plus, rule, threshold, quantiles)
    if precision is np.float32:
        bounds = bounds.astype(np.float32).astype(np.float64)
    owner = np.asarray(owners, dtype=np.int64)
    if rule == "percentile":
        return Judgment(safe(negatives, plus[owner], rule, threshold, quantiles), bounds, plus)
    return Judgment(keep(negatives, bounds[owner]), bounds, plus)


def quantiles_of(scores: ArrayLike, count: int = 1_001) -> Float64:
    """Float64 [count]: evenly spaced quantiles of ``scores``, for the rule ``percentile``; zeros without any score.

    >>> quantiles_of([0.0, 1.0], 3).tolist()
    [0.0, 0.5, 1.0]
    """
    values = np.asarray(scores, dtype=np.float64)
    return np.asarray(np.quantile(values if len(values) else [0.0], np.linspace(0, 1, count)), dtype=np.float64)


def thresholds(negatives: ArrayLike, plus: ArrayLike, rule: Rule, quantiles: ArrayLike | None = None) -> Float64:
    """Float64 [m]: the threshold of ``rule`` that each s(q, n) meets exactly; ``plus`` [m] is s+ of its example.

    A ``margin`` or ``relative`` up to it keeps the negative, and so does a ``ceiling``, ``percentile`` or
    ``calibrated`` from it on.

    >>> thresholds([0.7], [0.8], "margin").round(3).tolist()
    [0.1]
    """
    values, own = np.asarray(negatives, dtype=np.float64), np.asarray(plus, dtype=np.float64)
    if rule == "margin":
        return own - values
    if rule == "relative":
        apart = np.where(own > values, np.inf, np.where(own < values, -np.inf, 0.0))
        relative: Float64 = np.divide(own - values, np.abs(own), out=apart, where=own != 0)
        return relative
    if rule == "percentile":
        if quantiles is None:
            raise ValueError("the rule `percentile` needs the quantiles of the positives' scores")
        here, there = position(values, quantiles), position(own, quantiles)
        percentile: Float64 = np.divide(here, there, out=np.where(here > 0, np.inf, 0.0), where=there > 0)
        return percentile
    return values


def keep(negatives: ArrayLike, limit: ArrayLike) -> Bool:
    """Bool [m]: s(q, n) <= limit, both [m], exact equality included. Raises ValueError for what is not finite.

    >>> keep([0.75, 0.76], [0.75, 0.75]).tolist()
    [True, False]
    """
    values = np.asarray(negatives, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a similarity of a negative is not finite")
    return values <= np.asarray(limit, dtype=np.float64)
