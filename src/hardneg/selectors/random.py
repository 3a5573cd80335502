"""Negatives drawn from a window of ranks: less hard, and less alike, than the top."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

import numpy as np

from hardneg.arrays import Int64, offsets_of, places_of
from hardneg.bounds import Count, Natural
from hardneg.data.batch import Batch
from hardneg.data.candidates import Selection
from hardneg.errors import PartError
from hardneg.kinds import part
from hardneg.selectors import orders, quotas


@part
class Random:
    """``per_query`` candidates drawn from those that the filters left and that stand, by falling score, at the places
    ``window`` (first, last; from 0, last excluded).

    The draw depends on ``seed`` and the example's id alone. ``quota`` and ``reuse`` as in ``top``.
    """

    scorer: str
    per_query: Count = 7
    window: tuple[int, int] = (0, 50)
    seed: int = 0
    quota: Mapping[str, Natural] = field(default_factory=dict)
    reuse: Count | None = None

    def __post_init__(self) -> None:
        quotas.check(self.per_query, self.quota)
        if not 0 <= self.window[0] < self.window[1]:
            raise PartError(
                f"`window` must be two places, the first at least 0 and below the last, not {self.window!r}"
            )

    def select(self, batches: Iterable[Batch]) -> Iterator[Selection]:
        """One selection a batch, in the order of the draw."""
        return quotas.selections(self, batches, self._order)

    def _order(self, batch: Batch) -> Int64:
        ranked = orders.by_score(batch, self.scorer)
        place = places_of(offsets_of(np.bincount(batch.owners[ranked], minlength=len(batch))))
        inside = ranked[(place >= self.window[0]) & (place < self.window[1])]
        drawn: Int64 = inside[np.lexsort((orders.uniform(batch, inside, self.seed), batch.owners[inside]))]
        return drawn
