"""BM25, by bm25s with its numba backend and PyStemmer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hardneg import progress
from hardneg.batch import Batch, Candidates, Floats, Ints, at_least, offsets_of, owners_of, places_of
from hardneg.corpus import Corpus
from hardneg.errors import PartError
from hardneg.kinds import fingerprint, part

if TYPE_CHECKING:
    import bm25s

UNKNOWN = "\0"
"""A word that no passage has."""


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
        if not (0 <= self.k1 < math.inf and 0 <= self.b <= 1 and 0 <= self.delta < math.inf):
            given = f"{self.k1!r}, {self.delta!r}, {self.b!r}"
            raise PartError(f"`k1` and `delta` must be at least 0 and `b` within 0 and 1, not {given}")
        if self.language != "none":
            import Stemmer

            if self.language not in Stemmer.algorithms():
                known = ", ".join(Stemmer.algorithms())
                raise PartError(f"`language` {self.language!r} has no Snowball stemmer; there are: none, {known}")

    def identity(self) -> str:
        """The versions of the libraries that decide words and scores."""
        return f"bm25s {version('bm25s')}, PyStemmer {version('PyStemmer')}"

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, by falling score, ties in the order of bm25s."""
        index = _index(self, batch.corpus)
        if index is None:
            empty = np.zeros(0, np.int64)
            return Candidates(np.zeros(len(batch) + 1, np.int64), empty, empty.astype(np.float32))
        queries = [tokens or [UNKNOWN] for tokens in self.tokens(batch.queries)]
        offsets, barred = batch.barred()
        size = len(batch.corpus)
        barred_pairs = owners_of(offsets) * size + barred
        # What cannot be used is retrieved too, so as many more are asked for; queries are grouped by how many that is,
        # in powers of two, so that one query with a thousand positives costs the others nothing.
        depths = np.minimum(self.depth + at_least(np.diff(offsets)), size)
        found: list[tuple[Ints, Ints, Floats]] = []
        for depth in np.unique(depths):
            group = np.flatnonzero(depths == depth)
            rows, scores = index.retrieve([queries[i] for i in group.tolist()], k=int(depth), show_progress=False)
            nothing = np.zeros(len(group))  # the score of a passage that shares no word with the query
            if index.nonoccurrence_array is not None:
                ids = (index.get_tokens_ids(queries[i]) for i in group.tolist())
                nothing = np.array([index.nonoccurrence_array[own].sum() + 1e-6 for own in ids])
            usable = (scores > nothing[:, None]) & ~np.isin(group[:, None] * size + rows, barred_pairs)
            owners = np.repeat(group, usable.sum(axis=1))
            found.append((owners, rows[usable].astype(np.int64), scores[usable]))
        owner, row, score = (np.concatenate(column) for column in zip(*found, strict=True))
        if len(found) > 1:
            order = np.argsort(owner, kind="stable")  # within an example they are by score already
            owner, row, score = owner[order], row[order], score[order]
        first = places_of(offsets_of(np.bincount(owner, minlength=len(batch)))) < self.depth
        return Candidates(offsets_of(np.bincount(owner[first], minlength=len(batch))), row[first], score[first])

    def tokens(self, texts: Iterable[str]) -> list[list[str]]:
        """The words of each text, as they are indexed."""
        import bm25s
        import Stemmer

        stemmer = None if self.language == "none" else Stemmer.Stemmer(self.language)
        stopwords = [] if self.stopwords == "none" else self.stopwords
        try:
            tokens: list[list[str]] = bm25s.tokenize(  # pyright: ignore[reportAssignmentType]
                list(texts),
                stopwords=stopwords,
                stemmer=stemmer,  # pyright: ignore[reportArgumentType]
                return_ids=False,
                show_progress=False,
            )
        except ValueError as error:
            raise PartError(f"`stopwords` {self.stopwords!r} is no list that bm25s has ({error})") from error
        return tokens


@lru_cache(maxsize=2)
def _index(part: BM25, corpus: Corpus) -> bm25s.BM25 | None:
    """The index of a corpus: built once, on disk, memory-mapped. None when the corpus has no word to index."""
    import bm25s

    settings = [part.identity(), part.language, part.stopwords, part.method, part.k1, part.b, part.delta]

    def make(folder: Path) -> None:
        with progress.task("index corpus for BM25", len(corpus)) as bar:
            tokens = part.tokens(corpus.contents(np.arange(len(corpus))))
            if not any(tokens):
                return
            index = bm25s.BM25(method=part.method, k1=part.k1, b=part.b, delta=part.delta)
            index.index(tokens, show_progress=False)
            index.save(str(folder), show_progress=False)
            bar.advance(len(corpus))

    folder = corpus.cache.made("bm25", fingerprint([corpus.fingerprint, *settings]), make)
    if not any(folder.iterdir()):
        return None
    index = bm25s.BM25.load(str(folder), mmap=True, show_progress=False)
    index.backend = "numba"
    return index
