"""How many negatives of every set are false: estimated from probabilities, and counted where there are judgments."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hardneg.arrays import Bool
from hardneg.data.batch import Batch
from hardneg.false_negatives import Histogram
from hardneg.report.hardest import hardest
from hardneg.report.judgments import Grades, judged
from hardneg.report.views import Views

HARDEST = ("hardest", "before")
"""The hardest candidates before filtering, as many as are chosen: what a user would train on without a filter."""


@dataclass
class FalseShares:
    """Filled batch by batch.

    ``scorer``: the scorer that gives probabilities, and ``spread`` its standard deviation; None where the job has none.
    ``target``: the scorer by which candidates are hard. ``grades``: judgments, or None.
    """

    views: Views
    target: str
    per_query: int
    scorer: str | None
    spread: float
    grades: Grades | None = None
    estimated: dict[tuple[str, str], Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    counts: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def add(self, batch: Batch, members: Bool) -> None:
        """Counts one batch. ``members``: `Views.members` of it."""
        masks = {view: members[:, number] for number, view in enumerate(self.views.views)}
        masks[HARDEST] = np.zeros(len(batch.rows), dtype=bool)
        masks[HARDEST][hardest(batch, batch.trainable, self.target, self.per_query)] = True
        p = None if self.scorer is None else batch.scores[self.scorer].negatives
        true = None if self.grades is None else judged(batch, np.arange(len(batch.rows)), self.grades)
        for view, mask in masks.items():
            if p is not None:
                self.estimated[view] += Histogram.of(p[mask])
            if true is not None:
                relevant, total = self.counts[view]
                self.counts[view] = [relevant + int((true & mask).sum()), total + int(mask.sum())]

    def share(self, view: tuple[str, str]) -> dict[str, Any]:
        """``estimated`` (value, low, high) and ``judged`` of one set at one moment; None for what is not known."""
        relevant, total = self.counts[view]
        return {
            "estimated": None if self.scorer is None else asdict(self.estimated[view].share(self.spread)),
            "judged": None if self.grades is None else relevant / max(total, 1),
        }

    def report(self) -> dict[str, Any]:
        """``false``: the shares by set and moment, and of the hardest candidates before filtering."""
        sets: dict[str, Any] = {}
        for name, moment in self.views.views:
            sets.setdefault(name, {})[moment] = self.share((name, moment))
        return {"false": {"scorer": self.scorer, "sets": sets, "hardest before filtering": self.share(HARDEST)}}
