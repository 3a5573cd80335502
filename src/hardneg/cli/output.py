"""What commands print: tables for people on stdout, JSON for programs, progress bars on stderr."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
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
    """Progress bars on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    from hardneg.cli.progress_bars import Bars

    return Bars()
