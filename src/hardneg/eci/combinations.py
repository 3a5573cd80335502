"""Every union of sources at once: the paper's Table 1 for your own data, from one pass over stored similarities."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from hardneg.arrays import Bool, Float64
from hardneg.eci.queries import per_query_of_cells

MOST = 10
"""So many sources at most: 1,023 unions."""


def unions(sources: int) -> list[tuple[int, ...]]:
    """Every non-empty set of sources 0..g-1, single ones first: 2^g - 1. Raises ValueError for more than `MOST`.

    >>> unions(2)
    [(0,), (1,), (0, 1)]
    """
    if not 0 <= sources <= MOST:
        raise ValueError(f"at most {MOST} sources can be combined, not {sources}")
    return [union for size in range(1, sources + 1) for union in combinations(range(sources), size)]


def members(origins: ArrayLike, sources: int) -> Bool:
    """Bool [m, 2^g - 1]: which candidate is in which of the `unions`.

    ``origins`` [m]: integers whose bit b is set when source b proposed the candidate.

    >>> members([0b01, 0b11, 0b10], 2).tolist()
    [[True, False, True], [True, True, True], [False, True, True]]
    """
    bits = np.array([sum(1 << b for b in union) for union in unions(sources)], dtype=np.int64)
    inside: Bool = (np.asarray(origins, dtype=np.int64)[:, None] & bits) != 0
    return inside


def hybrids(
    positives: ArrayLike,
    negatives: ArrayLike,
    offsets: ArrayLike,
    origins: ArrayLike,
    sources: int,
    at: tuple[int, ...] = (),
) -> Float64:
    """Float64 [n, 2^g - 1, 1 + len(at), 7]: the `COLUMNS` of all `unions`, at natural and equal size.

    ``positives`` [n]: s+; ``negatives`` [m]: s(q, n), each candidate once, those of query i at
    offsets[i]:offsets[i + 1]; ``origins`` [m]: see `members`. `Tally.of_columns` and `Resamples.of` take it from there.
    """
    if np.size(origins) and not 0 <= np.min(origins) <= np.max(origins) < 1 << sources:
        raise ValueError(f"origins must be within 0 and {(1 << sources) - 1} for {sources} sources")
    patterns = members(np.arange(1 << sources), sources)
    return per_query_of_cells(positives, negatives, offsets, origins, patterns, at)
