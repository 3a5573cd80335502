"""Batches made of what the store holds: each caller names what it wants to see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from hardneg.arrays import Int64
from hardneg.data import parquet
from hardneg.data.batch import Batch
from hardneg.data.candidates import Selection
from hardneg.data.corpus import Corpus
from hardneg.data.merge import merge
from hardneg.data.subset import splice
from hardneg.pipeline.graph import Stages, Wave
from hardneg.pipeline.left_out import noted, rows_of
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Store


@dataclass(frozen=True, slots=True)
class Loader:
    """Makes batches of stored shards. It goes to the workers, so it holds no data itself.

    ``waves``: for each wave that took place, the number of examples by shard, of the shards that have any.
    ``left_out``: examples that the job goes on without, and the stage that left each out. ``only``: in a trial, the ids
    of those that it is about.
    """

    store: Store
    corpus: Corpus
    stages: Stages
    controls: frozenset[str]
    waves: tuple[Mapping[int, int], ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[str] | None = None

    def examples(self, shard: int, wave: int = 0) -> Batch:
        """The examples of a wave in a shard, without candidates."""
        table = self.table(self.stages.waves[wave].examples, wave, shard)
        return parquet.examples_batch(table, self.corpus, self.controls)

    def table(self, stage: Stage, wave: int, shard: int) -> pa.Table:
        """What a stage of a wave found, about the examples that the job goes on with."""
        table = self.store.read(stage, shard)
        if not self.left_out and self.only is None:
            return table
        return rows_of(table, self._ids(shard, wave), self._wanted)

    def write(self, stage: Stage, wave: int, shard: int, table: pa.Table) -> None:
        """Writes what a stage found out about the examples that the job goes on with; nothing in a trial."""
        if self.only is None:
            lacking = [name for name in self._ids(shard, wave) if name in self.left_out] if self.left_out else ()
            self.store.write(stage, shard, noted(table, lacking))

    def _ids(self, shard: int, wave: int) -> list[str]:
        ids: list[str] = self.store.read(self.stages.waves[wave].examples, shard)["id"].to_pylist()
        return ids

    def _wanted(self, name: str) -> bool:
        return name not in self.left_out and (self.only is None or name in self.only)

    def given(self, wave: Wave, stage: Stage, shard: int) -> Batch:
        """The batch that ``stage`` works on: the examples, with what its input stages found out and nothing more."""
        names = {inner.name for inner in stage.inputs}
        batch = self.examples(shard, wave.number)
        if wave.merge.name in names:
            batch = parquet.merged(batch, self.table(wave.merge, wave.number, shard))
        shown = {
            name: parquet.candidates(self.table(inner, wave.number, shard))
            for name, inner in wave.generate.items()
            if inner.name in names
        }
        if shown:
            batch = merge(batch, shown)
        return self._with(
            batch,
            shard,
            wave,
            [name for name, inner in wave.score.items() if inner.name in names],
            [name for name, inner in wave.filters.items() if inner.name in names],
        )

    def judged(self, shard: int, scorers: Iterable[str] | None = None) -> Batch:
        """The batch with the candidates, scores and verdicts of the last wave that each example went through.

        ``scorers``: whose scores are read. Left out: all.
        """
        names = list(self.stages.first.score) if scorers is None else list(scorers)
        whole = self._wave(0, shard, names)
        for number, shards in enumerate(self.waves[1:], 1):
            if shard in shards:
                deeper = self._wave(number, shard, names)
                whole = splice(whole, places_in(whole, deeper), deeper)
        return whole

    def everything(self, shard: int) -> Batch:
        """The batch with all that is known, and the selection."""
        return replace(self.judged(shard), selection=self.selection(shard))

    def selection(self, shard: int) -> Selection:
        """What was selected, alone."""
        return parquet.selection(self.store.read(self.stages.select, shard))

    def _wave(self, number: int, shard: int, scorers: Iterable[str]) -> Batch:
        wave = self.stages.waves[number]
        batch = parquet.merged(self.examples(shard, number), self.table(wave.merge, number, shard))
        return self._with(batch, shard, wave, scorers, wave.filters)

    def _with(self, batch: Batch, shard: int, wave: Wave, scorers: Iterable[str], filters: Iterable[str]) -> Batch:
        return replace(
            batch,
            scores={name: parquet.scores(self.table(wave.score[name], wave.number, shard)) for name in scorers},
            verdicts={name: parquet.verdicts(self.table(wave.filters[name], wave.number, shard)) for name in filters},
        )


def places_in(whole: Batch, some: Batch) -> Int64:
    """The numbers of the examples of ``some`` within ``whole``."""
    number = {identifier: i for i, identifier in enumerate(whole.ids)}
    return np.array([number[identifier] for identifier in some.ids], dtype=np.int64)


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

    def selections(self) -> Iterator[Selection]:
        """The selection of each batch, without the rest of it."""
        return map(self.loader.selection, range(self.shards))

    def relabelled(self) -> Batches:
        """The batches with relabelled candidates among the positives: what is exported."""
        return replace(self, relabel=True)
