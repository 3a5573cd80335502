"""Candidates that a judge calls relevant, dropped or made positives."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from hardneg.data.batch import Batch
from hardneg.data.candidates import Verdicts
from hardneg.kinds import part


@part
class Relevance:
    """Drops candidates that ``scorer``, one of kind ``llm_judge``, grades ``max`` or higher (0 to 3).

    ``relabel``: makes positives of those that are passages of the corpus; every export then has them there,
    and the refusal is still recorded. A text that a model wrote is dropped either way. Candidates without a grade are
    kept.
    """

    scorer: str
    max: Annotated[int, Field(ge=1, le=3)] = 2
    relabel: bool = False

    def judge(self, batch: Batch) -> Verdicts:
        """The value is the grade, the limit ``max``."""
        grades = batch.scores[self.scorer].negatives
        high = grades >= self.max
        moved = high & (batch.rows >= 0) & self.relabel
        # another passage with the text of one that becomes a positive is no negative either
        spread = batch.hashes() ^ (batch.owners.astype(np.uint64) << np.uint64(32))
        high |= np.isin(spread, spread[moved])
        broken = np.where(moved, 1, np.where(high, 0, -1)).astype(np.int8)
        return Verdicts(("relevant", "relabelled"), broken, grades, np.full(len(grades), self.max, np.float32))
