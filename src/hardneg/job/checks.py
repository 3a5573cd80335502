"""What can be wrong with a job although every part of it is well made: each check yields a place and a problem."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hardneg import kinds
from hardneg.errors import PartError
from hardneg.llm import keys
from hardneg.pipeline.plan import Group, Plan
from hardneg.protocols import Estimator, Independent, Lazy, Threshold, clients_of, learns

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
STAGES: Mapping[str, Group] = {"generate": "generators", "score": "scorers", "filter": "filters"}
"""How the names of stages begin whose shards are spread, and the group that each has a stage for every member of."""
Problem = tuple[tuple[str, ...], str]
"""A key path of the document, and what is wrong there."""


def literal_keys(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Keys that stand in the job itself."""
    for place in keys.in_values(raw):
        yield place, keys.WAY_OUT


def line_with_key(raw: Mapping[str, Any], text: str) -> int | None:
    """The line of a job's text, comments included, that holds a key: by its look, or the one of a variable it names."""
    named = {value for place, value in leaves(raw) if place and place[-1] == "api_key_env"}
    known = [keys.Redaction(key) for name in named if len(key := os.environ.get(name, "")) > keys.SHORTEST]
    for number, line in enumerate(text.splitlines(), 1):
        if keys.LITERAL.search(line) or any(key.found_in(line) for key in known):
            return number
    return None


def leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts of a document, with the key path that each is given under; those of a list have the list's."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, (*place, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, place)
    elif isinstance(value, str):
        yield place, value


def outdated(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Forms of earlier versions, with the form that took their place."""
    generators = raw.get("generators")
    for name, part in generators.items() if isinstance(generators, dict) else ():
        if isinstance(part, dict) and "control" in part:
            yield ("generators", str(name), "control"), f"name controls beside the generators: `controls: [{name}]`"
    scorers = raw.get("scorers")
    for name, part in scorers.items() if isinstance(scorers, dict) else ():
        if isinstance(part, dict) and isinstance(part.get("cascade"), dict):
            yield ("scorers", str(name), "cascade"), "name a filter of the job: `cascade: safe`"
    for name, part in generators.items() if isinstance(generators, dict) else ():
        if isinstance(part, dict) and isinstance(part.get("context"), dict):
            yield ("generators", str(name), "context"), "name a generator of the job: `context: lexical`"


def contradictions(plan: Plan, budget_in_money: bool, engine: object = None) -> Iterator[Problem]:
    """Names that nothing defines, and plans that cannot give a result."""
    yield from _names(plan)
    yield from _references(plan)
    yield from _cascades(plan)
    yield from _second_signals(plan)
    yield from _lazy(plan)
    for name, part in plan.exports.items():
        if (getattr(part, "negatives", None) or 0) > plan.selector.per_query:
            most = plan.selector.per_query
            yield ("exports", name, "negatives"), f"more than the {most} that `select.per_query` gives"
    for name in getattr(plan.selector, "quota", {}):
        if name not in plan.trained:
            known = kinds.listed(plan.trained)
            yield ("select", "quota", name), f"no generator to train on is called `{name}`; there are: {known}"
    yield from _stages(plan, engine)
    for client in clients_of([*plan.generators.values(), *plan.scorers.values()]) if budget_in_money else ():
        if client.prices is None:
            yield (
                ("budget", "max_cost"),
                f"the client of model `{getattr(client, 'model', client)}` has no `prices`; give them, per million "
                "tokens: prices: {input: 0.1, output: 0.4}",
            )


def _stages(plan: Plan, engine: object) -> Iterator[Problem]:
    """Stages that the engine has workers for and the job does not have."""
    known = [f"{prefix}.{name}" for prefix, group in STAGES.items() for name in plan.members(group)] + ["merge"]
    for stage in getattr(engine, "stages", {}):
        if stage not in known:
            hint = kinds.did_you_mean(stage, known)
            yield ("engine", "stages", stage), f"no stage is called `{stage}`{hint}; there are: {kinds.listed(known)}"


def _names(plan: Plan) -> Iterator[Problem]:
    groups = {
        "generators": plan.generators,
        "scorers": plan.scorers,
        "filters": plan.filters,
        "exports": plan.exports,
    }
    for group, names in groups.items():
        for name in names:
            if not NAME.fullmatch(name):
                yield (group, name), "a name is made of letters, digits, `_` and `-`"
    if not plan.trained:
        yield ("generators",), "there is no generator that is not a control; add one"
    if "final" in plan.generators:
        yield ("generators", "final"), "`final` is the name of the final set in the report; choose another"
    for control in plan.controls:
        if control not in plan.generators:
            hint = kinds.did_you_mean(control, plan.generators)
            known = kinds.listed(plan.generators)
            yield ("controls",), f"no generator is called `{control}`{hint}; there are: {known}"


def _references(plan: Plan) -> Iterator[Problem]:
    """Mentions of members that the job does not have, and circles."""
    users: list[tuple[tuple[str, ...], object]] = [
        ((group, name), part)
        for group in ("generators", "scorers", "filters")
        for name, part in plan.members(group).items()
    ]
    users += [(("exports", name), part) for name, part in plan.exports.items()] + [(("select",), plan.selector)]
    mentions = [((*place, key), group, name) for place, part in users for key, group, name in plan.references(part)]
    for place, group, name in [*mentions, (("eci", "scorer"), "scorers", plan.target)]:
        known = plan.members(group)
        if name not in known:
            hint = kinds.did_you_mean(name, known)
            listed = kinds.listed(known) or "none"
            yield place, f"no {group[:-1]} is called `{name}`{hint}; the job's {group} are: {listed}"
            return
    try:
        plan.order("generators")
        plan.order("scorers", "filters")
    except PartError as error:
        yield ("generators",) if "generators" in str(error) else ("scorers",), str(error)


def _cascades(plan: Plan) -> Iterator[Problem]:
    for name, part in plan.scorers.items():
        judge = plan.filters.get(getattr(part, "cascade", None) or "")
        if judge is None:
            continue
        if learns(judge):
            yield ("scorers", name, "cascade"), "that filter learns from the whole job first; give it its values"
        elif not isinstance(judge, Threshold):
            yield ("scorers", name, "cascade"), "name a filter with a threshold on a scorer, such as `eci_safety`"


def _lazy(plan: Plan) -> Iterator[Problem]:
    """Lazy scorers whose scores somebody needs of all candidates."""
    lazy = [name for name, part in plan.scorers.items() if isinstance(part, Lazy) and part.lazy]
    for name in lazy:
        place = ("scorers", name, "lazy")
        waiting = plan.awaiting(name)
        for judge in waiting:
            part = plan.filters[judge]
            if not isinstance(part, Threshold) or part.scorer != name:
                yield place, f"filter `{judge}` needs all its scores: only an `eci_safety` filter can do with some"
            elif learns(part):
                yield place, f"filter `{judge}` learns from the whole job first; give it its values, or another rule"
        users = [("eci", plan.target == name), ("select", name in plan.named(plan.selector, "scorers"))]
        users += [(f"scorer `{other}`", name in plan.named(part, "scorers")) for other, part in plan.scorers.items()]
        users += [
            (f"{group[:-1]} `{other}`", bool(set(plan.named(part, "filters")) & set(waiting)))
            for group in ("scorers", "filters")
            for other, part in plan.members(group).items()
        ]
        for user, needs in users:
            if needs:
                yield place, f"{user} needs the scores of all candidates"
        if not waiting:
            yield place, "no filter looks at its scores, so that none would be needed"
        if not (isinstance(plan.selector, Independent) and plan.selector.independent):
            yield (
                place,
                "this selector's choice depends on what it does not choose; take `top` or `disagreement` without "
                "`reuse`",
            )
        if name != lazy[0]:
            yield place, f"scorer `{lazy[0]}` is lazy already; a job may have one"


def _second_signals(plan: Plan) -> Iterator[Problem]:
    """Filters that would take one and the same voice for two."""
    for name, part in plan.filters.items():
        judge, second = (plan.scorers.get(getattr(part, key, None) or "") for key in ("scorer", "agree"))
        if judge is None or second is None:
            continue
        if {client.identity() for client in clients_of(judge)} & {client.identity() for client in clients_of(second)}:
            yield ("filters", name, "agree"), "that scorer asks the same model; one model has one vote"
        if isinstance(second, Estimator) and getattr(part, "agree_from", None) is None:
            yield (
                ("filters", name, "agree"),
                "that scorer gives probabilities; say from which one it agrees: `agree_from: 0.5`",
            )
