"""The rank of given passages among all passages of a corpus, for a query or for any other text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hardneg import progress
from hardneg.arrays import Bool, Float32, Float64, Int64, Vectors, offsets_of, span

if TYPE_CHECKING:
    import bm25s

ROWS_PER_BLOCK = 32_768
TEXTS_PER_BLOCK = 256
EQUAL = 1e-6
"""Similarities this near are equal: how a dot product is rounded depends on the block it is computed in."""


def dense(texts: Float32, passages: Vectors, owners: Int64, similarities: Float32, inside: Bool) -> Float64:
    """Float64 [c]: the rank, from 1, of passages with these ``similarities`` [c] to the texts ``owners`` [c] (rising).

    ``texts`` [k, d], ``passages`` [N, d]: unit vectors. Passages that are equally similar share their mean rank.
    ``inside`` bool [c]: which are passages of the corpus; the others are ranked as if they were added to it.
    """
    offsets = offsets_of(np.bincount(owners, minlength=len(texts)))
    above = np.zeros(len(owners))
    with progress.task("rank passages", len(texts)) as bar:
        for begin in range(0, len(texts), TEXTS_PER_BLOCK):
            end = min(begin + TEXTS_PER_BLOCK, len(texts))
            for low in range(0, len(passages), ROWS_PER_BLOCK):
                block = texts[begin:end] @ np.asarray(passages[low : low + ROWS_PER_BLOCK], np.float32).T
                block.sort(axis=1)
                for i in range(begin, end):
                    own = span(offsets, i)
                    above[own] += _above(block[i - begin], similarities[own], EQUAL)
            bar.advance(end - begin)
    ranked: Float64 = above + np.where(inside, 0.5, 1.0)  # half of itself is counted already
    return np.maximum(ranked, 1.0)


def lexical(index: bm25s.BM25, texts: Sequence[Sequence[str]], owners: Int64, rows: Int64) -> Float64:
    """Float64 [c]: the rank, from 1, of these ``rows`` [c] of the corpus by BM25 for the texts ``owners`` [c] (rising).

    ``texts`` [k]: words of each. Passages with equal scores, those that share no word included, share their mean rank.
    """
    from hardneg.models.bm25_search import add_up, arrays_of

    arrays = arrays_of(index)
    size = int(index.scores["num_docs"])
    sums, touched = np.zeros(size, np.float32), np.empty(size + 1, np.int32)
    offsets = offsets_of(np.bincount(owners, minlength=len(texts)))
    above = np.zeros(len(owners))
    with progress.task("rank passages by BM25", len(texts)) as bar:
        for i, words in enumerate(texts):
            own = span(offsets, i)
            known = np.array(index.get_tokens_ids(list(words)), np.int64)
            scored = touched[: add_up(*arrays, known, sums, touched)]
            mine = sums[rows[own]]
            without = (size + len(scored)) / 2  # those without a common word share the places after all others
            above[own] = np.where(mine > 0, _above(np.sort(sums[scored]), mine, 0.0), without)
            sums[scored] = 0
            bar.advance(1)
    return np.maximum(above + 0.5, 1.0)


def _above(rising: Float32, values: Float32, tolerance: float) -> Float64:
    """How many of ``rising`` are above each value, an equal one counted as half."""
    equal_or_above = len(rising) - np.searchsorted(rising, values - np.float32(tolerance), "left")
    truly_above = len(rising) - np.searchsorted(rising, values + np.float32(tolerance), "right")
    out: Float64 = (equal_or_above + truly_above) / 2
    return out
