"""Cosine similarity under an encoder: the score that ECI is about, when the encoder is the one to be trained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardneg.batch import Batch, Scores
from hardneg.kinds import part
from hardneg.models.embeddings import candidate_embeddings, embed, row_embeddings
from hardneg.protocols import AnyEncoder

CANDIDATES_PER_BLOCK = 16_384


@part
class BiEncoder:
    """The cosine similarity of query and passage, in [-1, 1].

    Each distinct text is encoded once per corpus and encoder; a candidate that a dense generator with the same encoder
    proposed has its similarity already.
    """

    encoder: AnyEncoder

    def score(self, batch: Batch) -> Scores:
        """Scores of every candidate and every positive."""
        queries = embed(self.encoder, batch.queries, "query", batch.corpus.cache)
        negatives = batch.scores_by(f"cosine@{self.encoder.identity()}")
        owners = batch.owners
        unknown = np.flatnonzero(np.isnan(negatives))
        for begin in range(0, len(unknown), CANDIDATES_PER_BLOCK):
            part = unknown[begin : begin + CANDIDATES_PER_BLOCK]
            negatives[part] = _dots(queries[owners[part]], candidate_embeddings(self.encoder, batch, part))
        positives = row_embeddings(self.encoder, batch.corpus, batch.positive_rows)
        return Scores(negatives, _dots(queries[batch.positive_owners], positives))


def _dots(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 [k]: the dot product of each row of one with the same row of the other."""
    dots: NDArray[np.float32] = np.einsum("kd,kd->k", left, right, dtype=np.float32)
    return dots
