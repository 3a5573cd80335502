"""Commands about finished sets: score, compare."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hardneg.cli.command import command
from hardneg.cli.output import console, print_json
from hardneg.errors import JobError


def add(commands: Any) -> None:
    """Adds these commands."""
    score = command(
        commands, "score", "The numbers of a training file, in any format that the generator `file` reads.", _score
    )
    score.add_argument("file", type=Path, help="JSONL (.gz, .zst), Parquet, or a folder saved by `datasets`")
    score.add_argument(
        "--model", required=True, help="the encoder that will be trained: a folder, or a name on the hub"
    )
    score.add_argument("--query-prompt", help="what the model wants before a query")
    score.add_argument("--passage-prompt", help="what the model wants before a passage")
    score.add_argument("--margin", type=float, help="also say what a safety margin would leave")
    compare = command(
        commands, "compare", "Rank the sources, their unions and the final sets of finished runs by eci_v1.", _compare
    )
    compare.add_argument("runs", nargs="+", type=Path, help="output folders of jobs")
    compare.add_argument(
        "--format", choices=("table", "json", "markdown", "csv"), default="table", help="how to print it (table)"
    )


def _score(options: argparse.Namespace) -> None:
    from hardneg.library.score import score
    from hardneg.report import tables

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
        sets = {name: moments for name, moments in report["sets"].items() if name != "final"}
        console().print(tables.sets(report | {"sets": sets}))


def _compare(options: argparse.Namespace) -> None:
    from hardneg.pipeline.store import read_json
    from hardneg.report import comparison

    for run in options.runs:
        if not (run / "report.json").is_file():
            raise JobError(f"{run}: there is no report.json; name the `output` folder of a finished run")
    reports = {str(run): read_json(run / "report.json") for run in options.runs}
    for run, report in reports.items():
        if "differences" not in report:
            raise JobError(f"{run}/report.json is from an older version; run that job again")
    found = comparison.rows(reports)
    notes = {run: [*report["notes"]] for run, report in reports.items()}
    unpaired = comparison.overlaps(found)
    if options.json or options.format == "json":
        warnings = {run: report["warnings"] for run, report in reports.items()}
        print_json({"rows": found, "notes": notes, "between_runs": unpaired, "warnings": warnings})
    elif options.format == "csv":
        print(comparison.comma_separated(found), end="")
    elif options.format == "markdown":
        print(comparison.markdown(found))
        remarks = [remark for run, report in reports.items() for remark in (*report["warnings"], *notes[run])]
        print("\n" + "\n".join(f"- {remark}" for remark in (*remarks, *unpaired)))
    else:
        out = console()
        out.print(comparison.table(found))
        for run, report in reports.items():
            label = f" ({run})" if len(reports) > 1 else ""
            for warning in report["warnings"]:
                out.print(f"warning{label}: {warning}", style="yellow", markup=False)
            for note in notes[run]:
                out.print(f"note{label}: {note}", markup=False)
        for note in unpaired:
            out.print(f"note: {note}", markup=False)
