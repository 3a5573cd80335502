"""Watches what reaches the disk: what a power cut would take away was not synced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hardneg.files import durable


class Disk:
    """What was synced, and what was renamed before or after that."""

    def __init__(self) -> None:
        self._synced: dict[int, tuple[int, int]] = {}
        self.lost: list[Path] = []
        """Files that got another name, alone or in their folder, before all that they hold was on the disk."""
        self.renamed: list[Path] = []
        """What got its name, where the folder around it was not synced afterwards."""

    def holds(self, path: Path) -> bool:
        """Whether a file, as it is now, or the entries of a folder were synced."""
        return self._synced.get(path.stat().st_ino) == _state(path)

    def sync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self._synced[path.stat().st_ino] = _state(path)
        self.renamed = [name for name in self.renamed if name.parent != path]

    def rename(self, one: Path, other: Path) -> None:
        files = [file for file in one.rglob("*") if file.is_file()] if one.is_dir() else [one]
        self.lost += [file for file in files if not self.holds(file)]
        self.renamed.append(other)


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@contextmanager
def watched() -> Iterator[Disk]:
    """The disk, with all syncs and renames of this process in the block."""
    disk = Disk()
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((os, "rename"), (os, "replace"), (durable, "_exchange")):
            patch.setattr(module, name, _telling(disk, getattr(module, name)))
        fsync = os.fsync
        patch.setattr(os, "fsync", lambda descriptor: (fsync(descriptor), disk.sync(descriptor))[0])
        yield disk


def _telling(disk: Disk, rename: Any) -> Any:
    def told(one: Any, other: Any, **options: Any) -> None:
        disk.rename(Path(one), Path(other))
        rename(one, other, **options)

    return told
