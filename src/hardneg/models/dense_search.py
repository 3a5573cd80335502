"""Exact nearest neighbours by inner product, a block of similarities at a time."""

from __future__ import annotations

import numpy as np

from hardneg import progress
from hardneg.arrays import Float32, Int64, at_least

QUERIES_PER_BLOCK = 512
ROWS_PER_BLOCK = 32_768


def by_blocks(queries: Float32, passages: Float32, depth: int, offsets: Int64, barred: Int64) -> tuple[Int64, Float32]:
    """The ``depth`` best rows [n, depth] and their similarities; -1 where there are fewer. Barred rows do not count."""
    count, size = len(queries), len(passages)
    rows, scores = np.full((count, depth), -1, np.int64), np.full((count, depth), -np.inf, np.float32)
    with progress.task("search", count) as bar:
        for begin in range(0, count, QUERIES_PER_BLOCK):
            part = slice(begin, min(begin + QUERIES_PER_BLOCK, count))
            own = barred[offsets[part.start] : offsets[part.stop]]
            owner = np.repeat(np.arange(part.stop - part.start), np.diff(offsets[part.start : part.stop + 1]))
            for low in range(0, size, ROWS_PER_BLOCK):
                high = min(low + ROWS_PER_BLOCK, size)
                similarities = queries[part] @ passages[low:high].T
                here = (own >= low) & (own < high)
                similarities[owner[here], own[here] - low] = -np.inf
                near, near_scores = nearest(similarities, depth)
                near = np.where(np.isfinite(near_scores), near + low, -1)
                if low == 0:
                    width = near.shape[1]
                    rows[part, :width], scores[part, :width] = near, near_scores
                    continue
                all_rows = np.concatenate([rows[part], near], axis=1)
                best, scores[part] = nearest(np.concatenate([scores[part], near_scores], axis=1), depth)
                rows[part] = np.take_along_axis(all_rows, best, axis=1)
            bar.advance(part.stop - part.start)
    return rows, scores


def nearest(scores: Float32, depth: int) -> tuple[Int64, Float32]:
    """The columns [n, min(depth, width)] of the highest scores of each row, falling, ties by column."""
    if scores.shape[1] > depth:
        columns = np.sort(np.argpartition(scores, -depth, axis=1)[:, -depth:], axis=1)
    else:
        columns = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def by_faiss(queries: Float32, passages: Float32, depth: int, offsets: Int64, barred: Int64) -> tuple[Int64, Float32]:
    """`by_blocks` by faiss. Queries with more barred rows than most are searched apart, deeper."""
    import faiss

    rows, scores = np.full((len(queries), depth), -1, np.int64), np.full((len(queries), depth), -np.inf, np.float32)
    deeper = at_least(np.diff(offsets))
    for more in np.unique(deeper):
        group = np.flatnonzero(deeper == more)
        k = min(depth + int(more), len(passages))
        values, found = faiss.knn(queries[group], passages, k, metric=faiss.METRIC_INNER_PRODUCT)
        for i, row, value in zip(group, found, values, strict=True):
            usable = (row >= 0) & ~np.isin(row, barred[offsets[i] : offsets[i + 1]])
            best = np.lexsort((row[usable], -value[usable]))[:depth]
            rows[i, : len(best)], scores[i, : len(best)] = row[usable][best], value[usable][best]
    return rows, scores
