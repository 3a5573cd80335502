"""JSONL that any reader takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Write = Callable[[Mapping[str, Any]], None]
"""Writes one document as one line."""


@contextmanager
def writing(file: Path, default: Callable[[Any], Any] | None = None) -> Iterator[Write]:
    """Opens a file for documents, and makes the folders around it.

    ``default`` gives something that JSON has for a value that it has not. Raises `ValueError` for a number that is not
    finite.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="\n") as stream:

        def write(document: Mapping[str, Any]) -> None:
            stream.write(json.dumps(document, ensure_ascii=False, allow_nan=False, default=default) + "\n")

        yield write
