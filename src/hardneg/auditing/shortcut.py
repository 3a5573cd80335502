"""Can positives be told from negatives without the query? Then a retriever can learn that."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardneg.auditing.case import Case
from hardneg.data.corpus import Corpus
from hardneg.models.embeddings import row_embeddings
from hardneg.protocols import Encoder
from hardneg.report.shortcut import MOST, surface, told_apart


@dataclass
class Shortcut:
    """Draws up to `MOST` texts of each side from the rows that go by (reservoir sampling, by seed)."""

    seen: dict[str, int] = field(default_factory=lambda: {"positive": 0, "negative": 0})
    drawn: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: {"positive": [], "negative": []})
    draws: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311  a sample

    def add(self, case: Case) -> None:
        """The passages of a row, with their query."""
        for side, texts in case.sides:
            for text in texts:
                if not text.contents:
                    continue
                self.seen[side] += 1
                place = len(self.drawn[side])
                if place < MOST:
                    self.drawn[side].append((text.contents, case.query))
                elif (place := self.draws.randrange(self.seen[side])) < MOST:
                    self.drawn[side][place] = text.contents, case.query

    def report(self, encoder: Encoder | None, corpus: Corpus | None) -> dict[str, Any] | None:
        """``surface`` and, with a model, ``geometry``: AUC (0.5: cannot be told) with its 95 % interval, from so many
        ``positives`` and ``negatives``. None where there are too few.
        """
        entries = [*self.drawn["positive"], *self.drawn["negative"]]
        if not entries:
            return None
        labels = np.arange(len(entries)) >= len(self.drawn["positive"])
        _, queries = np.unique(np.array([query for _, query in entries], dtype=np.uint64), return_inverse=True)
        texts = [text for text, _ in entries]
        views = {"surface": [np.array([surface(text) for text in texts])]}
        if encoder is not None and corpus is not None:
            views["geometry"] = [row_embeddings(encoder, corpus, corpus.find(texts)).astype(np.float64)]
        found = told_apart(views, labels, queries.astype(np.int64))
        return found and {"positives": int((~labels).sum()), "negatives": int(labels.sum())} | found
