"""Who may work in a run folder: one run, or processes that have a share of the job each."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hardneg.errors import JobError
from hardneg.files.durable import UNFINISHED, announce
from hardneg.pipeline.share import Share

WHOLE, ENTERING = ".lock", ".entering.lock"
SHARE = re.compile(r"\.shard-(\d+)-of-(\d+)(?:\.(.+))?\.lock")
"""The lock of a share. Its file stays: it says how many shares a job was split into."""
PATIENCE = 60.0
"""Seconds to wait for others who enter at the same moment, which takes each of them an instant."""


def nothing() -> None:
    """Does nothing."""


@contextlib.contextmanager
def admitted(root: Path, share: Share | None = None, first: Callable[[], None] = nothing) -> Iterator[None]:
    """Keeps others out of a folder: with a share those that would do the same work, else all. ``first`` is done when it
    is sure that one may enter, and before anybody else does.

    All look around one after another, so of two that exclude each other one sees the other. The locks go with the
    process, however that ends. Raises `JobError` where another process is in the way.
    """
    lock = FileLock(root / (WHOLE if share is None else _name(share)))
    try:
        with FileLock(root / ENTERING).acquire(timeout=PATIENCE):
            _enter(root, share, lock)
            try:
                first()
            except BaseException:
                lock.release()
                raise
    except Timeout as error:
        raise JobError(
            f"{root}: another process has been entering this folder for a minute; see what it does"
        ) from error
    except OSError as error:
        raise JobError(
            f"{root}: cannot be written ({error.strerror or error}); see that the folder can be written, or choose "
            "another `output`"
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # what went wrong in the run is what the user hears of
            lock.release()


def _enter(root: Path, share: Share | None, lock: FileLock) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        what = "another run is going on in this folder" if share is None else f"another process works on `{share}`"
        raise JobError(f"{root}: {what}; wait for it or choose another `output`") from error
    try:
        if share is not None and _held(root / WHOLE):
            raise JobError(f"{root}: another run is going on in this folder; wait for it or choose another `output`")
        for other in shares(root):
            if other == share or not (share is None or share.overlaps(other)) or not _held(root / _name(other)):
                continue
            problem = f"{root}: another process works on `{other}`; wait for it"
            raise JobError(problem if share is None or share.count == other.count else f"{problem}, or use its count")
        if share is None:
            _sweep(root)
        else:
            os.utime(root / _name(share))
            announce(root / _name(share))
    except BaseException:
        lock.release()
        raise


def shares(root: Path) -> list[Share]:
    """The shares that were ever worked on in a folder, the one begun last at the end."""
    found = [
        (path.stat().st_mtime_ns, match) for path in root.glob(".shard-*") if (match := SHARE.fullmatch(path.name))
    ]
    return [Share(int(m[1]), int(m[2]), m[3]) for _, m in sorted(found, key=lambda pair: (pair[0], pair[1][0]))]


def _name(share: Share) -> str:
    return f".shard-{share.index}-of-{share.count}{f'.{share.stage}' if share.stage else ''}.lock"


def _held(lock: Path) -> bool:
    try:
        with FileLock(lock).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _sweep(root: Path) -> None:
    """Removes what killed processes left behind."""
    for place in (".", "stages/*", "exports", "exports/*"):
        for leftover in root.glob(f"{place}/.*{UNFINISHED}"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
