"""How a command is added to the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def command(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], None], *, machine: bool = True
) -> argparse.ArgumentParser:
    """A command with its help. ``machine``: it can print JSON for a program."""
    sub: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    sub.set_defaults(run=run)
    if machine:
        sub.add_argument("--json", action="store_true", help="print JSON for a program")
    return sub
