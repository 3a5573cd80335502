"""Every union from one pass is what scoring that union alone gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg import eci


def members_of(proposed: np.ndarray) -> np.ndarray:
    """Bool [m, unions]: whose union each candidate is in; ``proposed`` [m, sources]: who proposed it."""
    return np.stack([proposed[:, union].any(axis=1) for union in eci.unions(proposed.shape[1])], axis=1)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_each_union_is_the_set_scored_alone(seed: int, sources: int, queries: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 8, queries)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    owners = np.repeat(np.arange(queries), counts)
    plus, minus = rng.random(queries), rng.random(counts.sum()).round(1)  # with ties, also at the positive
    plus = plus.round(1)
    proposed = rng.random((counts.sum(), sources)) < 0.5
    found = eci.per_query_of_sets(plus, minus, offsets, members_of(proposed), at=(2,))
    for place, union in enumerate(eci.unions(sources)):
        inside = np.array([any(row[b] for b in union) for row in proposed], dtype=bool)
        np.testing.assert_allclose(found[:, place, 0], eci.per_query(plus, minus[inside], owners[inside]), atol=1e-12)
        hardest = []
        for i in range(queries):
            own = np.flatnonzero(inside & (owners == i))
            hardest += sorted(own, key=lambda j: (-minus[j], j))[:2]
        top = np.array(sorted(hardest), dtype=int)
        np.testing.assert_allclose(found[:, place, 1], eci.per_query(plus, minus[top], owners[top]), atol=1e-12)


def test_the_papers_sizes() -> None:
    # BM25 proposes 50, a reranker 25 others, an LLM 3 others: the sizes of the paper's Table 1
    proposed = np.repeat(np.eye(3, dtype=bool), [50, 25, 3], axis=0)
    found = eci.per_query_of_sets([0.9], np.full(78, 0.5), [0, 78], members_of(proposed))
    sizes = {union: int(found[0, place, 0, 1]) for place, union in enumerate(eci.unions(3))}
    assert sizes == {(0,): 50, (1,): 25, (2,): 3, (0, 1): 75, (0, 2): 53, (1, 2): 28, (0, 1, 2): 78}


def test_too_many_sources_are_an_error_and_none_is_nothing() -> None:
    with pytest.raises(ValueError, match="at most 10 sources"):
        eci.unions(11)
    assert eci.per_query_of_sets([], [], [0], np.zeros((0, 3), dtype=bool)).shape == (0, 3, 1, 7)


@given(st.integers(0, 2**32 - 1), st.integers(1, 70))
@settings(max_examples=30, deadline=None)
def test_distinct_rows_of_any_width(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.random((4, width)) < 0.5
    members = rows[rng.integers(0, 4, 30)]
    patterns, cells = eci.distinct(members)
    assert (patterns[cells] == members).all()
    assert len(patterns) == len({row.tobytes() for row in members})


def test_sets_far_apart_are_told_apart() -> None:
    members = np.zeros((3, 130), dtype=bool)
    members[0, 0] = members[1, 96] = members[2, 129] = True
    patterns, cells = eci.distinct(members)
    assert len(patterns) == 3
    assert (patterns[cells] == members).all()
