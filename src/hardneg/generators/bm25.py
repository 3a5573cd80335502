"""BM25, over an index of bm25s and words of PyStemmer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hardneg.arrays import cut, offsets_of, within
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.corpus import Corpus
from hardneg.kinds import NEUTRAL, part
from hardneg.models import bm25
from hardneg.models.bm25_build import Method
from hardneg.models.bm25_parts import folder_of_part, index_of_part

if TYPE_CHECKING:
    import bm25s


@part
class BM25:
    """The passages that share the most telling words with the query.

    Passages that share no word with the query are never proposed. In scripts without spaces between words (Japanese,
    Chinese, Thai, …) pairs of neighbouring letters are the words. ``language`` names a Snowball stemmer (``none`` for
    no stemming); ``stopwords`` a list of bm25s's (``english``, ``german``, …, ``none``). ``k1``, ``b``, ``delta`` and
    ``method`` are those of bm25s (arXiv:2407.03618, section 2).

    ``parts``: the corpus is indexed and searched in so many parts, one after the other, so that a process needs memory
    for one alone. Candidates and scores are those of the whole, to the last bit.
    """

    version: ClassVar[int] = 2

    depth: Count = 50
    language: str = "english"
    stopwords: str = "english"
    method: Method = "lucene"
    k1: float = 1.5
    b: float = 0.75
    delta: float = 0.5
    parts: Count = field(default=1, metadata=NEUTRAL)

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
        if self.parts > 1:
            return self.merged(batch, [self.generate_part(batch, number) for number in range(self.parts)])
        return self._search(batch, bm25.index(self.settings(), batch.corpus), range(len(batch.corpus)))

    def prepare(self, corpus: Corpus, number: int) -> None:
        """Makes the index of part ``number``."""
        folder_of_part(self.settings(), corpus, number, self.parts)

    def generate_part(self, batch: Batch, number: int) -> Candidates:
        """Those of part ``number`` of the corpus, from 0."""
        index = index_of_part(self.settings(), batch.corpus, number, self.parts)
        return self._search(batch, index, cut(len(batch.corpus), number, self.parts))

    def merged(self, batch: Batch, found: Sequence[Candidates]) -> Candidates:
        """The best of what was found in the parts."""
        return Candidates.best_of(found, self.depth)

    def _search(self, batch: Batch, index: bm25s.BM25 | None, rows: range) -> Candidates:
        if index is None:
            empty = np.zeros(0, np.int64)
            return Candidates(np.zeros(len(batch) + 1, np.int64), empty, empty.astype(np.float32))
        queries, barred = self.settings().tokens(batch.queries), within(*batch.barred(), rows)
        found = bm25.search(index, queries, self.depth, *barred, len(rows))
        offsets = offsets_of(np.bincount(found.owners, minlength=len(batch)))
        return Candidates(offsets, found.rows + rows.start, found.scores)
