"""ECI of the final set and of every source, before and after filtering, at natural and at equal size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardneg import eci
from hardneg.batch import Batch, offsets_of, places_of

Bools = NDArray[np.bool_]


@dataclass
class Evaluation:
    """Tallies and counts, filled batch by batch. ``scorer`` is the job's target scorer, ``at`` the equal sizes."""

    scorer: str
    at: tuple[int, ...]
    tallies: dict[tuple[str, str, int], eci.Tally] = field(default_factory=lambda: defaultdict(eci.Tally))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    generated: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, batch: Batch, per_query: int) -> None:
        """Counts one batch that has been through selection."""
        scores = batch.scores[self.scorer]
        plus = eci.reference(scores.positives, batch.positive_owners, len(batch))
        kept = batch.kept
        chosen = np.zeros(len(batch.rows), dtype=bool)
        if batch.selection is not None:
            chosen[batch.selection.chosen] = True
        views = {"final": (batch.trainable, chosen)}
        views |= {name: (s.proposed, s.proposed & kept) for name, s in batch.sources.items()}
        owners = batch.owners
        hardest_first = np.lexsort((-scores.negatives, owners))
        for name, (before, after) in views.items():
            for moment, mask in (("before", before), ("after", after)):
                self.tallies[name, moment, 0] += eci.Tally.of(plus, scores.negatives[mask], owners[mask])
                ranked = hardest_first[mask[hardest_first]]
                place = places_of(offsets_of(np.bincount(owners[ranked], minlength=len(batch))))
                for k in self.at:
                    top = ranked[place < k]
                    self.tallies[name, moment, k] += eci.Tally.of(plus, scores.negatives[top], owners[top])
        self._count(batch, kept, chosen, per_query)

    def _count(self, batch: Batch, kept: Bools, chosen: Bools, per_query: int) -> None:
        """Counts leave out candidates that only a control proposed."""
        real = batch.trainable
        kept = kept & real
        for name, source in batch.sources.items():
            self.generated[name] += int(source.proposed.sum())
        sizes = np.bincount(batch.owners[chosen], minlength=len(batch))
        self.counts["examples"] += len(batch)
        self.counts["positives"] += len(batch.positive_rows)
        self.counts["candidates"] += int(real.sum())
        self.counts["kept"] += int(kept.sum())
        self.counts["chosen"] += int(chosen.sum())
        self.counts["examples with all negatives wanted"] += int((sizes == per_query).sum())
        self.counts["short examples"] += int(((sizes > 0) & (sizes < per_query)).sum())
        self.counts["examples without a negative"] += int((sizes == 0).sum())
        undecided = real.copy()
        for name, verdicts in batch.verdicts.items():
            by_rule = self.reasons.setdefault(name, {})
            for number, rule in enumerate(verdicts.rules):
                if count := int(((verdicts.broken == number) & real).sum()):
                    by_rule[rule] = by_rule.get(rule, 0) + count
            self.first[name] = self.first.get(name, 0) + int((verdicts.dropped & undecided).sum())
            undecided &= ~verdicts.dropped

    def sets(self) -> dict[str, Any]:
        """Per set: ``before`` and ``after``, each with every term, and the same under ``at`` for equal sizes."""
        out: dict[str, Any] = {}
        for (name, moment, k), tally in self.tallies.items():
            place = out.setdefault(name, {}).setdefault(moment, {})
            if k:
                place.setdefault("at", {})[str(k)] = asdict(tally.report())
            else:
                place.update(asdict(tally.report()))
        return out

    def report(self, controls: Iterable[str]) -> dict[str, Any]:
        """The part of ``report.json`` that the batches decide."""
        sets = self.sets()
        return {
            "metric": "eci_v1 (arXiv:2603.20990v1)",
            "scorer": self.scorer,
            "controls": sorted(controls),
            "sets": sets,
            "generated": dict(self.generated),
            "counts": dict(self.counts),
            "dropped": {
                name: {"all": sum(rules.values()), "first": self.first.get(name, 0), "rules": rules}
                for name, rules in self.reasons.items()
            },
            "warnings": [
                *(f"generator `{name}` proposed nothing" for name, count in self.generated.items() if not count),
                *warnings(sets, sorted(controls)),
            ],
        }


def warnings(sets: dict[str, Any], controls: Sequence[str]) -> list[str]:
    """What a reader of eci_v1 must know before believing it."""
    out = []
    for control in controls:
        if control not in sets:
            continue
        easy = sets[control]["before"]["eci_v1"]
        real = {name: m["before"]["eci_v1"] for name, m in sets.items() if name != "final" and name not in controls}
        beaten = [f"`{name}` ({score:.2f})" for name, score in real.items() if easy >= score]
        if beaten:
            out.append(
                f"before filtering, the easy control `{control}` has a higher eci_v1 ({easy:.2f}) than "
                f"{', '.join(beaten)}: "
                "eci_v1 falls once hardness passes half the positive's similarity, so it does not rank these; compare "
                "hardness, safety and the unsafe share instead"
            )
    empty = sets["final"]["after"]["without_negatives"]
    if empty:
        out.append(f"{empty} examples have no negative left; loosen a filter, raise `depth`, or add a generator")
    return out
