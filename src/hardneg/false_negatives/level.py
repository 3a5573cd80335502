"""The level: how many unlabelled answers a corpus has, told from where two rankers agree.

A ranker by embeddings and BM25 put the same *non*-relevant passage at the same place at a rate that hardly depends on
the place, so ranks 16 to 30 say how often that happens by chance. Relevant passages gather at the head of both lists.
What the rankers agree on there, beyond chance, is relevant. The known positives say how well the rankers agree on
relevant passages. Every constant is the same for all collections; `docs/explanation/safety.md` has what they were
checked on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardneg.arrays import Float64, Int64
from hardneg.false_negatives.evidence import probability

S = 1.5
"""An agreement at ranks (i, j) counts (i j) ** -S."""
HEAD = float((np.arange(1.0, 2001.0) ** -S).sum())
"""What a list weighs that both rankers agree on entirely."""
BAND = (15.4, 30.6)
"""The ranks at which agreement is taken for chance."""
DEPTH = 30
"""How deep the lists are that `Agreement.of` must be given."""
CHANCE, USUAL, USUAL_WEIGHT = 0.95, 0.12, 4.0
"""Chance agreement at the head is CHANCE K sqrt(min(1, K / USUAL)), K the agreement in the band, shrunk to USUAL."""
SHARED, SHARED_WEIGHT = 0.65, 1.5
"""How well rankers agree on relevant passages where the known positives do not say, and what that assumption weighs."""
OFFSET = 0.5
"""The logistic curve in u is too flat at the very head."""
PRIOR, PRIOR_QUERIES, PRIOR_SPREAD = 2.0, 10.0, 1.5
"""The level is shrunk to PRIOR as if PRIOR_QUERIES queries had shown it; PRIOR_SPREAD is how far PRIOR may be off."""
AT_ZERO, PER_OWN, SLOPES = 2.5, 0.2, (0.9, 2.2)
"""The slope falls with the depth at which known positives lie: AT_ZERO - PER_OWN times their mean log rank, within
SLOPES."""
USUAL_OWN, DEEPEST_OWN = 2.7, 9.0
"""The depth that slopes are shrunk to, and the log rank from which deeper is all the same."""
LOWEST, PUREST = -3.0, 0.97
MODEL_SPREAD = 0.6
"""By how much the level errs beyond the sampling of queries: the standard deviation over regimes."""
RESAMPLES = 500
EDGES = np.arange(-2.0, 6.0001, 0.05)
"""Bins of the evidence."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Everything that the level needs of some queries. Those of several batches add up in any order."""

    queries: Float64
    """Float64 [n, 8], a row per query: the weight of the candidates that both rankers have at the head; that of the
    known positive by both, by the first and by the second ranker; how many candidates both have in the band, and how
    many the first and the second can have there; the mean log rank of the known positive."""
    histogram: Float64
    """Float64 [bins]: the weight of the agreeing candidates by their evidence."""

    @classmethod
    def of(cls, query: Float64, u: Float64, owners: Int64, own: Float64, found: Int64) -> Agreement:
        """From the `DEPTH` nearest passages of each query by each of two rankers, known positives left out.

        ``query`` [m, 2]: log ranks for the query by the two rankers; ``u`` [m]: the evidence; ``owners`` [m] within
        0..n-1; ``own`` [n, 2]: log ranks of the known positive for the query; ``found`` [n, 2]: how many passages each
        ranker finds for the query.
        """
        weight = np.exp(-S * query.sum(axis=1))
        low, high = np.log(BAND)
        inside = (query > low) & (query <= high)

        def total(values: Float64) -> Float64:
            sums: Float64 = np.bincount(owners, weights=values, minlength=len(own)).astype(np.float64)
            return sums

        columns = [
            total(weight),
            np.exp(-S * own.sum(axis=1)),
            np.exp(-S * own[:, 0]),
            np.exp(-S * own[:, 1]),
            total(inside.all(axis=1).astype(np.float64)),
            *np.clip(found.T - BAND[0] + 0.4, 0.0, 15.0),
            np.minimum(own, DEEPEST_OWN).mean(axis=1),
        ]
        bins = np.clip(np.digitize(u, EDGES) - 1, 0, len(EDGES) - 2)
        histogram: Float64 = np.bincount(bins, weights=weight, minlength=len(EDGES) - 1).astype(np.float64)
        return cls(np.stack(columns, axis=1), histogram)

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(np.concatenate([self.queries, other.queries]), self.histogram + other.histogram)


@dataclass(frozen=True, slots=True)
class Level:
    """An estimated level with the slope that goes with it.

    ``spread``: the standard deviation of the level, sampling of queries and error of the model together.
    """

    value: float
    slope: float
    spread: float


def level(found: Agreement, seed: int = 0) -> Level:
    """The level that an agreement shows. `probability` takes it from there.

    >>> level(Agreement(np.zeros((0, 8)), np.zeros(len(EDGES) - 1))).value
    2.0
    """
    count = len(found.queries)
    own = (found.queries[:, -1].sum() + PRIOR_QUERIES * USUAL_OWN) / (count + PRIOR_QUERIES)
    slope = float(np.clip(AT_ZERO - PER_OWN * own, *SLOPES))
    unsure = np.hypot(MODEL_SPREAD, PRIOR_SPREAD * PRIOR_QUERIES / (count + PRIOR_QUERIES))
    if not count:
        return Level(PRIOR, slope, float(unsure))
    value = _shrunk(found.queries.sum(axis=0)[None], count, found.histogram, slope)[0]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    draws = _shrunk(weights @ found.queries, count, found.histogram, slope)
    return Level(float(value), slope, float(np.hypot(draws.std(), unsure)))


def _shrunk(sums: Float64, count: int, histogram: Float64, slope: float) -> Float64:
    levels = _level_of(_purity(sums, count), histogram, slope)
    shrunk: Float64 = (count * levels + PRIOR_QUERIES * PRIOR) / (count + PRIOR_QUERIES)
    return shrunk


def _purity(sums: Float64, count: int) -> Float64:
    """Float64 [r]: the relevant share of the agreeing candidates, from r sums [r, 8] over ``count`` queries."""
    others, both, first, second, in_band, of_first, of_second, _ = sums.T
    k = (in_band + USUAL_WEIGHT * USUAL) / (np.minimum(of_first, of_second) + USUAL_WEIGHT)
    chance = CHANCE * k * np.sqrt(np.minimum(1, k / USUAL))
    known = np.sqrt(first * second)
    gamma = (both + SHARED * SHARED_WEIGHT) / (known + SHARED_WEIGHT)
    # the head is relevant to a share rho: agreement = gamma rho HEAD + chance HEAD (1 - rho)^2, the larger root
    agreement = (others + both) / count / HEAD
    linear = gamma - 2 * chance
    root = np.sqrt(np.maximum(linear**2 - 4 * chance * (chance - agreement), 0))
    rho = np.clip((-linear + root) / (2 * chance), 0, 1)
    rho = np.maximum(rho, np.minimum(known / count / HEAD, 1))
    by_chance = chance * HEAD * (1 - rho) ** 2
    purity: Float64 = np.clip(1 - by_chance / np.maximum(others / count, 1e-9), 1e-4, PUREST)
    return purity


def _level_of(purity: Float64, histogram: Float64, slope: float) -> Float64:
    """The levels at which the agreeing candidates have these mean probabilities."""
    if histogram.sum() <= 0:
        return np.full(len(purity), PRIOR)
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    grid = np.arange(-12.0, 12.001, 0.02)
    curve = np.array([probability(middle, value, slope) @ histogram for value in grid.tolist()]) / histogram.sum()
    levels: Float64 = np.maximum(np.interp(purity, curve, grid) - OFFSET, LOWEST)
    return levels
