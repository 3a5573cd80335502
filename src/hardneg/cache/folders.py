"""The cache folder: things that are expensive to make, each made once, named by what it was made from.

A corpus, its BM25 index, its embedding matrix. A folder under its final name is always whole: it is made under another
name and renamed. A lock, one a name, keeps two processes from making the same thing at the same time.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from hardneg import progress
from hardneg.cache.behind import Behind
from hardneg.errors import StoreError
from hardneg.files.checksums import broken, seal
from hardneg.files.durable import UNFINISHED, make_folder, sync, sync_all
from hardneg.files.remote import Remote
from hardneg.paths import is_url

LOCKS = "locks"
FETCHED = "fetched"
"""The group of what was fetched from URLs: it is not put to another one."""
MIRRORS = "mirrors"
"""The group of this machine's copies of runs that lie at URLs."""
WORKSPACE = re.compile(r"\.[a-z]+-[0-9a-f]{16}")
"""The name of a workspace."""


def used(path: Path) -> Path:
    """Marks something in the cache as used now: its time of change is when it was used last."""
    with suppress(OSError):  # a cache that can be read alone
        os.utime(path)
    return path


def default_cache() -> Path:
    """``$HARDNEG_CACHE`` where that is no URL, else ``$XDG_CACHE_HOME/hardneg``, else ``~/.cache/hardneg``."""
    named = os.environ.get("HARDNEG_CACHE")
    if named and not is_url(named):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hardneg"


def cache_at(place: str | Path | None = None) -> Cache:
    """The cache in a folder or at a URL; None: the one of ``$HARDNEG_CACHE``, else the usual one of this machine.

    One at a URL works in the usual folder of this machine.
    """
    named = place or os.environ.get("HARDNEG_CACHE")
    if named and is_url(named):
        return Cache(default_cache(), str(named).rstrip("/"))
    return Cache(Path(place) if place else default_cache())


State = tuple[tuple[str, int, int], ...]
_intact: set[State] = set()
"""The states of folders that this process has checked: a folder is read once, not at every use."""


def _state(folder: Path) -> State:
    """Path, length and time of change of every file: what tells a folder from a later one."""
    stats = [(file, file.stat()) for file in sorted(folder.iterdir())]
    return tuple((str(file), stat.st_size, stat.st_mtime_ns) for file, stat in stats)


@dataclass(frozen=True)
class Cache:
    """A cache folder. Deleting any folder in it while no run goes on is safe: it is made again when needed.

    ``url``: where finished folders lie for all machines; what is not in ``root`` comes from there, and goes there.
    """

    root: Path
    url: str | None = None

    @contextmanager
    def workspace(self, purpose: str) -> Iterator[Path]:
        """A fresh folder on the cache's file system, deleted on the way out if it was not published.

        Its lock, which goes with the process, tells others that it is no leftover.
        """
        folder = self.root / f".{purpose}-{secrets.token_hex(8)}"
        lock = FileLock(self.root / LOCKS / f"{folder.name}.lock")
        try:
            make_folder(self.root / LOCKS)
            lock.acquire()
            folder.mkdir()
            yield folder
        except OSError as error:
            self._raise_own(error)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # whatever went wrong before is what the caller hears of
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def _raise_own(self, error: OSError) -> None:
        """Raises `StoreError` where it is the cache that does not take a file, and not something read or asked."""
        named = [
            Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))
        ]
        if named and not any(path.is_relative_to(self.root) for path in named):
            return
        raise StoreError(
            f"{self.root}: the cache folder cannot be written ({error}); free some space, or name another folder by "
            "`cache` in the job or HARDNEG_CACHE; what is finished is kept"
        ) from error

    def publish(self, folder: Path, group: str, name: str) -> Path:
        """Gives a finished folder its final name; one that is there already wins."""
        target = self.root / group / name
        try:
            make_folder(target.parent)
            seal(folder)
            sync_all(folder)
            with self.lock(group, name):
                if self.find(group, name) is None:
                    folder.replace(target)
                    sync(target.parent)
        except OSError as error:
            self._raise_own(error)
            raise
        return self._shared(group, name)

    def made(self, group: str, name: str, make: Callable[[Path], None]) -> Path:
        """The folder ``group/name``, made by ``make(folder)`` unless it is there.

        What ``make`` leaves behind when it is stopped is found again by the next call in the same folder, so that long
        work (an embedding matrix) can go on where it was.
        """
        target = self.root / group / name
        if (found := self.find(group, name)) is not None:
            return found
        try:
            make_folder(target.parent)
            with self.alone(group, name):
                listed = set(target.parent.iterdir())  # a network disk asks its server for a listing, and only then
                if target not in listed:
                    unfinished = self.begun(group, name)
                    unfinished.mkdir(exist_ok=True)
                    for leftover in unfinished.glob(f".*{UNFINISHED}"):
                        leftover.unlink()
                    make(unfinished)
                    seal(unfinished)
                    sync_all(unfinished)
                    unfinished.replace(target)
                    sync(target.parent)
        except OSError as error:
            self._raise_own(error)
            raise
        return self._shared(group, name)

    def find(self, group: str, name: str) -> Path | None:
        """The finished folder ``group/name``, if there is one that is as it was written.

        One that has changed since is removed, and said to be.
        """
        target = self.root / group / name
        if not target.is_dir() and not self._pulled(group, name):
            return None
        if (state := _state(target)) not in _intact:
            if problem := broken(target):
                progress.note(f"{target}: {problem}; it is removed and made again")
                self._remove(target)
                return None
            _intact.add(state)
            return self._shared(group, name)
        return used(target)

    def _behind(self, group: str) -> Behind | None:
        return None if self.url is None or group == FETCHED else Behind(Remote(self.url))

    def _pulled(self, group: str, name: str) -> bool:
        """Whether a folder that is not here came from the URL."""
        if (behind := self._behind(group)) is None:
            return False
        make_folder(self.root / group)
        with self.workspace("fetched") as folder:
            return behind.pull(group, name, self.root / group / name, folder)

    def _shared(self, group: str, name: str) -> Path:
        """The finished folder, which is at the URL now. Where another machine was first, it is that one's."""
        target = self.root / group / name
        if (behind := self._behind(group)) is not None and not behind.push(group, name, target):
            with self.workspace("replaced") as folder:
                target.rename(folder / name)
                if not self._pulled(group, name):
                    (folder / name).rename(target)
        return used(target)

    def _remove(self, target: Path) -> None:
        try:
            shutil.rmtree(target)
        except FileNotFoundError:  # another process was faster
            pass
        except OSError as error:
            raise StoreError(f"{target}: is damaged and cannot be removed ({error}); delete it yourself") from error

    def begun(self, group: str, name: str) -> Path:
        """Where `made` works until the folder ``group/name`` is finished."""
        return self.root / group / f".{name}{UNFINISHED}"

    @contextmanager
    def alone(self, group: str, name: str) -> Iterator[None]:
        """`lock`, held. Waiting for another process that has it shows as progress."""
        lock = self.lock(group, name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            with progress.task(f"wait for another process: {group}"):
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def lock(self, group: str, name: str) -> FileLock:
        """Held by the one process that makes ``group/name``; released when that process dies, however it dies."""
        make_folder(self.root / LOCKS)
        return FileLock(self.root / LOCKS / f"{group}-{name}.lock")
