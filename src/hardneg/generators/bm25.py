"""BM25, over an index of bm25s and words of PyStemmer."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hardneg.arrays import offsets_of
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.kinds import part
from hardneg.models import bm25
from hardneg.models.bm25_build import Method


@part
class BM25:
    """The passages that share the most telling words with the query.

    Passages that share no word with the query are never proposed. In scripts without spaces between words (Japanese,
    Chinese, Thai, …) pairs of neighbouring letters are the words. ``language`` names a Snowball stemmer (``none`` for
    no stemming); ``stopwords`` a list of bm25s's (``english``, ``german``, …, ``none``). ``k1``, ``b``, ``delta`` and
    ``method`` are those of bm25s (arXiv:2407.03618, section 2).
    """

    version: ClassVar[int] = 2

    depth: Count = 50
    language: str = "english"
    stopwords: str = "english"
    method: Method = "lucene"
    k1: float = 1.5
    b: float = 0.75
    delta: float = 0.5

    def __post_init__(self) -> None:
        self.settings()

    def settings(self) -> bm25.Settings:
        """The fields that decide words and scores. Raises `PartError` for values that make no sense."""
        return bm25.Settings(self.language, self.stopwords, self.method, self.k1, self.b, self.delta)

    def identity(self) -> str:
        """The versions of the libraries that decide words and scores."""
        return bm25.identity()

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, by falling score, then by row."""
        settings = self.settings()
        index = bm25.index(settings, batch.corpus)
        if index is None:
            empty = np.zeros(0, np.int64)
            return Candidates(np.zeros(len(batch) + 1, np.int64), empty, empty.astype(np.float32))
        queries = settings.tokens(batch.queries)
        found = bm25.search(index, queries, self.depth, *batch.barred(), len(batch.corpus))
        return Candidates(offsets_of(np.bincount(found.owners, minlength=len(batch))), found.rows, found.scores)
