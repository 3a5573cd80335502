"""People's answers held against a run: how many negatives are false, which filters agree, and who disagrees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from hardneg.data.answers import Answer, Pair, by_pair
from hardneg.data.batch import Batch
from hardneg.report.review import SETS, Design

EXAMPLES = 5
NAMES = {1.0: "relevant", 0.5: "unsure", 0.0: "not relevant"}


def rates(answers: Sequence[Answer], designs: Iterable[Design]) -> list[dict[str, Any]]:
    """For every review that these answers are of: the share of its set that is relevant, with its 95 % interval.

    An answer that names its review counts for that one. One that names none (BEIR, TREC) counts for every review that
    has drawn its candidate.
    """
    out = []
    for design in designs:
        own = by_pair(a for a in answers if a.review in (None, design.id))
        known = {item[:2]: own[item[:2]] for item in design.items if item[:2] in own}
        if not known:
            continue
        share, low, high = design.share(known), design.share(known, unsure=0.0), design.share(known, unsure=1.0)
        out.append(
            {
                "review": design.id,
                "set": SETS[design.set],
                "members": sum(design.sizes),
                "drawn": len(design.items),
                "judged": sum(value != 0.5 for value in known.values()),
                "relevant": sum(value > 0.5 for value in known.values()),
                "unsure": sum(value == 0.5 for value in known.values()),
                "rate": {"value": share.value, "low": share.low, "high": share.high},
                "if no unsure one is relevant": low.value,
                "if every unsure one is relevant": high.value,
            }
        )
    return out


def annotators(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Each annotator: how many answers of each kind, and the median seconds of those that say."""
    out = []
    for name in sorted({answer.annotator for answer in answers}):
        own = [answer for answer in answers if answer.annotator == name]
        seconds = [answer.seconds for answer in own if answer.seconds is not None]
        counts = {label: sum(answer.value == value for answer in own) for value, label in NAMES.items()}
        out.append({"annotator": name, **counts, "seconds": float(np.median(seconds)) if seconds else None})
    return out


def kappas(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Every two annotators: how many candidates both judged, the share on which they agree, and Cohen's kappa over the
    three answers. Kappa is None where it is not defined: nothing in common, or one answer alone.
    """
    from sklearn.metrics import cohen_kappa_score

    of: dict[str, dict[Pair, str]] = {}
    for answer in answers:
        of.setdefault(answer.annotator, {})[answer.pair] = NAMES[answer.value]
    out = []
    for one, other in combinations(sorted(of), 2):
        both = [pair for pair in of[one] if pair in of[other]]
        first, second = [of[one][pair] for pair in both], [of[other][pair] for pair in both]
        agree = sum(a == b for a, b in zip(first, second, strict=True)) / len(both) if both else None
        kappa = float(cohen_kappa_score(first, second)) if len({*first, *second}) > 1 else None
        out.append({"annotators": [one, other], "both": len(both), "agree": agree, "kappa": kappa})
    return out


def conflicts(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The candidates about which annotators say different things, with what each says."""
    said: dict[Pair, dict[str, str]] = {}
    for answer in answers:
        said.setdefault(answer.pair, {})[answer.annotator] = NAMES[answer.value]
    return [
        {"query_id": query, "passage_id": passage, "answers": own}
        for (query, passage), own in said.items()
        if len(set(own.values())) > 1
    ]


@dataclass
class Agreement:
    """People against filters. Filled batch by batch. ``estimator`` gives probabilities, or is None."""

    answers: Mapping[Pair, float]
    estimator: str | None
    skipped: frozenset[str] = frozenset()
    """Filters that only repeat what people said."""
    found: int = 0
    """How many judged candidates the run has."""
    counts: dict[str, list[int]] = field(default_factory=dict)
    kept: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Counts one batch."""
        queries = {query for query, _ in self.answers}
        known = np.array([identifier in queries for identifier in batch.ids], dtype=bool)
        numbers = np.flatnonzero(batch.trainable & known[batch.owners])
        verdicts = {name: v for name, v in batch.verdicts.items() if name not in self.skipped}
        for j, passage in zip(numbers.tolist(), batch.passage_ids(numbers), strict=True):
            i = int(batch.owners[j])
            value = self.answers.get((batch.ids[i], passage))
            if value is None:
                continue
            self.found += 1
            if value == 0.5:
                continue
            relevant, refusing = value > 0.5, [name for name, v in verdicts.items() if v.dropped[j]]
            for name, verdict in verdicts.items():
                if verdict.unjudged[j]:
                    continue
                row = self.counts.setdefault(name, [0, 0, 0, 0])
                row[0 if relevant else 2] += 1
                row[1 if relevant else 3] += name in refusing
            if relevant == (not refusing):
                case = self._case(batch, i, j, passage) | {"refused_by": refusing}
                (self.kept if relevant else self.refused).append(case)

    def report(self) -> dict[str, Any]:
        """``filters``: by name how many of the judged it refused; and where people and filters disagree most: relevant
        ones that all filters keep, the least suspected first, and others that some filter refuses, the most suspected.
        """
        names = ("relevant", "relevant_refused", "not_relevant", "not_relevant_refused")
        return {
            "found": self.found,
            "filters": {name: dict(zip(names, row, strict=True)) for name, row in self.counts.items()},
            "relevant_but_kept": sorted(self.kept, key=_suspicion)[:EXAMPLES],
            "refused_but_not_relevant": sorted(self.refused, key=_suspicion, reverse=True)[:EXAMPLES],
        }

    def _case(self, batch: Batch, i: int, j: int, passage: str) -> dict[str, Any]:
        p = None if self.estimator is None else float(batch.scores[self.estimator].negatives[j])
        return {
            "query_id": batch.ids[i],
            "query": batch.queries[i],
            "passage_id": passage,
            "passage": batch.passage(j).contents,
            "probability": p,
        }


def _suspicion(case: dict[str, Any]) -> float:
    return float(case["probability"] or 0.0)
