"""The command that writes a first job: init."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hardneg.cli.command import command, named
from hardneg.report.visible import one_line


def add(commands: Any) -> None:
    """Adds this command."""
    init = command(
        commands,
        "init",
        "Look at some data, count it, and print a first job for it, with comments: hardneg init DATA > job.yaml",
        _init,
        machine=False,
    )
    init.add_argument(
        "data",
        type=named,
        metavar="DATA",
        help="a BEIR folder, JSONL, CSV or Parquet with queries and positives, a folder saved by `datasets`, or one "
        "with MS MARCO's files; or its URL",
    )
    init.add_argument("--model", help="the encoder that will be trained: a folder, or a name on the hub")


def _init(options: argparse.Namespace) -> None:
    from hardneg.job.first_job import first_job
    from hardneg.job.named import fetched

    path = fetched(options.data)
    made = first_job(path, options.model)
    print(made.text.replace(str(path), str(options.data)), end="")
    for note in made.notes:
        print(f"hardneg: {one_line(note.replace(str(path), str(options.data)))}", file=sys.stderr)
    print("next: hardneg check job.yaml && hardneg run job.yaml", file=sys.stderr)
