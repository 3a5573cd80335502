"""Negatives about as near as the positive: neither trivially far nor probably answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

import numpy as np

from hardneg import eci
from hardneg.arrays import Int64
from hardneg.bounds import Count, Natural, Positive
from hardneg.data.batch import Batch
from hardneg.data.candidates import Selection
from hardneg.kinds import part
from hardneg.selectors import orders, quotas


@part
class Band:
    """``per_query`` candidates drawn without replacement with weights exp(-a (z - z+ - b)^2), SimANS
    (arXiv:2210.11773, equation 3). z and z+ are ``scale`` times the score of the candidate and of the positive (the
    mean of several), so that ``b`` below 0 prefers what is less near than the positive.

    The draw depends on ``seed`` and the example's id alone. ``quota`` and ``reuse`` as in ``top``.
    """

    scorer: str
    per_query: Count = 7
    a: Positive = 0.5
    b: float = 0.0
    scale: Positive = 20.0
    seed: int = 0
    quota: Mapping[str, Natural] = field(default_factory=dict)
    reuse: Count | None = None

    def __post_init__(self) -> None:
        quotas.check(self.per_query, self.quota)

    def select(self, batches: Iterable[Batch]) -> Iterator[Selection]:
        """One selection a batch, in the order of the draw."""
        return quotas.selections(self, batches, self._order)

    def _order(self, batch: Batch) -> Int64:
        numbers, scores = orders.by_score(batch, self.scorer), batch.scores[self.scorer]
        owners = batch.owners[numbers]
        plus = eci.reference(scores.positives, batch.positive_owners, len(batch))
        apart = self.scale * (scores.negatives[numbers].astype(np.float64) - plus[owners]) - self.b
        # the largest of log weight + Gumbel noise are a draw without replacement (Efraimidis and Spirakis, 2006)
        noise = -np.log(-np.log(np.clip(orders.uniform(batch, numbers, self.seed), 1e-300, 1 - 1e-16)))
        drawn: Int64 = numbers[np.lexsort((numbers, self.a * apart**2 - noise, owners))]
        return drawn
