"""All that the filters left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from hardneg.arrays import offsets_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import Selection
from hardneg.kinds import part


@part
class Everything:
    """Every candidate that the filters left, in the order of the merge."""

    @property
    def per_query(self) -> int:
        """One: an example with any negative has what it needs."""
        return 1

    def select(self, batches: Iterable[Batch]) -> Iterator[Selection]:
        """One selection a batch."""
        for batch in batches:
            chosen = np.flatnonzero(batch.kept & batch.trainable)
            yield Selection(offsets_of(np.bincount(batch.owners[chosen], minlength=len(batch))), chosen)
