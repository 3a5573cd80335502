"""Requests that no server answered: a run asks again, and makes anew what rests on the answers that were missing."""

from __future__ import annotations

from hardneg.data import parquet
from hardneg.pipeline.graph import Stages
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Store
from hardneg.protocols import clients_of


def forget(plan: Plan, stages: Stages, store: Store) -> None:
    """Drops the shards in which requests are unanswered, and every stage that takes them for its input.

    Stopped in the middle, it is done again by the next call: what the unanswered requests are told from goes last.
    """
    asking = {
        stage.folder
        for wave in stages.waves
        for members, parts in ((wave.generate, plan.generators), (wave.score, plan.scorers))
        for name, stage in members.items()
        if clients_of(parts[name])
    }
    stale: dict[str, tuple[Stage, list[int] | None]] = {}
    for stage in stages:
        if any(inner.folder in stale for inner in stage.inputs):
            stale[stage.folder] = stage, None
        elif stage.folder in asking and (found := _unanswered(stage, store)):
            stale[stage.folder] = stage, found
    for stage, shards in reversed(stale.values()):
        store.drop(stage, shards)
        for part in stage.parts:
            store.drop(part)


def _unanswered(stage: Stage, store: Store) -> list[int]:
    """The shards of a stage with such requests."""
    summary = store.summary(stage)
    if summary is not None and not summary.get("usage", {}).get("unanswered"):
        return []
    tables = ((shard, store.read(stage, shard)) for shard in sorted(store.shards(stage)))
    return [shard for shard, table in tables if (spent := parquet.usage(table)) and spent.unanswered]
