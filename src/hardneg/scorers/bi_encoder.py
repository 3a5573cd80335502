"""Cosine similarity under an encoder: the score that ECI is about, when the encoder is the one to be trained."""

from __future__ import annotations

import numpy as np

from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores
from hardneg.kinds import part
from hardneg.models.embeddings import dots, embed, row_embeddings, similarities
from hardneg.protocols import AnyEncoder, Encoder


@part
class BiEncoder:
    """The cosine similarity of query and passage, in [-1, 1].

    Each distinct text is encoded once per corpus and encoder; a candidate that a dense generator with the same encoder
    proposed has its similarity already.
    """

    encoder: AnyEncoder

    @property
    def cosine(self) -> Encoder:
        """The encoder."""
        return self.encoder

    def score(self, batch: Batch) -> Scores:
        """Scores of every candidate and every positive."""
        queries = embed(self.encoder, batch.queries, "query", batch.corpus.cache)
        negatives = batch.scores_by(f"cosine@{self.encoder.identity()}")
        unknown = np.flatnonzero(np.isnan(negatives))
        negatives[unknown] = similarities(self.encoder, batch, queries, batch.owners[unknown], unknown)
        positives = row_embeddings(self.encoder, batch.corpus, batch.positive_rows)
        return Scores(negatives, dots(queries[batch.positive_owners], positives))
