"""The queries, positives and corpus of a data set of pairs, each text once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardneg.arrays import Bool, Float32, Int64, offsets_of, owners_of, span


@dataclass(frozen=True)
class Pairs:
    """Queries and passages, each once; ``positives`` are rows of the corpus, those of query i between two offsets."""

    queries: list[str]
    corpus: list[str]
    positives: Int64
    offsets: Int64
    most: int
    """Rows of the query that has most, repeats included."""

    @property
    def owners(self) -> Int64:
        return owners_of(self.offsets)

    @classmethod
    def of(cls, anchors: Sequence[str], positives: Sequence[str], corpus: Sequence[str] | None) -> Pairs:
        passages = list(dict.fromkeys([*(positives if corpus is None else corpus), *positives]))
        row = {text: number for number, text in enumerate(passages)}
        own: dict[str, dict[int, None]] = {}
        for anchor, positive in zip(anchors, positives, strict=True):
            own.setdefault(anchor, {})[row[positive]] = None
        return cls(
            list(own),
            passages,
            np.array([number for rows in own.values() for number in rows], dtype=np.int64),
            offsets_of([len(rows) for rows in own.values()]),
            max(Counter(anchors).values()),
        )


def columns(dataset: Any, anchor: str | None, positive: str | None) -> tuple[str, str]:
    """A name that is missing or not found is the first column, or the second."""
    names = dataset.column_names
    if positive not in names and len(names) < 2:
        raise ValueError("Dataset must contain at least two columns to select the positive column automatically.")
    return (
        anchor if anchor is not None and anchor in names else names[0],
        positive if positive is not None and positive in names else names[1],
    )


def is_positive(pairs: Pairs, rows: Int64) -> Bool:
    """Bool [n, depth]: candidates that are a positive of their query."""
    size = len(pairs.corpus)
    found: Bool = np.isin(np.arange(len(rows))[:, None] * size + rows, pairs.owners * size + pairs.positives) & (
        rows >= 0
    )
    return found


def barred(pairs: Pairs, rows: Int64, documents: Float32, *, exclude_query: bool, exclude_near: float | None) -> Bool:
    """Bool [n, depth]: candidates with the query's own text, or too near to one of its positives."""
    out = np.zeros(rows.shape, dtype=bool)
    if exclude_query:
        row = {text: number for number, text in enumerate(pairs.corpus)}
        own = np.array([row.get(query, -2) for query in pairs.queries], dtype=np.int64)
        out |= rows == own[:, None]
    if exclude_near is not None:
        for i in range(len(rows)):
            positives = documents[pairs.positives[span(pairs.offsets, i)]]
            out[i] |= (documents[np.maximum(rows[i], 0)] @ positives.T).max(axis=1) >= exclude_near
    return out
