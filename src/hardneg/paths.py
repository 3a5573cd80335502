"""Paths as people write them in a job: relative to the job's file, with ``~`` and ``$VARIABLE``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from hardneg.errors import JobError

LIKE_A_PATH = re.compile(r"^(?:[.~/$]|[A-Za-z]:\\)")

_folder: ContextVar[Path | None] = ContextVar("hardneg_folder", default=None)


@contextmanager
def relative_to(folder: Path) -> Iterator[None]:
    """Inside, `resolved` takes relative paths as relative to ``folder``."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def resolved(path: str | Path) -> Path:
    """The path with ``~`` and ``$VARIABLE`` replaced, made absolute if `relative_to` is in force.

    Raises `JobError` for a variable that is not set.
    """
    text = os.path.expandvars(str(path))
    if "$" in text:
        raise JobError(f"{path}: the environment variable is not set")
    found, folder = Path(text).expanduser(), _folder.get()
    return found if folder is None else Path(os.path.normpath(folder / found))


def resolved_name(name: str) -> str:
    """A name that may also be a path: resolved where it looks like one (``./``, ``../``, ``~``, ``/``, ``$``) or is
    there as a file or folder.
    """
    if _folder.get() is None:
        return name
    if LIKE_A_PATH.match(name) or resolved(name).exists():
        return str(resolved(name))
    return name
