"""The hardest candidates of every example: what would be chosen from a set by similarity alone."""

from __future__ import annotations

import numpy as np

from hardneg.arrays import Bool, Int64, among_first
from hardneg.data.batch import Batch


def hardest(batch: Batch, members: Bool, scorer: str, count: int) -> Int64:
    """Int64 [k]: the ``count`` highest-scored candidates of each example among ``members`` bool [m], hardest first."""
    numbers = np.flatnonzero(members)
    order = numbers[np.lexsort((-batch.scores[scorer].negatives[numbers], batch.owners[numbers]))]
    best: Int64 = order[among_first(batch.owners[order], len(batch), count)]
    return best
