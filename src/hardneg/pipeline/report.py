"""The report of a finished selection: everything that is counted or measured over all batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardneg import progress
from hardneg.pipeline.batches import Batches
from hardneg.pipeline.graph import SHARD
from hardneg.pipeline.plan import Plan
from hardneg.protocols import clients_of
from hardneg.report.evaluation import Evaluation
from hardneg.report.language_models import LanguageModels
from hardneg.report.shortcut import Shortcut


def report_of(plan: Plan, batches: Batches, read: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``report.json`` that the batches decide. ``read``: the summary of the stage `read`."""
    encoder = plan.target_encoder
    evaluation = Evaluation(
        plan.target,
        plan.at or (plan.selector.per_query,),
        tuple(plan.generators),
        frozenset(plan.controls),
        encoder if plan.sem else None,
    )
    shortcut = Shortcut(encoder, len(batches))
    scorers = {name: getattr(part, "scorer", None) for name, part in plan.filters.items()}
    judges = {name: s for name, s in scorers.items() if s is not None and clients_of(plan.scorers[s])}
    written = LanguageModels(judges, tuple(name for name, s in scorers.items() if s is not None and name not in judges))
    with progress.task("evaluate", len(batches) * SHARD) as bar:
        for batch in batches:
            evaluation.add(batch, plan.selector.per_query)
            shortcut.add(batch)
            written.add(batch)
            bar.advance(SHARD)
    report = evaluation.report(shortcut.report()) | written.report()
    report["read"] = {key: read[key] for key in ("passages", "examples", "skipped")}
    return dict(report)
