"""A cross-encoder as referee."""

from __future__ import annotations

import numpy as np

from hardneg.arrays import taken
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores
from hardneg.kinds import part
from hardneg.models.embeddings import score_pairs
from hardneg.protocols import AnyPairScorer, PairScorer


@part
class CrossEncoder:
    """The score of a model that reads query and passage together, on that model's own scale.

    ``lazy``: only candidates that would be chosen are scored, and the next ones in their place where a filter refuses
    them. The final negatives are the same. For a scorer whose scores one or several `eci_safety` filters use, and
    nothing else does.
    """

    model: AnyPairScorer
    lazy: bool = False

    def score(self, batch: Batch) -> Scores:
        """Scores of every candidate and every positive; pairs that a generator had scored are not scored again."""
        return score_batch(self.model, batch)


def score_batch(model: PairScorer, batch: Batch) -> Scores:
    """What ``model`` says of every candidate and every positive of a batch."""
    negatives = batch.scores_by(f"pair@{model.identity()}")
    unknown = np.flatnonzero(np.isnan(negatives))
    owners = np.concatenate([batch.owners[unknown], batch.positive_owners])
    passages = batch.contents(unknown) + batch.corpus.contents(batch.positive_rows)
    scores = score_pairs(model, taken(batch.queries, owners), passages, batch.corpus.cache)
    negatives[unknown] = scores[: len(unknown)]
    return Scores(negatives, scores[len(unknown) :])
