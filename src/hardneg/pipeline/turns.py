"""Which stages a process may work on: all, or with a share of the job those whose inputs are there."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from hardneg.pipeline.graph import Wave
from hardneg.pipeline.share import Share
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Store


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of one process. ``every``: all shards of the job. ``waiting``: the stages that it could not work on
    yet, and what each waits for.
    """

    store: Store
    share: Share | None
    every: range
    waiting: dict[str, list[str]] = field(default_factory=dict)

    def chosen(self, stage: Stage) -> bool:
        """Whether a stage is among those that this process is for."""
        return self.share is None or self.share.covers(stage.name)

    def due(self, stage: Stage, own: Collection[int]) -> bool:
        """Whether a stage may be worked on in the shards ``own``."""
        if self.share is None or not self.chosen(stage):
            return self.share is None
        lacking = [
            inner.name
            for inner in stage.inputs
            if self.store.summary(inner) is None and not self.store.listed(inner) >= set(own)
        ]
        to_do = set(own) - self.store.listed(stage) if stage.parts else set()
        lacking += [part.name for part in stage.parts if not self.store.listed(part) >= to_do]
        if lacking:
            self.waiting[stage.name] = lacking
        return not lacking

    def complete(self, stages: Iterable[Stage]) -> bool:
        """Whether all of these stages are complete, whichever process completed them."""
        return self.share is None or all(self.store.summary(stage) is not None for stage in stages)

    def completes(self, stage: Stage) -> bool:
        """Whether nothing of a stage is to do any more, so that it may be completed."""
        return self.share is None or (self.complete(stage.inputs) and self.store.listed(stage) >= set(self.every))


def side_by_side(wave: Wave) -> tuple[list[Stage], list[Stage]]:
    """The stages of the first wave that are worked on shard by shard: those that need nothing that is learnt from the
    whole job, so that every share can do its own part whatever the others do, and those that come after.
    """
    learnt = {stage.name for stage in wave.learn.values()}
    late = set(learnt)
    for stage in wave:
        if any(inner.name in late for inner in stage.inputs):
            late.add(stage.name)
    shards = [stage for stage in wave if stage.name not in learnt]
    return [s for s in shards if s.name not in late], [s for s in shards if s.name in late]
