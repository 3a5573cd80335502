"""What commands print: tables for people on stdout, JSON for programs, progress bars on stderr."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager
from typing import Any


def console() -> Any:
    """A console for stdout, as wide as the terminal; elsewhere ``$COLUMNS`` or 160."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS") or 160)
    return Console(width=width, highlight=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """Prints a JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def bars() -> AbstractContextManager[Any]:
    """Progress on stderr: bars on a terminal, elsewhere (a file, a scheduler's log) a line from time to time."""
    if not sys.stderr.isatty():
        from hardneg.cli.progress_lines import Lines

        return Lines()
    from hardneg.cli.progress_bars import Bars

    return Bars()
