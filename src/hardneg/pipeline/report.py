"""The report of a finished selection: everything that is counted or measured over all batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardneg import progress
from hardneg.errors import JobError
from hardneg.pipeline.batches import Batches
from hardneg.pipeline.plan import Plan
from hardneg.protocols import Threshold, clients_of
from hardneg.report.evaluation import Evaluation
from hardneg.report.examples import Examples
from hardneg.report.false_shares import FalseShares
from hardneg.report.found_by import FoundBy
from hardneg.report.judgments import Grades
from hardneg.report.language_models import LanguageModels
from hardneg.report.probing import Probing
from hardneg.report.shortcut import Shortcut
from hardneg.report.similarities import Similarities
from hardneg.report.views import Views
from hardneg.report.warnings import notes, warnings


def views_of(plan: Plan) -> Views:
    """The sets that a job's report is about."""
    return Views(tuple(plan.generators), frozenset(plan.controls))


def judged_shares(plan: Plan, batches: Batches, grades: Grades) -> dict[str, Any]:
    """The false shares of a finished run by judgments that the job does not know."""
    views = views_of(plan)
    shares = FalseShares(views, plan.target, plan.selector.per_query, None, 0.0, grades)
    for batch in batches:
        shares.add(batch, views.members(batch))
    return shares.report()["false"]  # type: ignore[no-any-return]


def probing_of(plan: Plan, examples: int) -> Probing:
    """What gathers a run's sets for the probe. Raises `JobError` for a job whose target scorer has no encoder."""
    if plan.target_encoder is None:
        raise JobError(f"the probe needs the embeddings of an encoder, and the scorer `{plan.target}` has none")
    return Probing(
        plan.target_encoder, views_of(plan), plan.target, plan.selector.per_query, examples, plan.loss == "shared"
    )


def final_sets(plan: Plan, batches: Batches, examples: int) -> Probing:
    """The sets of a finished run, for the probe."""
    found = probing_of(plan, examples)
    for batch in batches:
        found.add(batch, found.views.members(batch))
    return found


def report_of(
    plan: Plan,
    batches: Batches,
    read: Mapping[str, Any],
    spread: float,
    grades: Grades | None,
    left_out: Mapping[str, str],
    recall: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, Any], list[str]]:
    """The part of ``report.json`` that the batches decide, and examples to look at, each a JSON document.

    ``read``: the summary of the stage `read`. ``spread``: that of the job's estimator. ``grades``: judgments, if any.
    ``left_out``: by the id of an example, the stage that had to leave it out. ``recall``: by generator, how much of
    what is near its approximate search finds.
    """
    encoder, per_query = plan.target_encoder, plan.selector.per_query
    views = views_of(plan)
    evaluation = Evaluation(plan.target, plan.at or (per_query,), views, encoder if plan.sem else None)
    shares = FalseShares(views, plan.target, per_query, plan.estimator, spread, grades)
    shortcut = Shortcut(encoder, len(batches))
    scorers = {name: getattr(part, "scorer", None) for name, part in plan.filters.items()}
    judges = {name: s for name, s in scorers.items() if s is not None and clients_of(plan.scorers[s])}
    thresholds = {name: part for name, part in plan.filters.items() if isinstance(part, Threshold)}
    similarities = Similarities(plan.target, thresholds, plan.estimator, grades)
    found_by = FoundBy(views.generators, views.controls)
    written = LanguageModels(judges, tuple(name for name, s in scorers.items() if s is not None and name not in judges))
    examples = int(read["examples"])
    deciding = {plan.target, plan.estimator, *plan.named(plan.selector, "scorers")}
    deciding |= {name for part in plan.filters.values() for name in plan.named(part, "scorers")}
    shown = Examples(plan.target, examples - len(left_out), tuple(name for name in plan.scorers if name in deciding))
    probing = probing_of(plan, examples) if plan.probe and encoder is not None else None
    with progress.task("evaluate", examples) as bar:
        for batch in batches:
            members = views.members(batch)
            evaluation.add(batch, members, per_query)
            shares.add(batch, members)
            shortcut.add(batch)
            for gathered in (written, similarities, found_by, shown):
                gathered.add(batch)
            if probing is not None:
                probing.add(batch, members)
            bar.advance(len(batch))
    report = evaluation.report() | shares.report() | written.report()
    report |= found_by.report() | similarities.report()
    report |= {
        "per_query": per_query,
        "shortcut": shortcut.report(),
        **({} if probing is None else probing.report()),
        "left_out": dict(left_out),
        "recall": dict(recall),
        "read": {key: read[key] for key in ("passages", "examples", "equal_queries", "bad_lines", "skipped", "corpus")},
    }
    return report | {"warnings": warnings(report), "notes": notes(report)}, shown.found
