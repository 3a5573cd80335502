"""Every union of sources: the paper's Table 1 for your own data."""

from __future__ import annotations

from itertools import combinations

MOST = 10
"""The most sources that are combined: 1,023 unions."""


def unions(sources: int) -> list[tuple[int, ...]]:
    """Every non-empty set of sources 0..g-1, single ones first: 2^g - 1. Raises ValueError for more than `MOST`.

    >>> unions(2)
    [(0,), (1,), (0, 1)]
    """
    if not 0 <= sources <= MOST:
        raise ValueError(f"at most {MOST} sources can be combined, not {sources}")
    return [union for size in range(1, sources + 1) for union in combinations(range(sources), size)]
