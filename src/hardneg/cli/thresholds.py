"""Commands about the thresholds of a job: tune, dropped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hardneg.cli.command import command
from hardneg.cli.output import console, print_json
from hardneg.errors import JobError


def add(commands: Any) -> None:
    """Adds these commands."""
    tune = command(
        commands,
        "tune",
        "What every threshold of a filter would leave, from the scores and embeddings that a finished run has stored.",
        _tune,
    )
    tune.add_argument("job", type=Path, help="the job's YAML file")
    tune.add_argument("--filter", help="which `eci_safety` filter; needed where the job has several")
    wish = tune.add_mutually_exclusive_group()
    wish.add_argument("--survival", type=float, metavar="SHARE", help="suggest the threshold that keeps this share")
    wish.add_argument(
        "--false-negatives",
        type=float,
        metavar="SHARE",
        help="suggest the loosest threshold whose kept candidates are relevant at most so often",
    )
    tune.add_argument("--qrels", type=Path, help="BEIR judgments, to count false negatives")
    tune.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves into an .svg or .png")
    dropped = command(
        commands, "dropped", "Show refused candidates with their reasons, the clearest cases first.", _dropped
    )
    dropped.add_argument("job", type=Path, help="the job's YAML file")
    dropped.add_argument("-n", type=int, default=10, help="how many (10)")
    dropped.add_argument("--filter", help="only those that this filter refused")
    dropped.add_argument(
        "--qrels", type=Path, help="BEIR judgments: only candidates that they call relevant, and how many were refused"
    )


def _tune(options: argparse.Namespace) -> None:
    from hardneg.job.run_folder import Job
    from hardneg.kinds import listed
    from hardneg.protocols import Threshold
    from hardneg.readers.beir import grades_of
    from hardneg.report import tuning, tuning_view

    for name in ("survival", "false_negatives"):
        share = getattr(options, name)
        if share is not None and not 0 < share < 1:
            raise JobError(f"--{name.replace('_', '-')} must be between 0 and 1, not {share!r}")
    job = Job.read(options.job)
    known = [name for name, judge in job.plan.filters.items() if isinstance(judge, Threshold)]
    if options.filter not in known and (options.filter is not None or len(known) != 1):
        raise JobError(
            f"name one filter of kind `eci_safety` with --filter; {options.job} has: {listed(known) or 'none'}"
        )
    name = options.filter or known[0]
    relevant = None if options.qrels is None else grades_of(options.qrels)
    result = job.finished()
    judge = job.pipeline.learnt("filters", name)
    if options.false_negatives is not None and relevant is None and judge.rule != "calibrated":
        raise JobError(
            f"--false-negatives needs judgments (--qrels), or a filter with `calibrated`; `{name}` has neither"
        )
    found = tuning.curves(
        result.batches,
        judge,
        name,
        job.plan.target,
        count=len(result.batches),
        encoder=job.plan.target_encoder if job.plan.sem else None,
        relevant=relevant,
        wanted_survival=options.survival,
    )
    if options.plot is not None:
        tuning_view.plot(found, options.plot)
    suggestion = None
    for wish in ("survival", "false_negatives"):
        if getattr(options, wish) is not None:
            suggestion = found.suggest(wish, getattr(options, wish))
    if options.json:
        print_json(
            {
                "filter": name,
                "rule": found.rule,
                "rows": found.rows(),
                "suggestion": suggestion,
                "level_shift": found.shift,
            }
        )
        return
    out = console()
    out.print(tuning_view.table(found))
    if suggestion is not None:
        wish = "survival" if options.survival is not None else "false_negatives"
        low, high = suggestion["interval"]
        basis = "" if wish == "survival" or relevant is not None else ", by the scorer's own probabilities"
        out.print(
            f"suggestion: {name}: {found.rule}: {suggestion['threshold']:.6g} gives {wish.replace('_', ' ')} of "
            f"{suggestion[wish]:.2%}{basis} (95 % interval {low:.2%} to {high:.2%}); "
            f"it holds in {suggestion['sure']:.0%} of resamples of the queries",
            markup=False,
        )
    if found.shift is not None and hasattr(job.plan.scorers[judge.scorer], "level"):
        level: float = getattr(job.plan.scorers[judge.scorer], "level") + found.shift  # noqa: B009
        out.print(f"level: the judgments fit `level: {level:.2f}` in scorer `{judge.scorer}`", markup=False)
    if options.plot is not None:
        out.print(f"plot: {options.plot}", markup=False)


def _dropped(options: argparse.Namespace) -> None:
    from hardneg.job.run_folder import Job
    from hardneg.readers.beir import grades_of
    from hardneg.report.dropped import caught, clearest

    batches = Job.read(options.job).finished().batches
    relevant = None if options.qrels is None else grades_of(options.qrels)
    cases = clearest(batches, options.n, options.filter, relevant)
    if options.json:
        print_json(cases)
        return
    out = console()
    line: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
    if relevant is not None:
        false, refused_false, true, refused_true = caught(batches, relevant)
        out.print(
            f"judged relevant: {false:,} candidates, {refused_false:,} refused ({refused_false / max(false, 1):.0%}); "
            f"all others: {true:,}, {refused_true:,} refused ({refused_true / max(true, 1):.0%})",
        )
    for number, case in enumerate(cases, 1):
        out.print(f"{number}. query: {case['query']}", style="bold", markup=False, **line)
        out.print(f"   positive: {case['positive']}", markup=False, **line)
        out.print(f"   refused:  {case['negative']}", markup=False, **line)
        for name, reason in case["reasons"].items():
            out.print(f"   {name}: {reason}", markup=False, **line)
