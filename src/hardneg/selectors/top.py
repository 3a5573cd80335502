"""The hardest negatives that the filters left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from hardneg.arrays import Int64
from hardneg.bounds import Count, Natural
from hardneg.data.batch import Batch
from hardneg.data.candidates import Selection
from hardneg.kinds import part
from hardneg.selectors import orders, quotas


@part
class Top:
    """The ``per_query`` candidates of highest score, ties in the order of the merge.

    ``quota`` keeps places for generators by name (``{written: 2}``: two places for its best, open to all when it has
    fewer); ``reuse`` is how often one passage may be chosen in the whole job. Short sets are kept and counted.
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
        """One selection a batch, hardest first."""
        return quotas.selections(self, batches, self._order)

    def _order(self, batch: Batch) -> Int64:
        return orders.by_score(batch, self.scorer)
