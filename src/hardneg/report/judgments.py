"""Judgments held against candidates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hardneg.arrays import Bool, Int64
from hardneg.data.batch import Batch

Grades = Mapping[str, Mapping[str, int]]
"""Judgments: a grade by query id and passage id."""


def is_sample(grades: Grades | None) -> bool:
    """Judgments that say what is not relevant too are a sample; others are taken for complete."""
    return any(grade <= 0 for own in (grades or {}).values() for grade in own.values())


def judged(batch: Batch, numbers: Int64, relevant: Grades, above: int = 0) -> Bool:
    """Bool [len(numbers)]: the candidates whose grade for their query is above ``above``; no grade is above nothing."""
    rows = batch.rows[numbers]
    passages = batch.corpus.ids(np.maximum(rows, 0))
    owners = batch.owners[numbers]
    return np.array(
        [
            row >= 0 and relevant.get(batch.ids[int(owner)], {}).get(passage, -1) > above
            for row, passage, owner in zip(rows, passages, owners, strict=True)
        ],
        dtype=bool,
    )
