"""Commands about what there is: kinds, schema."""

from __future__ import annotations

import argparse
from typing import Any

from hardneg.cli.command import command
from hardneg.cli.output import console, print_json


def add(commands: Any) -> None:
    """Adds these commands."""
    known = command(
        commands, "kinds", "List every kind of every part, built in or from a plug-in, with its fields.", _kinds
    )
    known.add_argument("group", nargs="?", help="only this group, for example generators")
    command(
        commands,
        "schema",
        "Print the JSON schema of a job, so that an editor completes the YAML.",
        _schema,
        machine=False,
    )


def _kinds(options: argparse.Namespace) -> None:
    from rich.table import Table

    from hardneg import kinds

    groups = [options.group] if options.group else list(kinds.BUILT_IN)
    if options.group and options.group not in kinds.BUILT_IN:
        from hardneg.errors import PartError

        raise PartError(f"no group `{options.group}`; there are: {kinds.listed(kinds.BUILT_IN)}")
    found = {group: {kind: kinds.summary(group, kind) for kind in kinds.kinds(group)} for group in groups}
    if options.json:
        print_json(found)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("group", "kind", "what", "fields"):
        table.add_column(column)
    for group, members in found.items():
        for kind, what in members.items():
            table.add_row(group, kind, what["what"], ", ".join(what["fields"]))
    console().print(table)


def _schema(_options: argparse.Namespace) -> None:
    from hardneg.job.document import schema

    print_json(schema())
