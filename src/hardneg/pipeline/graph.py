"""The stages of a plan: what each takes its input from, and what decides its output.

The first wave takes every example through generators, scorers and filters. Where too few negatives are left, the next
wave takes just those examples through the same parts with a greater depth, and its candidates take the place of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hardneg.kinds import described, parts_in
from hardneg.pipeline.deeper import deeper
from hardneg.pipeline.plan import Group, Plan
from hardneg.pipeline.stage import Stage
from hardneg.protocols import Approximate, Approximation, Asker, Generator, Judged, clients_of, learns, partitioned

SHARD = 1_000
"""Examples in a shard: the unit of work, the most that a stop loses, and what is in memory."""


@dataclass(frozen=True, slots=True)
class Wave:
    """The stages from examples to verdicts. ``examples``: the stage that says which examples go through it."""

    number: int
    examples: Stage
    generate: Mapping[str, Stage]
    merge: Stage
    learn: Mapping[tuple[Group, str], Stage]
    """By group and name: what a part learns from the whole job, in the first wave alone."""
    score: Mapping[str, Stage]
    filters: Mapping[str, Stage]

    def member(self, group: Group, name: str) -> Stage:
        """The stage of a generator, scorer or filter."""
        return {"generators": self.generate, "scorers": self.score, "filters": self.filters}[group][name]

    def __iter__(self) -> Iterator[Stage]:
        if self.number:
            yield self.examples
        yield from self.generate.values()
        yield self.merge
        yield from self.score.values()
        yield from self.learn.values()
        yield from self.filters.values()


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of a plan. Iterating gives each after its inputs."""

    read: Stage
    waves: tuple[Wave, ...]
    recall: Mapping[str, Stage]
    """By generator: how much of what is near its approximate search finds."""
    select: Stage
    evaluate: Stage
    provenance: Stage
    export: Mapping[str, Stage]

    @property
    def first(self) -> Wave:
        """The wave that every example goes through."""
        return self.waves[0]

    def __iter__(self) -> Iterator[Stage]:
        yield self.read
        for wave in self.waves:
            yield from wave
        yield from self.recall.values()
        yield self.select
        yield self.evaluate
        yield self.provenance
        yield from self.export.values()


def stages_of(plan: Plan, files: Mapping[str, str], left_out: Sequence[str] = ()) -> Stages:
    """The stages of a plan, with their fingerprints. ``files``: the content hash of every data file.

    ``left_out``: ids of examples that the stages up to the filters had to leave out.
    """
    read = Stage("read", {"version": 2, "shard": SHARD, "reader": described(plan.reader), "files": dict(files)})
    waves = [_wave(plan, 0, read, None)]
    for number in range(1, plan.deepen + 1):
        before = waves[-1]
        wanted = {"per_query": plan.selector.per_query, "controls": sorted(plan.controls)}
        short = Stage(f"short.deeper{number}", wanted, (before.examples, before.merge, *before.filters.values()))
        waves.append(_wave(plan, number, short, waves[0]))
    controls = {"controls": sorted(plan.controls)}
    filters = tuple(stage for wave in waves for stage in wave.filters.values())
    scores = tuple(stage for wave in waves for stage in wave.score.values())
    looked_at = [wave.score[name] for wave in waves for name in plan.named(plan.selector, "scorers")]
    without = {"left out": sorted(left_out)} if left_out else {}
    select = Stage(
        "select", described(plan.selector) | controls | without, (*(wave.merge for wave in waves), *looked_at, *filters)
    )
    judged = plan.reader.judged_by() if isinstance(plan.reader, Judged) else None
    recall = {
        name: Stage(f"recall.{name}", {"version": 1, "search": described(part), "check": about.queries}, (read,))
        for name, generator in plan.generators.items()
        for part, about in approximations(generator)
    }
    estimator = () if plan.estimator is None else tuple(wave.score[plan.estimator] for wave in waves)
    evaluate = Stage(
        "evaluate",
        {
            "target": plan.target,
            "at": list(plan.at),
            "sem": plan.sem,
            "judged": judged,
            "probe": plan.loss if plan.probe else None,
            "version": 11,
        },
        (*(wave.score[plan.target] for wave in waves), *estimator, *filters, *recall.values(), select),
    )
    provenance = Stage("provenance", {"version": 1}, (*scores, select))
    export = {name: Stage(f"export.{name}", described(part), (*scores, select)) for name, part in plan.exports.items()}
    return Stages(read, tuple(waves), recall, select, evaluate, provenance, export)


def approximations(generator: Generator) -> list[tuple[Approximate, Approximation]]:
    """The first approximate search in a generator that is to be checked, if there is one."""
    inner = (part for part in parts_in(generator) if isinstance(part, Approximate))
    found = [(part, about) for part in inner if (about := part.approximation) is not None]
    return found[:1]


def _wave(plan: Plan, number: int, examples: Stage, first: Wave | None) -> Wave:
    suffix = f".deeper{number}" if number else ""
    controls = {"controls": sorted(plan.controls)}
    generate: dict[str, Stage] = {}
    for _, name in plan.order("generators"):
        generator = deeper(plan, name, number)
        shown = tuple(generate[other] for other in plan.named(generator, "generators"))
        # what cannot be deepened keeps what it proposed in the first wave
        own = (first.generate[name],) if first is not None and generator is plan.generators[name] else ()
        what = described(generator) | _trial(plan, generator)
        inputs = (examples, *shown, *own)
        parts = () if own else _parts(name, suffix, generator, what, inputs)
        generate[name] = Stage(f"generate.{name}{suffix}", what, inputs, parts)
    merged = Stage(f"merge{suffix}", {"generators": list(plan.generators)}, (examples, *generate.values()))
    learn: dict[tuple[Group, str], Stage] = {}
    score: dict[str, Stage] = {}
    filters: dict[str, Stage] = {}
    for group, name in plan.order("scorers", "filters"):
        part = plan.members(group)[name]
        inputs = (
            merged,
            *(score[other] for other in plan.named(part, "scorers")),
            *(filters[other] for other in plan.named(part, "filters")),
        )
        what = described(part)
        if group == "scorers" and name == plan.lazy:
            what |= _need(plan, name)
            inputs = (*inputs, *(score[n] if g == "scorers" else filters[n] for g, n in plan.before_lazy()))
        if learns(part):
            key = (group, name)
            learn[key] = first.learn[key] if first else Stage(f"learn.{group[:-1]}.{name}", what | controls, inputs)
            inputs = (*inputs, learn[key])
        if group == "scorers":
            own_controls = controls if clients_of(part) else {}  # a judge is not asked about controls
            score[name] = Stage(f"score.{name}{suffix}", what | own_controls, inputs)
        else:
            filters[name] = Stage(f"filter.{name}{suffix}", what | controls, inputs)
    return Wave(
        number,
        examples,
        {name: generate[name] for name in plan.generators},
        merged,
        {} if first else learn,
        {name: score[name] for name in plan.scorers},
        {name: filters[name] for name in plan.filters},
    )


def _parts(
    name: str, suffix: str, generator: Generator, what: Mapping[str, Any], inputs: tuple[Stage, ...]
) -> tuple[Stage, ...]:
    """The stages in which a generator searches the parts of a corpus."""
    if not partitioned(generator):
        return ()
    count = generator.parts
    return tuple(
        Stage(f"generate.{name}.part-{number}-of-{count}{suffix}", {**what, "part": number, "of": count}, inputs)
        for number in range(1, count + 1)
    )


def _need(plan: Plan, scorer: str) -> dict[str, Any]:
    """What decides about which candidates the lazy scorer is asked."""
    filters = {name: described(plan.filters[name]) for name in plan.awaiting(scorer)}
    return {"need": {"select": described(plan.selector), "filters": filters, "controls": sorted(plan.controls)}}


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
