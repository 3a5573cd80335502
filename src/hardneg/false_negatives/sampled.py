"""Which members of a set people should judge, and what their answers say of the whole set, at any moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Float64, Int64
from hardneg.false_negatives.judging import bounds, strata
from hardneg.false_negatives.share import NORMAL_95, Share

RAREST = 0.002
"""A stratum is drawn from as if so many of it were relevant at least: the probabilities may be wrong."""
PRIOR = 2.0
"""So many answers a stratum weighs what the other strata and the probabilities say of it. For the variance alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Members to judge, in the order in which to judge them: every beginning of it is a sample too.

    ``members`` int64 [k]: numbers within 0..m-1; ``strata`` int64 [k]: the stratum of each; ``sizes`` int64 [h]: how
    many of the m members each stratum has; ``expected`` float64 [h]: their mean probability.
    """

    members: Int64
    strata: Int64
    sizes: Int64
    expected: Float64


def sample(probabilities: ArrayLike, wanted: int, seed: int) -> Sample:
    """Up to ``wanted`` of the members with these ``probabilities`` [m] of being relevant.

    Strata are those of `judging`: the likeliest 1 %, 2 %, 7 %, 20 % and the rest. Half of the places go to strata by
    their size, half by size times the standard deviation that the probabilities foresee. Each stratum gets two at
    least. Equal probabilities are one stratum, so without a model this is a simple random sample.

    >>> sample(np.zeros(1000), 3, seed=0).sizes.tolist()
    [1000]
    """
    p = np.asarray(probabilities, dtype=np.float64)
    _, of = np.unique(strata(p, bounds(p)), return_inverse=True)
    sizes = np.bincount(of)
    expected = np.bincount(of, weights=p) / np.maximum(sizes, 1)
    rng = np.random.default_rng(seed)
    members, keys = [], []
    for stratum, count in enumerate(_places(sizes, expected, min(wanted, len(p))).tolist()):
        members.append(rng.permutation(np.flatnonzero(of == stratum))[:count])
        keys.append((np.arange(count) + rng.random(count)) / max(count, 1))
    if not members:
        return Sample(np.zeros(0, np.int64), np.zeros(0, np.int64), sizes, expected)
    chosen = np.concatenate(members)[np.argsort(np.concatenate(keys), kind="stable")]
    return Sample(chosen, of[chosen], sizes, expected)


def _places(sizes: Int64, expected: Float64, wanted: int) -> Int64:
    """How many to draw from each stratum, ``wanted`` in all. What a small stratum cannot use goes to the others."""
    likely = np.clip(expected, RAREST, 1 - RAREST)
    spread = sizes * np.sqrt(likely * (1 - likely))
    weight = spread / max(spread.sum(), 1e-12) + sizes / max(sizes.sum(), 1)
    given = np.zeros(len(sizes), dtype=np.int64)
    for minimum in (1, 2):
        for stratum in np.argsort(-weight, kind="stable"):
            if given.sum() < wanted and given[stratum] < min(minimum, sizes[stratum]):
                given[stratum] += 1
    while given.sum() < wanted:  # the next place goes where it is missed most
        lack = np.where(given < sizes, weight / (given + 1), -1.0)
        given[np.argmax(lack)] += 1
    return given


def estimate(sizes: ArrayLike, expected: ArrayLike, judged: ArrayLike, relevant: ArrayLike) -> Share:
    """The relevant share of a set, with its 95 % interval, from answers on a sample of it.

    By stratum [h]: how many members it has, their mean probability, how many were ``judged``, and how many of these
    are ``relevant``. The share is the mean of the strata's shares, weighted by size: the probabilities cannot bias it.
    The interval is Wilson's for as many answers as a simple random sample would need for the same variance; in that
    variance, and there alone, each stratum's share is drawn towards what the others and the probabilities say. Members
    that are judged are certain, so the interval closes when all are. How often it covers is measured in
    `docs/how-to/judge-by-hand.md`.

    A stratum without an answer is taken together with the next likelier one. Without any answer: 0 to 1.

    >>> found = estimate([1000], [0.0], [100], [5])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.05, 0.022, 0.108)
    """
    size, p, n, x = _together(*(np.asarray(a, dtype=np.float64) for a in (sizes, expected, judged, relevant)))
    if n.sum() == 0:
        return Share(0.0, 0.0, 1.0)
    weight = size / size.sum()
    value = float((weight * x / n).sum())
    overall = (x.sum() + 0.5) / (n.sum() + 1)
    scale = (x.sum() + 0.5) / ((n * p).sum() + 0.5)
    prior = (overall + np.minimum(p * scale, 0.95)) / 2
    rate = (x + PRIOR * prior) / (n + PRIOR)
    left = (size - n) / np.maximum(size - 1, 1)
    variance = float((weight**2 * rate * (1 - rate) / n * left).sum())
    mean = float((weight * rate).sum())
    square = NORMAL_95**2 * variance / (mean * (1 - mean))
    middle = (value + square / 2) / (1 + square)
    half = float(np.sqrt(value * (1 - value) * square + square**2 / 4)) / (1 + square)
    return Share(value, max(middle - half, 0.0), min(middle + half, 1.0))


def _together(size: Float64, p: Float64, n: Float64, x: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """The strata with answers, each with those after it that have none; the first also with those before it."""
    group = np.maximum(np.cumsum(n > 0) - 1, 0)
    sizes, mass, judged, relevant = (
        np.bincount(group, weights=values).astype(np.float64) for values in (size, size * p, n, x)
    )
    return sizes, mass / np.maximum(sizes, 1), judged, relevant
