"""Parts for tests of workers: they are like others, and one example's text is the death of their process."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Scores, Verdicts
from hardneg.data.corpus import Corpus
from hardneg.generators.bm25 import BM25
from hardneg.kinds import part
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.testing import HashedWords


def die(batch: Batch, of: str, how: str, times: int, marks: str) -> None:
    """Dies when the batch holds the query (empty: whatever it holds), ``times`` times in all."""
    if (not of or of in batch.ids) and len(list(Path(marks).iterdir())) < times:
        (Path(marks) / f"{os.getpid()}-{os.urandom(4).hex()}").write_text(" ".join(batch.ids))
        if how == "memory":
            raise MemoryError
        os.kill(os.getpid(), signal.SIGKILL)


@part
class DeadlyGenerator:
    of: str
    marks: str
    how: Literal["kill", "memory"] = "kill"
    times: int = 10**6
    depth: int = 4

    def generate(self, batch: Batch) -> Candidates:
        die(batch, self.of, self.how, self.times, self.marks)
        return BM25(depth=self.depth).generate(batch)


@part
class DeadlyPart:
    """Dies of the second part of the corpus."""

    of: str
    marks: str
    how: Literal["kill", "memory"] = "kill"
    times: int = 10**6
    parts: int = 3
    depth: int = 4

    @property
    def within(self) -> BM25:
        return BM25(depth=self.depth, parts=self.parts)

    def generate(self, batch: Batch) -> Candidates:
        raise AssertionError("the pipeline asks for parts")

    def prepare(self, corpus: Corpus, number: int) -> None:
        self.within.prepare(corpus, number)

    def generate_part(self, batch: Batch, number: int) -> Candidates:
        if number == 1:
            die(batch, self.of, self.how, self.times, self.marks)
        return self.within.generate_part(batch, number)

    def merged(self, batch: Batch, found: Sequence[Candidates]) -> Candidates:
        return self.within.merged(batch, found)


@part
class DeadlyScorer:
    of: str
    marks: str
    how: Literal["kill", "memory"] = "kill"
    times: int = 10**6

    def score(self, batch: Batch) -> Scores:
        die(batch, self.of, self.how, self.times, self.marks)
        return BiEncoder(encoder=HashedWords()).score(batch)


@part
class DeadlyFilter:
    of: str
    marks: str
    how: Literal["kill", "memory"] = "kill"
    times: int = 10**6

    def judge(self, batch: Batch) -> Verdicts:
        die(batch, self.of, self.how, self.times, self.marks)
        return Verdicts.from_reasons([None] * len(batch.rows))
