"""BM25, by bm25s with its numba backend and PyStemmer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hardneg import progress
from hardneg.batch import Batch, Candidates, offsets_of
from hardneg.corpus import Corpus
from hardneg.errors import PartError
from hardneg.kinds import fingerprint, part

if TYPE_CHECKING:
    import bm25s


@part
class BM25:
    """The passages that share the most telling words with the query.

    Passages that share no word with the query are never proposed. ``language`` names a Snowball stemmer (``none`` for
    no stemming); ``stopwords`` a list of bm25s's (``english``, ``german``, …, ``none``). ``k1``, ``b``, ``delta`` and
    ``method`` are those of bm25s (arXiv:2407.03618, section 2).
    """

    depth: int = 50
    language: str = "english"
    stopwords: str = "english"
    method: Literal["robertson", "lucene", "atire", "bm25l", "bm25+"] = "lucene"
    k1: float = 1.5
    b: float = 0.75
    delta: float = 0.5

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise PartError(f"`depth` must be at least 1, not {self.depth!r}")
        if self.k1 < 0 or not 0 <= self.b <= 1:
            raise PartError(f"`k1` must be at least 0 and `b` within 0 and 1, not {self.k1!r} and {self.b!r}")
        if self.language != "none":
            import Stemmer

            if self.language not in Stemmer.algorithms():
                known = ", ".join(Stemmer.algorithms())
                raise PartError(f"`language` {self.language!r} has no Snowball stemmer; there are: none, {known}")

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, by falling score, ties by row."""
        index = _index(self, batch.corpus)
        queries = [index.get_tokens_ids(tokens) for tokens in self.tokens(batch.queries)]
        barred_offsets, barred = batch.barred()
        # What cannot be used is retrieved too, so as many more are asked for; queries are grouped by how many that is,
        # in powers of two, so that one query with a thousand positives costs the others nothing.
        extra = np.diff(barred_offsets)
        depths = np.minimum(
            self.depth + np.where(extra, 2 ** np.ceil(np.log2(np.maximum(extra, 1))), 0), len(batch.corpus)
        )
        rows = [np.zeros(0, np.int64)] * len(batch)
        scores = [np.zeros(0, np.float32)] * len(batch)
        for depth in np.unique(depths):
            group = [i for i in np.flatnonzero(depths == depth).tolist() if queries[i]]
            if not group:
                continue
            documents, values = index.retrieve([queries[i] for i in group], k=int(depth), show_progress=False)
            for i, row, score in zip(group, documents, values, strict=True):
                nothing = (
                    0.0 if index.nonoccurrence_array is None else index.nonoccurrence_array[queries[i]].sum() + 1e-6
                )
                usable = (score > nothing) & ~np.isin(row, barred[barred_offsets[i] : barred_offsets[i + 1]])
                best = np.lexsort((row[usable], -score[usable]))[: self.depth]
                rows[i], scores[i] = row[usable][best].astype(np.int64), score[usable][best]
        return Candidates(offsets_of([len(row) for row in rows]), np.concatenate(rows), np.concatenate(scores))

    def tokens(self, texts: Iterable[str]) -> list[list[str]]:
        """The words of each text, as they are indexed."""
        import bm25s
        import Stemmer

        tokens: list[list[str]] = bm25s.tokenize(  # pyright: ignore[reportAssignmentType]
            list(texts),
            stopwords=[] if self.stopwords == "none" else self.stopwords,
            stemmer=None if self.language == "none" else Stemmer.Stemmer(self.language),  # pyright: ignore[reportArgumentType]
            return_ids=False,
            show_progress=False,
        )
        return tokens


@lru_cache(maxsize=2)
def _index(part: BM25, corpus: Corpus) -> bm25s.BM25:
    """The index of a corpus: built once, on disk, memory-mapped."""
    import bm25s

    settings = [part.language, part.stopwords, part.method, part.k1, part.b, part.delta]

    def make(folder: Path) -> None:
        with progress.task("index corpus for BM25", len(corpus)) as bar:
            tokens = part.tokens(corpus.contents(np.arange(len(corpus))))
            index = bm25s.BM25(method=part.method, k1=part.k1, b=part.b, delta=part.delta)
            index.index(tokens, show_progress=False)
            index.save(str(folder), show_progress=False)
            bar.advance(len(corpus))

    folder = corpus.cache.made("bm25", fingerprint([bm25s.__version__, corpus.fingerprint, *settings]), make)
    index = bm25s.BM25.load(str(folder), mmap=True, show_progress=False)
    index.backend = "numba"
    return index
