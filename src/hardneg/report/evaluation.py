"""Both metrics for the final set, every source and every union of sources, before and after filtering."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from hardneg import eci
from hardneg.arrays import Bool
from hardneg.data.batch import Batch
from hardneg.protocols import Encoder
from hardneg.report.semantics import moments
from hardneg.report.views import Views

PATTERNS = 4
"""eci_sem is kept for every pattern of so many sources at most, with their unions; else for each source alone."""


@dataclass
class Evaluation:
    """Tallies and counts, filled batch by batch.

    ``scorer`` is the job's target scorer, ``at`` the equal sizes, ``encoder`` the target encoder for eci_sem. None:
    without eci_sem.
    """

    scorer: str
    at: tuple[int, ...]
    views: Views
    encoder: Encoder | None = None
    batches: int = 0
    tallies: dict[tuple[int, int], eci.Tally] = field(default_factory=lambda: defaultdict(eci.Tally))
    resamples: eci.Resamples | None = None
    moments: dict[bytes, eci.Moments] = field(default_factory=lambda: defaultdict(eci.Moments))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    unjudged: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    generated: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, batch: Batch, members: Bool, per_query: int) -> None:
        """Counts one batch that has been through selection. ``members``: `Views.members` of it."""
        scores = batch.scores[self.scorer]
        plus = eci.reference(scores.positives, batch.positive_owners, len(batch))
        columns = eci.per_query_of_sets(plus, scores.negatives, batch.offsets, members, self.at)
        for view in range(columns.shape[1]):
            for size in range(columns.shape[2]):
                self.tallies[view, size] += eci.Tally.of_columns(columns[:, view, size])
        drawn = eci.Resamples.of(columns, batch=self.batches)
        self.resamples = drawn if self.resamples is None else self.resamples + drawn
        self.batches += 1
        if self.encoder is not None:
            self._add_moments(batch, self.encoder, members)
        self._count(batch, per_query)

    def _add_moments(self, batch: Batch, encoder: Encoder, members: Bool) -> None:
        """Moments by pattern of sets; where there would be too many patterns, by set and without the unions."""
        if len(self.views.trained) <= PATTERNS:
            parts = [members]
        else:
            single = 2 + 2 * len(self.views.generators)
            parts = [members * (np.arange(members.shape[1]) == view) for view in range(single)]
        for part in parts:
            for key, found in moments(batch, encoder, self.scorer, part).items():
                self.moments[key] += found

    def _count(self, batch: Batch, per_query: int) -> None:
        """Counts leave out candidates that only a control proposed."""
        real, chosen = batch.trainable, batch.chosen
        kept = batch.kept & real
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
        enough = np.bincount(batch.owners[kept], minlength=len(batch)) >= per_query
        self.counts["short with enough candidates"] += int((enough & (sizes < per_query)).sum())
        undecided = real.copy()
        for name, verdicts in batch.verdicts.items():
            by_rule = self.reasons.setdefault(name, {})
            for number, rule in enumerate(verdicts.rules):
                if count := int(((verdicts.broken == number) & real).sum()):
                    by_rule[rule] = by_rule.get(rule, 0) + count
            if count := int((verdicts.unjudged & real).sum()):
                self.unjudged[name] += count
            self.first[name] = self.first.get(name, 0) + int((verdicts.dropped & undecided).sum())
            undecided &= ~verdicts.dropped

    def sets(self) -> dict[str, Any]:
        """Per set: ``before`` and ``after``, each with every term, and the same under ``at`` for equal sizes."""
        means = None if self.resamples is None else self.resamples.means
        out: dict[str, Any] = {}
        for view, (name, moment) in enumerate(self.views.views):
            place = out.setdefault(name, {}).setdefault(moment, {})
            for size, k in enumerate((0, *self.at)):
                tally = self.tallies[view, size]
                if not k:
                    own = [found for key, found in self.moments.items() if key[view]]
                    tally += eci.Tally.of_moments(sum(own, start=eci.Moments()))
                report = asdict(tally.report())
                found = {} if means is None else eci.intervals(means[:, view, size])
                report["intervals"] = {term: [low, high] for term, (low, high) in found.items()}
                if k:
                    del report["sem"]
                    place.setdefault("at", {})[str(k)] = report
                else:
                    report["sem"] = report["sem"] and {name: _rounded(value) for name, value in report["sem"].items()}
                    place.update(report)
        return out

    def _resampled(self) -> Mapping[str, Any]:
        return {} if self.resamples is None else eci.terms_of(self.resamples.means, undefined=np.nan)

    def differences(self) -> list[dict[str, Any]]:
        """eci_v1 after filtering of every pair of generators, controls included, with the 95 % interval of the
        difference, paired over queries.
        """
        values = self._resampled()
        out = []
        for (i, one), (j, other) in combinations(enumerate(self.views.generators, 1), 2):
            found = [self.tallies[2 * place + 1, 0].report().eci_v1 for place in (i, j)]
            low, high = eci.interval(values["eci_v1"][:, 2 * i + 1, 0] - values["eci_v1"][:, 2 * j + 1, 0])
            out.append({"sets": [one, other], "eci_v1": found[0] - found[1], "interval": [float(low), float(high)]})
        return out

    def report(self) -> dict[str, Any]:
        """The part of ``report.json`` that the tallies decide."""
        return {
            "metric": "eci_v1 (arXiv:2603.20990v1)",
            "scorer": self.scorer,
            "controls": sorted(self.views.controls),
            "hybrids": self.views.hybrids,
            "sets": self.sets(),
            "differences": self.differences(),
            "generated": dict(self.generated),
            "counts": dict(self.counts),
            "dropped": {
                name: {"all": sum(rules.values()), "first": self.first.get(name, 0), "rules": rules}
                | ({"unjudged": self.unjudged[name]} if name in self.unjudged else {})
                for name, rules in self.reasons.items()
            },
        }


def _rounded(value: float) -> float:
    """Ten digits: how a large matrix product is rounded depends on the number of threads."""
    return float(f"{value:.10g}")
