"""The one way through: read → generate → merge → score → filter → select → evaluate.

Every stage is a function of its inputs, mapped over shards of examples; a shard that is in the store is not computed
again. Scorers are expensive and only attach numbers; filters and selectors are cheap and only read them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from hardneg import progress
from hardneg.arrays import offsets_of
from hardneg.cache.folders import Cache
from hardneg.data import corpus
from hardneg.data import parquet as columns
from hardneg.data.batch import Batch
from hardneg.data.chat import Usage
from hardneg.data.merge import merge
from hardneg.data.records import Example
from hardneg.errors import DataError, ModelError, PartError
from hardneg.files.text_lines import file_hash
from hardneg.filters.eci_safety import ECISafety
from hardneg.filters.relevance import Relevance
from hardneg.kinds import described
from hardneg.llm import budget
from hardneg.pipeline import rounds
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Store
from hardneg.protocols import (
    Asker,
    Encoder,
    Engine,
    Export,
    Filter,
    Generator,
    Learner,
    Reader,
    Scorer,
    Selector,
    clients_of,
)
from hardneg.report.evaluation import Evaluation
from hardneg.report.language_models import Written
from hardneg.report.shortcut import Shortcut
from hardneg.scorers.bi_encoder import BiEncoder

SHARD = 1_000
"""Examples in a shard: the unit of work, of what is lost at most, and of what is in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a job does, as parts. The order of generators, scorers and filters is that of the job."""

    reader: Reader
    generators: Mapping[str, Generator]
    scorers: Mapping[str, Scorer]
    filters: Mapping[str, Filter]
    selector: Selector
    target: str
    """The scorer whose scores ECI is computed from."""
    at: tuple[int, ...] = ()
    """Numbers of negatives at which sources are compared at equal size; empty: the selector's ``per_query``."""
    controls: frozenset[str] = frozenset()
    """Generators that are scored and reported and never trained on."""
    sem: bool = True
    """Whether eci_sem is computed too, where the target scorer has an encoder."""
    exports: Mapping[str, Export] = field(default_factory=dict)

    @property
    def target_encoder(self) -> Encoder | None:
        """The encoder whose cosines the target scorer gives; None where its scores are something else."""
        scorer = self.scorers[self.target]
        return scorer.encoder if isinstance(scorer, BiEncoder) else None


Trial = tuple[dict[str, Scorer], dict[str, Filter]]


def scorers_of(part: object, plan: Plan) -> list[str]:
    """The scorers that a part looks at: its field ``scorer`` (one name) or ``scorers`` (several)."""
    one = getattr(part, "scorer", None)
    return [name for name in plan.scorers if name == one or name in getattr(part, "scorers", ())]


@dataclass(frozen=True)
class Pipeline:
    """A plan with a store for its shards, a cache for what outlives it, and an engine to run it."""

    plan: Plan
    store: Store
    cache: Cache
    engine: Engine

    def stages(self) -> Stages:
        """Every stage of the plan, with its fingerprint. Reads the data files (to hash them) and loads no model."""
        plan = self.plan
        files = {f"{n}. {file.name}": file_hash(file) for n, file in enumerate(plan.reader.files(), 1)}
        read = Stage("read", {"shard": SHARD, "reader": described(plan.reader), "files": files})
        generate = {
            name: Stage(f"generate.{name}", described(part) | self._trial_of(part), (read,))
            for name, part in plan.generators.items()
        }
        merged = Stage("merge", {"generators": list(generate)}, tuple(generate.values()))
        controls = {"controls": sorted(plan.controls)}
        score: dict[str, Stage] = {}
        for name, part in plan.scorers.items():  # a scorer may look at those before it
            before = tuple(score[s] for s in scorers_of(part, plan) if s in score)
            # a judge is not asked about controls
            own = described(part) | (controls if clients_of(part) else {})
            score[name] = Stage(f"score.{name}", own, (merged, *before))
        inputs = {name: (merged, *(score[s] for s in scorers_of(part, plan))) for name, part in plan.filters.items()}
        learn = {
            name: Stage(f"learn.{name}", described(part) | controls, inputs[name])
            for name, part in plan.filters.items()
            if isinstance(part, Learner) and part.learns
        }
        filters = {
            name: Stage(
                f"filter.{name}", described(part) | controls, inputs[name] + ((learn[name],) if name in learn else ())
            )
            for name, part in plan.filters.items()
        }
        select = Stage(
            "select",
            described(plan.selector) | controls,
            (merged, *(score[s] for s in scorers_of(plan.selector, plan)), *filters.values()),
        )
        evaluate = Stage(
            "evaluate",
            {"target": plan.target, "at": list(self.at), "sem": plan.sem, "version": 4},
            (score[plan.target], *filters.values(), select),
        )
        export = {
            name: Stage(f"export.{name}", described(part) | {"sidecar": 1}, (*score.values(), select))
            for name, part in plan.exports.items()
        }
        return Stages(read, generate, merged, score, learn, filters, select, evaluate, export)

    @property
    def at(self) -> tuple[int, ...]:
        """The equal sizes of the report."""
        return self.plan.at or (self.plan.selector.per_query,)

    def ready(self) -> tuple[Stages, Loader, int]:
        """The stages, what makes batches of them and the number of shards, with the data read and nothing else done."""
        stages = self.stages()
        return stages, *self._read(stages, [])

    def run(self) -> Result:
        """Computes what the store lacks and returns the result. Safe to stop at any moment and to call again."""
        stages = self.stages()
        ran: list[str] = []
        loader, shards = self._read(stages, ran)

        def missing(stage: Stage) -> list[int] | None:
            """The shards that are to do; None for a stage that is complete."""
            to_do = [shard for shard in range(shards) if not self.store.has(stage, shard)]
            return to_do if to_do or self.store.summary(stage) is None else None

        def finish(stage: Stage, shards_done: Iterable[Any], count: int, *, asks: bool = False) -> None:
            ran.append(stage.name)
            begin = time.monotonic()
            with progress.task(stage.name, count * SHARD) as bar:
                for _ in shards_done:
                    bar.advance(SHARD)
            summary: dict[str, Any] = {"shards": shards, "seconds": round(time.monotonic() - begin, 3)}
            if asks:
                summary["usage"] = asdict(self._spent(stage, range(shards)))
            self.store.complete(stage, summary)

        def each(stage: Stage, work: Callable[[int], None], part: object = None) -> None:
            asks = bool(clients_of(part))
            to_do = missing(stage)
            if asks:  # a budget is the whole job's, also what earlier runs spent
                there = [shard for shard in range(shards) if shard not in (to_do or ())]
                done = self.usage(stage) if to_do is None else None
                budget.current().spent += done or self._spent(stage, there)
            if to_do is not None:
                # a client is concurrent inside, and its limits and the budget hold for all of the job: one process
                finish(stage, map(work, to_do) if asks else self.engine.map(work, to_do), len(to_do), asks=asks)

        trial = self._trial
        for name, generator in self.plan.generators.items():
            work = partial(_generate, loader, stages.generate[name], name, generator, trial)
            each(stages.generate[name], work, (generator, trial) if isinstance(generator, Asker) else generator)
        each(stages.merge, partial(_merge, loader, stages.merge))
        for name, scorer in self.plan.scorers.items():
            each(stages.score[name], partial(_score, loader, stages.score[name], name, scorer), scorer)
        for name, judge in self.plan.filters.items():
            ready = judge
            if isinstance(judge, Learner) and name in stages.learn:
                ready = self._learnt(loader, stages.learn[name], judge, shards, ran)
            each(stages.filters[name], partial(_judge, loader, stages.filters[name], name, ready))
        batches = Batches(loader, shards)
        if missing(stages.select) is not None:  # all of it: a selector keeps count over the whole job
            finish(stages.select, self._select(loader, stages.select, shards), shards)
        report = self.store.summary(stages.evaluate)
        if report is None:
            ran.append("evaluate")
            report = self._evaluate(stages, batches)
            self.store.complete(stages.evaluate, report)
        asked = (*stages.generate.values(), *stages.score.values())
        usage = {stage.name: spent for stage in asked if (spent := self.usage(stage)) is not None}
        failed = [
            f"{spent.failed:,} of the {spent.requests:,} requests of `{name}` had no usable answer"
            for name, spent in usage.items()
            if spent.failed
        ]
        report = report | {
            "usage": {name: asdict(spent) for name, spent in usage.items()},
            "warnings": [*report["warnings"], *failed],
        }
        return Result(stages, loader.corpus, batches, report, ran)

    def usage(self, stage: Stage) -> Usage | None:
        """What a complete stage asked of a language model; None for one that asked nothing, or is to do."""
        summary = self.store.summary(stage) or {}
        return Usage(**summary["usage"]) if "usage" in summary else None

    def _spent(self, stage: Stage, shards: Iterable[int]) -> Usage:
        """What the language model's answers in these shards cost."""
        return sum((columns.usage(self.store.read(stage, shard)) or Usage() for shard in shards), start=Usage())

    @property
    def _trial(self) -> Trial:
        """What the candidates of a generator that asks again go through between two rounds."""
        users = [name for part in self.plan.filters.values() for name in scorers_of(part, self.plan)]
        users += [name for used in users for name in scorers_of(self.plan.scorers[used], self.plan)]
        return {name: part for name, part in self.plan.scorers.items() if name in users}, dict(self.plan.filters)

    def _trial_of(self, generator: Generator) -> dict[str, Any]:
        """That, in the description of such a generator: its candidates depend on it."""
        if not isinstance(generator, Asker) or not generator.rounds:
            return {}
        scorers, filters = self._trial
        parts = {name: described(part) for name, part in (*scorers.items(), *filters.items())}
        return {"trial": parts, "controls": sorted(self.plan.controls)}

    def _learnt(self, loader: Loader, stage: Stage, judge: Learner, shards: int, ran: list[str]) -> Learner:
        """The filter with what it learns from the whole job before it judges any of it."""
        summary = self.store.summary(stage)
        if summary is None:
            ran.append(stage.name)
            scores = _scores_in(stage)
            with progress.task(stage.name, shards) as bar:
                summary = judge.learn(progress.counted((loader.scored(s, scores) for s in range(shards)), bar))
            self.store.complete(stage, summary)
        return replace(judge, **summary)  # type: ignore[type-var]

    def learnt(self, name: str, result: Result) -> Any:
        """A filter of a finished run, with what it learnt."""
        judge = self.plan.filters[name]
        stage = result.stages.learn.get(name)
        return replace(judge, **(self.store.summary(stage) or {})) if stage else judge  # type: ignore[type-var]

    def _select(self, loader: Loader, stage: Stage, shards: int) -> Iterator[None]:
        selections = self.plan.selector.select(Batches(replace(loader, select=False), shards))
        for shard, selection in zip(range(shards), selections, strict=True):
            self.store.write(stage, shard, columns.selection_table(selection))
            yield

    def _read(self, stages: Stages, ran: list[str]) -> tuple[Loader, int]:
        summary = self.store.summary(stages.read)
        whole = summary is not None and all(self.store.has(stages.read, shard) for shard in range(summary["shards"]))
        if summary is None or not whole or self.cache.find("corpora", summary["corpus"]) is None:
            ran.append("read")
            summary = self._read_all(stages.read)
            self.store.complete(stages.read, summary)
        folder = self.cache.root / "corpora" / summary["corpus"]
        return Loader(self.store, corpus.Corpus(folder, self.cache), stages, self.plan.controls), summary["shards"]

    def _read_all(self, stage: Stage) -> dict[str, Any]:
        begin = time.monotonic()
        with progress.task("read corpus") as bar:
            built = corpus.build(self.cache, progress.counted(self.plan.reader.passages(), bar))
        skipped = Counter(built.skipped)
        shards = examples = 0
        block: list[Example] = []

        def write() -> None:
            nonlocal shards, block
            rows = [[built.corpus.row(identifier) for identifier in example.positives] for example in block]
            table = columns.examples_table(
                Batch.of(
                    built.corpus,
                    [example.id for example in block],
                    [example.query for example in block],
                    offsets_of([len(own) for own in rows]),
                    np.array([row for own in rows for row in own], dtype=np.int64),
                )
            )
            self.store.write(stage, shards, table)
            shards, block = shards + 1, []

        with progress.task("read examples") as bar:
            for read in progress.counted(self.plan.reader.examples(built.corpus, built.empty), bar):
                if read.item is None:
                    skipped[read.skipped or "skipped"] += 1
                    continue
                examples += 1
                block.append(read.item)
                if len(block) == SHARD:
                    write()
        if block:
            write()
        if not examples:
            reasons = "; ".join(f"{count} times: {reason}" for reason, count in skipped.items()) or "there is no query"
            where = ", ".join(str(file) for file in self.plan.reader.files())
            raise DataError(f"{where}: no query has a positive ({reasons}); nothing can be mined")
        return {
            "shards": shards,
            "corpus": built.corpus.fingerprint,
            "passages": len(built.corpus),
            "examples": examples,
            "skipped": dict(sorted(skipped.items())),
            "seconds": round(time.monotonic() - begin, 3),
        }

    def _evaluate(self, stages: Stages, batches: Batches) -> dict[str, Any]:
        plan = self.plan
        encoder = plan.target_encoder
        evaluation = Evaluation(
            plan.target, self.at, tuple(plan.generators), plan.controls, encoder if plan.sem else None
        )
        shortcut = Shortcut(encoder, len(batches))
        written = Written(
            {name: part.scorer for name, part in plan.filters.items() if isinstance(part, Relevance)},
            tuple(name for name, part in plan.filters.items() if isinstance(part, ECISafety)),
        )
        with progress.task("evaluate", len(batches) * SHARD) as bar:
            for batch in batches:
                evaluation.add(batch, plan.selector.per_query)
                shortcut.add(batch)
                written.add(batch)
                bar.advance(SHARD)
        read = self.store.summary(stages.read) or {}
        report = evaluation.report(shortcut.report()) | written.report()
        report["read"] = {key: read[key] for key in ("passages", "examples", "skipped")}
        return report


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of a plan."""

    read: Stage
    generate: Mapping[str, Stage]
    merge: Stage
    score: Mapping[str, Stage]
    learn: Mapping[str, Stage]
    filters: Mapping[str, Stage]
    select: Stage
    evaluate: Stage
    export: Mapping[str, Stage]

    def __iter__(self) -> Iterator[Stage]:
        yield self.read
        yield from self.generate.values()
        yield self.merge
        yield from self.score.values()
        yield from self.learn.values()
        yield from self.filters.values()
        yield self.select
        yield self.evaluate
        yield from self.export.values()


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gave: the batches with everything known of them, the report, and the stages that were computed."""

    stages: Stages
    corpus: corpus.Corpus
    batches: Batches
    report: dict[str, Any]
    ran: list[str]


@dataclass(frozen=True, slots=True)
class Loader:
    """Makes batches of what the store holds. Goes to the workers, so it holds no data itself."""

    store: Store
    corpus: corpus.Corpus
    stages: Stages
    controls: frozenset[str]
    select: bool = True
    relabel: bool = False

    def examples(self, shard: int) -> Batch:
        """The examples of a shard, without candidates."""
        return columns.examples_batch(self.store.read(self.stages.read, shard), self.corpus, self.controls)

    def merged(self, shard: int) -> Batch:
        """With the candidates of all generators."""
        return columns.merged(self.examples(shard), self.store.read(self.stages.merge, shard))

    def scored(self, shard: int, names: Iterable[str] | None = None) -> Batch:
        """With scores too: of these scorers, or of all."""
        wanted = self.stages.score if names is None else names
        scores = {name: columns.scores(self.store.read(self.stages.score[name], shard)) for name in wanted}
        return replace(self.merged(shard), scores=scores)

    def judged(self, shard: int) -> Batch:
        """With all scores and verdicts, and with the selection unless ``select`` is off."""
        verdicts = {name: columns.verdicts(self.store.read(s, shard)) for name, s in self.stages.filters.items()}
        chosen = columns.selection(self.store.read(self.stages.select, shard)) if self.select else None
        batch = replace(self.scored(shard), verdicts=verdicts, selection=chosen)
        return batch.with_relabelled() if self.relabel else batch


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of a run, in order; each iteration reads them anew, one at a time."""

    loader: Loader
    shards: int

    def __iter__(self) -> Iterator[Batch]:
        return map(self.loader.judged, range(self.shards))

    def __len__(self) -> int:
        return self.shards

    def relabelled(self) -> Batches:
        """The same with relabelled candidates among the positives: what is exported."""
        return replace(self, loader=replace(self.loader, relabel=True))


def _generate(loader: Loader, stage: Stage, name: str, generator: Generator, trial: Trial, shard: int) -> None:
    batch = loader.examples(shard)
    found = (
        rounds.generate(generator, name, batch, *trial) if isinstance(generator, Asker) else generator.generate(batch)
    )
    _aligned(f"generator `{name}`", len(batch) + 1, len(found.offsets))
    _aligned(f"generator `{name}`", int(found.offsets[-1]), len(found.rows), len(found.scores))
    if not np.isfinite(found.scores).all():
        raise PartError(f"generator `{name}` gave a score that is not finite")
    loader.store.write(stage, shard, columns.candidates_table(found))


def _merge(loader: Loader, stage: Stage, shard: int) -> None:
    proposals = {
        name: columns.candidates(loader.store.read(inner, shard)) for name, inner in loader.stages.generate.items()
    }
    batch = merge(loader.examples(shard), proposals)
    loader.store.write(stage, shard, columns.merged_table(batch))


def _score(loader: Loader, stage: Stage, name: str, scorer: Scorer, shard: int) -> None:
    batch = loader.scored(shard, _scores_in(stage))
    scores = scorer.score(batch)
    _aligned(f"scorer `{name}`", len(batch.rows), len(scores.negatives))
    _aligned(f"scorer `{name}`", len(batch.positive_rows), len(scores.positives))
    for values, owners in ((scores.negatives, batch.owners), (scores.positives, batch.positive_owners)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ModelError(
                f"scorer `{name}` gave a score that is not finite, for query `{batch.ids[int(owners[bad[0]])]}`"
            )
    loader.store.write(stage, shard, columns.scores_table(batch, scores))


def _judge(loader: Loader, stage: Stage, name: str, judge: Filter, shard: int) -> None:
    batch = loader.scored(shard, _scores_in(stage))
    verdicts = judge.judge(batch)
    _aligned(f"filter `{name}`", len(batch.rows), len(verdicts.broken), len(verdicts.value), len(verdicts.limit))
    loader.store.write(stage, shard, columns.verdicts_table(batch, verdicts))


def _scores_in(stage: Stage) -> list[str]:
    """The scorers that a stage takes its input from."""
    return [inner.name.removeprefix("score.") for inner in stage.inputs if inner.name.startswith("score.")]


def _aligned(part: str, wanted: int, *found: int) -> None:
    """What comes out of a part is aligned with what went in."""
    for length in found:
        if length != wanted:
            raise PartError(f"{part} answered with {length} entries where {wanted} were asked for")
