"""A lazy scorer: asked about the candidates that selection comes to, and about the next ones where these are refused.

The selector chooses as if every candidate that nobody has refused were kept. What it chose is scored and judged, and it
chooses again without what was refused, until all that it chooses has passed. A choice that stays the same when others
go (`protocols.Independent`) is then the one that it would make if everything had been scored. An example with too few
candidates has all of them scored, so that the same examples go deeper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hardneg.arrays import Bool
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores, Verdicts
from hardneg.data.subset import with_only
from hardneg.pipeline import steps
from hardneg.pipeline.plan import Plan
from hardneg.protocols import Filter, Scorer, Selector


@dataclass(frozen=True, slots=True)
class Need:
    """Who decides what a lazy scorer is asked about: the selector, and the filters that look at its scores."""

    selector: Selector
    filters: Mapping[str, Filter]

    @classmethod
    def of(cls, plan: Plan, scorer: str) -> Need | None:
        """None for a scorer of the plan that is asked about everything."""
        if scorer != plan.lazy:
            return None
        return cls(plan.selector, {name: plan.filters[name] for name in plan.awaiting(scorer)})


def scored(name: str, scorer: Scorer, batch: Batch, need: Need) -> Scores:
    """The scores of scorer ``name``, NaN for what it was not asked about.

    ``batch`` has the verdicts of all other filters and the scores that the selector looks at.
    """
    negatives = np.full(len(batch.rows), np.nan, dtype=np.float32)
    wanted = batch.relabelled  # as positives they have a score in every export
    while True:
        asked = np.flatnonzero(wanted)
        found = steps.scored(name, scorer, with_only(batch, asked))
        negatives[asked] = found.negatives
        scores = replace(found, negatives=negatives)
        wanted = _next(name, batch, scores, need)
        if not wanted.any():
            return scores


def _next(name: str, batch: Batch, scores: Scores, need: Need) -> Bool:
    """Bool [m]: what the selector chooses that has no score yet."""
    known = replace(batch, scores={**batch.scores, name: scores})
    told = {other: _hopeful(steps.judged(other, part, known)) for other, part in need.filters.items()}
    [selection] = need.selector.select([replace(known, verdicts={**batch.verdicts, **told})])
    out = np.zeros(len(batch.rows), dtype=bool)
    out[selection.chosen] = True
    out &= np.isnan(scores.negatives)
    return out


def _hopeful(verdicts: Verdicts) -> Verdicts:
    """With what was not looked at among what is kept."""
    return replace(verdicts, broken=np.maximum(verdicts.broken, np.int8(-1)))
