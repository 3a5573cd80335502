"""Exact nearest neighbours by a library's own search: faiss, or torch on whatever it runs on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hardneg.arrays import Float32, Int64, Stored, Vectors, among_first, offsets_of, owners_of, places_of
from hardneg.models.dense_search import by_blocks, nearest

SPARE = 16
"""So many more than wanted are asked for, in place of barred rows and to see the end of a run of equals."""
ROWS_PER_BLOCK = 1 << 17
"""With 1,000 queries 512 MiB of similarities, where torch has them all at once."""
Best = Callable[[Stored, int], tuple[Int64, Float32]]
"""The best so many rows of a block for every query, in any order, and their similarities."""


def by_faiss(queries: Float32, passages: Vectors, depth: int, offsets: Int64, barred: Int64) -> tuple[Int64, Float32]:
    """What `by_blocks` finds, up to the rounding of similarities, by ``faiss.knn``."""
    import faiss

    def best(block: Stored, count: int) -> tuple[Int64, Float32]:
        values, rows = faiss.knn(queries, np.asarray(block, np.float32), count, metric=faiss.METRIC_INNER_PRODUCT)
        return rows, values

    whole = isinstance(passages, np.ndarray) and passages.dtype == np.float32  # and nothing is copied
    return _exact(best, len(passages) if whole else ROWS_PER_BLOCK, queries, passages, depth, offsets, barred)


def by_torch(
    queries: Float32, passages: Vectors, depth: int, offsets: Int64, barred: Int64, device: str | None = None
) -> tuple[Int64, Float32]:
    """What `by_blocks` finds, up to the rounding of similarities, by products on a device of torch.

    ``device``: left out, the GPU where there is one.
    """
    import torch

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    there = torch.from_numpy(queries).to(where)

    def best(block: Stored, count: int) -> tuple[Int64, Float32]:
        values, rows = (there @ torch.tensor(block).to(where).float().T).topk(count, dim=1, sorted=False)
        return rows.cpu().numpy(), values.cpu().numpy()

    return _exact(best, ROWS_PER_BLOCK, queries, passages, depth, offsets, barred)


def _exact(
    best: Best, width: int, queries: Float32, passages: Vectors, depth: int, offsets: Int64, barred: Int64
) -> tuple[Int64, Float32]:
    """The ``depth`` best rows [n, depth] by blocks of ``width`` rows, merged.

    A library gives equals at the end in an order of its own, and `SPARE` may be fewer than a query's barred rows. Such
    queries are left to `by_blocks`.
    """
    count, size = len(queries), len(passages)
    wanted = min(depth + SPARE, size)
    rows, scores = np.zeros((count, 0), np.int64), np.zeros((count, 0), np.float32)
    for low in range(0, size, width):
        block = passages[low : low + width]
        found, values = best(block, min(wanted, len(block)))
        columns, scores = nearest(np.hstack([scores, values]), wanted)
        rows = np.take_along_axis(np.hstack([rows, found + low]), columns, axis=1)
    owners = np.repeat(np.arange(count), wanted)
    least = scores[:, -1]
    rows, scores = ranked(owners, rows.reshape(-1), scores.reshape(-1), count, depth, offsets, barred)
    if wanted < size and len(unsettled := np.flatnonzero(scores[:, -1] <= least)):
        own = [barred[offsets[i] : offsets[i + 1]] for i in unsettled.tolist()]
        rows[unsettled], scores[unsettled] = by_blocks(
            queries[unsettled], passages, depth, offsets_of([*map(len, own)]), np.concatenate(own)
        )
    return rows, scores


def ranked(
    owners: Int64, rows: Int64, scores: Float32, count: int, depth: int, offsets: Int64, barred: Int64
) -> tuple[Int64, Float32]:
    """Of rows found for ``owners`` (within 0..count-1) the best [count, depth] that are not barred, ties by row.

    -1 and -inf where there are fewer.
    """
    size = int(max(rows.max(initial=0), barred.max(initial=0))) + 1
    usable = (rows >= 0) & ~np.isin(owners * size + rows, owners_of(offsets) * size + barred)
    owners, rows, scores = owners[usable], rows[usable], scores[usable]
    order = np.lexsort((rows, -scores, owners))
    order = order[among_first(owners[order], count, depth)]
    owners = owners[order]
    place = places_of(offsets_of(np.bincount(owners, minlength=count)))
    out, values = np.full((count, depth), -1, np.int64), np.full((count, depth), -np.inf, np.float32)
    out[owners, place], values[owners, place] = rows[order], scores[order]
    return out, values
