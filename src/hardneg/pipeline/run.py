"""Running a plan: every stage is computed where the store lacks it, shard by shard."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa

from hardneg import progress
from hardneg.cache.folders import Cache
from hardneg.cache.housekeeping import in_use
from hardneg.data import parquet
from hardneg.data.chat import Usage
from hardneg.data.corpus import Corpus
from hardneg.data.subset import subset
from hardneg.errors import WorkerError
from hardneg.files.text_lines import file_hash
from hardneg.llm import budget
from hardneg.pipeline import rounds, shard_work, unanswered, unchanged
from hardneg.pipeline.batches import Batches, Loader
from hardneg.pipeline.deeper import deeper
from hardneg.pipeline.graph import SHARD, Stages, Wave, stages_of, trial_of
from hardneg.pipeline.left_out import culprits, lacking, lost_of
from hardneg.pipeline.memory import peak_memory
from hardneg.pipeline.plan import Group, Plan
from hardneg.pipeline.reading import read
from hardneg.pipeline.report import report_of
from hardneg.pipeline.share import Share
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Store
from hardneg.pipeline.turns import Turns, side_by_side
from hardneg.protocols import Asker, Engine, Judged, Learner, clients_of, learns
from hardneg.report.language_models import failures


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gave: the batches with everything known of them, the report, and the stages that were computed."""

    stages: Stages
    corpus: Corpus
    batches: Batches
    report: dict[str, Any]
    ran: list[str]


@dataclass(frozen=True, slots=True)
class Worked:
    """What one process did of its share: so many ``shards`` of all (``of``) are its own. ``ran``: the stages that it
    worked on. ``waiting``: those that it could not work on yet, and what each waits for.
    """

    shards: int
    of: int
    ran: list[str]
    waiting: dict[str, list[str]]


@dataclass(frozen=True)
class Pipeline:
    """A plan with a store for its shards, a cache for what outlives it, and an engine to run it.

    ``share``: what of the job this process works on, beside others. None: all of it.
    """

    plan: Plan
    store: Store
    cache: Cache
    engine: Engine
    share: Share | None = None

    @cached_property
    def files(self) -> dict[str, str]:
        """The content hash of every data file, as it was when it was first looked at."""
        return self._hashes()

    def _hashes(self) -> dict[str, str]:
        return {f"{n}. {file.name}": file_hash(file) for n, file in enumerate(self.plan.reader.files(), 1)}

    @cached_property
    def stages(self) -> Stages:
        """Every stage of the plan with its fingerprint. Hashes the data files, once, and loads no model."""
        stages = stages_of(self.plan, self.files)
        left_out = self.left_out(stages)
        return stages_of(self.plan, self.files, list(left_out)) if left_out else stages

    def left_out(self, stages: Stages) -> dict[str, str]:
        """The stage that left an example out, by the example's id: one that kills every process."""
        worked = (
            s for w in stages.waves for s in (*w.generate.values(), w.merge, *w.score.values(), *w.filters.values())
        )
        found: dict[str, str] = {}
        for stage in worked:
            found |= (self.store.summary(stage) or {}).get("left_out", {})
        return dict(sorted(found.items()))

    def ready(self) -> tuple[Loader, int]:
        """What makes batches, and the number of shards, with the data read and nothing else done."""
        return self._read([])

    def ask_again(self) -> None:
        """Makes the next run ask again what no server answered in an earlier one."""
        unanswered.forget(self.plan, self.stages, self.store)

    def run(self) -> Result:
        """Computes what the store lacks and returns the result. Safe to stop at any moment and to call again.

        Models have the weights that lie there when it begins.
        """
        self.__dict__.pop("stages", None)
        with in_use(self.cache):
            return self._run()

    def work(self) -> Worked:
        """Does the share as far as that can be done now. What needs all of the job first is done once all is there.

        Like `run`, it may be stopped at any moment and called again.
        """
        self.__dict__.pop("stages", None)
        ran: list[str] = []
        with in_use(self.cache):
            loader, shards = self._read(ran)
            turns = Turns(self.store, self.share, range(shards))
            if own := len(loader.waves[0]):
                self._narrow(own, shards)
                self._waves(loader, turns, ran)
        return Worked(own, shards, ran, turns.waiting)

    def _narrow(self, own: int, shards: int) -> None:
        """Keeps to the share's part of the budget, and says how much that is."""
        purse = budget.current()
        tokens, cost = purse.max_tokens, purse.max_cost
        purse.narrow(own, shards)
        if tokens is not None or cost is not None:
            of = "; ".join(
                f"{part:,} of {whole:,} {what}"
                for part, whole, what in ((purse.max_tokens, tokens, "tokens"), (purse.max_cost, cost, "in money"))
                if part is not None
            )
            progress.note(f"budget: {own:,} of {shards:,} shards may use {of}")

    def _waves(self, loader: Loader, turns: Turns, ran: list[str]) -> Loader:
        """Takes the examples through all waves, or through as many as may be worked on."""
        for wave in self.stages.waves:
            if wave.number:
                if not turns.due(wave.examples, loader.waves[-1]):
                    break
                loader = self._short(loader, wave, ran)
            if not loader.waves[-1]:
                break
            loader = _Run(self, loader, wave, loader.waves[-1], ran, turns).wave()
        return loader

    def _run(self) -> Result:
        ran: list[str] = []
        loader, shards = self._read(ran)
        turns = Turns(self.store, None, range(shards))
        loader = self._waves(loader, turns, ran)
        self.__dict__.pop("stages")  # what is left out is known now
        stages = self.stages
        loader = replace(loader, stages=stages)
        run = _Run(self, loader, stages.first, loader.waves[0], ran, turns)
        if run.missing(stages.select) is not None:  # all of it: a selector keeps count over the whole job
            run.finish(stages.select, self._select(loader, shards), range(shards))
        batches = Batches(loader, shards)
        report = self.store.summary(stages.evaluate)
        if report is None or 0 not in self.store.shards(stages.evaluate):
            ran.append("evaluate")
            name = self.plan.estimator
            spread = self.learnt("scorers", name).estimates if name is not None else 0.0
            grades = None
            if isinstance(reader := self.plan.reader, Judged):
                grades = reader.judgments()
                unchanged.judgments(reader, stages.evaluate)
            found = self.store.summary(stages.read) or {}
            report, examples = report_of(self.plan, batches, found, spread, grades, self.left_out(stages))
            self.store.write(stages.evaluate, 0, pa.table({"example": pa.array(examples, pa.string())}))
            self.store.complete(stages.evaluate, report)
        return Result(stages, loader.corpus, batches, report | self._asked(report), ran)

    def _asked(self, report: dict[str, Any]) -> dict[str, Any]:
        """What language models cost, by stage, and a warning for each stage with requests that failed."""
        asked = [stage for wave in self.stages.waves for stage in (*wave.generate.values(), *wave.score.values())]
        usage = {stage.name: spent for stage in asked if (spent := self.usage(stage)) is not None}
        failed = [failures(name, spent) for name, spent in usage.items() if spent.failed]
        return {
            "usage": {name: asdict(spent) for name, spent in usage.items()},
            "warnings": [*report["warnings"], *failed],
        }

    def usage(self, stage: Stage) -> Usage | None:
        """What a complete stage asked of a language model. None for one that asked nothing, or is to do."""
        summary = self.store.summary(stage) or {}
        return Usage.of(summary["usage"]) if "usage" in summary else None

    def spent(self, stage: Stage, shards: Iterable[int]) -> Usage:
        """What the language model's answers in these shards cost."""
        return sum((parquet.usage(self.store.read(stage, shard)) or Usage() for shard in shards), start=Usage())

    def learnt(self, group: Group, name: str) -> Any:
        """A scorer or filter of a finished run, with what it learnt from the whole job."""
        part: Any = self.plan.members(group)[name]
        stage = self.stages.first.learn.get((group, name))
        return replace(part, **(self.store.summary(stage) or {})) if stage else part

    def _short(self, loader: Loader, wave: Wave, ran: list[str]) -> Loader:
        """The loader with one more wave: the examples that the wave before left too few negatives."""
        stage, before = wave.examples, self.stages.waves[wave.number - 1]
        summary = self.store.summary(stage)
        known = None if summary is None else {int(shard) for shard in summary["in"]}.intersection(loader.waves[-1])
        if summary is None or known is None or not self.store.shards(stage, known) >= known:
            ran.append(stage.name)
            shards: dict[str, int] = {}
            for shard in loader.waves[-1]:
                batch = loader.given(before, stage, shard)
                usable = np.bincount(batch.owners[batch.kept & batch.trainable], minlength=len(batch))
                short = np.flatnonzero(usable < self.plan.selector.per_query)
                if len(short):
                    self.store.write(stage, shard, parquet.examples_table(subset(batch, short)))
                    shards[str(shard)] = len(short)
            summary = {"in": shards, "shards": len(shards)}
            if self.share is None:
                self.store.complete(stage, summary)
        examples = {int(shard): count for shard, count in summary["in"].items() if int(shard) in loader.waves[-1]}
        return replace(loader, waves=(*loader.waves, examples))

    def _select(self, loader: Loader, shards: int) -> Iterator[None]:
        stage, scorers = self.stages.select, self.plan.named(self.plan.selector, "scorers")
        given = (loader.judged(shard, scorers) for shard in range(shards))
        for shard, selection in zip(range(shards), self.plan.selector.select(given), strict=True):
            self.store.write(stage, shard, parquet.selection_table(selection))
            yield

    def _read(self, ran: list[str]) -> tuple[Loader, int]:
        stage = self.stages.read
        if (summary := self._known(stage)) is None:
            with self.once(stage):
                if (summary := self._known(stage)) is None:
                    ran.append("read")
                    summary = read(self.plan.reader, stage, self.store, self.cache)
                    unchanged.files(stage, self._hashes())
                    self.store.complete(stage, summary)
        passages = Corpus(self.cache.root / "corpora" / summary["corpus"], self.cache)
        count, shards = summary["examples"], summary["shards"]
        own = [shard for shard in range(shards) if self.share is None or self.share.has(shard)]
        sizes = {shard: min(SHARD, count - shard * SHARD) for shard in own}
        without = self.left_out(self.stages)
        return Loader(self.store, passages, self.stages, frozenset(self.plan.controls), (sizes,), without), shards

    def _known(self, stage: Stage) -> dict[str, Any] | None:
        """The summary of the stage `read`, where all that was read is still there."""
        summary = self.store.summary(stage)
        whole = summary is not None and self.store.shards(stage) >= set(range(summary["shards"]))
        return summary if summary and whole and self.cache.find("corpora", summary["corpus"]) is not None else None

    def once(self, stage: Stage) -> AbstractContextManager[None]:
        """Where shares of a job are worked on side by side: what one does inside, the others wait for."""
        return nullcontext() if self.share is None else self.cache.alone(stage.name, stage.fingerprint)


@dataclass
class _Run:
    """One wave under way: how many examples its shards have, the names of the stages that were computed, and whose turn
    it is.
    """

    pipeline: Pipeline
    loader: Loader
    of: Wave
    shards: Mapping[int, int]
    ran: list[str]
    turns: Turns

    def wave(self) -> Loader:
        """Takes the wave's examples through generators, scorers and filters. Returns what makes its batches."""
        plan, wave = self.pipeline.plan, self.of
        trial: rounds.Trial = [(group, name, plan.members(group)[name]) for group, name in trial_of(plan)]
        for _, name in plan.order("generators"):
            generator, stage = deeper(plan, name, wave.number), wave.generate[name]
            if wave.number and generator is plan.generators[name]:
                self.each(stage, shard_work.keep_shard, name)
                continue
            asking = (generator, trial) if isinstance(generator, Asker) else generator
            self.each(stage, shard_work.generate_shard, name, generator, trial, part=asking)
        self.each(wave.merge, shard_work.merge_shard)
        for group, name in plan.order("scorers", "filters"):
            stage = wave.member(group, name)
            part = self._ready(group, name) if self.turns.chosen(stage) else None
            step = shard_work.score_shard if group == "scorers" else shard_work.judge_shard
            self.each(stage, step, name, part, part=part)
        return self.loader

    def missing(self, stage: Stage) -> list[int] | None:
        """The shards that are to do. None for a stage that is complete."""
        store = self.pipeline.store
        there = store.shards(stage, self.shards)
        to_do = [shard for shard in self.shards if shard not in there]
        return to_do if to_do or store.summary(stage) is None else None

    def each(self, stage: Stage, work: shard_work.Step, *what: object, part: object = None) -> None:
        """Does ``work`` on every shard that ``stage`` lacks, if it is its turn."""
        if not self.turns.due(stage, self.shards):
            return
        asks = bool(clients_of(part))
        to_do = self.missing(stage)
        if asks:  # a budget is the whole job's, also what earlier runs spent
            there = [shard for shard in self.shards if shard not in (to_do or ())]
            done = self.pipeline.usage(stage) if to_do is None and self.turns.share is None else None
            budget.current().settle(0, 0.0, done or self.pipeline.spent(stage, there))
        if to_do is not None:
            # a client is concurrent inside, and its limits and the budget hold for all of the job: one process
            for shard in set(self.shards).difference(to_do):  # what an earlier run wrote
                self._without(dict.fromkeys(lacking(self.pipeline.store.read(stage, shard)), stage.name))
            here = map(partial(work, self.loader, self.of, stage, *what), to_do)
            done_shards = here if asks else self._surviving(stage, work, what, to_do)
            self.finish(stage, done_shards, to_do, asks=asks)

    def _surviving(
        self, stage: Stage, work: shard_work.Step, what: tuple[object, ...], shards: Sequence[int]
    ) -> Iterator[object]:
        """Does ``work`` on shards in the engine. Where processes die of one, without the examples that they die of."""
        engine, wave = self.pipeline.engine, self.of
        try:
            yield from engine.map(partial(work, self.loader, wave, stage, *what), shards)
        except WorkerError as error:
            for shard in error.shards:
                attempt = partial(shard_work.try_examples, work, self.loader, wave, stage, what, shard)
                ids = self.loader.examples(shard, wave.number).ids
                found = culprits(ids, partial(lost_of, engine, attempt))
                self._without(dict.fromkeys(found, stage.name))
                yield from engine.map(partial(work, self.loader, wave, stage, *what), [shard])

    def _without(self, found: Mapping[str, str]) -> None:
        """Goes on without these examples; each has the stage that left it out, unless an earlier one did."""
        self.loader = replace(self.loader, left_out={**found, **self.loader.left_out})

    def finish(self, stage: Stage, work: Iterable[Any], shards: Iterable[int], *, asks: bool = False) -> None:
        """Waits for the shards of a stage and marks it as complete, where no other process has some to do."""
        begin = time.monotonic()
        sizes = [self.shards[shard] for shard in shards]
        if sizes or self.turns.share is None:
            self.ran.append(stage.name)
        with progress.task(stage.name, sum(sizes)) as bar:
            for size, _ in zip(sizes, work, strict=True):
                bar.advance(size)
        every: Collection[int] = self.shards
        if self.turns.share is not None:
            if self.of.number or not self.turns.completes(stage):
                return
            every = self.turns.every
            self._without(self.pipeline.left_out(self.loader.stages))
            for shard in set(every).difference(self.shards):
                self._without(dict.fromkeys(lacking(self.pipeline.store.read(stage, shard)), stage.name))
        summary: dict[str, Any] = {"shards": len(every), "seconds": round(time.monotonic() - begin, 3)}
        if (most := peak_memory()) is not None:
            summary["peak_memory"] = most
        if asks:
            summary["usage"] = asdict(self.pipeline.spent(stage, every))
        if self.loader.left_out:
            summary["left_out"] = dict(sorted(self.loader.left_out.items()))
        self.pipeline.store.complete(stage, summary)

    def _ready(self, group: Group, name: str) -> Any:
        """The part, with what it learns from the whole job before it looks at any of it."""
        stage, store = self.pipeline.stages.first.learn.get((group, name)), self.pipeline.store
        part = self.pipeline.plan.members(group)[name]
        if stage is None or not learns(part) or not self.turns.complete([*stage.inputs, *self._earlier(group, name)]):
            return self.pipeline.learnt(group, name)
        if store.summary(stage) is None:
            with self.pipeline.once(stage):
                if store.summary(stage) is None:
                    self._learn(stage, part)
        return self.pipeline.learnt(group, name)

    def _earlier(self, group: Group, name: str) -> list[Stage]:
        """The stages before a member, each of which may leave examples out; without those that wait for what is learnt
        themselves.
        """
        wave, order = self.of, self.pipeline.plan.order("scorers", "filters")
        before = (wave.member(*other) for other in order[: order.index((group, name))])
        early = {stage.name for stage in side_by_side(wave)[0]}
        return [stage for stage in (*wave.generate.values(), wave.merge, *before) if stage.name in early]

    def _learn(self, stage: Stage, part: Learner) -> None:
        self.ran.append(stage.name)
        loader, shards = self.loader, self.shards if self.turns.share is None else self.turns.every
        if self.turns.share is not None:
            loader = replace(loader, left_out=self.pipeline.left_out(loader.stages))
        with progress.task(stage.name, len(shards)) as bar:
            batches = (loader.given(self.of, stage, shard) for shard in shards)
            learnt = part.learn(progress.counted(batches, bar))
            unchanged.part(part, stage)
            self.pipeline.store.complete(stage, learnt)
