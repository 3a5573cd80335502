"""Commands about the thresholds of a job: tune, dropped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hardneg.cli.command import command, read_job, takes_job
from hardneg.cli.output import console, print_json
from hardneg.errors import JobError
from hardneg.report.visible import one_line

WANTED = 0.05
"""The false share of the chosen negatives that `tune` aims at unless told otherwise."""
FITTED = (("level", "value"), ("spread", "spread"))
"""Fields of the scorer, and what a fitted level calls them."""


def add(commands: Any) -> None:
    """Adds these commands."""
    tune = command(
        commands,
        "tune",
        "What every threshold of a filter would leave, from the scores and embeddings that a finished run has stored, "
        "and which one to take.",
        _tune,
    )
    takes_job(tune)
    tune.add_argument("--filter", help="which `eci_safety` filter; needed where the job has several")
    wish = tune.add_mutually_exclusive_group()
    wish.add_argument("--survival", type=float, metavar="SHARE", help="suggest the threshold that keeps this share")
    wish.add_argument(
        "--false-negatives",
        type=float,
        metavar="SHARE",
        help=f"suggest the loosest threshold whose chosen negatives are false at most to this share ({WANTED})",
    )
    told = tune.add_mutually_exclusive_group()
    told.add_argument(
        "--qrels", type=Path, help="BEIR judgments, to count false negatives and to fit the level to them"
    )
    told.add_argument(
        "--judge", metavar="NAME", help="fit the level to the grades of this `llm_judge`; a sample of 200 does"
    )
    tune.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves into an .svg or .png")
    tune.add_argument("--apply", action="store_true", help="write the suggestion into the job's file")
    dropped = command(
        commands, "dropped", "Show refused candidates with their reasons, the surest cases first.", _dropped
    )
    takes_job(dropped)
    dropped.add_argument("-n", type=int, default=10, help="how many (10)")
    dropped.add_argument("--filter", help="only those that this filter refused")
    dropped.add_argument(
        "--qrels", type=Path, help="BEIR judgments: only candidates that they call relevant, and how many were refused"
    )
    show = command(commands, "show", "Show one query with its positives, chosen, kept and refused passages.", _show)
    takes_job(show)
    show.add_argument("--query", required=True, metavar="ID", help="the id of a query, or its text")


def _tune(options: argparse.Namespace) -> None:
    from hardneg.job.report_page import PAGE, keep_curves, write_page
    from hardneg.kinds import listed
    from hardneg.protocols import Judged, Threshold
    from hardneg.readers.beir import grades_of
    from hardneg.report import tuning, tuning_view
    from hardneg.scorers.llm_judge import LLMJudge

    for name in ("survival", "false_negatives"):
        share = getattr(options, name)
        if share is not None and not 0 < share < 1:
            raise JobError(f"--{name.replace('_', '-')} must be between 0 and 1, not {share!r}")
    job = read_job(options)
    plan = job.plan
    known = [name for name, judge in plan.filters.items() if isinstance(judge, Threshold)]
    if options.filter not in known and (options.filter is not None or len(known) != 1):
        raise JobError(
            f"name one filter of kind `eci_safety` with --filter; {options.job} has: {listed(known) or 'none'}"
        )
    name = options.filter or known[0]
    if plan.lazy is not None:
        raise JobError(
            f"scorer `{plan.lazy}` is lazy, so what other thresholds leave is not known; say `lazy: false`, run again, "
            "and then tune"
        )
    relevant = None if options.qrels is None else grades_of(options.qrels)
    known = [scorer for scorer, part in plan.scorers.items() if isinstance(part, LLMJudge)]
    if options.judge is not None and options.judge not in known:
        raise JobError(f"--judge names a scorer of kind `llm_judge`; {options.job} has: {listed(known) or 'none'}")
    result = job.finished()
    judge = job.pipeline.learnt("filters", name)
    told = getattr(job.pipeline.learnt("scorers", judge.scorer), "told", None) if judge.rule == "calibrated" else None
    spread = 0.0 if plan.estimator is None else job.pipeline.learnt("scorers", plan.estimator).estimates
    found = tuning.curves(
        result.batches,
        judge,
        name,
        plan.target,
        count=len(result.batches),
        per_query=plan.selector.per_query,
        encoder=plan.target_encoder if plan.sem else None,
        estimator=plan.estimator,
        relevant=relevant,
        opinion=options.judge,
        told=told,
        spread=spread,
        wanted_survival=options.survival,
    )
    if options.plot is not None:
        tuning_view.plot(found, options.plot)
    drawn_for = {"per_query": plan.selector.per_query, "target": plan.target}
    keep_curves(job.output, job.pipeline.stages, name, tuning_view.columns(found) | drawn_for)
    page = job.output / PAGE
    if page.is_file():
        write_page([job.output], page)
    advice = _advice(found, options.survival, options.false_negatives)
    level = None if found.level is None else {"value": found.level.value, "spread": found.level.spread}
    if options.json:
        document = {"filter": name, "rule": found.rule, "rows": found.rows(), "suggestion": advice, "level": level}
        print_json(document)
    else:
        out = console()
        out.print(tuning_view.table(found, suggested=None if advice is None else advice["threshold"]))
        if advice is not None:
            out.print(f"suggestion: {name}: {{{found.rule}: {advice['threshold']:.4g}}}: {advice['why']}")
        if relevant is None and isinstance(plan.reader, Judged) and plan.reader.judged_by() is not None:
            out.print(
                "note: the job's own judgments (`data.judged`) are kept for the report; `--qrels FILE` uses some here"
            )
        if level is not None and told is not None:
            fitted = f"`level: {level['value']:.2f}` and `spread: {level['spread']:.2f}` in scorer `{judge.scorer}`"
            out.print(f"level: the judgments fit {fitted}, until now {told.value:.2f} and {told.spread:.2f}")
        if options.plot is not None:
            out.print(f"plot: {options.plot}")
        if page.is_file():
            out.print(f"curves, to look at in a browser: {page}")
    if options.apply:
        if advice is None:
            raise JobError("there is no suggestion to apply; see what `hardneg tune` says without --apply")
        _apply(job, name, judge, advice["threshold"], level)


def _advice(found: Any, survival: float | None, wanted: float | None) -> dict[str, Any] | None:
    """A threshold and why, in words. None where nothing can be advised."""
    if survival is not None:
        kept = found.suggest("survival", survival)
        low, high = kept["interval"]
        kept["why"] = f"it keeps {kept['survival']:.1%} of the candidates (95 % interval {low:.1%} to {high:.1%})"
        return dict(kept)
    if wanted is None and not found.estimated:
        return None
    share = WANTED if wanted is None else wanted
    row = found.decide(share)
    low, high = row["chosen_false_interval"] or (0, 0)
    basis = f"estimated, {low:.1%} to {high:.1%}"
    if found.judged:
        part = row["chosen_judged"]
        basis = "by the judgments" if part == 1 else f"by the judgments of {part:.1%} of them"
    first = "the loosest of those tried with" if row["met"] else "no threshold reaches"
    row["why"] = (
        f"{first} at most {share:.1%} false among the chosen negatives ({row['chosen_false']:.1%}, {basis}), hardness "
        f"{row['chosen_hardness']:.3f}; {row['short']:,.0f} of {row['queries']:,.0f} queries are short before "
        f"deeper ranks are searched, {row['empty']:,.0f} of them empty"
    )
    return dict(row)


def _apply(job: Any, name: str, judge: Any, threshold: float, level: dict[str, float] | None) -> None:
    from hardneg.files.durable import replacing
    from hardneg.job.yaml_editing import with_value

    values = {f"filters.{name}.{judge.rule}": float(f"{threshold:.4g}")}
    if level is not None:
        values |= {f"scorers.{judge.scorer}.{field}": round(level[key], 2) for field, key in FITTED}
    text = job.source.written
    for key, value in values.items():
        text = with_value(text, key, value, job.path)
    with replacing(job.path) as file:
        file.write_bytes(text)
    print(f"{job.path}: written; run `hardneg run {job.source.without(values).named}` to use it", file=sys.stderr)


def _dropped(options: argparse.Namespace) -> None:
    from hardneg.readers.beir import grades_of
    from hardneg.report.dropped import caught, clearest

    job = read_job(options)
    batches, estimator = job.finished().batches, job.plan.estimator
    relevant = None if options.qrels is None else grades_of(options.qrels)
    cases = clearest(batches, options.n, options.filter, relevant, estimator)
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
        case |= {key: one_line(value) for key, value in case.items() if isinstance(value, str)}
        sure = "" if case["probability"] is None else f", {case['probability']:.0%} likely relevant"
        out.print(f"{number}. query {case['query_id']}: {case['query']}", style="bold", **line)
        out.print(f"   positive {case['positive_id']}: {case['positive']}", **line)
        out.print(f"   refused {case['negative_id']}{sure}: {case['negative']}", **line)
        for name, reason in case["reasons"].items():
            out.print(f"   {name}: {one_line(reason)}", **line)


def _show(options: argparse.Namespace) -> None:
    from hardneg.report.one_query import one_query

    job = read_job(options)
    found = one_query(job.finished().batches, options.query, job.plan.target)
    if options.json:
        print_json(found)
        return
    out = console()
    out.print(f"query {one_line(found['query_id'])}: {one_line(found['query'])}", style="bold")
    for passage in found["positives"]:
        out.print(f"\npositive {one_line(passage['id'])}: {_indented(passage['text'])}")
    for group in ("chosen", "kept", "refused", "not scored"):
        for candidate in found[group]:
            scores = ", ".join(f"{name} {value:.3f}" for name, value in candidate["scores"].items())
            origins = ", ".join(candidate["origins"])
            text = _indented(candidate["text"])
            out.print(f"\n{group} {one_line(candidate['id'])} ({scores}; {origins}): {text}")
            for name, reason in candidate["reasons"].items():
                out.print(f"   {name}: {one_line(reason)}")


def _indented(passage: str) -> str:
    """A passage whose further lines cannot be taken for lines of ours."""
    return passage.strip().replace("\n", "\n      ")
