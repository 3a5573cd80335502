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
from hardneg.report.shortcut import surface, told_apart

MOST = 1_000
"""Texts of each side that the classifiers see at most."""
CHARACTERS = 4_000
"""Characters of a text that are looked at."""


@dataclass
class Shortcut:
    """Draws up to `MOST` texts of each side from the rows that go by (reservoir sampling, by seed)."""

    seen: dict[str, int] = field(default_factory=lambda: {"positive": 0, "negative": 0})
    drawn: dict[str, list[tuple[str, int, int]]] = field(default_factory=lambda: {"positive": [], "negative": []})
    draws: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311  a sample

    def add(self, case: Case) -> None:
        """The passages of a row, with their hash and their query's."""
        hashes = iter(case.hashes)
        for side, texts in case.sides:
            for text in texts:
                entry = text.contents[:CHARACTERS], next(hashes), case.query
                if not text.contents:
                    continue
                self.seen[side] += 1
                drawn = self.drawn[side]
                if len(drawn) < MOST:
                    drawn.append(entry)
                elif (place := self.draws.randrange(self.seen[side])) < MOST:
                    drawn[place] = entry

    def report(self, encoder: Encoder | None, corpus: Corpus | None) -> dict[str, Any] | None:
        """``surface`` and, with a model, ``geometry``: AUC (0.5: cannot be told) with its 95 % interval, from so many
        ``positives`` and ``negatives``. None where there are too few.
        """
        entries = [*self.drawn["positive"], *self.drawn["negative"]]
        if not entries:
            return None
        labels = np.arange(len(entries)) >= len(self.drawn["positive"])
        hashes, queries = (np.array([entry[k] for entry in entries], dtype=np.uint64) for k in (1, 2))
        views = {"surface": [np.array([surface(text) for text, _, _ in entries])]}
        if encoder is not None and corpus is not None:
            _, found = corpus.rows_with(hashes, np.arange(len(hashes)))
            views["geometry"] = [row_embeddings(encoder, corpus, found).astype(np.float64)]
        _, owners = np.unique(queries, return_inverse=True)
        told = told_apart(views, labels, owners.astype(np.int64))
        return told and {"positives": int((~labels).sum()), "negatives": int(labels.sum())} | told
