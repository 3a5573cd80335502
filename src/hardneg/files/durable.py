"""Files and folders that are on the disk whole, or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hardneg.errors import StoreError

UNFINISHED = ".unfinished"


def sync(path: Path) -> None:
    """Asks the operating system to put a file, or a folder's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; what is written there appears under ``path`` at once, and on the disk, or not
    at all. Raises `StoreError` when the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
        temporary.unlink(missing_ok=True)
