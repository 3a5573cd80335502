"""What commands print: tables for people on stdout, JSON for programs, progress bars on stderr."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from hardneg import progress
from hardneg.errors import HardnegError, JobError
from hardneg.report.visible import as_json, one_line, visible


def console() -> Any:
    """A console for stdout, as wide as the terminal; elsewhere ``$COLUMNS`` or 160.

    What is printed is plain text: it holds neither markup nor control characters, wherever it came from.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            """Sentences are not wrapped: a path in one can be copied."""
            options.setdefault("soft_wrap", all(isinstance(item, str) for item in objects))
            super().print(*objects, **options)

        def render(self, *arguments: Any, **options: Any) -> Iterator[Segment]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else Segment(visible(segment.text), segment.style)

    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS") or 160)
    return Plain(width=width, highlight=False, soft_wrap=False, markup=False, emoji=False)


def any_encoding() -> None:
    """Makes stdout and stderr take every character: one that their encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_error(error: HardnegError) -> None:
    """Prints an error to stderr: a line a mistake of a job, one line of anything else."""
    for line in str(error).split("\n") if isinstance(error, JobError) else [str(error)]:
        print(f"hardneg: {one_line(line)}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Prints a JSON document."""
    print(as_json(value, ascii_only=not (sys.stdout.encoding or "utf-8").lower().startswith("utf")))


def bars() -> AbstractContextManager[Any]:
    """Progress on stderr: bars on a terminal, elsewhere (a file, a scheduler's log) a line from time to time.

    Nothing where somebody listens already.
    """
    if progress.listened():
        return nullcontext()
    if not sys.stderr.isatty():
        from hardneg.cli.progress_lines import Lines

        return Lines()
    from hardneg.cli.progress_bars import Bars

    return Bars()
