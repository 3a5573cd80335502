"""Exports hold a block of what they write, however large the job is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hardneg.arrays import offsets_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores, Selection, Source
from hardneg.exports import blocks
from hardneg.exports.automodel import Automodel
from hardneg.exports.beir import BEIR
from hardneg.exports.cross_encoder import CrossEncoder
from hardneg.exports.flagembedding import FlagEmbedding
from hardneg.exports.gpl import GPL
from hardneg.exports.jsonl import JSONL
from hardneg.exports.msmarco import MSMARCO
from hardneg.exports.parquet import Parquet
from hardneg.exports.sentence_transformers import SentenceTransformers
from hardneg.exports.tables import Tables
from hardneg.exports.tevatron import Tevatron
from hardneg.files import spilled
from hardneg.testing import make_batch

BATCHES, SIZE, NEGATIVES = 16, 20, 4
PARTS = [
    Automodel(form="corpus"),
    BEIR(),
    CrossEncoder(),
    FlagEmbedding(scores=True),
    GPL(scorer="target"),
    JSONL(),
    MSMARCO(),
    Parquet(),
    SentenceTransformers(),
    Tables(),
    Tevatron(form="ids"),
]


@dataclass
class Job:
    """Batches with passages of their own, each made when it is asked for. ``held``: how many bytes there were then."""

    corpus: Batch
    held: list[int] = field(default_factory=list)

    def __iter__(self) -> Iterator[Batch]:
        for number in range(BATCHES):
            self.held.append(tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())
            yield self.batch(number)

    def selections(self) -> Iterator[Selection]:
        return iter([Selection(NEGATIVES * np.arange(SIZE + 1), np.arange(NEGATIVES * SIZE))] * BATCHES)

    def batch(self, number: int) -> Batch:
        first = number * SIZE * (1 + NEGATIVES)
        names = [f"q{number}-{i}" for i in range(SIZE)]
        bare = Batch.of(self.corpus.corpus, names, names, np.arange(SIZE + 1), first + np.arange(SIZE))
        rows = first + SIZE + np.arange(NEGATIVES * SIZE)
        ranks = np.tile(np.arange(1, NEGATIVES + 1), SIZE)
        source = Source(ranks, ranks.astype(np.float32), "model")
        scores = Scores(np.ones(len(rows), np.float32), np.ones(SIZE, np.float32))
        batch = bare.with_rows(offsets_of(np.full(SIZE, NEGATIVES)), rows)
        [selection, *_] = self.selections()
        return replace(batch, sources={"some": source}, scores={"target": scores}, selection=selection)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Without queries."""
    passages = {f"d{n}": f"passage {n} " + "of many words " * 60 for n in range(BATCHES * SIZE * (1 + NEGATIVES))}
    return make_batch(tmp_path_factory.mktemp("corpus"), passages, {}, {})


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_what_is_held_does_not_grow_with_the_job(
    corpus: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: Any
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", SIZE)
    monkeypatch.setattr(spilled, "FEW", SIZE)
    job = Job(corpus)
    tracemalloc.start()
    try:
        counts = part.write(job, tmp_path)
    finally:
        tracemalloc.stop()
    assert counts["rows"] >= BATCHES * SIZE
    assert len(job.held) == BATCHES, "one pass"
    early, late = max(job.held[4:8]), max(job.held[-4:])
    assert late - early < 300_000, "the texts between are a million bytes"
