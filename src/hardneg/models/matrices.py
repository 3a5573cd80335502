"""The embeddings of a corpus on the disk: one matrix, or matrices of consecutive passages, which serve as one."""

from __future__ import annotations

from pathlib import Path

from hardneg.arrays import Pieces, Stored, Vectors
from hardneg.cache.folders import Cache
from hardneg.cache.memo import BLOCK
from hardneg.data.corpus import Corpus
from hardneg.files.checksums import read_signed
from hardneg.files.durable import UNFINISHED
from hardneg.files.npy import mapped
from hardneg.kinds import fingerprint
from hardneg.models.vectors import told_apart
from hardneg.protocols import Encoder

GROUP = "embeddings"
FILE = "matrix.npy"
DONE = "done"
"""The file beside an unfinished matrix with the checksums of its finished blocks."""


def name_of(encoder: Encoder, corpus: Corpus, rows: range) -> str:
    """The name in the cache of the embeddings of consecutive passages of a corpus."""
    name = fingerprint(["matrix", corpus.fingerprint, *told_apart(encoder)])
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
    pieces: list[Stored] = []
    place, stored = rows.start, _stored(corpus.cache, name)
    while place < rows.stop:
        longest = max((each for each in stored if place in each), key=lambda each: each.stop, default=None)
        if longest is None or (folder := corpus.cache.find(GROUP, name_of(encoder, corpus, longest))) is None:
            return None
        pieces.append(mapped(folder / FILE)[place - longest.start : rows.stop - longest.start])
        place = longest.stop
    return pieces[0] if len(pieces) == 1 else Pieces(pieces)


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
