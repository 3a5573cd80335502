"""Rounds: a generator that asks again is told which of its answers would be refused, and why.

Its candidates go through the job's scorers and filters on their own, and the examples that lack some are asked again.
The union of all generators' candidates is scored and filtered after that. Numbers are kept by content and not computed
again. A judge sees candidates side by side, so it is asked in each trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hardneg.arrays import offsets_of, owners_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Writing
from hardneg.data.chat import Usage
from hardneg.data.merge import merge
from hardneg.pipeline import steps
from hardneg.pipeline.plan import Group
from hardneg.protocols import Asker, learns

Trial = Sequence[tuple[Group, str, Any]]
"""The scorers and filters of a trial in order: group, name and part."""


def generate(generator: Asker, name: str, batch: Batch, trial: Trial) -> Candidates:
    """The candidates of all rounds, in order, at most ``generator.rounds`` rounds after the first.

    Their usage includes what a judge cost between the rounds.
    """
    found = generator.generate(batch)
    for number in range(1, generator.rounds + 1):
        judged, spent = tried(batch, name, found, trial)
        found = replace(found, usage=(found.usage or Usage()) + replace(spent, failed=0, unusable=()))
        if not generator.missing(judged, name).any():
            break
        found = joined(found, generator.again(batch, judged, name, number))
    return found


def tried(batch: Batch, name: str, found: Candidates, trial: Trial) -> tuple[Batch, Usage]:
    """What the job's filters say of these candidates alone, and what judging them cost.

    A filter that learns from the whole job learns from this batch here.
    """
    judged = merge(batch.without_candidates(), {name: found})
    spent = Usage()
    for group, part_name, part in trial:
        ready: Any = replace(part, **part.learn([judged])) if learns(part) else part  # type: ignore[type-var]
        if group == "scorers":
            scores = steps.scored(part_name, ready, judged)
            spent += scores.usage or Usage()
            judged = replace(judged, scores={**judged.scores, part_name: scores})
        else:
            judged = replace(judged, verdicts={**judged.verdicts, part_name: steps.judged(part_name, ready, judged)})
    return judged, spent


def joined(first: Candidates, second: Candidates) -> Candidates:
    """The candidates of both, the first's before the second's in each example."""
    owners = np.concatenate([owners_of(first.offsets), owners_of(second.offsets)])
    order = np.argsort(owners, kind="stable")
    texts = [*(first.texts or [None] * len(first.rows)), *(second.texts or [None] * len(second.rows))]
    one, other = (c.writing or Writing.nothing(len(c.rows)) for c in (first, second))
    writing = Writing(
        np.concatenate([one.rounds, other.rounds]),
        np.concatenate([one.tokens, other.tokens]),
        [*one.notes, *other.notes],
    )
    return replace(
        first,
        offsets=offsets_of(np.diff(first.offsets) + np.diff(second.offsets)),
        rows=np.concatenate([first.rows, second.rows])[order],
        scores=np.concatenate([first.scores, second.scores])[order],
        texts=[texts[j] for j in order.tolist()],
        writing=writing.at(order),
        usage=(first.usage or Usage()) + (second.usage or Usage()),
    )
