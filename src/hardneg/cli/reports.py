"""The command report: the page of one finished run, or of several side by side."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path
from typing import Any

from hardneg.cli.command import command, named
from hardneg.errors import JobError


def add(commands: Any) -> None:
    """Adds the command."""
    report = command(
        commands, "report", "Write the report of finished runs as one page for a browser.", _report, machine=False
    )
    report.add_argument(
        "runs", nargs="+", type=named, help="output folders of finished runs, or their jobs, or URLs of these"
    )
    report.add_argument("--open", action="store_true", help="open it in the browser")
    report.add_argument(
        "--output", type=Path, metavar="FILE", help="where to write it (one run: report.html in its folder)"
    )


def _report(options: argparse.Namespace) -> None:
    from hardneg.job.named import folder_of
    from hardneg.job.report_page import PAGE, write_page

    folders = [folder_of(run) for run in options.runs]
    if len(set(folders)) < len(folders):
        raise JobError("a run is named twice; name each once")
    path: Path = options.output or (folders[0] / PAGE if len(folders) == 1 else Path(PAGE))
    if path.is_dir():
        raise JobError(f"{path}: is a folder; name a file, such as {path / PAGE}")
    write_page(folders, path)
    print(path)
    if options.open:
        webbrowser.open(path.resolve().as_uri())
