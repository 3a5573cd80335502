"""Negatives that one retriever finds and the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

import numpy as np

from hardneg.arrays import Int64
from hardneg.bounds import Count, Natural
from hardneg.data.batch import Batch
from hardneg.data.candidates import Selection
from hardneg.kinds import part
from hardneg.selectors import orders, quotas


@part
class Disagreement:
    """The ``per_query`` candidates of highest score that one generator alone proposed; where these are too few, the
    others come after them, so that no set is short for it (after arXiv:2606.23911).

    What several retrievers find is likelier an answer that nobody labelled. Controls have no say. ``quota`` and
    ``reuse`` as in ``top``.
    """

    scorer: str
    per_query: Count = 7
    quota: Mapping[str, Natural] = field(default_factory=dict)
    reuse: Count | None = None

    def __post_init__(self) -> None:
        quotas.check(self.per_query, self.quota)

    @property
    def independent(self) -> bool:
        """True without ``reuse``, which counts over all of the job."""
        return self.reuse is None

    def select(self, batches: Iterable[Batch]) -> Iterator[Selection]:
        """One selection a batch: what one found first, each group hardest first."""
        return quotas.selections(self, batches, self._order)

    def _order(self, batch: Batch) -> Int64:
        numbers = orders.by_score(batch, self.scorer)
        finders = [found.proposed for name, found in batch.sources.items() if name not in batch.controls]
        several = np.sum(finders, axis=0)[numbers] > 1
        ordered: Int64 = numbers[np.lexsort((several, batch.owners[numbers]))]  # stable: by score within both groups
        return ordered
