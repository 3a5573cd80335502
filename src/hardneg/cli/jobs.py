"""Commands about a job: run, check, estimate."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardneg.cli.command import command, read_job, takes_job
from hardneg.cli.output import console, print_json
from hardneg.errors import JobError

if TYPE_CHECKING:
    from hardneg.job.run_folder import Job
    from hardneg.pipeline.run import Result


def add(commands: Any) -> None:
    """Adds these commands."""
    run = command(commands, "run", "Run a job, or go on with it: what is finished is not computed again.", _run)
    merge = command(
        commands, "merge", "Put together what `run --shard` left on many machines: the same files as one `run`.", _merge
    )
    check = command(
        commands,
        "check",
        "Validate a job and say, stage by stage, what is cached and what is to do. Loads no model.",
        _check,
    )
    forecast = command(
        commands,
        "estimate",
        "Requests, tokens and cost of a job's language models, told from a sample before anything is spent.",
        _estimate,
    )
    check.add_argument("--ping", action="store_true", help="also ask each model server one short question")
    for sub in (run, merge):
        sub.add_argument("--qrels", type=Path, help="BEIR judgments: say how many negatives are really false")
    run.add_argument(
        "--shard",
        metavar="I/N",
        help="do share I (from 1) of N of the job, beside others on a shared folder; then `hardneg merge`",
    )
    run.add_argument("--stage", metavar="NAME", help="do this stage alone, of the share (or of all: 1/1)")
    for sub in (run, merge, check, forecast):
        takes_job(sub)
    forecast.add_argument(
        "--ask",
        type=int,
        default=0,
        metavar="N",
        help="really ask N questions, at their price, and tell the rest from them; the answers are kept for the job",
    )


def _run(options: argparse.Namespace) -> None:
    if options.shard is not None or options.stage is not None:
        _work(options)
        return
    job = read_job(options)
    _tell(job, job.run(), options)


def _merge(options: argparse.Namespace) -> None:
    job = read_job(options)
    _tell(job, job.merge(), options)


def _work(options: argparse.Namespace) -> None:
    """A share of a job: what was done, and what others must do first."""
    from hardneg.pipeline.share import Share

    if options.qrels is not None:
        raise JobError("--qrels needs the whole job; give it to `hardneg merge`")
    share = Share.parsed(options.shard or "1/1", options.stage)
    job = read_job(options)
    worked = job.work(share)
    if options.json:
        print_json({"share": str(share)} | asdict(worked))
        return
    computed = ", ".join(worked.ran) or "nothing: " + (
        "everything was there" if worked.shards else "no shard is its own"
    )
    console().print(f"{share}: {worked.shards:,} of {worked.of:,} shards; computed: {computed}")
    if first := sorted({name for inputs in worked.waiting.values() for name in inputs} - set(worked.waiting)):
        console().print(
            f"{', '.join(first)} needs every shard of the job: when the other shares are done too, this command goes "
            f"on, or `hardneg merge {job.source.named}` does the rest in one process"
        )


def _tell(job: Job, result: Result, options: argparse.Namespace) -> None:
    from hardneg.pipeline.report import judged_shares
    from hardneg.readers.beir import grades_of

    report = json.loads((job.output / "report.json").read_text(encoding="utf-8"))
    if options.qrels is not None:
        found = judged_shares(job.plan, result.batches, grades_of(options.qrels))
        for name, moments in report["false"]["sets"].items():
            for moment, share in moments.items():
                share["judged"] = found["sets"][name][moment]["judged"]
        report["false"]["hardest before filtering"]["judged"] = found["hardest before filtering"]["judged"]
    if options.json:
        print_json(report)
        return
    from hardneg.report import tables

    out = console()
    out.print(tables.summary(report))
    for name, export in report["exports"].items():
        counts = ", ".join(f"{count:,} {what}" for what, count in export["counts"].items())
        out.print(f"{name}: {job.place}/{export['folder']} ({counts})")
    out.print(f"look at the negatives of a query: hardneg show {job.source.named} --query ID")
    out.print(f"numbers: {job.place}/report.json")
    if job.page:
        out.print(f"report, to open in a browser: {job.output / 'report.html'}")
    computed = ", ".join(result.ran) or "nothing: everything was there"
    print(f"computed: {computed}", file=sys.stderr)
    if budget := json.loads((job.output / "manifest.json").read_text(encoding="utf-8")).get("budget"):
        print(budget, file=sys.stderr)


def _together(total: Any, found: Any, cap: int | None) -> str:
    """The sum of the forecasts, and whether the budget holds it."""
    priced = [forecast for forecast in found if forecast.priced]
    money = f", {total.cost:,.2f} in money" if priced else ""
    if money and len(priced) < len(found):
        money += " where there are `prices`"
    over = f"; `budget.max_tokens` stops the job at {cap:,}" if cap is not None and total.tokens > cap else ""
    return f"together {total.tokens:,} tokens{money}{over}"


def _check(options: argparse.Namespace) -> None:
    from rich.table import Table
    from rich.text import Text

    from hardneg.job import readiness

    job = read_job(options)
    problems = [*readiness.problems(job), *(readiness.unanswered(job) if options.ping else ())]
    if problems:
        raise JobError("\n".join(f"{options.job}: {problem}" for problem in problems))
    state = list(job.state())
    if options.json:
        print_json([{"stage": name, "state": what, "why": why} for name, what, why in state])
        return
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "state", "why"):
        table.add_column(column)
    for name, what, why in state:
        table.add_row(name, what, Text(why), style="green" if what == "cached" else None)
    out = console()
    out.print(table)
    to_do = sum(what != "cached" for _, what, _ in state)
    out.print(f"{options.job} is valid; {to_do} of {len(state)} stages are to do")


def _estimate(options: argparse.Namespace) -> None:
    from rich.table import Table
    from rich.text import Text

    from hardneg.data.chat import Usage
    from hardneg.pipeline.estimate import estimate

    if options.ask < 0:
        raise JobError(f"--ask must be at least 0, not {options.ask!r}")
    job = read_job(options)
    with job.opened():
        found = estimate(job.pipeline, asked=options.ask)
    total = sum((forecast.usage for forecast in found), start=Usage())
    if options.json:
        print_json({"stages": [forecast.row() for forecast in found], "tokens": total.tokens, "cost": total.cost})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "requests", "tokens read", "tokens written", "cost", "told from"):
        table.add_column(column, justify="left" if column in ("stage", "told from") else "right")
    for forecast in found:
        used, more = forecast.usage, f"; up to {forecast.rounds} times more in rounds" if forecast.rounds else ""
        numbers = [f"{n:,}" for n in (used.requests, used.prompt_tokens, used.completion_tokens)]
        table.add_row(
            forecast.stage,
            *numbers,
            f"{used.cost:,.2f}" if forecast.priced else "no prices",
            Text(forecast.basis + more),
        )
    out = console()
    out.print(table)
    out.print(
        _together(total, found, job.cap.max_tokens) if found else f"{options.job} asks no language model",
    )
