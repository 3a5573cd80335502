"""The page of a finished run, or of several side by side: what people look at before they train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hardneg.pages.decision import decision, side_by_side
from hardneg.pages.flow import flow
from hardneg.pages.making import language_models, making
from hardneg.pages.page import page
from hardneg.pages.similarity import similarity
from hardneg.pages.sources import sources
from hardneg.report.comparison import by_corpus
from hardneg.report.examples import EXAMPLES, drawn


@dataclass(frozen=True, slots=True)
class Run:
    """What the page is made from: ``report.json``, ``manifest.json``, the job's text, the examples that the evaluation
    drew, and the curves of `hardneg tune` that were drawn from this run.
    """

    name: str
    report: Mapping[str, Any]
    manifest: Mapping[str, Any]
    job: str
    examples: Sequence[Mapping[str, Any]] = ()
    tuning: Sequence[Mapping[str, Any]] = ()


def report_page(runs: Sequence[Run]) -> bytes:
    """The page in UTF-8. Under 2 MB for one run of any size."""
    several = len(runs) > 1
    reports = {run.name: run.report for run in runs}
    sections = [_sections(run) for run in runs]
    return page(
        "report.html",
        title="Runs side by side" if several else f"Hard negatives: {runs[0].name}",
        data={"runs": [_looked_at(run, EXAMPLES // len(runs)) for run in runs]},
        runs=sections,
        asked=any(own["models"] for own in sections),
        rows=side_by_side(reports) if several else [],
        corpora=len(by_corpus(reports)),
        examples=sum(len(run.examples) > 0 for run in runs),
    )


def _sections(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "report": run.report,
        "decision": decision(run.report),
        "flow": flow(run.report),
        "sources": sources(run.report),
        "similarity": similarity(run.report, run.tuning),
        "models": language_models(run.report),
        "making": making(run.manifest, run.job),
    }


def _looked_at(run: Run, most: int) -> dict[str, Any]:
    """At most so many examples of a run, evenly spaced, and what the script must know of it."""
    total = len(run.examples)
    return {
        "name": run.name,
        "target": run.report["scorer"],
        "doubt": run.report["false"]["scorer"],
        "generators": [name for name in run.report["generated"] if name not in run.report["controls"]],
        "filters": list(run.report["dropped"]),
        "examples": [one for number, one in enumerate(run.examples) if drawn(number, total, most)],
    }
