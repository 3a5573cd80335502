"""Files and folders that are on the disk whole, or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from hardneg.errors import StoreError

UNFINISHED = ".unfinished"


class Follower(Protocol):
    """Hears what becomes of the files below a folder. What it raises is the error of who wrote them."""

    def written(self, file: Path) -> None:
        """A file is there, whole, for the first time or anew."""
        ...

    def published(self, folder: Path) -> None:
        """A folder has taken its place; what it does not hold is gone."""
        ...

    def removing(self, file: Path) -> None:
        """A file is about to go."""
        ...


FOLLOWERS: dict[Path, Follower] = {}
"""Who follows what this process writes, by the folder that is followed."""


def follower_of(path: Path) -> Follower | None:
    """Who hears of what happens to a file or folder, if anybody does."""
    return next((follower for root, follower in FOLLOWERS.items() if path.is_relative_to(root)), None)


def sync(path: Path) -> None:
    """Asks the operating system to put a file, or a folder's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """`sync` for a folder and everything in it."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def make_folder(path: Path) -> None:
    """Makes a folder, and those around it, unless they are there. Their names are on the disk, too."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; what is written there appears under ``path`` at once, and on the disk, or not
    at all. Raises `StoreError` when the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        make_folder(path.parent)
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)
        way_out = "free some space" if full else "see that the folder can be written"
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); {way_out} and run again: what is finished is kept"
        ) from error
    finally:
        with suppress(OSError):  # what went wrong before is what the caller hears of
            temporary.unlink(missing_ok=True)
    announce(path)


def announce(file: Path) -> None:
    """Tells who follows a file that it is there."""
    if (follower := follower_of(file)) is not None:
        follower.written(file)


def remove(file: Path) -> None:
    """Removes a file, if it is there."""
    if (follower := follower_of(file)) is not None:
        follower.removing(file)
    file.unlink(missing_ok=True)


@contextmanager
def publishing(folder: Path) -> Iterator[Path]:
    """An empty folder, which takes the place of ``folder`` at once, and on the disk, when the block ends.

    What stood there is removed afterwards. When the block fails, ``folder`` stays as it was.
    """
    unfinished = folder.with_name(f".{folder.name}{UNFINISHED}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        make_folder(unfinished)
        yield unfinished
        sync_all(unfinished)
        if folder.exists():
            _exchange(unfinished, folder)
        else:
            unfinished.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror or error}); run again to go on") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if (follower := follower_of(folder)) is not None:
        follower.published(folder)


def _exchange(one: Path, other: Path) -> None:
    """Swaps two folders in one step where the system can (Linux), else in two."""
    at_folder, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None or rename(at_folder, os.fsencode(one), at_folder, os.fsencode(other), exchange) != 0:
        aside = other.with_name(f".{other.name}.{secrets.token_hex(4)}{UNFINISHED}")
        other.rename(aside)
        one.rename(other)
        aside.rename(one)
