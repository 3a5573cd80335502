"""One query with everything that was found for it: positives, chosen, kept and refused passages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hardneg.data.batch import Batch
from hardneg.errors import JobError


def one_query(batches: Iterable[Batch], query: str, target: str) -> dict[str, Any]:
    """The query with this id, or with this text. Passages are whole, hardest first by the scorer ``target``.

    Raises `JobError` where the run has no such query.
    """
    for batch in batches:
        for i, (identifier, text) in enumerate(zip(batch.ids, batch.queries, strict=True)):
            if query in (identifier, text):
                return _found(batch, i, target)
    raise JobError(f"no query has the id or the text `{query}`; ids are those of the data")


def _found(batch: Batch, i: int, target: str) -> dict[str, Any]:
    span = batch.candidates_of(i)
    numbers = np.arange(span.start, span.stop)
    numbers = numbers[batch.trainable[numbers]]
    numbers = numbers[np.argsort(-batch.scores[target].negatives[numbers], kind="stable")]
    kept, chosen, refused = batch.kept, batch.chosen, batch.refused
    groups: dict[str, list[dict[str, Any]]] = {"chosen": [], "kept": [], "refused": [], "not scored": []}
    for j in numbers.tolist():
        what = "chosen" if chosen[j] else "kept" if kept[j] else "refused" if refused[j] else "not scored"
        groups[what].append(_candidate(batch, j))
    positives = [batch.corpus.passage(int(row)) for row in batch.positive_rows[batch.positives_of(i)]]
    return {
        "query_id": batch.ids[i],
        "query": batch.queries[i],
        "positives": [{"id": passage.id, "text": passage.contents} for passage in positives],
        **groups,
    }


def _candidate(batch: Batch, j: int) -> dict[str, Any]:
    negative = batch.negative(j)
    return {
        "id": negative.passage.id,
        "text": negative.passage.contents,
        "scores": {name: round(score, 4) for name, score in negative.scores.items()},
        "origins": [f"{origin.generator} {origin.rank}" for origin in negative.origins],
        "reasons": {name: str(reason) for name, reason in batch.reasons(j).items()},
    }
