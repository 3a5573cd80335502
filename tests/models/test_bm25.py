"""The search of BM25 against bm25s itself."""

from __future__ import annotations

from typing import Any, get_args

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardneg.arrays import offsets_of
from hardneg.models import bm25, bm25_build
from hardneg.models.bm25_search import compiled

WORDS = [f"w{i}" for i in range(40)]
METHODS = get_args(bm25_build.Method)


def indexed(method: str, passages: list[list[str]], **settings: float) -> Any:
    index = bm25s.BM25(method=method, **settings)
    index.index(passages, show_progress=False)
    return index


def drawn(seed: int, passages: int, queries: int) -> tuple[list[list[str]], list[list[str]]]:
    """Passages and queries of words that become rarer: `w0` is in nearly all, many passages have equal scores."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, len(WORDS) + 1)
    lengths = rng.integers(1, 9, passages)
    texts = [rng.choice(WORDS, length, p=shares / shares.sum()).tolist() for length in lengths]
    return texts, [rng.choice([*WORDS, "unknown"], rng.integers(0, 7)).tolist() for _ in range(queries)]


def expected(index: Any, words: list[str], depth: int, barred: list[int]) -> tuple[list[int], list[float]]:
    """Every passage with a word that scores, by bm25s's own scores of all passages."""
    known = index.get_tokens_ids(words)
    if not known:
        return [], []
    columns = [slice(index.scores["indptr"][word], index.scores["indptr"][word + 1]) for word in known]
    with_word = {int(row) for own in columns for row in index.scores["indices"][own][index.scores["data"][own] > 0]}
    scores = index.get_scores(words)
    rows = sorted(with_word - set(barred), key=lambda row: (-scores[row], row))[:depth]
    return rows, [float(scores[row]) for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_of_bm25s_to_the_last_bit_and_equal_ones_go_by_row(method: str) -> None:
    passages, queries = drawn(1, 300, 60)
    index = indexed(method, passages)
    barred = [list(range(0, i * 5, 3)) for i in range(len(queries))]
    offsets = offsets_of([len(rows) for rows in barred])
    found = bm25.search(index, queries, 20, offsets, np.array([row for rows in barred for row in rows]), len(passages))
    assert (found.scores > 0).all()
    for i, words in enumerate(queries):
        own = found.owners == i
        rows, scores = expected(index, words, 20, barred[i])
        assert found.rows[own].tolist() == rows
        assert found.scores[own].tolist() == scores


@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS), st.integers(1, 12), st.integers(1, 30))
def test_any_passages_and_queries(seed: int, method: bm25_build.Method, depth: int, size: int) -> None:
    passages, queries = drawn(seed, size, 5)
    index = indexed(method, passages, b=0.0 if seed % 2 else 0.75)
    none = np.zeros(0, np.int64)
    found = bm25.search(index, queries, depth, np.zeros(6, np.int64), none, size)
    for i, words in enumerate(queries):
        own = found.owners == i
        assert (found.rows[own].tolist(), found.scores[own].tolist()) == expected(index, words, depth, [])


def test_a_thousand_positives_change_nothing_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    passages, queries = drawn(2, 2_000, 50)
    index = indexed("lucene", passages)
    alone = bm25.search(index, queries, 10, np.zeros(51, np.int64), np.zeros(0, np.int64), 2_000)
    offsets = offsets_of([0] * 25 + [1_000] + [0] * 24)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(bm25, "QUERIES_PER_BLOCK", 4)
    beside = bm25.search(index, queries, 10, offsets, np.arange(1_000), 2_000)
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one[alone.owners != 25], other[beside.owners != 25])
    assert (beside.rows[beside.owners == 25] >= 1_000).all()


def test_a_word_in_most_passages_finds_nothing_by_robertson() -> None:
    index = indexed("robertson", [["common", "rare"], *[["common"]] * 50])
    none = np.zeros(0, np.int64)
    found = bm25.search(index, [["common"] * 9, ["common", "rare"], []], 5, np.zeros(4, np.int64), none, 51)
    assert (found.owners.tolist(), found.rows.tolist()) == ([1], [0])


def test_no_query_finds_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert not len(bm25.search(indexed("lucene", [["a"]]), [], 5, np.zeros(1, np.int64), none, 1).rows)


def test_a_kernel_that_cannot_be_kept_is_compiled_all_the_same() -> None:
    assert compiled(eval("lambda x: x + 1"))(1) == 2  # of no file, so that numba finds no folder for it
