"""What eci_v1 needs of a query: seven numbers. Everything else, intervals and unions included, is sums of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardneg.arrays import Bool, Float64, Int64
from hardneg.eci.rules import limits

NEAR = 0.05
"""A negative is nearly above the positive when ``s(q, n) >= s+ - NEAR |s+|``: 95 % of it, whatever the sign."""

COLUMNS = ("with_negatives", "size", "positive", "hardness", "safety", "above", "above_95")
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
    "above_positive",
    "above_positive_95",
)
"""What `terms_of` makes of them."""

ROWS = 4_096
"""Queries in a block: their similarities stay in the processor's cache."""


def per_query(positives: ArrayLike, negatives: ArrayLike, owners: ArrayLike | None = None) -> Float64:
    """Float64 [n, 7], the `COLUMNS` of each of n queries.

    ``positives`` [n]: s+; ``negatives`` [m]: s(q, n), with ``owners`` [m] within 0..n-1 saying whose it is; or
    ``negatives`` [n, k] without owners. Raises ValueError for a similarity that is not finite.
    """
    plus = np.asarray(positives, dtype=np.float64)
    if owners is None:
        return np.concatenate([np.zeros((0, len(COLUMNS))), *uniform_blocks(plus, np.asarray(negatives))])
    minus, owner = np.asarray(negatives, dtype=np.float64), np.asarray(owners, dtype=np.int64)
    _refuse_what_is_not_finite(plus, minus)

    def summed(values: NDArray[np.generic] | None) -> Float64:
        return np.bincount(owner, weights=values, minlength=len(plus)).astype(np.float64)

    near = limits(plus, "relative", NEAR)[owner]
    return columns_of(plus, summed(None), summed(minus), summed(minus >= plus[owner]), summed(minus >= near))


def uniform_blocks(plus: Float64, minus: NDArray[np.floating]) -> Iterator[Float64]:
    """The `COLUMNS` of queries with k negatives each, ``minus`` [n, k], `ROWS` queries at a time. Sums are float64.

    Sums and counts go through matrix products, which read a block faster than a reduction over its short rows does.
    """
    if minus.ndim != 2 or len(minus) != len(plus):
        raise ValueError(f"without owners, negatives must be [{len(plus)}, k], not {list(minus.shape)}")
    width = minus.shape[1]
    block, above = np.empty((ROWS, width)), np.empty((ROWS, width), dtype=np.float32)
    ones, count = np.ones(width), np.ones(width, dtype=np.float32)
    for begin in range(0, len(plus), ROWS):
        own, values = plus[begin : begin + ROWS], minus[begin : begin + ROWS]
        n = len(own)
        if values.dtype != np.float64:
            np.copyto(block[:n], values)
            values = block[:n]
        sums = values @ ones  # not finite if a similarity is not: none needs to be read again
        _refuse_what_is_not_finite(own, sums)
        np.copyto(above[:n], values >= limits(own, "relative", NEAR)[:, None])
        near = (above[:n] @ count).astype(np.float64)
        above_plus = np.zeros(n)
        some = np.flatnonzero(near)  # whoever is above the positive is above 95 % of it
        np.copyto(above[: len(some)], values[some] >= own[some, None])
        above_plus[some] = above[: len(some)] @ count
        yield columns_of(own, np.full(n, float(width)), sums, above_plus, near)


def _refuse_what_is_not_finite(*arrays: Float64) -> None:
    for array in arrays:
        if not np.isfinite(array).all():
            raise ValueError("a similarity is not finite")


def columns_of(plus: Float64, count: Float64, total: Float64, above_plus: Float64, near: Float64) -> Float64:
    """The seven columns [..., 7] from sums over a query's negatives; ``plus`` has as many axes as they have."""
    some = count > 0
    mean = np.divide(total, count, out=np.zeros_like(total), where=some)
    own = np.where(some, plus, 0.0)
    return np.stack([some.astype(np.float64), count, own, mean, own - mean, above_plus, near], axis=-1)


def per_query_of_sets(
    positives: ArrayLike,
    negatives: ArrayLike,
    offsets: ArrayLike,
    members: Bool,
    at: tuple[int, ...] = (),
) -> Float64:
    """Float64 [n, sets, 1 + len(at), 7]: the `COLUMNS` of many sets at once, which may overlap.

    ``positives`` [n]: s+; ``negatives`` [m]: s(q, n) query by query, those of query i at offsets[i]:offsets[i + 1];
    ``members`` bool [m, sets]. The third axis is the whole set, then for each k in ``at`` its k hardest negatives a
    query (highest s(q, n), the earlier of equals). Raises ValueError for a similarity that is not finite.
    """
    patterns, cells = distinct(members)
    return per_query_of_cells(positives, negatives, offsets, cells, patterns, at)


def distinct(members: Bool) -> tuple[Bool, Int64]:
    """The distinct rows of ``members`` [m, sets], and int64 [m]: which of them each row is.

    >>> patterns, cells = distinct(np.array([[True, False], [False, False], [True, False]]))
    >>> patterns[cells].tolist()
    [[True, False], [False, False], [True, False]]
    """
    code = np.zeros(len(members), dtype=np.int64)
    for begin in range(0, members.shape[1], 32):  # as numbers, which sort a hundred times as fast as rows
        part = members[:, begin : begin + 32]
        number = part @ (1 << np.arange(part.shape[1], dtype=np.int64))
        _, code = np.unique((code << 32) | number, return_inverse=True)
    _, first = np.unique(code, return_index=True)
    return members[first], code


def per_query_of_cells(
    positives: ArrayLike,
    negatives: ArrayLike,
    offsets: ArrayLike,
    cells: ArrayLike,
    patterns: Bool,
    at: tuple[int, ...] = (),
) -> Float64:
    """`per_query_of_sets` where candidates that are in the same sets share a cell.

    ``cells`` [m] are rows of ``patterns``, bool [cells, sets].
    """
    plus, minus = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    bounds, cell = np.asarray(offsets, dtype=np.int64), np.asarray(cells, dtype=np.int64)
    _refuse_what_is_not_finite(plus, minus)
    n, kinds = len(plus), len(patterns)
    owners = np.repeat(np.arange(n), np.diff(bounds))
    above, near = minus >= plus[owners], minus >= limits(plus, "relative", NEAR)[owners]
    place = owners * kinds + cell
    parts = [np.bincount(place, weights=w, minlength=n * kinds).reshape(n, kinds) for w in (None, minus, above, near)]
    out = np.empty((n, patterns.shape[1], 1 + len(at), len(COLUMNS)))
    indicator = patterns.astype(np.float64)
    out[:, :, 0] = columns_of(plus[:, None], *(part @ indicator for part in parts))
    if at:
        hardest = np.lexsort((-minus, owners))
        for number, k in enumerate(at, 1):
            sums = _hardest(minus[hardest], bounds, cell[hardest], patterns, k, above[hardest], near[hardest])
            out[:, :, number] = columns_of(plus[:, None], *sums)
    return out


def _hardest(minus: Float64, bounds: Int64, cell: Int64, patterns: Bool, k: int, *flags: Bool) -> Float64:
    """Float64 [2 + flags, n, sets]: count, sum and counts of flags of each set's first ``k`` of every query.

    Goes through all queries at once, one place of their lists after another, as long as some set lacks some.
    """
    sums = np.zeros((2 + len(flags), len(bounds) - 1, patterns.shape[1]))
    wanted = patterns.any(axis=0)
    active, step = np.flatnonzero(np.diff(bounds) > 0), 0
    while len(active):
        at = bounds[active] + step
        taken = patterns[cell[at]] & (sums[0, active] < k)
        for total, value in zip(sums, (np.ones(len(at)), minus[at], *(flag[at] for flag in flags)), strict=True):
            total[active] += taken * value[:, None]
        step += 1
        unfinished = (bounds[active + 1] - bounds[active] > step) & (sums[0, active][:, wanted] < k).any(axis=1)
        active = active[unfinished]
    return sums


def terms_of(means: Float64, undefined: float = 0.0) -> Mapping[str, Float64]:
    """Every one of `TERMS`, each [...], from means [..., 7] of the `COLUMNS` over all queries, or from sums of them.

    ``undefined`` is the value of a term that has nothing to be computed from (NaN for resamples, so that they do not
    count). Sums need the number of queries as well: divide first. Means are over queries with a negative, but
    ``size`` over all; shares are of negatives (arXiv:2603.20990v1, section 3).
    """
    some, size, positive, hard, safe, above_plus, near = np.moveaxis(means, -1, 0)

    def ratio(part: Float64, whole: Float64) -> Float64:
        return np.divide(part, whole, out=np.full_like(part, undefined), where=whole > 0)

    hardness, safety = ratio(hard, some), ratio(safe, some)
    both = (hardness > 0) & (safety > 0)
    efficiency = np.divide(2 * hardness * safety, hardness + safety, out=np.zeros_like(hardness), where=both)
    efficiency = np.where(some > 0, efficiency, undefined)
    capacity = np.log1p(size)
    return {
        "size": size,
        "positive": ratio(positive, some),
        "hardness": hardness,
        "safety": safety,
        "capacity": capacity,
        "efficiency": efficiency,
        "eci_v1": capacity * efficiency,
        "above_positive": ratio(above_plus, size),
        "above_positive_95": ratio(near, size),
    }
