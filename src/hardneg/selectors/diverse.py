"""Hard negatives that are not alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

import numpy as np

from hardneg.arrays import Float32, Int64, offsets_of
from hardneg.bounds import Count, Natural, Share
from hardneg.data.batch import Batch
from hardneg.data.candidates import Selection
from hardneg.kinds import part
from hardneg.models.embeddings import candidate_embeddings
from hardneg.protocols import AnyEncoder
from hardneg.selectors import orders, quotas


@part
class Diverse:
    """Maximal marginal relevance (Carbonell and Goldstein, 1998): one candidate after another, each with the highest
    ``relevance`` s(q, n) - (1 - ``relevance``) max over those before it of cos(n, m), under ``encoder``.

    ``relevance: 1`` is ``top``. Only the first ``among`` by score are looked at. ``quota`` and ``reuse`` as in ``top``.
    """

    scorer: str
    encoder: AnyEncoder
    per_query: Count = 7
    relevance: Share = 0.7
    among: Count = 50
    quota: Mapping[str, Natural] = field(default_factory=dict)
    reuse: Count | None = None

    def __post_init__(self) -> None:
        quotas.check(self.per_query, self.quota)

    def select(self, batches: Iterable[Batch]) -> Iterator[Selection]:
        """One selection a batch, in the order in which candidates are taken."""
        return quotas.selections(self, batches, self._order)

    def _order(self, batch: Batch) -> Int64:
        numbers = orders.by_score(batch, self.scorer)
        bounds = offsets_of(np.bincount(batch.owners[numbers], minlength=len(batch)))
        ordered = [numbers[:0]]
        for i in range(len(batch)):
            own = numbers[bounds[i] : bounds[i + 1]][: self.among]
            if len(own):
                scores = batch.scores[self.scorer].negatives[own]
                ordered.append(own[self._taken(scores, candidate_embeddings(self.encoder, batch, own))])
        return np.concatenate(ordered)

    def _taken(self, scores: Float32, vectors: Float32) -> Int64:
        """All candidates of an example in the order in which they are taken."""
        nearest = np.full(len(scores), -np.inf)
        left, out = np.ones(len(scores), dtype=bool), []
        for _ in range(len(scores)):
            gain = self.relevance * scores - (1 - self.relevance) * np.where(np.isfinite(nearest), nearest, 0.0)
            best = int(np.argmax(np.where(left, gain, -np.inf)))
            left[best] = False
            out.append(best)
            nearest = np.maximum(nearest, vectors @ vectors[best])
        return np.array(out, dtype=np.int64)
