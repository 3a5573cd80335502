"""The stages of a plan: what each takes its input from, and what decides its output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hardneg.kinds import described
from hardneg.pipeline.plan import Group, Plan
from hardneg.pipeline.stage import Stage
from hardneg.protocols import Asker, Generator, clients_of, learns

SHARD = 1_000
"""Examples in a shard: the unit of work, the most that a stop loses, and what is in memory."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of a plan. Iterating gives each after its inputs."""

    read: Stage
    generate: Mapping[str, Stage]
    merge: Stage
    score: Mapping[str, Stage]
    learn: Mapping[str, Stage]
    filters: Mapping[str, Stage]
    select: Stage
    evaluate: Stage
    provenance: Stage
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
        yield self.provenance
        yield from self.export.values()


def stages_of(plan: Plan, files: Mapping[str, str]) -> Stages:
    """The stages of a plan, with their fingerprints. ``files``: the content hash of every data file."""
    read = Stage("read", {"shard": SHARD, "reader": described(plan.reader), "files": dict(files)})
    generate: dict[str, Stage] = {}
    for _, name in plan.order("generators"):
        generator = plan.generators[name]
        shown = tuple(generate[other] for other in plan.named(generator, "generators"))
        generate[name] = Stage(f"generate.{name}", described(generator) | _trial(plan, generator), (read, *shown))
    generate = {name: generate[name] for name in plan.generators}
    merged = Stage("merge", {"generators": list(generate)}, tuple(generate.values()))
    controls = {"controls": sorted(plan.controls)}
    score: dict[str, Stage] = {}
    learn: dict[str, Stage] = {}
    filters: dict[str, Stage] = {}
    for group, name in plan.order("scorers", "filters"):
        part = plan.members(group)[name]
        inputs = (
            merged,
            *(score[other] for other in plan.named(part, "scorers")),
            *(filters[other] for other in plan.named(part, "filters")),
        )
        if group == "scorers":
            own = controls if clients_of(part) else {}  # a judge is not asked about controls
            score[name] = Stage(f"score.{name}", described(part) | own, inputs)
            continue
        if learns(part):
            learn[name] = Stage(f"learn.{name}", described(part) | controls, inputs)
            inputs = (*inputs, learn[name])
        filters[name] = Stage(f"filter.{name}", described(part) | controls, inputs)
    score = {name: score[name] for name in plan.scorers}
    filters = {name: filters[name] for name in plan.filters}
    select = Stage(
        "select",
        described(plan.selector) | controls,
        (merged, *(score[name] for name in plan.named(plan.selector, "scorers")), *filters.values()),
    )
    evaluate = Stage(
        "evaluate",
        {"target": plan.target, "at": list(plan.at), "sem": plan.sem, "version": 5},
        (score[plan.target], *filters.values(), select),
    )
    provenance = Stage("provenance", {"version": 1}, (*score.values(), select))
    export = {
        name: Stage(f"export.{name}", described(part), (*score.values(), select)) for name, part in plan.exports.items()
    }
    return Stages(read, generate, merged, score, learn, filters, select, evaluate, provenance, export)


def trial_of(plan: Plan) -> list[tuple[Group, str]]:
    """The scorers and filters that judge candidates between two rounds of asking, in the order of dependence."""
    wanted: set[tuple[Group, str]] = set()

    def add(group: Group, name: str) -> None:
        wanted.add((group, name))
        part = plan.members(group)[name]
        for other in ("scorers", "filters"):
            for mentioned in plan.named(part, other):
                add(other, mentioned)

    for name in plan.filters:
        add("filters", name)
    return [entry for entry in plan.order("scorers", "filters") if entry in wanted]


def _trial(plan: Plan, generator: Generator) -> dict[str, Any]:
    """What the candidates of a generator that asks again depend on beside its own fields."""
    if not isinstance(generator, Asker) or not generator.rounds:
        return {}
    parts = {name: described(plan.members(group)[name]) for group, name in trial_of(plan)}
    return {"trial": parts, "controls": sorted(plan.controls)}
