"""Rounds: a generator that asks again is told what would be refused of its answers, and why.

Its candidates go through the job's scorers and filters on their own; the examples that are short are asked again. The
union of all generators' candidates is scored and filtered after that, as ever. Numbers are
kept by content and not computed again; a judge, which sees candidates side by side, is asked in each trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hardneg.arrays import offsets_of, owners_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import Asked, Candidates
from hardneg.data.chat import Usage
from hardneg.data.merge import merge
from hardneg.protocols import Asker, Filter, Learner, Scorer


def generate(
    generator: Asker, name: str, batch: Batch, scorers: Mapping[str, Scorer], filters: Mapping[str, Filter]
) -> Candidates:
    """The candidates of all rounds, in their order; at most ``generator.rounds`` after the first. Their usage holds
    what a judge cost between the rounds.
    """
    found = generator.generate(batch)
    for number in range(1, generator.rounds + 1):
        judged, spent = trial(batch, name, found, scorers, filters)
        found = replace(found, usage=(found.usage or Usage()) + replace(spent, failed=0))
        if not generator.missing(judged, name).any():
            break
        found = joined(found, generator.again(judged, name, number))
    return found


def trial(
    batch: Batch, name: str, found: Candidates, scorers: Mapping[str, Scorer], filters: Mapping[str, Filter]
) -> tuple[Batch, Usage]:
    """What the job's filters say of these candidates alone, and what judging them cost. A filter that learns from the
    whole job learns from this batch here.
    """
    judged = merge(batch, {name: found})
    spent = Usage()
    for scorer_name, scorer in scorers.items():
        scores = scorer.score(judged)
        spent += scores.usage or Usage()
        judged = replace(judged, scores={**judged.scores, scorer_name: scores})
    verdicts = {}
    for filter_name, judge in filters.items():
        ready = judge
        if isinstance(judge, Learner) and judge.learns:
            ready = replace(judge, **judge.learn([judged]))  # type: ignore[type-var]
        verdicts[filter_name] = ready.judge(judged)
    return replace(judged, verdicts=verdicts), spent


def joined(first: Candidates, second: Candidates) -> Candidates:
    """The candidates of both, the first's before the second's in each example."""
    owners = np.concatenate([owners_of(first.offsets), owners_of(second.offsets)])
    order = np.argsort(owners, kind="stable")
    texts = [*(first.texts or [None] * len(first.rows)), *(second.texts or [None] * len(second.rows))]
    one, other = (
        c.asked or Asked.of([0] * len(c.rows), [0.0] * len(c.rows), [None] * len(c.rows)) for c in (first, second)
    )
    asked = Asked(
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
        asked=asked.at(order),
        usage=(first.usage or Usage()) + (second.usage or Usage()),
    )
