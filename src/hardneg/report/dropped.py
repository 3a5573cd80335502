"""Refused candidates for a person to look at."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

import numpy as np

from hardneg.data.batch import Batch
from hardneg.errors import PartError
from hardneg.report.judgments import Grades, judged


def clearest(
    batches: Iterable[Batch],
    count: int,
    only: str | None = None,
    relevant: Grades | None = None,
    estimator: str | None = None,
) -> list[dict[str, Any]]:
    """Up to ``count`` refused candidates of different queries, the surest cases first.

    Surest are those with the highest probability by the scorer ``estimator``; without one, those that most filters
    refused, then by how far they are beyond the first of these filters' bound. ``only`` names one filter; ``relevant``
    leaves only the candidates that these judgments grade above 0. Controls are left out.
    """
    found: list[tuple[float, float, int, dict[str, Any]]] = []
    serial = 0
    for batch in batches:
        if only is not None and only not in batch.verdicts:
            raise PartError(f"no filter is called `{only}`; there are: {', '.join(batch.verdicts)}")
        votes = np.zeros(len(batch.rows))
        excess = np.zeros(len(batch.rows))
        for name in reversed(list(batch.verdicts)):
            verdicts = batch.verdicts[name]
            votes += verdicts.dropped
            excess = np.where(verdicts.dropped, verdicts.value - verdicts.limit, excess)
        sure = votes if estimator is None else batch.scores[estimator].negatives
        refused = batch.verdicts[only].dropped if only else votes > 0
        numbers = np.flatnonzero(refused & batch.trainable)
        if relevant is not None:
            numbers = numbers[judged(batch, numbers, relevant)]
        order = numbers[np.lexsort((-excess[numbers], -sure[numbers], batch.owners[numbers]))]
        _, first = np.unique(batch.owners[order], return_index=True)
        for j in order[first]:
            serial += 1
            found.append((float(sure[j]), float(excess[j]), -serial, {"batch": batch, "candidate": int(j)}))
        found = heapq.nlargest(count, found, key=lambda entry: entry[:3])
    return [_case(entry["batch"], entry["candidate"], estimator) for *_, entry in found]


def caught(batches: Iterable[Batch], relevant: Grades) -> tuple[int, int, int, int]:
    """How many candidates the judgments grade above 0 and how many of these the filters refused; then the same two for
    all other candidates. Controls are left out.
    """
    counts = np.zeros(4, dtype=np.int64)
    for batch in batches:
        numbers = np.flatnonzero(batch.trainable)
        found = judged(batch, numbers, relevant)
        refused = batch.refused[numbers]
        counts += [found.sum(), (found & refused).sum(), (~found).sum(), (~found & refused).sum()]
    first, second, third, fourth = counts.tolist()
    return first, second, third, fourth


def _case(batch: Batch, j: int, estimator: str | None) -> dict[str, Any]:
    i = int(batch.owners[j])
    positive = batch.corpus.passage(int(batch.positive_rows[batch.positive_offsets[i]]))
    return {
        "query_id": batch.ids[i],
        "query": batch.queries[i],
        "positive_id": positive.id,
        "positive": positive.contents,
        "negative_id": batch.passage(j).id,
        "negative": batch.passage(j).contents,
        "probability": None if estimator is None else float(batch.scores[estimator].negatives[j]),
        "reasons": {name: str(reason) for name, reason in batch.reasons(j).items()},
    }
