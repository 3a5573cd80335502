"""eci_sem: the log-determinant of weighted contrastive directions, after ECI_sem.

The source is arXiv:2603.20990 from its version 3 on. That paper names the parts and prints values; the exact weights
are not public, so this is hardneg's own definition: for triples i = 1..m of unit vectors (q, p, n) under the target
encoder, with temperature t,

    w = c l rho,   M = (1/m) sum w r r^T,   eci_sem = ln det(I + M)

with the parts below. It is an average over triples and has no term for size: doubling every triple changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Float64

TEMPERATURE = 0.05
"""The temperature that in-batch contrastive losses usually have (a scale of 20)."""


def target_consistency(positives: ArrayLike, negatives: ArrayLike, temperature: float = TEMPERATURE) -> Float64:
    """c = sigmoid((q.p - q.n) / t) in (0, 1): near 0 where the target encoder holds the negative for the better answer.

    >>> target_consistency([0.8, 0.5], [0.8, 0.55]).round(3).tolist()
    [0.5, 0.269]
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature!r}")
    difference = (np.asarray(positives, np.float64) - np.asarray(negatives, np.float64)) / temperature
    out: Float64 = np.exp(-np.logaddexp(0.0, -difference))
    return out


def locality(similarities: ArrayLike) -> Float64:
    """l = max(0, p.n) in [0, 1]: how near the negative is to the positive.

    >>> locality([0.4, -0.1]).tolist()
    [0.4, 0.0]
    """
    return np.maximum(np.asarray(similarities, np.float64), 0.0)


def lexical_residuality(shared: ArrayLike, whole: ArrayLike) -> Float64:
    """rho = 1 - shared / whole in [0, 1]: the idf weight of the query's words (``whole``) that the negative lacks.

    ``shared`` is the idf weight of the words that query and negative share. 1 for a query without words.

    >>> lexical_residuality([1.0, 0.0], [4.0, 0.0]).tolist()
    [0.75, 1.0]
    """
    part, total = np.asarray(shared, np.float64), np.asarray(whole, np.float64)
    share = np.divide(part, total, out=np.zeros_like(part), where=total > 0)
    return np.clip(1.0 - share, 0.0, 1.0)  # sums in another order may be above the whole by a rounding


def residual_directions(positives: ArrayLike, negatives: ArrayLike) -> Float64:
    """r = (n - p) / ||n - p||, float64 [m, d], from ``positives`` and ``negatives`` [m, d]; 0 where they are the same.

    >>> residual_directions([[1.0, 0.0]], [[0.0, 1.0]]).round(4).tolist()
    [[-0.7071, 0.7071]]
    """
    difference = np.asarray(negatives, np.float64) - np.asarray(positives, np.float64)
    length = np.linalg.norm(difference, axis=1, keepdims=True)
    out: Float64 = np.divide(difference, length, out=np.zeros_like(difference), where=length > 0)
    return out


def eci_sem(weights: ArrayLike, directions: ArrayLike) -> float:
    """ln det(I + (1/m) sum w r r^T) of m triples; ``weights`` [m] at least 0, ``directions`` [m, d]; 0 without triples.

    With fewer triples than dimensions the m x m Gram form is used, which has the same determinant.
    Raises ValueError for a weight that is negative or not finite.

    >>> round(eci_sem([1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]]), 4)  # M is half the identity: 2 ln 1.5
    0.8109
    """
    weight, r = np.asarray(weights, np.float64), np.asarray(directions, np.float64)
    if r.ndim != 2 or weight.shape != (len(r),):
        raise ValueError(f"weights {list(weight.shape)} and directions {list(r.shape)} must be [m] and [m, d]")
    if not (np.isfinite(weight).all() and np.isfinite(r).all() and (weight >= 0).all()):
        raise ValueError("weights must be finite and at least 0, directions finite")
    if not len(weight):
        return 0.0
    scaled = r * np.sqrt(weight / len(weight))[:, None]
    return log_det(scaled @ scaled.T if len(weight) < r.shape[1] else scaled.T @ scaled)


def log_det(moment: Float64) -> float:
    """ln det(I + M) of a positive semidefinite matrix M, by Cholesky."""
    factor = np.linalg.cholesky(np.eye(len(moment)) + moment)
    return float(2.0 * np.log(np.diag(factor)).sum())


@dataclass(frozen=True, kw_only=True)
class SemReport:
    """eci_sem of one set of triples with its parts; each part is a mean over triples."""

    triples: int
    target_consistency: float
    locality: float
    lexical_residuality: float
    trace: float
    """tr M: the mean weight. Where eci_sem is within 2 % of it, the log-determinant says nothing about diversity."""
    eci_sem: float
    eci_sem_per_dimension: float


@dataclass(frozen=True, eq=False)
class Moments:
    """Mergeable state of eci_sem: sums over triples. The empty one is ``Moments()``; they add up in any order."""

    triples: int = 0
    parts: Float64 | None = None
    """Float64 [4]: sums of c, l, rho and of w for triples with a direction."""
    matrix: Float64 | None = None
    """Float64 [d, d]: sum of w r r^T."""

    @classmethod
    def of(
        cls,
        consistency: ArrayLike,
        near: ArrayLike,
        residuality: ArrayLike,
        positives: ArrayLike,
        negatives: ArrayLike,
    ) -> Moments:
        """Of m triples: three parts [m] each, and the unit vectors p and n, [m, d] each.

        Everything is multiplied and added up in float64, so that the order of batches does not show. Raises
        ValueError for a value that is not finite.
        """
        parts = np.stack([np.asarray(part, np.float64) for part in (consistency, near, residuality)])
        difference = np.asarray(negatives, np.float64) - np.asarray(positives, np.float64)
        square = np.einsum("md,md->m", difference, difference)
        if not (np.isfinite(parts).all() and np.isfinite(square).all()):
            raise ValueError("a part of a triple is not finite")
        if (parts < 0).any():
            raise ValueError("a part of a triple is below 0")
        weight = np.where(square > 0, parts.prod(axis=0), 0.0)
        scale = np.sqrt(np.divide(weight, square, out=np.zeros_like(weight), where=square > 0))
        scaled = difference * scale[:, None]
        return cls(
            parts.shape[1],
            np.concatenate([parts.sum(axis=1), [weight.sum()]]),
            scaled.T @ scaled,
        )

    def __add__(self, other: Moments) -> Moments:
        if self.matrix is None or self.parts is None:
            return other
        if other.matrix is None or other.parts is None:
            return self
        return Moments(self.triples + other.triples, self.parts + other.parts, self.matrix + other.matrix)

    def report(self) -> SemReport:
        """eci_sem and its parts; all 0 for an empty state."""
        if self.matrix is None or self.parts is None or not self.triples:
            return SemReport(
                triples=0,
                target_consistency=0.0,
                locality=0.0,
                lexical_residuality=0.0,
                trace=0.0,
                eci_sem=0.0,
                eci_sem_per_dimension=0.0,
            )
        consistency, near, residuality, trace = (self.parts / self.triples).tolist()
        value = log_det(self.matrix / self.triples)
        return SemReport(
            triples=self.triples,
            target_consistency=consistency,
            locality=near,
            lexical_residuality=residuality,
            trace=trace,
            eci_sem=value,
            eci_sem_per_dimension=value / len(self.matrix),
        )
