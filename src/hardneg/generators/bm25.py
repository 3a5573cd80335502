"""BM25, by bm25s with its numba backend and PyStemmer."""

from __future__ import annotations

import numpy as np

from hardneg.arrays import Float32, Int64, at_least, offsets_of, owners_of, places_of
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.kinds import part
from hardneg.models import bm25

UNKNOWN = "\0"
"""A word that no passage has."""


@part
class BM25:
    """The passages that share the most telling words with the query.

    Passages that share no word with the query are never proposed. ``language`` names a Snowball stemmer (``none`` for
    no stemming); ``stopwords`` a list of bm25s's (``english``, ``german``, …, ``none``). ``k1``, ``b``, ``delta`` and
    ``method`` are those of bm25s (arXiv:2407.03618, section 2).
    """

    depth: Count = 50
    language: str = "english"
    stopwords: str = "english"
    method: bm25.Method = "lucene"
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
        """Up to ``depth`` candidates an example, by falling score, ties in the order of bm25s."""
        settings = self.settings()
        index = bm25.index(settings, batch.corpus)
        if index is None:
            empty = np.zeros(0, np.int64)
            return Candidates(np.zeros(len(batch) + 1, np.int64), empty, empty.astype(np.float32))
        queries = [tokens or [UNKNOWN] for tokens in settings.tokens(batch.queries)]
        offsets, barred = batch.barred()
        size = len(batch.corpus)
        barred_pairs = owners_of(offsets) * size + barred
        # What cannot be used is retrieved too, so as many more are asked for; queries are grouped by how many that is,
        # in powers of two, so that one query with a thousand positives costs the others nothing.
        depths = np.minimum(self.depth + at_least(np.diff(offsets)), size)
        found: list[tuple[Int64, Int64, Float32]] = []
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
