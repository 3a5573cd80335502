"""Retrieve with one generator, rerank with a model that reads query and passage together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardneg.arrays import offsets_of, places_of, taken
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.corpus import Corpus
from hardneg.data.merge import merge
from hardneg.kinds import part
from hardneg.models.embeddings import score_pairs
from hardneg.protocols import AnyGenerator, AnyPairScorer, Partitioned


@part
class CrossEncoder:
    """The best ``depth`` of another generator's candidates, in the order of a cross-encoder.

    Pairs are pooled over the queries of a batch and read longest first; each is scored once, however many parts of the
    job ask for it. Where ``candidates`` come from parts of the corpus, their best are reranked once they are merged.
    """

    candidates: AnyGenerator
    model: AnyPairScorer
    depth: Count = 50

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, by falling score, ties in the order of ``candidates``."""
        return self._reranked(batch, self.candidates.generate(batch))

    @property
    def parts(self) -> int:
        """The parts of the corpus that ``candidates`` come from."""
        return self.candidates.parts if isinstance(self.candidates, Partitioned) else 1

    @property
    def _in_parts(self) -> Partitioned:
        assert isinstance(self.candidates, Partitioned), "it has parts"  # noqa: S101  for type checkers
        return self.candidates

    def prepare(self, corpus: Corpus, number: int) -> None:
        """What ``candidates`` need for a part."""
        self._in_parts.prepare(corpus, number)

    def generate_part(self, batch: Batch, number: int) -> Candidates:
        """The ``candidates`` of a part, which the model has not read yet."""
        return self._in_parts.generate_part(batch, number)

    def merged(self, batch: Batch, found: Sequence[Candidates]) -> Candidates:
        """The best of what was found in the parts, reranked."""
        return self._reranked(batch, self._in_parts.merged(batch, found))

    def _reranked(self, batch: Batch, found: Candidates) -> Candidates:
        pool = merge(batch, {"candidates": found})
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
