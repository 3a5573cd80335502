"""The probability that a candidate is an unlabelled positive, from ranks alone: the calibrated safety."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardneg.arrays import Bool, Float32, Float64, Int64, offsets_of, places_of
from hardneg.bounds import Positive
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores
from hardneg.kinds import part
from hardneg.models import bm25, ranks
from hardneg.models.embeddings import dots, embed, matrix, row_embeddings, similarities
from hardneg.protocols import AnyEncoder, AnyPairScorer, Encoder
from hardneg.scorers.cross_encoder import score_batch


@part
class FalseNegative:
    """The probability that a passage answers the query although nobody labelled it, in [0, 1].

    sigmoid(level - slope * u), where u is the mean natural logarithm of the ranks at which the whole corpus's ranking
    has the passage: for the query and for the known positive, by the ``encoder`` (and each of ``encoders``) and, with
    ``lexical``, by BM25; a ``reranker`` adds its rank among the query's candidates and positives. All count the same.
    Nothing is fitted to the job. A positive is ranked for the query alone. A text that is not in the corpus has no rank
    by BM25. ``docs/safety.md`` says what is assumed, where ``level`` and ``slope`` come from and what fails.
    """

    encoder: AnyEncoder
    encoders: tuple[AnyEncoder, ...] = ()
    lexical: bool = True
    reranker: AnyPairScorer | None = None
    language: str = "english"
    stopwords: str = "english"
    level: float = 2.5
    slope: Positive = 1.4

    def __post_init__(self) -> None:
        self.settings()

    def identity(self) -> str:
        """The versions of the libraries that decide words and scores."""
        return bm25.identity() if self.lexical else ""

    def settings(self) -> bm25.Settings:
        """How words are made for BM25."""
        return bm25.Settings(self.language, self.stopwords)

    def score(self, batch: Batch) -> Scores:
        """Probabilities of every candidate and, as far as the query alone tells, of every positive."""
        negatives: list[Float64] = []
        positives: list[Float64] = []
        for encoder in (self.encoder, *self.encoders):
            of_negatives, of_positives = _dense(encoder, batch)
            negatives += of_negatives
            positives += of_positives
        if self.lexical and (found := _lexical(self.settings(), batch)):
            negatives += found[0]
            positives += found[1]
        if self.reranker is not None:
            of_pool = _in_pool(score_batch(self.reranker, batch), batch)
            negatives.append(of_pool[0])
            positives.append(of_pool[1])
        return Scores(self._probability(negatives), self._probability(positives))

    def _probability(self, logarithms: Sequence[Float64]) -> Float32:
        u = np.nanmean(np.stack(logarithms), axis=0)  # the encoder's is never missing
        out: Float32 = (1 / (1 + np.exp(self.slope * u - self.level))).astype(np.float32)
        return out


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Every (positive, candidate) pair of an example: numbers of both, by rising positive."""

    positives: Int64
    candidates: Int64
    count: int

    @classmethod
    def of(cls, batch: Batch) -> _Pairs:
        owners = batch.positive_owners
        lengths = np.diff(batch.offsets)[owners]
        within = places_of(offsets_of(lengths))
        positives = np.repeat(np.arange(len(owners)), lengths)
        return cls(positives, np.repeat(batch.offsets[:-1][owners], lengths) + within, len(batch.rows))

    def mean(self, values: Float64) -> Float64:
        """The mean of each candidate's pairs."""
        sums = np.bincount(self.candidates, weights=values, minlength=self.count)
        return sums / np.bincount(self.candidates, minlength=self.count)


def _dense(encoder: Encoder, batch: Batch) -> tuple[list[Float64], list[Float64]]:
    """Log ranks by an encoder: candidates for the query and for the positives, and positives for the query."""
    passages = matrix(encoder, batch.corpus)
    queries = embed(encoder, batch.queries, "query", batch.corpus.cache)
    positives = row_embeddings(encoder, batch.corpus, batch.positive_rows)
    owners = batch.owners
    pairs = _Pairs.of(batch)
    inside = batch.rows >= 0
    for_query = similarities(encoder, batch, queries, owners, np.arange(len(owners)))
    for_positive = similarities(encoder, batch, positives, pairs.positives, pairs.candidates)
    own = dots(queries[batch.positive_owners], positives)
    return (
        [
            np.log(ranks.dense(queries, passages, owners, for_query, inside)),
            pairs.mean(
                np.log(ranks.dense(positives, passages, pairs.positives, for_positive, inside[pairs.candidates]))
            ),
        ],
        [np.log(ranks.dense(queries, passages, batch.positive_owners, own, np.ones(len(own), dtype=bool)))],
    )


def _lexical(settings: bm25.Settings, batch: Batch) -> tuple[list[Float64], list[Float64]] | None:
    """The same by BM25, NaN for texts that are not in the corpus; None when the corpus has no words."""
    index = bm25.index(settings, batch.corpus)
    if index is None:
        return None
    queries = settings.tokens(batch.queries)
    positives = settings.tokens(batch.corpus.contents(batch.positive_rows))
    pairs = _Pairs.of(batch)
    known = batch.rows >= 0

    def ranked(texts: list[list[str]], owners: Int64, rows: Int64, usable: Bool) -> Float64:
        out = np.full(len(owners), np.nan)
        out[usable] = np.log(ranks.lexical(index, texts, owners[usable], rows[usable]))
        return out

    every = np.ones(len(batch.positive_rows), dtype=bool)
    for_positive = ranked(positives, pairs.positives, batch.rows[pairs.candidates], known[pairs.candidates])
    return (
        [ranked(queries, batch.owners, batch.rows, known), pairs.mean(for_positive)],
        [ranked(queries, batch.positive_owners, batch.positive_rows, every)],
    )


def _in_pool(scores: Scores, batch: Batch) -> tuple[Float64, Float64]:
    """Log ranks by a reranker among a query's candidates and positives; equals share the best rank."""
    values = np.concatenate([scores.negatives, scores.positives])
    owners = np.concatenate([batch.owners, batch.positive_owners])
    order = np.lexsort((-values, owners))
    begins = offsets_of(np.bincount(owners, minlength=len(batch)))
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (np.diff(values[order]) != 0) | (np.diff(owners[order]) != 0)
    place = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0)) - begins[owners[order]]
    out = np.empty(len(order))
    out[order] = np.log(place + 1.0)
    return out[: len(scores.negatives)], out[len(scores.negatives) :]
