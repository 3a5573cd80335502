"""What lies in the cache, what dead processes left there, and what may go."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from hardneg.cache.folders import LOCKS, MIRRORS, WORKSPACE, Cache
from hardneg.cache.memo import MEMO, whole
from hardneg.errors import StoreError
from hardneg.files.checksums import broken, readable
from hardneg.files.durable import UNFINISHED, make_folder

KEPT = ("answers",)
"""Groups that are never pruned: what language models answered was paid for."""
LIVE = "live-"
OLDER = re.compile(r"\.[a-z]+-[a-z0-9_]{8}")
"""A workspace of an earlier version, which holds no lock."""
DAY = 86_400.0
MARGIN = 60.0
"""Seconds by which the clocks of two machines that share a cache may differ."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the cache: its ``bytes`` on disk, and when it was ``used`` last, in seconds since the epoch."""

    group: str
    name: str
    path: Path
    bytes: int
    used: float


@contextmanager
def in_use(cache: Cache) -> Iterator[None]:
    """Says to other processes that a run uses the cache, for as long as the block or this process lasts.

    What dead processes left behind is removed first. In a cache that can only be read nothing is said or removed.
    """
    sweep(cache)
    lock = FileLock(cache.root / LOCKS / f"{LIVE}{time.time_ns()}-{secrets.token_hex(4)}.lock")
    with suppress(OSError):
        make_folder(cache.root / LOCKS)
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()


def sweep(cache: Cache) -> list[Path]:
    """Removes the workspaces of dead processes, never those of live ones. Returns what went."""
    if not cache.root.is_dir():
        return []
    gone = []
    for folder in sorted(cache.root.glob(".*")):
        if not folder.is_dir() or not (_dead(cache, folder) or _outdated(folder)):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        gone.append(folder)
    for lock, began in [*_runs(cache), *_workspaces(cache)]:
        if time.time() - began > MARGIN:  # a younger one may be about to be taken
            _free(lock)
    return gone


def _runs(cache: Cache) -> list[tuple[Path, float]]:
    """The locks of runs, of which some may be dead, and when each began, in seconds since the epoch."""
    locks = sorted((cache.root / LOCKS).glob(f"{LIVE}*.lock"))
    return [(lock, int(lock.name.split("-")[1]) / 1e9) for lock in locks]


def _workspaces(cache: Cache) -> Iterator[tuple[Path, float]]:
    """The locks of workspaces, of which some may have no folder any more, and when each was taken."""
    for lock in sorted((cache.root / LOCKS).glob(".*.lock")):
        with suppress(FileNotFoundError):
            yield lock, lock.stat().st_mtime


def _dead(cache: Cache, folder: Path) -> bool:
    """Whether a workspace's process is gone: nobody holds its lock."""
    return WORKSPACE.fullmatch(folder.name) is not None and _free(cache.root / LOCKS / f"{folder.name}.lock")


def _outdated(folder: Path) -> bool:
    return OLDER.fullmatch(folder.name) is not None and time.time() - folder.stat().st_mtime > DAY


def _free(lock: Path) -> bool:
    """Whether nobody holds a lock that belongs to one process alone; its file goes then."""
    try:
        with FileLock(lock).acquire(timeout=0):
            lock.unlink(missing_ok=True)
            return True
    except (Timeout, OSError):
        return False


def entries(cache: Cache) -> list[Entry]:
    """Everything in the cache but locks and workspaces, the longest unused first."""
    found = []
    for group in sorted(cache.root.iterdir()) if cache.root.is_dir() else []:
        if group.name.startswith(".") or group.name == LOCKS or not group.is_dir():
            continue
        for path in sorted(group.iterdir()):
            with suppress(FileNotFoundError):  # another process put it into its place, or pruned it
                found.append(Entry(group.name, path.name, path, _size(path), path.stat().st_mtime))
    return sorted(found, key=lambda entry: (entry.used, entry.group, entry.name))


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def prune(cache: Cache, *, older_than: float | None = None, keep_bytes: int | None = None) -> list[Entry]:
    """Removes what was not used for ``older_than`` seconds, and the longest unused beyond ``keep_bytes``.

    Never what language models answered, nor what a process is making now, nor what was used since the oldest run that
    goes on began. Each thing goes whole or not at all. Returns what went.
    """
    sweep(cache)
    protected = _running_since(cache)
    candidates = [entry for entry in entries(cache) if entry.group not in KEPT]
    total = sum(entry.bytes for entry in candidates)
    gone: list[Entry] = []
    for entry in candidates:
        old = older_than is not None and time.time() - entry.used > older_than
        if not (old or (keep_bytes is not None and total > keep_bytes)) or entry.used >= protected:
            continue
        if _removed(cache, entry):
            total -= entry.bytes
            gone.append(entry)
    return gone


def verify(cache: Cache) -> Iterator[tuple[Path, str | None]]:
    """Everything in the cache that has checksums, read to the last byte, and what is wrong with it, or None."""
    for group in sorted(cache.root.glob("[!.]*")):
        if group.name not in (LOCKS, MEMO, MIRRORS, *KEPT):  # those hold no sealed folders
            for folder in sorted(group.glob("[!.]*")):
                yield folder, readable(partial(broken, folder, whole=True))
    for segment in sorted((cache.root / MEMO).glob("*/*.npy")):
        yield segment, None if whole(segment) else "has changed since it was written"


def _running_since(cache: Cache) -> float:
    """When the oldest run that goes on began, in seconds since the epoch; infinity where there is none."""
    return min((began - MARGIN for lock, began in _runs(cache) if not _free(lock)), default=float("inf"))


def _removed(cache: Cache, entry: Entry) -> bool:
    """Takes an entry away in one step, unless a process makes it now."""
    name = entry.name.removeprefix(".").removesuffix(UNFINISHED)
    try:
        with cache.lock(entry.group, name).acquire(timeout=0), cache.workspace("pruned") as folder:
            entry.path.rename(folder / entry.name)
    except (Timeout, FileNotFoundError):
        return False
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise
    return True
