"""Paths as people write them in a job: relative to the job's file, with ``~`` and ``$VARIABLE``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from hardneg.errors import JobError

LIKE_A_PATH = re.compile(r"^(?:[.~/$]|[A-Za-z]:\\)")

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
HERE = re.compile(r"(?:file|local)://", re.IGNORECASE)
"""URLs that are paths of this machine."""

_folder: ContextVar[Path | None] = ContextVar("hardneg_folder", default=None)
Fetch = Callable[[str], Path]
_fetch: ContextVar[Fetch | None] = ContextVar("hardneg_fetch", default=None)


@contextmanager
def relative_to(folder: Path, fetch: Fetch | None = None) -> Iterator[None]:
    """Inside, `resolved` takes relative paths as relative to ``folder``, and of a URL what ``fetch`` gives."""
    tokens = _folder.set(folder), _fetch.set(fetch)
    try:
        yield
    finally:
        _folder.reset(tokens[0])
        _fetch.reset(tokens[1])


def placed(text: str) -> str:
    """A URL, or the absolute path of a text as `resolved` has it.

    Raises `JobError` for a variable that is not set, and for a URL that nobody could fetch or should see.
    """
    url = HERE.sub("", _expanded(text))
    if not URL.match(url):
        return str(_absolute(url))
    if ":" in url.partition("://")[2].partition("/")[0].rpartition("@")[0]:
        raise JobError(f"{url.partition('://')[0]}://…: the URL has a key in it; keys belong into the environment")
    if "::" in url:
        raise JobError(f"{url}: file systems in each other are not read; name the files as they lie there")
    return url.rstrip("/")


def is_url(text: str | Path) -> bool:
    """Whether a text is a URL, and no path of this machine."""
    return URL.match(str(text)) is not None and HERE.match(str(text)) is None


def resolved(path: str | Path) -> Path:
    """The path with ``~`` and ``$VARIABLE`` replaced, made absolute if `relative_to` is in force; of a URL the path of
    what was fetched from it.

    Raises `JobError` for a variable that is not set, and what is raised where a URL cannot be fetched.
    """
    found = placed(str(path))
    if not is_url(found):
        return Path(found)
    if (fetch := _fetch.get()) is None:
        raise JobError(f"{path}: a URL can stand in a job only; fetch it, and name the file")
    return fetch(found)


def _expanded(path: str) -> str:
    text = os.path.expandvars(path)
    if "$" in text:
        raise JobError(f"{path}: the environment variable is not set")
    return text


def _absolute(text: str) -> Path:
    found, folder = Path(text).expanduser(), _folder.get()
    return found if folder is None else Path(os.path.normpath(folder / found))


def resolved_name(name: str) -> str:
    """A name that may also be a path or a URL: resolved where it looks like one (``./``, ``../``, ``~``, ``/``, ``$``)
    or is there as a file or folder.
    """
    if _folder.get() is None:
        return name
    if LIKE_A_PATH.match(name) or URL.match(name) or resolved(name).exists():
        return str(resolved(name))
    return name
