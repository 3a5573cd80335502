"""What every export needs: the chosen negatives of a batch, their scores, and numbers that a trainer may read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hardneg.batch import Batch, Scores, Selection
from hardneg.errors import HardnegError, PartError


def selection(batch: Batch) -> Selection:
    """The batch's selection; an export is never called before there is one."""
    if batch.selection is None:
        raise ValueError("nothing has been selected yet")
    return batch.selection


def scores_for(batch: Batch, scorer: str | None) -> Scores:
    """The scores to export: those of ``scorer``, or of the job's first one. Never any that is not finite."""
    if not batch.scores or (scorer is not None and scorer not in batch.scores):
        raise PartError(
            f"`scorer: {scorer}` is none of the job's scorers: {', '.join(batch.scores) or 'there is none'}"
        )
    scores = batch.scores[scorer or next(iter(batch.scores))]
    if not (np.isfinite(scores.positives).all() and np.isfinite(scores.negatives).all()):
        raise HardnegError("a score is not finite; nothing is exported")
    return scores


def plain(values: Iterable[float] | NDArray[np.float32]) -> list[float]:
    """Float32 numbers as the shortest decimal numbers that mean the same."""
    return [float(str(np.float32(value))) for value in values]


def longest(batches: Iterable[Batch]) -> int:
    """The number of negatives of the longest set."""
    return max((int(np.diff(selection(batch).offsets).max(initial=0)) for batch in batches), default=0)
