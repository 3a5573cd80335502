"""One wave under way: stage by stage, every shard that this process has to do."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hardneg import progress
from hardneg.errors import WorkerError
from hardneg.llm import budget
from hardneg.pipeline import lazily, rounds, shard_work, unchanged
from hardneg.pipeline.batches import Loader
from hardneg.pipeline.deeper import deeper
from hardneg.pipeline.graph import Wave, trial_of
from hardneg.pipeline.left_out import culprits, lacking, lost_of
from hardneg.pipeline.memory import peak_memory
from hardneg.pipeline.plan import Group
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.turns import Turns, side_by_side
from hardneg.protocols import Asker, Learner, Partitioned, clients_of, learns, partitioned

if TYPE_CHECKING:
    from hardneg.pipeline.run import Pipeline


@dataclass
class WaveRun:
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
            if partitioned(generator):
                self._in_parts(stage, name, generator)
                continue
            asking = (generator, trial) if isinstance(generator, Asker) else generator
            self.each(stage, shard_work.generate_shard, name, generator, trial, part=asking)
        self.each(wave.merge, shard_work.merge_shard)
        for group, name in plan.order("scorers", "filters"):
            stage = wave.member(group, name)
            part = self._ready(group, name) if self.turns.chosen(stage) else None
            if group == "scorers":
                self.each(stage, shard_work.score_shard, name, part, lazily.Need.of(plan, name), part=part)
            else:
                self.each(stage, shard_work.judge_shard, name, part, part=part)
        return self.loader

    def _in_parts(self, stage: Stage, name: str, generator: Partitioned) -> None:
        """Searches a corpus part by part for the shards that ``stage`` lacks, and puts together what was found."""
        lacking = self.missing(stage) or ()
        store, due = self.pipeline.store, [n for n, part in enumerate(stage.parts) if self.turns.due(part, lacking)]
        if to_make := [n for n in due if not store.listed(stage.parts[n]) >= set(lacking)]:
            self._prepare(stage, generator, to_make)
        for number in due if lacking else ():
            self.each(stage.parts[number], shard_work.search_part, name, generator, number, among=lacking)
        self.each(stage, shard_work.join_parts, name, generator, part=generator)
        if stage.name in self.ran:  # which says enough
            self.ran[:] = [other for other in self.ran if other not in {part.name for part in stage.parts}]

    def _prepare(self, stage: Stage, generator: Partitioned, numbers: Sequence[int]) -> None:
        """Has the engine make what the search of these parts needs, each part in a process where there are some."""
        first = 0 if self.turns.share is None else self.turns.share.index - 1  # shares begin with different ones
        order = [numbers[(place + first) % len(numbers)] for place in range(len(numbers))]
        engine, folders = self.pipeline.engine, self.pipeline.folders
        work = partial(shard_work.prepare_part, self.loader, generator)
        with progress.task(f"prepare {stage.name}", len(order)) as bar, suppress(WorkerError):  # the search says it
            for _ in engine.map(work, order, stage=stage.name, folders=folders):
                bar.advance(1)

    def missing(self, stage: Stage, among: Collection[int] | None = None) -> list[int] | None:
        """The shards that are to do, ``among`` all that the wave has or some. None for a stage that is complete."""
        store, among = self.pipeline.store, self.shards if among is None else among
        there = store.shards(stage, among)
        to_do = [shard for shard in among if shard not in there]
        return to_do if to_do or store.summary(stage) is None else None

    def each(
        self,
        stage: Stage,
        work: shard_work.Step,
        *what: object,
        part: object = None,
        among: Collection[int] | None = None,
    ) -> None:
        """Does ``work`` on every shard that ``stage`` lacks, ``among`` all or some, if it is its turn."""
        shards = self.shards if among is None else among
        if not self.turns.due(stage, shards):
            return
        asks = bool(clients_of(part))
        to_do = self.missing(stage, shards)
        if asks:  # a budget is the whole job's, also what earlier runs spent
            there = [shard for shard in self.shards if shard not in (to_do or ())]
            done = self.pipeline.usage(stage) if to_do is None and self.turns.share is None else None
            budget.current().settle(0, 0.0, done or self.pipeline.spent(stage, there))
        if to_do is not None:
            # a client is concurrent inside, and its limits and the budget hold for all of the job: one process
            for shard in set(shards).difference(to_do):  # what an earlier run wrote
                self._without(dict.fromkeys(lacking(self.pipeline.store.read(stage, shard)), stage.name))
            if asks:
                self.pipeline.engine.close()
            here = map(partial(work, self.loader, self.of, stage, *what), to_do)
            done_shards = here if asks else self._surviving(stage, work, what, to_do)
            self.finish(stage, done_shards, to_do, asks=asks)

    def _surviving(
        self, stage: Stage, work: shard_work.Step, what: tuple[object, ...], shards: Sequence[int]
    ) -> Iterator[object]:
        """Does ``work`` on shards in the engine. Where processes die of one, without the examples that they die of."""
        wave = self.of
        spread = partial(self.pipeline.engine.map, stage=stage.name, folders=self.pipeline.folders)
        try:
            yield from spread(partial(work, self.loader, wave, stage, *what), shards)
        except WorkerError as error:
            for shard in error.shards:
                attempt = partial(shard_work.try_examples, work, self.loader, wave, stage, what, shard)
                ids = self.loader.examples(shard, wave.number).ids
                found = culprits(ids, partial(lost_of, partial(spread, attempt)))
                self._without(dict.fromkeys(found, stage.name))
                yield from spread(partial(work, self.loader, wave, stage, *what), [shard])

    def _without(self, found: Mapping[str, str]) -> None:
        """Goes on without these examples; each has the stage that left it out, unless an earlier one did."""
        self.loader = replace(self.loader, left_out={**found, **self.loader.left_out})

    def finish(self, stage: Stage, work: Iterable[Any], shards: Iterable[int], *, asks: bool = False) -> None:
        """Waits for the shards of a stage and marks it as complete, where no other process has some to do."""
        begin = time.monotonic()
        sizes = [self.shards[shard] for shard in shards]
        if sizes or (self.turns.share is None and not self.shards):
            self.ran.append(stage.name)
        with progress.task(stage.name, sum(sizes)) as bar:
            for size, _ in zip(sizes, work, strict=True):
                bar.advance(size)
        every: Collection[int] = self.shards
        if not self.pipeline.store.listed(stage) >= set(every):  # a part, of which some are not needed
            return
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
