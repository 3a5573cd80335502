"""Exact nearest neighbours by inner product, a block of similarities at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hardneg import progress
from hardneg.arrays import Float32, Int64, Vectors, among_first, owners_of, places_of

QUERIES_PER_BLOCK = 1_024
ROWS_PER_BLOCK = 4_096
"""With so many queries 16 MiB of similarities. Fixed, and not drawn from free memory: a product may be rounded by its
shape, and a result must not depend on what else a machine does.
"""
PLACES = 22
"""Bits for a place among what waits; 10 are left for one of `QUERIES_PER_BLOCK` queries, 32 for a similarity."""


def by_blocks(queries: Float32, passages: Vectors, depth: int, offsets: Int64, barred: Int64) -> tuple[Int64, Float32]:
    """The ``depth`` best rows [n, depth] and their similarities; -1 where there are fewer. Barred rows do not count."""
    count, size = len(queries), len(passages)
    rows, scores = np.full((count, depth), -1, np.int64), np.full((count, depth), -np.inf, np.float32)
    owners = owners_of(offsets)
    with progress.task("search", count) as bar:
        for begin in range(0, count, QUERIES_PER_BLOCK):
            part = slice(begin, min(begin + QUERIES_PER_BLOCK, count))
            own = slice(int(offsets[part.start]), int(offsets[part.stop]))
            by_row = np.argsort(barred[own], kind="stable")
            out, whose = barred[own][by_row], owners[own][by_row] - begin
            best = _Best(part.stop - begin, depth)
            block = np.empty((part.stop - begin) * min(ROWS_PER_BLOCK, size), np.float32)
            for low in range(0, size, ROWS_PER_BLOCK):
                high = min(low + ROWS_PER_BLOCK, size)
                similarities = block[: (part.stop - begin) * (high - low)].reshape(part.stop - begin, high - low)
                np.matmul(queries[part], np.asarray(passages[low:high], np.float32).T, out=similarities)
                first, last = np.searchsorted(out, [low, high])
                similarities[whose[first:last], out[first:last] - low] = -np.inf
                best.add(similarities, low)
            rows[part], scores[part] = best.found()
            bar.advance(part.stop - begin)
    return rows, scores


@dataclass
class _Best:
    """The ``depth`` best rows of each of ``count`` queries so far. What is better than the last of them waits, with
    others, until it is worth a sort.
    """

    count: int
    depth: int
    owners: list[Int64] = field(default_factory=list)
    rows: list[Int64] = field(default_factory=list)
    scores: list[Float32] = field(default_factory=list)
    waiting: int = 0
    least: Float32 | None = None

    def add(self, similarities: Float32, low: int) -> None:
        """Looks at a block [count, width] of rows from ``low`` on. Blocks come in the order of rows."""
        width = similarities.shape[1]
        if self.least is not None:
            at = np.flatnonzero(similarities > self.least[:, None])
        elif width > self.depth:
            least = np.partition(similarities, width - self.depth, axis=1)[:, width - self.depth]
            at = np.flatnonzero(similarities >= least[:, None])
        else:
            at = np.arange(similarities.size)
        owner, column = np.divmod(at, width)
        self._keep(owner, column + low, similarities.reshape(-1)[at])
        if self.least is None or self.waiting > self.count * self.depth:
            self._sort()

    def _keep(self, owners: Int64, rows: Int64, scores: Float32) -> None:
        self.owners.append(owners)
        self.rows.append(rows)
        self.scores.append(scores)
        self.waiting += len(owners)

    def _sort(self) -> None:
        owners, rows, scores = np.concatenate(self.owners), np.concatenate(self.rows), np.concatenate(self.scores)
        order = _order(owners, scores)
        order = order[np.isfinite(scores[order])]
        order = order[among_first(owners[order], self.count, self.depth)]
        self.owners, self.rows, self.scores, self.waiting = [owners[order]], [rows[order]], [scores[order]], 0
        number = np.bincount(owners[order], minlength=self.count)
        least = np.full(self.count, -np.inf, np.float32)
        full = number == self.depth
        least[full] = scores[order][np.cumsum(number)[full] - 1]
        self.least = least

    def found(self) -> tuple[Int64, Float32]:
        """Rows and similarities [count, depth], best first; -1 and -inf where there are fewer."""
        rows = np.full((self.count, self.depth), -1, np.int64)
        scores = np.full((self.count, self.depth), -np.inf, np.float32)
        if self.least is not None:
            self._sort()
            [owners], [own_rows], [own_scores] = self.owners, self.rows, self.scores
            place = places_of(np.searchsorted(owners, np.arange(self.count + 1)))
            rows[owners, place], scores[owners, place] = own_rows, own_scores
        return rows, scores


def _order(owners: Int64, scores: Float32) -> Int64:
    """By owner, then falling score, equals as they came. Where it fits, all three are one number of 64 bits, which
    numpy sorts ten times as fast.
    """
    if len(owners) > 1 << PLACES or int(owners.max(initial=0)) >= QUERIES_PER_BLOCK:
        plain: Int64 = np.lexsort((-scores, owners))
        return plain
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 is 0
    falling = np.where(bits >> 31, bits, ~bits & np.uint32(0x7FFFFFFF)).astype(np.uint64)
    place = np.arange(len(owners), dtype=np.uint64)
    keys = np.sort((owners.astype(np.uint64) << np.uint64(32 + PLACES)) | (falling << np.uint64(PLACES)) | place)
    order: Int64 = (keys & np.uint64((1 << PLACES) - 1)).astype(np.int64)
    return order


def nearest(scores: Float32, depth: int) -> tuple[Int64, Float32]:
    """The columns [n, min(depth, width)] of the highest scores of each row, falling, ties by column."""
    if scores.shape[1] > depth:
        columns = np.sort(np.argpartition(scores, -depth, axis=1)[:, -depth:], axis=1)
    else:
        columns = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
