"""Commands about finished sets: score (its successor is `audit --model`), compare."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hardneg.cli.command import command, named, takes_prompts
from hardneg.cli.output import console, print_json
from hardneg.errors import JobError
from hardneg.report import comparison
from hardneg.report.visible import in_markdown, one_line


def add(commands: Any) -> None:
    """Adds these commands."""
    score = command(
        commands, "score", "Only the numbers of a training file; `audit --model` says more, and cleans.", _score
    )
    score.add_argument("file", type=Path, help="JSONL (.gz, .zst), Parquet, or a folder saved by `datasets`")
    score.add_argument(
        "--model", required=True, help="the encoder that will be trained: a folder, or a name on the hub"
    )
    takes_prompts(score)
    score.add_argument("--margin", type=float, help="also say what a safety margin would leave")
    compare = command(
        commands, "compare", "Rank the sources, their unions and the final sets of finished runs.", _compare
    )
    compare.add_argument(
        "runs", nargs="+", type=named, help="output folders of finished runs, or their jobs, or URLs of these"
    )
    compare.add_argument(
        "--probe",
        action="store_true",
        help="say which final set trains best, from what their runs stored; takes seconds per set",
    )
    compare.add_argument(
        "--format", choices=("table", "json", "markdown", "csv"), default="table", help="how to print it (table)"
    )


def _score(options: argparse.Namespace) -> None:
    from hardneg.library.score import score
    from hardneg.report import tables

    print(
        "hardneg: `score` goes on working; `audit FILE --model MODEL` says more of a file, and cleans", file=sys.stderr
    )
    report = score(
        options.file,
        options.model,
        margin=options.margin,
        query_prompt=options.query_prompt,
        passage_prompt=options.passage_prompt,
    )
    if options.json:
        print_json(report)
    else:
        console().print(f"{report['counts']['examples']:,} examples of {options.file}")
        sets = {name: moments for name, moments in report["sets"].items() if name != "final"}
        console().print(tables.sets(report | {"sets": sets}))


def _compare(options: argparse.Namespace) -> None:
    from hardneg.job.named import folder_of
    from hardneg.pipeline.store import read_json

    if options.probe:
        _probe(options)
        return
    folders = [folder_of(run) for run in options.runs]
    for folder in folders:
        if not (folder / "report.json").is_file():
            raise JobError(f"{folder}: there is no report.json; name the `output` folder of a finished run, or its job")
    reports = {str(folder): read_json(folder / "report.json") for folder in folders}
    for run, report in reports.items():
        if "differences" not in report:
            raise JobError(f"{run}/report.json is from an older version; run that job again")
    groups = comparison.by_corpus(reports)
    machine = options.json or options.format == "json"
    if machine:
        print_json([_group(group) for group in groups])
        return
    for number, group in enumerate(groups):
        found = _group(group)
        if len(groups) > 1:
            runs = ", ".join(group)
            print(f"corpus {number + 1} of {len(groups)} (corpora are never ranked together): {one_line(runs)}")
        _print(found, group, options.format)


def _probe(options: argparse.Namespace) -> None:
    from hardneg.job.named import job_of
    from hardneg.pipeline.report import final_sets
    from hardneg.report.probing import between

    jobs = {str(path): job_of(path) for path in options.runs}
    gathered = {}
    for name, job in jobs.items():
        result = job.finished()
        gathered[name] = final_sets(job.plan, result.batches, result.report["read"]["examples"])
    found = comparison.probed(between(gathered))
    if options.json or options.format == "json":
        print_json(found)
    elif options.format == "table":
        console().print(comparison.probe_table(found))
    else:
        raise JobError("--probe is printed as a table or as json")


def _group(reports: dict[str, Any]) -> dict[str, Any]:
    """Rows, remarks and warnings of runs on one corpus."""
    found = comparison.rows(reports)
    return {
        "rows": found,
        "notes": {run: [*report["notes"]] for run, report in reports.items()},
        "between_runs": comparison.overlaps(found),
        "warnings": {run: report["warnings"] for run, report in reports.items()},
    }


def _print(found: dict[str, Any], reports: dict[str, Any], how: str) -> None:
    if how == "csv":
        print(comparison.comma_separated(found["rows"]), end="")
        return
    remarks = [
        (kind, f" ({run})" if len(reports) > 1 else "", text)
        for run in reports
        for kind, texts in (("warning", found["warnings"][run]), ("note", found["notes"][run]))
        for text in texts
    ]
    remarks += [("note", "", text) for text in found["between_runs"]]
    if how == "markdown":
        print(comparison.markdown(found["rows"]))
        print("\n" + "\n".join(f"- {in_markdown(text)}" for _, _, text in remarks))
        return
    out = console()
    out.print(comparison.table(found["rows"]))
    for kind, label, text in remarks:
        out.print(f"{kind}{label}: {text}", style="yellow" if kind == "warning" else None)
