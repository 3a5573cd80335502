"""Approximate nearest neighbours: an index, built once, proposes rows, and the matrix says how near they are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hardneg.arrays import Float32, Float64, Int64, Vectors, at_least
from hardneg.data.corpus import Corpus
from hardneg.files.checksums import SEAL
from hardneg.kinds import fingerprint, kind_of
from hardneg.models.dense_search import by_blocks
from hardneg.models.embeddings import CANDIDATES_PER_BLOCK, dots, matrix
from hardneg.models.library_search import SPARE, ranked
from hardneg.models.ranks import EQUAL
from hardneg.models.vectors import told_apart
from hardneg.protocols import Encoder, Find, Index

GROUP = "neighbours"
"""The group of the cache that indexes lie in."""


def find_in(index: Index, encoder: Encoder, corpus: Corpus) -> Find:
    """What searches the index of a corpus, which is built if need be."""
    name = fingerprint([corpus.fingerprint, *told_apart(encoder), kind_of(index), *index.settings()])
    folder = corpus.cache.made(GROUP, name, lambda unfinished: index.build(unfinished, matrix(encoder, corpus)))
    opened: Any = index
    return _kept_open(opened, folder, (folder / SEAL).stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _kept_open(index: Any, folder: Path, _: int) -> Find:
    """By the time it was sealed too: a folder that was made again is another one."""
    opened: Find = index.opened(folder)
    return opened


def by_index(
    find: Find, queries: Float32, passages: Vectors, depth: int, offsets: Int64, barred: Int64
) -> tuple[Int64, Float32]:
    """Rows [n, depth] that are not barred and their cosines, best first, ties by row; -1 where the index finds fewer.

    A query is searched for deeper by the number of its barred rows, rounded up to a power of two, whatever else is
    asked with it. Cosines are those of ``passages``.
    """
    deeper = at_least(np.diff(offsets))
    rows = [np.zeros(0, np.int64)]
    owners = [np.zeros(0, np.int64)]
    for more in np.unique(deeper):
        group = np.flatnonzero(deeper == more)
        found = find(queries[group], min(depth + int(more) + SPARE, len(passages)))
        there = found >= 0
        owners.append(group[np.nonzero(there)[0]])
        rows.append(found[there])
    whose, which = np.concatenate(owners), np.concatenate(rows)
    scores = np.empty(len(which), np.float32)
    for begin in range(0, len(which), CANDIDATES_PER_BLOCK):
        part = slice(begin, begin + CANDIDATES_PER_BLOCK)
        scores[part] = dots(queries[whose[part]], np.asarray(passages[which[part]], np.float32))
    return ranked(whose, which, scores, len(queries), depth, offsets, barred)


def share_found(
    found: Float32, queries: Float32, passages: Vectors, depth: int, offsets: Int64, barred: Int64
) -> Float64:
    """Float64 [n]: which share of the ``depth`` exact nearest a search has found, by its cosines [n, depth].

    Of passages that are equally near at the end, any will do. 1 where there is nothing to find.
    """
    _, exact = by_blocks(queries, passages, depth, offsets, barred)
    there = np.isfinite(exact)
    least = np.where(there, exact, np.inf).min(axis=1)
    hits = (found >= least[:, None] - EQUAL).sum(axis=1)
    wanted = there.sum(axis=1)
    return np.where(wanted, hits / np.maximum(wanted, 1), 1.0)
