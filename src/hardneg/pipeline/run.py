"""Running a plan: every stage is computed where the store lacks it, shard by shard."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
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
from hardneg.files.mirror import held
from hardneg.files.text_lines import file_hash
from hardneg.pages.notebook import Report
from hardneg.pipeline import portions, unanswered, unchanged
from hardneg.pipeline.batches import Batches, Loader
from hardneg.pipeline.graph import SHARD, Stages, Wave, approximations, stages_of
from hardneg.pipeline.plan import Group, Plan
from hardneg.pipeline.reading import read
from hardneg.pipeline.recall import measured
from hardneg.pipeline.report import report_of
from hardneg.pipeline.share import Share
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Folder, Store
from hardneg.pipeline.turns import Turns
from hardneg.pipeline.wave_run import WaveRun
from hardneg.protocols import Engine, Judged
from hardneg.report.language_models import failures


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What a run gave: the batches with everything known of them, the report, and the stages that were computed.

    In a notebook it is shown as its report is.
    """

    stages: Stages
    corpus: Corpus
    batches: Batches
    report: Report
    ran: list[str]

    def __repr__(self) -> str:
        """The report's first lines, and what was computed."""
        return "\n".join([*self.report.lines, f"computed: {', '.join(self.ran) or 'nothing: everything was there'}"])

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


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

    @property
    def folders(self) -> list[Path]:
        """What every process that works on a shard must see."""
        return [self.cache.root, *([self.store.root] if isinstance(self.store, Folder) else [])]

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
                portions.keep_to(self.plan, own, shards)
                self._waves(loader, turns, ran)
        return Worked(own, shards, ran, turns.waiting)

    def _waves(self, loader: Loader, turns: Turns, ran: list[str]) -> Loader:
        """Takes the examples through all waves, or through as many as may be worked on."""
        with closing(self.engine):
            return self._each_wave(loader, turns, ran)

    def _each_wave(self, loader: Loader, turns: Turns, ran: list[str]) -> Loader:
        for wave in self.stages.waves:
            if wave.number:
                if not turns.due(wave.examples, loader.waves[-1]):
                    break
                loader = self._short(loader, wave, ran)
            if not loader.waves[-1]:
                break
            loader = WaveRun(self, loader, wave, loader.waves[-1], ran, turns).wave()
        return loader

    def _run(self) -> Result:
        ran: list[str] = []
        loader, shards = self._read(ran)
        turns = Turns(self.store, None, range(shards))
        loader = self._waves(loader, turns, ran)
        self.__dict__.pop("stages")  # what is left out is known now
        stages = self.stages
        loader = replace(loader, stages=stages)
        run = WaveRun(self, loader, stages.first, loader.waves[0], ran, turns)
        if run.missing(stages.select) is not None:  # all of it: a selector keeps count over the whole job
            run.finish(stages.select, self._select(loader, shards), range(shards))
        batches = Batches(loader, shards)
        self._check_searches(loader, ran)
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
            recall = {name: (self.store.summary(stage) or {})["recall"] for name, stage in stages.recall.items()}
            report, examples = report_of(self.plan, batches, found, spread, grades, self.left_out(stages), recall)
            self.store.write(stages.evaluate, 0, pa.table({"example": pa.array(examples, pa.string())}))
            self.store.complete(stages.evaluate, report)
        return Result(stages, loader.corpus, batches, Report(report | self._asked(report)), ran)

    def _check_searches(self, loader: Loader, ran: list[str]) -> None:
        """Measures how much each approximate search finds."""
        examples = int((self.store.summary(self.stages.read) or {})["examples"])
        for name, stage in self.stages.recall.items():
            if self.store.summary(stage) is None:
                begin = time.monotonic()
                ran.append(stage.name)
                [(part, about)] = approximations(self.plan.generators[name])
                with progress.task(stage.name):
                    found = measured(part, about, loader, examples)
                unchanged.part(part, stage)
                self.store.complete(stage, {"recall": found, "seconds": round(time.monotonic() - begin, 3)})

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
            with self.once(stage), held(self.folders[-1]):  # a shard is written twice where queries are equal
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
