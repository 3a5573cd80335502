"""Arrays and lists of lists: the types, and how flat arrays say whose entry each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Stored = NDArray[np.float16] | NDArray[np.float32]
"""Vectors as they lie on the disk. All computing is in float32."""
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = Float32 | Float64


def offsets_of(lengths: Sequence[int] | Int64) -> Int64:
    """Offsets of lists of these lengths.

    >>> offsets_of([2, 0, 3]).tolist()
    [0, 2, 2, 5]
    """
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def owners_of(offsets: Int64) -> Int64:
    """For every entry of the lists, the number of its list: the inverse of `offsets_of`.

    >>> owners_of(offsets_of([2, 0, 3])).tolist()
    [0, 0, 2, 2, 2]
    """
    owners: Int64 = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return owners


def span(offsets: Int64, i: int) -> slice:
    """Where the entries of list ``i`` are among the entries of all lists.

    >>> span(offsets_of([2, 0, 3]), 2)
    slice(2, 5, None)
    """
    return slice(int(offsets[i]), int(offsets[i + 1]))


def places_of(offsets: Int64) -> Int64:
    """For every entry of the lists, its position in its list, from 0."""
    return np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], np.diff(offsets))


def among_first(owners: Int64, n: int, count: int) -> Bool:
    """Bool [m]: the entries that are among the first ``count`` of their owner. ``owners`` [m] rise within 0..n-1.

    >>> among_first(np.array([0, 0, 0, 2]), 3, 2).tolist()
    [True, True, False, True]
    """
    first: Bool = places_of(offsets_of(np.bincount(owners, minlength=n))) < count
    return first


def evenly(count: int, most: int) -> Int64:
    """The numbers, from 0, of at most ``most`` of ``count`` entries that are evenly spaced: the first to the last.

    >>> evenly(8, 3).tolist()
    [0, 3, 7]
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def at_least(counts: Int64) -> Int64:
    """The next power of two of each count, 0 for 0: few distinct numbers that are large enough.

    >>> at_least(np.array([0, 1, 2, 3, 70])).tolist()
    [0, 1, 2, 4, 128]
    """
    return np.where(counts, 2 ** np.ceil(np.log2(np.maximum(counts, 1))), 0).astype(np.int64)


def cut(size: int, number: int, count: int, unit: int = 1) -> range:
    """Part ``number``, from 0, of ``count`` parts of ``size`` rows, cut at multiples of ``unit``. Some parts are empty
    where there are fewer units than parts.

    >>> [cut(10, number, 3, 4) for number in range(3)]
    [range(0, 4), range(4, 8), range(8, 10)]
    """
    units = -(-size // unit)
    return range(*(min(units * place // count * unit, size) for place in (number, number + 1)))


def within(offsets: Int64, rows: Int64, part: range) -> tuple[Int64, Int64]:
    """Of lists of ``rows`` those in a ``part`` of all rows, counted from its first, as (offsets, rows)."""
    inside = (rows >= part.start) & (rows < part.stop)
    owners = owners_of(offsets)[inside]
    return offsets_of(np.bincount(owners, minlength=len(offsets) - 1)), rows[inside] - part.start


def taken(texts: Sequence[str], numbers: Int64) -> list[str]:
    """The texts of these numbers."""
    return [texts[int(i)] for i in numbers]


@dataclass(frozen=True, slots=True)
class Pieces:
    """[N, d] in pieces of one width and type, which serve as one array. Rows that are asked for are copied, or a view
    of the disk where they are consecutive and in one piece.
    """

    pieces: Sequence[Stored]

    @property
    def begins(self) -> Int64:
        """Int64 [pieces + 1]: the first row of each piece, and N."""
        return offsets_of([len(piece) for piece in self.pieces])

    @property
    def shape(self) -> tuple[int, int]:
        """As an array has it."""
        return len(self), self.pieces[0].shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """As an array has it."""
        return self.pieces[0].dtype

    @property
    def ndim(self) -> int:
        """As an array has it."""
        return 2

    def __len__(self) -> int:
        return int(self.begins[-1])

    def __getitem__(self, rows: slice | Int64) -> Stored:
        begins = self.begins
        if isinstance(rows, slice):
            low, high, _ = rows.indices(len(self))
            cuts = [p[max(low - b, 0) : max(high - b, 0)] for b, p in zip(begins.tolist(), self.pieces, strict=False)]
            found = [piece for piece in cuts if len(piece)] or cuts[:1]
            whole: Stored = found[0] if len(found) == 1 else np.concatenate(found)  # type: ignore[assignment]
            return whole
        out = np.empty((len(rows), self.shape[1]), self.dtype)
        which = np.searchsorted(begins, rows, "right") - 1
        for number in np.unique(which):
            own = np.flatnonzero(which == number)
            out[own] = self.pieces[number][rows[own] - begins[number]]
        return out


Vectors = Stored | Pieces
"""[N, d] as it lies on the disk, in one piece or in several."""
