"""The probability that a candidate is an unlabelled positive, from ranks alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from hardneg import false_negatives
from hardneg.arrays import Bool, Float32, Float64, Int64, evenly, offsets_of, places_of
from hardneg.bounds import Positive
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores
from hardneg.data.subset import subset
from hardneg.false_negatives.level import DEPTH
from hardneg.kinds import part
from hardneg.models import bm25, dense_search, ranks
from hardneg.models.embeddings import candidate_embeddings, dots, embed, matrix, row_embeddings, similarities
from hardneg.protocols import AnyEncoder, AnyPairScorer, Encoder
from hardneg.scorers.cross_encoder import score_batch

PER_BATCH, QUERIES = 250, 2_000
"""The level is told from so many queries of a batch at most, and from so many in all."""


@part
class FalseNegative:
    """The probability that a passage answers the query although nobody labelled it, in [0, 1].

    1 / (1 + exp(-(level - slope u))). ``u`` is made of log ranks in the whole corpus: those of the passage for the
    query and for the known positive. The ``encoder`` ranks, so do each of ``encoders`` and, with ``lexical``, BM25. A
    ``reranker`` adds its rank among the query's candidates and positives. A third of ``u`` comes from the candidates
    nearest to the candidate (`hardneg.false_negatives`).

    ``level`` says how many unlabelled answers there are, ``slope`` how fast they become rare. Left out, both are told
    from the job's own queries: by how far the encoder and BM25 agree at the head of their lists, and by how deep the
    known positives lie. ``spread`` is the standard deviation of the level. `hardneg tune --qrels` fits the level to
    judgments. ``docs/explanation/safety.md`` says what is assumed and what fails.
    """

    version: ClassVar[int] = 3

    encoder: AnyEncoder
    encoders: tuple[AnyEncoder, ...] = ()
    lexical: bool = True
    reranker: AnyPairScorer | None = None
    language: str = "english"
    stopwords: str = "english"
    level: float | None = None
    slope: Positive | None = None
    spread: Positive | None = None

    def __post_init__(self) -> None:
        self.settings()

    def identity(self) -> str:
        """The versions of the libraries that decide words and scores."""
        return bm25.identity()

    def settings(self) -> bm25.Settings:
        """How words are made for BM25."""
        return bm25.Settings(self.language, self.stopwords)

    @property
    def estimates(self) -> float:
        """The standard deviation of the level: the scores are probabilities, and know how sure they are."""
        return self.told.spread

    @property
    def told(self) -> false_negatives.Level:
        """Level, slope and spread, as given or learnt. What is neither has the value for an unknown corpus."""
        usual = false_negatives.level(_nothing())
        given = {"value": self.level, "slope": self.slope, "spread": self.spread}
        return replace(usual, **{name: value for name, value in given.items() if value is not None})

    @property
    def learns(self) -> bool:
        """Whether the level or the slope is to be told from the job."""
        return self.level is None or self.slope is None

    def learn(self, batches: Iterable[Batch]) -> dict[str, Any]:
        """The level, the slope and the spread, as far as they are not given, from some queries of every batch."""
        found, left = _nothing(), QUERIES
        for batch in batches:
            chosen = evenly(len(batch), min(PER_BATCH, left))
            if not len(chosen):
                break
            found += self.agreement(subset(batch, chosen))
            left -= len(chosen)
        told = false_negatives.level(found)
        learnt = {"level": told.value, "slope": told.slope, "spread": told.spread}
        return {name: round(value, 6) for name, value in learnt.items() if getattr(self, name) is None}

    def agreement(self, batch: Batch) -> false_negatives.Agreement:
        """How far encoder and BM25 agree on the passages nearest to the queries of a batch."""
        index = bm25.index(self.settings(), batch.corpus)
        if index is None:
            return _nothing()
        offsets, barred = batch.barred()
        depth = min(DEPTH, len(batch.corpus))
        queries = embed(self.encoder, batch.queries, "query", batch.corpus.cache)
        near, scores = dense_search.by_blocks(queries, matrix(self.encoder, batch.corpus), depth, offsets, barred)
        near = np.where(np.isfinite(scores), near, -1)
        words = self.settings().tokens(batch.queries)
        lexical = bm25.search(index, words, depth, offsets, barred, len(batch.corpus))
        owners = np.concatenate([np.repeat(np.arange(len(batch)), near.shape[1]), lexical.owners])
        rows = np.concatenate([near.reshape(-1), lexical.rows])
        pairs = np.unique(np.stack([owners, rows])[:, rows >= 0], axis=1)
        head = batch.with_rows(offsets_of(np.bincount(pairs[0], minlength=len(batch))), pairs[1])
        views = [_dense(self.encoder, head), _lexical(self.settings(), head)]
        of_query, of_positive, own = (np.stack([getattr(v, side) for v in views], axis=1) for side in SIDES)
        u = self._smoothed(false_negatives.evidence(of_query, of_positive, own, head.owners), head)
        by_words = np.bincount(lexical.owners, minlength=len(batch))
        found = np.stack([(near >= 0).sum(axis=1), by_words], axis=1)
        return false_negatives.Agreement.of(of_query, u, head.owners, own, found)

    def score(self, batch: Batch) -> Scores:
        """Probabilities of every candidate and, as far as the query alone tells, of every positive."""
        views = [_dense(encoder, batch) for encoder in (self.encoder, *self.encoders)]
        if self.lexical and bm25.index(self.settings(), batch.corpus) is not None:
            views.append(_lexical(self.settings(), batch))
        of_query, of_positive, own, alone = (
            np.stack([getattr(view, side) for view in views], axis=1) for side in (*SIDES, "positives")
        )
        if self.reranker is not None:
            pool, positives = _in_pool(score_batch(self.reranker, batch), batch)
            of_query = np.concatenate([of_query, pool[:, None]], axis=1)
            alone = np.concatenate([alone, positives[:, None]], axis=1)
        u = self._smoothed(false_negatives.evidence(of_query, of_positive, own, batch.owners), batch)
        level = self.told

        def probabilities(values: Float64) -> Float32:
            return false_negatives.probability(values, level.value, level.slope).astype(np.float32)

        return Scores(probabilities(u), probabilities(np.nanmean(alone, axis=1)))

    def _smoothed(self, u: Float64, batch: Batch) -> Float64:
        """The evidence with that of each candidate's neighbours, controls left out, some examples at a time."""
        usable = batch.trainable if batch.sources else np.ones(len(u), dtype=bool)
        out = np.empty(len(u))
        for begin in range(0, len(batch), EXAMPLES_AT_ONCE):
            offsets = batch.offsets[begin : begin + EXAMPLES_AT_ONCE + 1]
            some = np.arange(offsets[0], offsets[-1])
            vectors = candidate_embeddings(self.encoder, batch, some)
            out[some] = false_negatives.smoothed(u[some], offsets - offsets[0], vectors, usable[some])
        return out


EXAMPLES_AT_ONCE = 128
SIDES = ("query", "positive", "own")


def _nothing() -> false_negatives.Agreement:
    none, nobody = np.zeros((0, 2)), np.zeros(0, np.int64)
    return false_negatives.Agreement.of(none, np.zeros(0), nobody, none, none.astype(np.int64))


@dataclass(frozen=True, slots=True)
class _View:
    """Log ranks by one ranker: of candidates for the query and for its positives (the mean over them), ``query`` and
    ``positive`` [m]; of positives for the query, ``positives`` [p], and their mean for each example, ``own`` [n].
    """

    query: Float64
    positive: Float64
    positives: Float64
    own: Float64


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


def _per_example(batch: Batch, values: Float64) -> Float64:
    """The mean over the positives of each example."""
    sums = np.bincount(batch.positive_owners, weights=values, minlength=len(batch))
    return sums / np.diff(batch.positive_offsets)


def _dense(encoder: Encoder, batch: Batch) -> _View:
    """The view of an encoder."""
    passages = matrix(encoder, batch.corpus)
    queries = embed(encoder, batch.queries, "query", batch.corpus.cache)
    positives = row_embeddings(encoder, batch.corpus, batch.positive_rows)
    owners = batch.owners
    pairs = _Pairs.of(batch)
    inside = batch.rows >= 0
    for_query = similarities(encoder, batch, queries, owners, np.arange(len(owners)))
    for_positive = similarities(encoder, batch, positives, pairs.positives, pairs.candidates)
    own = dots(queries[batch.positive_owners], positives)
    in_corpus = np.ones(len(own), dtype=bool)
    alone = np.log(ranks.dense(queries, passages, batch.positive_owners, own, in_corpus))
    paired = ranks.dense(positives, passages, pairs.positives, for_positive, inside[pairs.candidates])
    return _View(
        np.log(ranks.dense(queries, passages, owners, for_query, inside)),
        pairs.mean(np.log(paired)),
        alone,
        _per_example(batch, alone),
    )


def _lexical(settings: bm25.Settings, batch: Batch) -> _View:
    """The view of BM25, NaN for texts that are not in the corpus."""
    index = bm25.index(settings, batch.corpus)
    assert index is not None, "the corpus has words"  # noqa: S101  the callers have looked
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
    alone = ranked(queries, batch.positive_owners, batch.positive_rows, every)
    return _View(
        ranked(queries, batch.owners, batch.rows, known), pairs.mean(for_positive), alone, _per_example(batch, alone)
    )


def _in_pool(scores: Scores, batch: Batch) -> tuple[Float64, Float64]:
    """Log ranks by a reranker among a query's candidates and positives. Equals share the best rank."""
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
