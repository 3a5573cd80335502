"""What the stages of a wave do on one shard: read what they need, ask one part, write what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hardneg.data import parquet
from hardneg.data.candidates import Candidates, Scores, Verdicts
from hardneg.data.merge import merge
from hardneg.data.subset import proposals_for
from hardneg.pipeline import lazily, rounds, steps, unchanged
from hardneg.pipeline.batches import Loader, places_in
from hardneg.pipeline.graph import Wave
from hardneg.pipeline.stage import Stage
from hardneg.protocols import Asker, Filter, Generator, Partitioned, Scorer

Step = Callable[..., None]
"""One of the functions below: of a loader, a wave, a stage, what it works with, and the number of a shard."""


def try_examples(
    work: Step, loader: Loader, wave: Wave, stage: Stage, what: tuple[object, ...], shard: int, ids: list[str]
) -> None:
    """Does the work on some examples of a shard and writes nothing."""
    work(replace(loader, only=frozenset(ids)), wave, stage, *what, shard)


def generate_shard(
    loader: Loader, wave: Wave, stage: Stage, name: str, generator: Generator, trial: rounds.Trial, shard: int
) -> None:
    batch = loader.given(wave, stage, shard)
    if not len(batch):
        found = Candidates.from_lists([], loader.corpus)
    elif isinstance(generator, Asker):
        found = rounds.generate(generator, name, batch, trial)
    else:
        found = generator.generate(batch)
    unchanged.part(generator, stage)
    loader.write(stage, wave.number, shard, parquet.candidates_table(steps.proposed(name, found, batch)))


def prepare_part(loader: Loader, generator: Partitioned, number: int) -> None:
    """Makes what the search of one part of the corpus needs."""
    generator.prepare(loader.corpus, number)


def search_part(
    loader: Loader, wave: Wave, stage: Stage, name: str, generator: Partitioned, number: int, shard: int
) -> None:
    """What one part of the corpus has for the examples."""
    batch = loader.given(wave, stage, shard)
    found = generator.generate_part(batch, number) if len(batch) else Candidates.from_lists([], loader.corpus)
    unchanged.part(generator, stage)
    loader.write(stage, wave.number, shard, parquet.candidates_table(steps.proposed(name, found, batch)))


def join_parts(loader: Loader, wave: Wave, stage: Stage, name: str, generator: Partitioned, shard: int) -> None:
    """What the whole corpus has, from what its parts have."""
    batch = loader.given(wave, stage, shard)
    parts = [parquet.candidates(loader.table(part, wave.number, shard)) for part in stage.parts]
    found = generator.merged(batch, parts) if len(batch) else Candidates.from_lists([], loader.corpus)
    unchanged.part(generator, stage)
    loader.write(stage, wave.number, shard, parquet.candidates_table(steps.proposed(name, found, batch)))


def keep_shard(loader: Loader, wave: Wave, stage: Stage, name: str, shard: int) -> None:
    """What a generator proposed in the first wave for the examples of this one."""
    batch, whole = loader.examples(shard, wave.number), loader.examples(shard)
    found = parquet.candidates(loader.table(loader.stages.first.generate[name], 0, shard))
    kept = proposals_for(found, places_in(whole, batch))
    loader.write(stage, wave.number, shard, parquet.candidates_table(kept))


def merge_shard(loader: Loader, wave: Wave, stage: Stage, shard: int) -> None:
    tables = {name: loader.table(inner, wave.number, shard) for name, inner in wave.generate.items()}
    proposals = {name: parquet.candidates(table) for name, table in tables.items()}
    batch = loader.examples(shard, wave.number)
    loader.write(stage, wave.number, shard, parquet.merged_table(merge(batch, proposals)))


def score_shard(
    loader: Loader, wave: Wave, stage: Stage, name: str, scorer: Scorer, need: lazily.Need | None, shard: int
) -> None:
    batch = loader.given(wave, stage, shard)
    if not len(batch):
        scores = Scores(np.zeros(0, np.float32), np.zeros(0, np.float32))
    elif need is not None:
        scores = lazily.scored(name, scorer, batch, need)
    else:
        scores = steps.scored(name, scorer, batch)
    unchanged.part(scorer, stage)
    loader.write(stage, wave.number, shard, parquet.scores_table(batch, scores))


def judge_shard(loader: Loader, wave: Wave, stage: Stage, name: str, judge: Filter, shard: int) -> None:
    batch = loader.given(wave, stage, shard)
    verdicts = steps.judged(name, judge, batch) if len(batch) else Verdicts.from_reasons([])
    unchanged.part(judge, stage)
    loader.write(stage, wave.number, shard, parquet.verdicts_table(batch, verdicts))
