"""The embeddings of a corpus on the disk: one matrix, or matrices of consecutive passages, which serve as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hardneg.arrays import Float32, Int64, offsets_of
from hardneg.cache.folders import Cache
from hardneg.cache.memo import BLOCK
from hardneg.data.corpus import Corpus
from hardneg.files.checksums import read_signed
from hardneg.files.durable import UNFINISHED
from hardneg.files.npy import mapped
from hardneg.kinds import fingerprint
from hardneg.protocols import Encoder

GROUP = "embeddings"
FILE = "matrix.npy"
DONE = "done"
"""The file beside an unfinished matrix with the checksums of its finished blocks."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Float32 [N, d] in pieces, each memory-mapped and of one width. Rows that are asked for are copied, or a view of
    the disk where they are consecutive and in one piece.
    """

    pieces: Sequence[Float32]

    @property
    def begins(self) -> Int64:
        """Int64 [pieces + 1]: the first row of each piece, and N."""
        return offsets_of([len(piece) for piece in self.pieces])

    @property
    def shape(self) -> tuple[int, int]:
        """As an array has it."""
        return len(self), self.pieces[0].shape[1]

    @property
    def ndim(self) -> int:
        """As an array has it."""
        return 2

    def __len__(self) -> int:
        return int(self.begins[-1])

    def __getitem__(self, rows: slice | Int64) -> Float32:
        begins = self.begins
        if isinstance(rows, slice):
            low, high, _ = rows.indices(len(self))
            cuts = [p[max(low - b, 0) : max(high - b, 0)] for b, p in zip(begins.tolist(), self.pieces, strict=False)]
            found = [piece for piece in cuts if len(piece)] or cuts[:1]
            return found[0] if len(found) == 1 else np.concatenate(found)
        out = np.empty((len(rows), self.shape[1]), np.float32)
        which = np.searchsorted(begins, rows, "right") - 1
        for number in np.unique(which):
            own = np.flatnonzero(which == number)
            out[own] = self.pieces[number][rows[own] - begins[number]]
        return out


Vectors: TypeAlias = Float32 | Matrix
"""Float32 [N, d], in one piece or in several."""


def pieces_of(vectors: Vectors) -> Iterator[tuple[int, Float32]]:
    """The pieces of a matrix, and the first row of each."""
    if isinstance(vectors, Matrix):
        yield from zip(vectors.begins.tolist(), vectors.pieces, strict=False)
    else:
        yield 0, vectors


def name_of(encoder: Encoder, corpus: Corpus, rows: range) -> str:
    """The name in the cache of the embeddings of consecutive passages of a corpus."""
    name = fingerprint(["matrix", corpus.fingerprint, encoder.identity()])
    return name if rows == range(len(corpus)) else f"{name}-{rows.start}-{rows.stop}"


def find_matrix(encoder: Encoder, corpus: Corpus, rows: range | None = None) -> Vectors | None:
    """The embeddings of consecutive passages, if they are on the disk, as a part of others or in pieces too.

    Left out, ``rows`` are all.
    """
    every = range(len(corpus))
    rows = every if rows is None else rows
    name = name_of(encoder, corpus, every)
    if (folder := corpus.cache.find(GROUP, name)) is not None:
        return mapped(folder / FILE)[rows.start : rows.stop]
    pieces: list[Float32] = []
    place, stored = rows.start, _stored(corpus.cache, name)
    while place < rows.stop:
        longest = max((each for each in stored if place in each), key=lambda each: each.stop, default=None)
        if longest is None or (folder := corpus.cache.find(GROUP, name_of(encoder, corpus, longest))) is None:
            return None
        pieces.append(mapped(folder / FILE)[place - longest.start : rows.stop - longest.start])
        place = longest.stop
    return pieces[0] if len(pieces) == 1 else Matrix(pieces)


def _stored(cache: Cache, name: str) -> list[range]:
    """The rows of which there are matrices in the cache beside that of the whole corpus, called ``name``."""
    ends = (path.name.split("-")[1:] for path in (cache.root / GROUP).glob(f"{name}-*"))
    return [range(int(begin), int(end)) for begin, end in ends]


def begun(encoder: Encoder, corpus: Corpus) -> int:
    """How many passages are on the disk of matrices that were stopped halfway. 0 where none was begun."""
    name, cache = name_of(encoder, corpus, range(len(corpus))), corpus.cache
    parts = [len(blocks_done(path)) for path in (cache.root / GROUP).glob(f".{name}-*{UNFINISHED}")]
    finished = sum(map(len, _stored(cache, name)))
    return min(max(len(blocks_done(cache.begun(GROUP, name))), sum(parts)) * BLOCK + finished, len(corpus))


def blocks_done(folder: Path) -> list[str]:
    """The checksums of the finished blocks of an unfinished matrix."""
    try:
        return list(read_signed((folder / DONE).read_text(encoding="utf-8"))["blocks"])
    except (OSError, ValueError):
        return []
