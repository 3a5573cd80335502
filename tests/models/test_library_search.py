"""What faiss and torch find is what the search by blocks finds, ties by row, whatever the blocks and the type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hardneg.arrays import offsets_of
from hardneg.models import library_search
from hardneg.models.dense_search import by_blocks
from hardneg.models.library_search import SPARE, by_faiss, by_torch

SEARCHES = pytest.mark.parametrize("search", [by_faiss, by_torch])


@SEARCHES
@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("depth", [1, 9, 60])
def test_equal_passages_are_found_in_the_order_of_rows(
    monkeypatch: pytest.MonkeyPatch, search: Any, kind: type[Any], depth: int
) -> None:
    monkeypatch.setattr(library_search, "ROWS_PER_BLOCK", 64)
    rng = np.random.default_rng(0)
    queries = rng.integers(-2, 3, (12, 3)).astype(np.float32)  # whole numbers: no rounding, and runs of equals
    passages = rng.integers(-2, 3, (300, 3)).astype(kind)
    counts = [290, SPARE, SPARE + 1, 0, 40, *rng.integers(0, 4, 7)]  # more barred than spare ones are asked for
    own = [np.sort(rng.choice(300, count, replace=False)) for count in counts]
    given = offsets_of(counts), np.concatenate(own)
    for found, wanted in zip(
        search(queries, passages, depth, *given), by_blocks(queries, passages, depth, *given), strict=True
    ):
        assert found.tolist() == wanted.tolist()


@SEARCHES
def test_a_corpus_smaller_than_the_depth(search: Any) -> None:
    queries, passages = np.eye(2, 3, dtype=np.float32), np.eye(3, dtype=np.float32)
    rows, scores = search(queries, passages, 3, np.array([0, 1, 1]), np.array([2]))
    assert rows.tolist() == [[0, 1, -1], [1, 0, 2]]
    assert scores.tolist() == [[1, 0, -np.inf], [1, 0, 0]]
