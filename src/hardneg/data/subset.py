"""Some examples of a batch, without the others."""

from __future__ import annotations

import numpy as np

from hardneg.arrays import Int64, offsets_of, taken
from hardneg.data.batch import Batch


def subset(batch: Batch, examples: Int64) -> Batch:
    """The examples with these numbers (rising, within 0..n-1), without candidates."""
    own = [batch.positive_rows[batch.positives_of(i)] for i in examples.tolist()]
    return Batch.of(
        batch.corpus,
        taken(batch.ids, examples),
        taken(batch.queries, examples),
        offsets_of([len(rows) for rows in own]),
        np.concatenate([np.zeros(0, np.int64), *own]),
        query_hashes=batch.query_hashes[examples],
        controls=batch.controls,
    )
