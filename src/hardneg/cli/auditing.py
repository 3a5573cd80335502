"""The command about a training file that somebody has already: audit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hardneg.cli.command import command, takes_prompts
from hardneg.cli.output import console, print_json


def add(commands: Any) -> None:
    """Adds the command."""
    audit = command(
        commands,
        "audit",
        "What is wrong with a training file, in any format that the generator `file` reads; with --clean, the same "
        "file without it. The file itself is never touched.",
        _audit,
    )
    audit.add_argument("file", type=Path, help="JSONL, CSV, TSV (.gz, .zst), Parquet, or a folder saved by `datasets`")
    audit.add_argument("--model", help="the encoder that will be trained: also estimate false negatives, and ECI")
    takes_prompts(audit)
    audit.add_argument(
        "--calibrated", type=float, default=0.03, metavar="P", help="refuse what is likelier to be an answer (0.03)"
    )
    audit.add_argument(
        "--against", nargs="+", type=Path, default=[], metavar="FOLDER", help="BEIR folders to share nothing with"
    )
    audit.add_argument("--clean", type=Path, metavar="OUT", help="write the file without what is refused")
    audit.add_argument(
        "--relabel", action="store_true", help="make positives of negatives that are known positives of their query"
    )
    audit.add_argument("--also", action="append", default=[], metavar="KIND", help="refuse this kind too")
    audit.add_argument("--keep", action="append", default=[], metavar="KIND", help="do not refuse this kind")
    audit.add_argument(
        "--short",
        choices=("repeat", "drop"),
        default="repeat",
        help="an n-tuple that loses a negative repeats another, or goes (repeat)",
    )
    audit.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write a page, the report, and every finding as a line"
    )


def _audit(options: argparse.Namespace) -> None:
    from hardneg.library.audit import audit
    from hardneg.report import audit_table

    report = audit(
        options.file,
        options.model,
        against=options.against,
        clean=options.clean,
        relabel=options.relabel,
        output=options.output,
        also=options.also,
        keep=options.keep,
        short=options.short,
        calibrated=options.calibrated,
        query_prompt=options.query_prompt,
        passage_prompt=options.passage_prompt,
    )
    if options.json:
        print_json(report)
        return
    out = console()
    for part in audit_table.parts(report):
        out.print(part, style="yellow" if isinstance(part, str) and part.startswith("warning: ") else None)
    if options.output is not None:
        out.print(f"all findings: {options.output / 'findings.jsonl'}; this report: {options.output / 'audit.json'}")
        out.print(f"a page to look at: {options.output / 'audit.html'}")
