"""Exact search finds what sorting everything finds, ties by row, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from hardneg.arrays import offsets_of
from hardneg.models import dense_search
from hardneg.models.dense_search import by_blocks


@pytest.mark.parametrize("places", [22, 0], ids=["one number each", "by columns"])
@pytest.mark.parametrize("depth", [1, 7, 60])
def test_equal_passages_are_found_in_the_order_of_rows(
    monkeypatch: pytest.MonkeyPatch, depth: int, places: int
) -> None:
    monkeypatch.setattr(dense_search, "PLACES", places)
    monkeypatch.setattr(dense_search, "ROWS_PER_BLOCK", 16)
    monkeypatch.setattr(dense_search, "QUERIES_PER_BLOCK", 5)
    rng = np.random.default_rng(0)
    queries = rng.integers(-2, 3, (12, 3)).astype(np.float32)  # whole numbers: no rounding, and many ties
    passages = rng.integers(-2, 3, (50, 3)).astype(np.float32)
    own = [np.sort(rng.choice(50, count, replace=False)) for count in [45, *rng.integers(0, 4, 11)]]
    rows, scores = by_blocks(queries, passages, depth, offsets_of([len(rows) for rows in own]), np.concatenate(own))
    for i, barred in enumerate(own):
        all_scores = queries[i] @ passages.T
        best = [row for row in np.lexsort((np.arange(50), -all_scores)) if row not in barred][:depth]
        found = rows[i][rows[i] >= 0]
        assert found.tolist() == best
        assert scores[i, : len(found)].tolist() == all_scores[found].tolist()
