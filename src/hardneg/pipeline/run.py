"""Running a plan: every stage is computed where the store lacks it, shard by shard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

from hardneg import progress
from hardneg.cache.folders import Cache
from hardneg.data import parquet
from hardneg.data.chat import Usage
from hardneg.data.corpus import Corpus
from hardneg.data.merge import merge
from hardneg.files.text_lines import file_hash
from hardneg.llm import budget
from hardneg.pipeline import rounds, steps
from hardneg.pipeline.batches import Batches, Loader
from hardneg.pipeline.graph import SHARD, Stages, stages_of, trial_of
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.reading import read
from hardneg.pipeline.report import report_of
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Store
from hardneg.protocols import Asker, Engine, Filter, Generator, Scorer, clients_of, learns


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gave: the batches with everything known of them, the report, and the stages that were computed."""

    stages: Stages
    corpus: Corpus
    batches: Batches
    report: dict[str, Any]
    ran: list[str]


@dataclass(frozen=True)
class Pipeline:
    """A plan with a store for its shards, a cache for what outlives it, and an engine to run it."""

    plan: Plan
    store: Store
    cache: Cache
    engine: Engine

    @cached_property
    def stages(self) -> Stages:
        """Every stage of the plan with its fingerprint. Hashes the data files, once, and loads no model."""
        files = {f"{n}. {file.name}": file_hash(file) for n, file in enumerate(self.plan.reader.files(), 1)}
        return stages_of(self.plan, files)

    def ready(self) -> tuple[Loader, int]:
        """What makes batches, and the number of shards, with the data read and nothing else done."""
        return self._read([])

    def run(self) -> Result:
        """Computes what the store lacks and returns the result. Safe to stop at any moment and to call again."""
        ran: list[str] = []
        loader, shards = self._read(ran)
        run = _Run(self, loader, shards, ran)
        plan, stages = self.plan, self.stages
        trial = [(group, name, plan.members(group)[name]) for group, name in trial_of(plan)]
        for _, name in plan.order("generators"):
            generator = plan.generators[name]
            work = partial(_generate, loader, stages.generate[name], name, generator, trial)
            run.each(stages.generate[name], work, (generator, trial) if isinstance(generator, Asker) else generator)
        run.each(stages.merge, partial(_merge, loader, stages.merge))
        for group, name in plan.order("scorers", "filters"):
            if group == "scorers":
                scorer = plan.scorers[name]
                run.each(stages.score[name], partial(_score, loader, stages.score[name], name, scorer), scorer)
            else:
                judge = self._ready(name, loader, shards, ran)
                run.each(stages.filters[name], partial(_judge, loader, stages.filters[name], name, judge))
        if run.missing(stages.select) is not None:  # all of it: a selector keeps count over the whole job
            run.finish(stages.select, self._select(loader, shards), range(shards))
        batches = Batches(loader, shards)
        report = self.store.summary(stages.evaluate)
        if report is None:
            ran.append("evaluate")
            report = report_of(plan, batches, self.store.summary(stages.read) or {})
            self.store.complete(stages.evaluate, report)
        return Result(stages, loader.corpus, batches, report | self._asked(report), ran)

    def _asked(self, report: dict[str, Any]) -> dict[str, Any]:
        """What language models cost, by stage, and a warning for each stage with requests that failed."""
        asked = (*self.stages.generate.values(), *self.stages.score.values())
        usage = {stage.name: spent for stage in asked if (spent := self.usage(stage)) is not None}
        failed = [
            f"{spent.failed:,} of the {spent.requests:,} requests of `{name}` had no usable answer"
            for name, spent in usage.items()
            if spent.failed
        ]
        return {
            "usage": {name: asdict(spent) for name, spent in usage.items()},
            "warnings": [*report["warnings"], *failed],
        }

    def usage(self, stage: Stage) -> Usage | None:
        """What a complete stage asked of a language model. None for one that asked nothing, or is to do."""
        summary = self.store.summary(stage) or {}
        return Usage(**summary["usage"]) if "usage" in summary else None

    def spent(self, stage: Stage, shards: Iterable[int]) -> Usage:
        """What the language model's answers in these shards cost."""
        return sum((parquet.usage(self.store.read(stage, shard)) or Usage() for shard in shards), start=Usage())

    def learnt(self, name: str) -> Any:
        """A filter of a finished run, with what it learnt from the whole job."""
        judge, stage = self.plan.filters[name], self.stages.learn.get(name)
        return replace(judge, **(self.store.summary(stage) or {})) if stage else judge  # type: ignore[type-var]

    def _ready(self, name: str, loader: Loader, shards: int, ran: list[str]) -> Filter:
        """A filter that has learnt what it must know of the whole job before it judges any of it."""
        judge, stage = self.plan.filters[name], self.stages.learn.get(name)
        if stage is not None and self.store.summary(stage) is None and learns(judge):
            ran.append(stage.name)
            with progress.task(stage.name, shards) as bar:
                batches = (loader.given(stage, shard) for shard in range(shards))
                self.store.complete(stage, judge.learn(progress.counted(batches, bar)))
        ready: Filter = self.learnt(name)
        return ready

    def _select(self, loader: Loader, shards: int) -> Iterator[None]:
        stage = self.stages.select
        given = (loader.given(stage, shard) for shard in range(shards))
        for shard, selection in zip(range(shards), self.plan.selector.select(given), strict=True):
            self.store.write(stage, shard, parquet.selection_table(selection))
            yield

    def _read(self, ran: list[str]) -> tuple[Loader, int]:
        stage = self.stages.read
        summary = self.store.summary(stage)
        whole = summary is not None and all(self.store.has(stage, shard) for shard in range(summary["shards"]))
        if summary is None or not whole or self.cache.find("corpora", summary["corpus"]) is None:
            ran.append("read")
            summary = read(self.plan.reader, stage, self.store, self.cache)
            self.store.complete(stage, summary)
        passages = Corpus(self.cache.root / "corpora" / summary["corpus"], self.cache)
        return Loader(self.store, passages, self.stages, frozenset(self.plan.controls)), summary["shards"]


@dataclass(frozen=True)
class _Run:
    """One run under way: which shards are missing, and the names of the stages that it computed."""

    pipeline: Pipeline
    loader: Loader
    shards: int
    ran: list[str]

    def missing(self, stage: Stage) -> list[int] | None:
        """The shards that are to do. None for a stage that is complete."""
        store = self.pipeline.store
        to_do = [shard for shard in range(self.shards) if not store.has(stage, shard)]
        return to_do if to_do or store.summary(stage) is None else None

    def each(self, stage: Stage, work: Callable[[int], None], part: object = None) -> None:
        """Does ``work`` on every shard that ``stage`` lacks."""
        asks = bool(clients_of(part))
        to_do = self.missing(stage)
        if asks:  # a budget is the whole job's, also what earlier runs spent
            there = [shard for shard in range(self.shards) if shard not in (to_do or ())]
            done = self.pipeline.usage(stage) if to_do is None else None
            budget.current().spent += done or self.pipeline.spent(stage, there)
        if to_do is not None:
            # a client is concurrent inside, and its limits and the budget hold for all of the job: one process
            done_shards = map(work, to_do) if asks else self.pipeline.engine.map(work, to_do)
            self.finish(stage, done_shards, to_do, asks=asks)

    def finish(self, stage: Stage, work: Iterable[Any], shards: Iterable[int], *, asks: bool = False) -> None:
        """Waits for the shards of a stage and marks it as complete."""
        self.ran.append(stage.name)
        begin = time.monotonic()
        with progress.task(stage.name, len(list(shards)) * SHARD) as bar:
            for _ in work:
                bar.advance(SHARD)
        summary: dict[str, Any] = {"shards": self.shards, "seconds": round(time.monotonic() - begin, 3)}
        if asks:
            summary["usage"] = asdict(self.pipeline.spent(stage, range(self.shards)))
        self.pipeline.store.complete(stage, summary)


def _generate(loader: Loader, stage: Stage, name: str, generator: Generator, trial: rounds.Trial, shard: int) -> None:
    batch = loader.given(stage, shard)
    if isinstance(generator, Asker):
        found = rounds.generate(generator, name, batch, trial)
    else:
        found = generator.generate(batch)
    loader.store.write(stage, shard, parquet.candidates_table(steps.proposed(name, found, batch)))


def _merge(loader: Loader, stage: Stage, shard: int) -> None:
    proposals = {
        name: parquet.candidates(loader.store.read(inner, shard)) for name, inner in loader.stages.generate.items()
    }
    loader.store.write(stage, shard, parquet.merged_table(merge(loader.examples(shard), proposals)))


def _score(loader: Loader, stage: Stage, name: str, scorer: Scorer, shard: int) -> None:
    batch = loader.given(stage, shard)
    loader.store.write(stage, shard, parquet.scores_table(batch, steps.scored(name, scorer, batch)))


def _judge(loader: Loader, stage: Stage, name: str, judge: Filter, shard: int) -> None:
    batch = loader.given(stage, shard)
    loader.store.write(stage, shard, parquet.verdicts_table(batch, steps.judged(name, judge, batch)))
