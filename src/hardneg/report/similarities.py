"""How near everything is to its query: histograms of positives, candidates, refused, kept and chosen, by source, and of
what each filter with a threshold looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardneg.arrays import Bool, Float64
from hardneg.data.batch import Batch
from hardneg.protocols import Threshold
from hardneg.report.binned import Binned, together
from hardneg.report.judgments import Grades, is_sample, judged

SMALLEST = 1e-4
"""Probabilities are counted by their logarithm, those below as this."""
CONSTANT = ("ceiling", "calibrated")
"""Rules whose limit is one number. Those of others depend on the query: counted is the distance from it."""
WHOLE = ""
"""Stands for all sources together; no generator has this name."""
EDGES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bins of the reliability curve."""


@dataclass
class Similarities:
    """Filled batch by batch.

    ``target``: the scorer whose similarities are counted. ``thresholds``: the job's filters that have one.
    ``estimator``: the scorer that gives probabilities, or None; ``grades``: judgments, or None.
    """

    target: str
    thresholds: Mapping[str, Threshold]
    estimator: str | None = None
    grades: Grades | None = None
    counted: dict[tuple[str, str], Binned] = field(default_factory=lambda: defaultdict(Binned))
    looked_at: dict[tuple[str, str], Binned] = field(default_factory=lambda: defaultdict(Binned))
    reliability: Float64 = field(default_factory=lambda: np.zeros((len(EDGES) - 1, 3)))

    def add(self, batch: Batch) -> None:
        """Counts one batch that has been through selection."""
        scores, real, kept, chosen = batch.scores[self.target], batch.trainable, batch.kept, batch.chosen
        refused = batch.refused
        self.counted[WHOLE, "positives"] += Binned.of(scores.positives)
        sets = {WHOLE: real} | {name: source.proposed for name, source in batch.sources.items()}
        for name, own in sets.items():
            masks = {"candidates": own, "refused": own & refused, "kept": own & kept, "chosen": own & chosen}
            for what, mask in masks.items():
                self.counted[name, what] += Binned.of(scores.negatives[mask])
        for name, judge in self.thresholds.items():
            self._add_looked_at(batch, name, judge, real)
        if self.estimator is not None and self.grades is not None:
            self._add_reliability(batch, self.estimator, self.grades)

    def _add_looked_at(self, batch: Batch, name: str, judge: Threshold, real: Bool) -> None:
        verdicts = batch.verdicts[name]
        value = verdicts.value.astype(np.float64)
        if judge.rule == "calibrated":
            value = np.log10(np.maximum(value, SMALLEST))
        elif judge.rule not in CONSTANT:
            value = value - verdicts.limit
        for what, mask in (("kept", verdicts.broken == -1), ("refused", verdicts.dropped)):
            self.looked_at[name, what] += Binned.of(value[mask & real])

    def _add_reliability(self, batch: Batch, estimator: str, grades: Grades) -> None:
        numbers = np.flatnonzero(batch.trainable)
        if is_sample(grades):
            numbers = numbers[judged(batch, numbers, grades, -1)]
        p = batch.scores[estimator].negatives[numbers].astype(np.float64)
        bins = np.clip(np.searchsorted(EDGES, p, side="right") - 1, 0, len(EDGES) - 2)
        for place, weight in enumerate((np.ones(len(p)), p, judged(batch, numbers, grades).astype(np.float64))):
            self.reliability[:, place] += np.bincount(bins, weights=weight, minlength=len(EDGES) - 1)

    def report(self) -> dict[str, Any]:
        """``similarities``: histograms under the target and of what filters looked at; ``reliability``: by bin of the
        probability its mean and the share that is judged relevant, or None.
        """
        filters = {
            name: {
                "rule": judge.rule,
                "scorer": judge.scorer,
                "threshold": float(judge.threshold),
                **together({what: self.looked_at[name, what] for what in ("kept", "refused")}),
            }
            for name, judge in self.thresholds.items()
        }
        whole = together(dict(self.counted))
        nested: dict[str, dict[str, list[int]]] = {}
        for (name, what), counts in whole["counts"].items():
            nested.setdefault(name, {})[what] = counts
        sets = {"counts": nested.pop(WHOLE, {}), "sources": nested}
        return {
            "similarities": whole | sets | {"filters": filters},
            "reliability": self._curve(),
        }

    def _curve(self) -> list[dict[str, float]] | None:
        if self.estimator is None or self.grades is None:
            return None
        return [
            {"count": int(count), "probability": float(f"{p / count:.6g}"), "judged": relevant / count}
            for count, p, relevant in self.reliability.tolist()
            if count
        ]
