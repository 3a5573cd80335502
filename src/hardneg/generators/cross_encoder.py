"""Retrieve with one generator, rerank with a model that reads query and passage together."""

from __future__ import annotations

import numpy as np

from hardneg.arrays import offsets_of, places_of, taken
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.merge import merge
from hardneg.kinds import part
from hardneg.models.embeddings import score_pairs
from hardneg.protocols import AnyGenerator, AnyPairScorer


@part
class CrossEncoder:
    """The best ``depth`` of another generator's candidates, in the order of a cross-encoder.

    Pairs are pooled over the queries of a batch and read longest first; each is scored once, however many parts of the
    job ask for it.
    """

    candidates: AnyGenerator
    model: AnyPairScorer
    depth: Count = 50

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, by falling score, ties in the order of ``candidates``."""
        pool = merge(batch, {"candidates": self.candidates.generate(batch)})
        numbers = np.arange(len(pool.rows))
        queries = taken(pool.queries, pool.owners)
        scores = score_pairs(self.model, queries, pool.contents(numbers), batch.corpus.cache)
        order = np.lexsort((pool.sources["candidates"].rank, -scores, pool.owners))
        kept = order[places_of(pool.offsets) < self.depth]
        return Candidates(
            offsets_of(np.bincount(pool.owners[kept], minlength=len(batch))),
            pool.rows[kept],
            scores[kept],
            texts=None if pool.texts is None else [pool.texts[j] for j in kept],
            model=f"pair@{self.model.identity()}",
        )
