"""What eci_v1 needs of a query: seven numbers. Everything else, intervals and unions included, is sums of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEAR = 0.05
"""A negative is nearly unsafe when s(q, n) >= s+ - NEAR |s+|: 95 % of the positive's similarity, whatever its sign."""

COLUMNS = ("with_negatives", "size", "positive", "hardness", "safety", "unsafe", "unsafe_95")
"""The seven numbers: 1 if the query has a negative, else 0; how many; and, 0 for a query without any, s+, the mean
s(q, n), the mean s+ - s(q, n), the number of negatives with s(q, n) >= s+, and of those at 95 % of it."""

TERMS = (
    "size",
    "positive",
    "hardness",
    "safety",
    "capacity",
    "efficiency",
    "eci_v1",
    "unsafe_share",
    "unsafe_share_95",
)
"""What `terms_of` makes of them."""

ROWS = 2_048
"""Queries in a block: their similarities stay in the processor's cache."""


def per_query(positives: ArrayLike, negatives: ArrayLike, owners: ArrayLike | None = None) -> Floats:
    """Float64 [n, 7], the `COLUMNS` of each of n queries.

    ``positives`` [n]: s+; ``negatives`` [m]: s(q, n), with ``owners`` [m] within 0..n-1 saying whose it is; or
    ``negatives`` [n, k] without owners. Raises ValueError for a similarity that is not finite.
    """
    plus = np.asarray(positives, dtype=np.float64)
    if owners is None:
        return _rectangle(plus, np.asarray(negatives))
    minus, owner = np.asarray(negatives, dtype=np.float64), np.asarray(owners, dtype=np.int64)
    _refuse_what_is_not_finite(plus, minus)

    def summed(values: NDArray[np.generic] | None) -> Floats:
        return np.bincount(owner, weights=values, minlength=len(plus)).astype(np.float64)

    own = plus[owner]
    return columns_of(
        plus, summed(None), summed(minus), summed(minus >= own), summed(minus >= own - NEAR * np.abs(own))
    )


def _rectangle(plus: Floats, minus: NDArray[np.floating]) -> Floats:
    """The same for [n, k]; sums are of float64, block by block."""
    if minus.ndim != 2 or len(minus) != len(plus):
        raise ValueError(f"without owners, negatives must be [{len(plus)}, k], not {list(minus.shape)}")
    out = np.empty((len(plus), len(COLUMNS)))
    ones = np.ones(minus.shape[1])
    edge = (plus - NEAR * np.abs(plus))[:, None]
    for begin in range(0, len(plus), ROWS):
        part = slice(begin, begin + ROWS)
        block = minus[part].astype(np.float64, copy=False)
        sums = block @ ones
        # NaN and infinities survive a sum, so the similarities themselves need no second reading
        _refuse_what_is_not_finite(plus[part], sums)
        near = np.count_nonzero(block >= edge[part], axis=1).astype(np.float64)
        above = np.zeros(len(block))
        some = np.flatnonzero(near)  # whoever is above the positive is above 95 % of it
        above[some] = np.count_nonzero(block[some] >= plus[part][some, None], axis=1)
        out[part] = columns_of(plus[part], np.full(len(block), float(minus.shape[1])), sums, above, near)
    return out


def _refuse_what_is_not_finite(*arrays: Floats) -> None:
    for array in arrays:
        if not np.isfinite(array).all():
            raise ValueError("a similarity is not finite")


def columns_of(plus: Floats, count: Floats, total: Floats, unsafe: Floats, near: Floats) -> Floats:
    """The seven columns [..., 7] from sums over a query's negatives; ``plus`` has as many axes as they have."""
    some = count > 0
    mean = np.divide(total, count, out=np.zeros_like(total), where=some)
    own = np.where(some, plus, 0.0)
    return np.stack([some.astype(np.float64), count, own, mean, own - mean, unsafe, near], axis=-1)


def per_query_of_sets(
    positives: ArrayLike,
    negatives: ArrayLike,
    offsets: ArrayLike,
    members: NDArray[np.bool_],
    at: tuple[int, ...] = (),
) -> Floats:
    """Float64 [n, sets, 1 + len(at), 7]: the `COLUMNS` of many sets at once, which may overlap.

    ``positives`` [n]: s+; ``negatives`` [m]: s(q, n) query by query, those of query i at offsets[i]:offsets[i + 1];
    ``members`` bool [m, sets]. The third axis is the whole set, then for each k in ``at`` its k hardest negatives a
    query (highest s(q, n), the earlier of equals). Raises ValueError for a similarity that is not finite.
    """
    plus, minus = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    bounds = np.asarray(offsets, dtype=np.int64)
    _refuse_what_is_not_finite(plus, minus)
    counts = np.diff(bounds)
    owners = np.repeat(np.arange(len(plus)), counts)
    out = np.zeros((len(plus), members.shape[1], 1 + len(at), len(COLUMNS)))
    nonempty = np.flatnonzero(counts)
    if not len(nonempty):
        return out
    starts = bounds[nonempty]
    if at:
        order = np.lexsort((-minus, owners))
        minus, members = minus[order], members[order]
    own = plus[owners]
    values = np.stack([np.ones_like(minus), minus, minus >= own, minus >= own - NEAR * np.abs(own)])
    place = np.zeros(0)
    if at:
        place = np.cumsum(members, axis=0, dtype=np.int32)
        before = np.zeros((len(plus), members.shape[1]), dtype=np.int32)
        later = starts > 0
        before[nonempty[later]] = place[starts[later] - 1]
        place -= np.repeat(before, counts, axis=0)
    for number, k in enumerate((0, *at)):
        chosen = members & (place <= k) if k else members
        sums = np.zeros((4, len(plus), members.shape[1]))
        for term, value in enumerate(values):
            sums[term, nonempty] = np.add.reduceat(np.where(chosen, value[:, None], 0.0), starts, axis=0)
        out[:, :, number] = columns_of(plus[:, None], *sums)
    return out


def terms_of(means: Floats) -> Mapping[str, Floats]:
    """Every one of `TERMS`, each [...], from means [..., 7] of the `COLUMNS` over all queries, or from sums of them.

    Sums need the number of queries as well: divide first. Means are over queries with a negative, but ``size`` over
    all; shares are of negatives; a term that has nothing to be computed from is 0 (arXiv:2603.20990v1, section 3).
    """
    some, size, positive, hard, safe, unsafe, near = np.moveaxis(means, -1, 0)

    def ratio(part: Floats, whole: Floats) -> Floats:
        return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

    hardness, safety = ratio(hard, some), ratio(safe, some)
    both = (hardness > 0) & (safety > 0)
    efficiency = np.divide(2 * hardness * safety, hardness + safety, out=np.zeros_like(hardness), where=both)
    capacity = np.log1p(size)
    return {
        "size": size,
        "positive": ratio(positive, some),
        "hardness": hardness,
        "safety": safety,
        "capacity": capacity,
        "efficiency": efficiency,
        "eci_v1": capacity * efficiency,
        "unsafe_share": ratio(unsafe, size),
        "unsafe_share_95": ratio(near, size),
    }
