"""What language models wrote and judged: survivors by round, how often a judge and a safety filter disagree, and how
many of the texts that a judge read address it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardneg.arrays import Bool
from hardneg.data.addressing import addressing_candidates
from hardneg.data.batch import Batch
from hardneg.data.chat import Usage

NAMED = 3
"""Queries that a warning names; the report has them all."""


@dataclass
class LanguageModels:
    """Counts, filled batch by batch. ``judges``: the scorer of each `relevance` filter; ``safety``: the names of the
    `eci_safety` filters.
    """

    judges: dict[str, str]
    safety: tuple[str, ...]
    rounds: dict[str, dict[int, dict[str, int]]] = field(default_factory=dict)
    refused: dict[str, dict[int, Counter[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Counter))
    )
    prompts: dict[str, str] = field(default_factory=dict)
    agreement: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    addressing: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Counts one batch that has been through selection."""
        chosen = batch.chosen
        for name, source in batch.sources.items():
            if source.writing is None:
                continue
            places = self.rounds.setdefault(name, defaultdict(lambda: dict.fromkeys(("written", "kept", "chosen"), 0)))
            if source.prompt is not None:
                self.prompts[name] = source.prompt
            for number in np.unique(source.writing.rounds[source.proposed]).tolist():
                own = source.proposed & (source.writing.rounds == number)
                self.refused[name][number].update(_first_reasons(batch, own))
                for what, mask in (("written", own), ("kept", own & batch.kept), ("chosen", own & chosen)):
                    places[number][what] += int(mask.sum())
        for judge, scorer in self.judges.items():
            graded = batch.trainable & (batch.scores[scorer].negatives >= 0)
            self._count_addressing(batch, judge, graded)
            for other in self.safety:
                counts = self.agreement.setdefault(
                    (judge, other), dict.fromkeys(("graded", "both refuse", "only the judge", "only the safety"), 0)
                )
                one, two = batch.verdicts[judge].dropped, batch.verdicts[other].dropped
                both = graded & ~batch.verdicts[other].unjudged
                masks = (both, both & one & two, both & one & ~two, both & ~one & two)
                for what, mask in zip(counts, masks, strict=True):
                    counts[what] += int(mask.sum())

    def _count_addressing(self, batch: Batch, judge: str, graded: Bool) -> None:
        numbers = np.flatnonzero(graded)
        marked = numbers[addressing_candidates(batch, numbers)]
        counts = self.addressing.setdefault(judge, dict.fromkeys(("graded", "addressing", "called relevant"), 0))
        relevant = batch.verdicts[judge].dropped[marked].sum()
        for what, count in zip(counts, (len(numbers), len(marked), relevant), strict=True):
            counts[what] += int(count)

    def report(self) -> dict[str, Any]:
        """``rounds`` by generator, each with what refused its texts first; ``prompts`` by generator; ``judges``, a line
        for every judge and safety filter; ``addressing``, by judge.
        """
        return {
            "rounds": {
                name: [
                    {"round": number, **counts, "refused": dict(sorted(self.refused[name][number].items()))}
                    for number, counts in sorted(found.items())
                ]
                for name, found in self.rounds.items()
            },
            "prompts": dict(self.prompts),
            "judges": [{"judge": one, "safety": two, **counts} for (one, two), counts in self.agreement.items()],
            "addressing": dict(self.addressing),
        }


def _first_reasons(batch: Batch, members: Bool) -> Counter[str]:
    """How many of these candidates each filter refused first, by ``filter: rule``."""
    found: Counter[str] = Counter()
    undecided = members.copy()
    for name, verdicts in batch.verdicts.items():
        for number, rule in enumerate(verdicts.rules):
            if count := int(((verdicts.broken == number) & undecided).sum()):
                found[f"{name}: {rule}"] += count
        undecided &= ~verdicts.dropped
    return found


def failures(stage: str, spent: Usage) -> str:
    """A warning: how many requests failed, about which queries, and which of them are asked again."""
    told = f"{spent.failed:,} of the {spent.requests:,} requests of `{stage}` had no usable answer"
    for queries, then in ((spent.unanswered, "not answered: run again to ask again"), (spent.unusable, "of no use")):
        if queries:
            first = ", ".join(f"`{query}`" for query in queries[:NAMED])
            told += f"; {then}: {first}{' …' if len(queries) > NAMED else ''}"
    return f"{told} (all ids are in `usage` of report.json)" if spent.unanswered or spent.unusable else told
