"""Batches made of what the store holds: each caller names what it wants to see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hardneg.data import parquet
from hardneg.data.batch import Batch
from hardneg.data.corpus import Corpus
from hardneg.data.merge import merge
from hardneg.pipeline.graph import Stages
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Store


@dataclass(frozen=True, slots=True)
class Loader:
    """Makes batches of stored shards. It goes to the workers, so it holds no data itself."""

    store: Store
    corpus: Corpus
    stages: Stages
    controls: frozenset[str]

    def examples(self, shard: int) -> Batch:
        """The examples of a shard, without candidates."""
        return parquet.examples_batch(self.store.read(self.stages.read, shard), self.corpus, self.controls)

    def given(self, stage: Stage, shard: int) -> Batch:
        """The batch that ``stage`` works on: the examples, with what its input stages found out and nothing more."""
        inputs = {inner.name: inner for inner in stage.inputs}
        batch = self.examples(shard)
        if self.stages.merge.name in inputs:
            batch = parquet.merged(batch, self.store.read(self.stages.merge, shard))
        shown = {
            name: parquet.candidates(self.store.read(inner, shard))
            for name, inner in self.stages.generate.items()
            if inner.name in inputs
        }
        if shown:
            batch = merge(batch, shown)
        scores = {
            name: parquet.scores(self.store.read(inner, shard))
            for name, inner in self.stages.score.items()
            if inner.name in inputs
        }
        verdicts = {
            name: parquet.verdicts(self.store.read(inner, shard))
            for name, inner in self.stages.filters.items()
            if inner.name in inputs
        }
        return replace(batch, scores=scores, verdicts=verdicts)

    def everything(self, shard: int) -> Batch:
        """The batch with all candidates, scores, verdicts and the selection."""
        batch = parquet.merged(self.examples(shard), self.store.read(self.stages.merge, shard))
        return replace(
            batch,
            scores={name: parquet.scores(self.store.read(s, shard)) for name, s in self.stages.score.items()},
            verdicts={name: parquet.verdicts(self.store.read(s, shard)) for name, s in self.stages.filters.items()},
            selection=parquet.selection(self.store.read(self.stages.select, shard)),
        )


@dataclass(frozen=True, slots=True)
class Batches:
    """The finished batches of a run, in order. Each iteration reads them anew, one at a time."""

    loader: Loader
    shards: int
    relabel: bool = False

    def __iter__(self) -> Iterator[Batch]:
        for shard in range(self.shards):
            batch = self.loader.everything(shard)
            yield batch.with_relabelled() if self.relabel else batch

    def __len__(self) -> int:
        return self.shards

    def relabelled(self) -> Batches:
        """The batches with relabelled candidates among the positives: what is exported."""
        return replace(self, relabel=True)
