"""One part applied to one batch, with its answer checked: aligned with what went in, and finite.

The pipeline runs these steps over stored shards. `rounds` runs them in memory between two rounds of asking.
"""

from __future__ import annotations

import numpy as np

from hardneg.arrays import Float32, Int64
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Scores, Verdicts
from hardneg.errors import ModelError, PartError
from hardneg.protocols import CosineScorer, Filter, Scorer

LARGEST_COSINE = 1.02
"""Of vectors whose lengths half precision has rounded."""


def proposed(name: str, found: Candidates, batch: Batch) -> Candidates:
    """The answer of generator ``name``. Raises `PartError` where it does not fit the batch."""
    _aligned(f"generator `{name}`", len(batch) + 1, len(found.offsets))
    _aligned(f"generator `{name}`", int(found.offsets[-1]), len(found.rows), len(found.scores))
    if not np.isfinite(found.scores).all():
        raise PartError(f"generator `{name}` gave a score that is not finite")
    return found


def scored(name: str, scorer: Scorer, batch: Batch) -> Scores:
    """The scores of scorer ``name``. Raises `PartError` or `ModelError` where they cannot be used."""
    scores = scorer.score(batch)
    _aligned(f"scorer `{name}`", len(batch.rows), len(scores.negatives))
    _aligned(f"scorer `{name}`", len(batch.positive_rows), len(scores.positives))
    _finite(name, scores.negatives, batch.owners, batch)
    _finite(name, scores.positives, batch.positive_owners, batch)
    if isinstance(scorer, CosineScorer):
        for values, owners in ((scores.negatives, batch.owners), (scores.positives, batch.positive_owners)):
            _cosines(name, values, owners, batch)
    return scores


def judged(name: str, judge: Filter, batch: Batch) -> Verdicts:
    """The verdicts of filter ``name``. Raises `PartError` where they do not fit the batch."""
    verdicts = judge.judge(batch)
    _aligned(f"filter `{name}`", len(batch.rows), len(verdicts.broken), len(verdicts.value), len(verdicts.limit))
    return verdicts


def _finite(name: str, values: Float32, owners: Int64, batch: Batch) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ModelError(
            f"scorer `{name}` gave a score that is not finite, for query `{batch.ids[int(owners[bad[0]])]}`"
        )


def _cosines(name: str, values: Float32, owners: Int64, batch: Batch) -> None:
    bad = np.flatnonzero(np.abs(values) > LARGEST_COSINE)
    if len(bad):
        raise ModelError(
            f"scorer `{name}` gave {values[bad[0]]:.3g} as a cosine, for query `{batch.ids[int(owners[bad[0]])]}`; "
            "divide its vectors by their lengths"
        )


def _aligned(part: str, wanted: int, *found: int) -> None:
    for length in found:
        if length != wanted:
            raise PartError(f"{part} answered with {length} entries where {wanted} were asked for")
