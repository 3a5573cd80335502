"""The source shortcut: can a simple classifier tell generated negatives from mined ones?

If it can, so can the retriever in training, and it learns where a text comes from in place of what it says (the danger
that CausalNeg names, arXiv:2606.01304).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from hardneg.arrays import Bool, Float64, Int64
from hardneg.data.batch import Batch
from hardneg.models.embeddings import candidate_embeddings
from hardneg.protocols import Encoder
from hardneg.report.detection import auc, with_interval

MOST = 4_000
"""Texts of each class that the classifiers see at most."""
FOLDS = 5
ALARM = 0.8


def surface(text: str) -> list[float]:
    """What can be seen of a text without reading it: 11 numbers, of length, characters and punctuation."""
    tokens = text.split()
    characters, count = max(len(text), 1), max(len(tokens), 1)
    sentences = max(len(re.findall(r"[.!?]+(?:\s|$)", text)), 1)
    return [
        np.log(characters),
        np.log(count),
        np.log(sentences),
        sum(map(len, tokens)) / count,
        len({token.lower() for token in tokens}) / count,
        sum(map(str.isdigit, text)) / characters,
        sum(map(str.isupper, text)) / characters,
        sum(not c.isalnum() and not c.isspace() for c in text) / characters,
        text.count(",") / count,
        text.count("\n") / count,
        float(text.rstrip()[-1:] in ".!?"),
    ]


@dataclass
class Shortcut:
    """Collects kept negatives of both classes, batch by batch; ``batches`` is how many there will be."""

    encoder: Encoder | None
    batches: int
    surfaces: list[Float64] = field(default_factory=list)
    vectors: list[Float64] = field(default_factory=list)
    labels: list[Bool] = field(default_factory=list)
    queries: list[Int64] = field(default_factory=list)
    seen: int = 0

    def add(self, batch: Batch) -> None:
        """Draws from one batch, by seed."""
        if not (batch.rows < 0).any():
            self.seen += len(batch)
            return
        rng = np.random.default_rng([0, self.seen])
        usable = batch.kept & batch.trainable
        drawn = []
        for generated in (True, False):
            own = np.flatnonzero(usable & ((batch.rows < 0) == generated))
            drawn.append(rng.permutation(own)[: max(MOST // max(self.batches, 1), 1)])
        numbers = np.sort(np.concatenate(drawn))
        self.queries.append(batch.owners[numbers] + self.seen)
        self.seen += len(batch)
        self.labels.append(batch.rows[numbers] < 0)
        if not len(numbers):
            return
        self.surfaces.append(np.array([surface(text) for text in batch.contents(numbers)]))
        if self.encoder is not None:
            self.vectors.append(candidate_embeddings(self.encoder, batch, numbers).astype(np.float64))

    def report(self) -> dict[str, Any] | None:
        """``surface`` and ``geometry``: AUC with its 95 % interval; None where a class is (nearly) missing."""
        labels = np.concatenate(self.labels) if self.labels else np.zeros(0, dtype=bool)
        queries = np.concatenate(self.queries) if self.queries else np.zeros(0, dtype=np.int64)
        found = told_apart({"surface": self.surfaces, "geometry": self.vectors}, labels, queries)
        return found and {"generated": int(labels.sum()), "mined": int((~labels).sum())} | found


def told_apart(views: Mapping[str, list[Float64]], labels: Bool, queries: Int64) -> dict[str, Any] | None:
    """How well each view of texts, given as blocks of rows, tells two classes apart: AUC with its 95 % interval.

    No text is judged by a classifier that saw another text of its query. None where a class is (nearly) missing.
    """
    if min(labels.sum(), (~labels).sum()) < 2 * FOLDS:
        return None
    _, queries = np.unique(queries, return_inverse=True)
    if min(len(np.unique(queries[labels])), len(np.unique(queries[~labels]))) < FOLDS:
        return None  # some fold would see one class only
    found: dict[str, Any] = {}
    for name, parts in views.items():
        if parts:
            scores = _out_of_fold(parts, labels, queries)
            value, low, high = with_interval(partial(auc, scores, labels), queries, int(queries.max()) + 1)
            found[name] = {"auc": value, "interval": [low, high]}
    return found


def _out_of_fold(parts: list[Float64], labels: Bool, queries: Int64) -> Float64:
    """The score of every text by a logistic regression that has seen no text of its query."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1_000, class_weight="balanced"))
    scores: Any = cross_val_predict(
        model,
        np.concatenate(parts),
        labels,
        groups=queries,
        cv=StratifiedGroupKFold(FOLDS),
        method="decision_function",
    )
    return np.asarray(scores, dtype=np.float64)
