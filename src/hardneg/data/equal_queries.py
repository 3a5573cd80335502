"""Examples with one query text under several ids: what is a positive of one is no negative of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardneg.arrays import Bool, Int64, offsets_of, places_of

Hashes = NDArray[np.uint64]


def repeated(query_hashes: Hashes) -> Hashes:
    """The hashes of queries that stand there more than once, rising. ``query_hashes`` is sorted in place.

    >>> repeated(np.array([7, 5, 7], dtype=np.uint64)).tolist()
    [7]
    """
    query_hashes.sort()
    return np.unique(query_hashes[1:][query_hashes[1:] == query_hashes[:-1]])


@dataclass(frozen=True, slots=True)
class Shared:
    """The positives of all n examples by the text of their query.

    ``texts`` [n]: the number of each example's text. ``offsets``, ``rows``: the positives of each text. ``gains`` [n]:
    the examples whose text has positives beyond their own.
    """

    texts: Int64
    offsets: Int64
    rows: Int64
    gains: Bool

    def of(self, begin: int, end: int) -> tuple[Int64, Int64]:
        """Owners, from 0 at ``begin``, and rows: all positives of the texts of those examples that gain some."""
        owners = np.flatnonzero(self.gains[begin:end])
        text = self.texts[begin:end][owners]
        lengths = np.diff(self.offsets)[text]
        within = places_of(offsets_of(lengths))
        return np.repeat(owners, lengths), self.rows[np.repeat(self.offsets[text], lengths) + within]


def shared_positives(query_hashes: Hashes, owners: Int64, rows: Int64) -> Shared:
    """The positives (``owners``, ``rows``) of examples put together where their ``query_hashes`` are equal.

    >>> found = shared_positives(np.array([7, 5, 7], dtype=np.uint64), np.array([0, 1, 2]), np.array([10, 11, 12]))
    >>> [array.tolist() for array in found.of(0, 3)]
    [[0, 0, 2, 2], [10, 12, 10, 12]]
    """
    distinct, texts = np.unique(query_hashes, return_inverse=True)
    size = int(rows.max(initial=0)) + 1  # one number stands for (text, row)
    of_text, text_rows = np.divmod(np.unique(texts[owners] * size + rows), size)
    offsets = offsets_of(np.bincount(of_text, minlength=len(distinct)))
    own = np.bincount(np.unique(owners * size + rows) // size, minlength=len(query_hashes))
    return Shared(texts, offsets, text_rows, np.diff(offsets)[texts] > own)
