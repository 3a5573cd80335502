"""What a power cut leaves of a folder: the contents and names that were forced onto the disk, and nothing else."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was synced last."""

    content: bytes
    mode: int
    changed: int
    """Nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The names in a folder as they were synced last: of what, by its number here."""

    names: Mapping[str, int] = field(default_factory=dict)


class Disk:
    """Follows what is synced below ``root``. Everything that is there at first counts as synced.

    The worst that file systems allow: syncing a file saves its content and not its name, which is a matter of the
    folder around it. Symbolic links are not followed and not kept.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._numbers: dict[int, int] = {}
        self._fresh = itertools.count()
        self._safe: dict[int, File | Folder] = {}
        for path in (root, *root.rglob("*")):
            self.sync(path)

    def _number(self, path: Path) -> int:
        return self._numbers.setdefault(path.lstat().st_ino, next(self._fresh))

    def sync(self, path: Path) -> None:
        """A file's content, or a folder's names, are safe from now on."""
        status = path.stat()
        number = self._numbers.setdefault(status.st_ino, next(self._fresh))
        if stat.S_ISDIR(status.st_mode):
            names = {inner.name: self._number(inner) for inner in path.iterdir()}
            for inner in path.iterdir():
                if inner.is_dir():
                    self._safe.setdefault(names[inner.name], Folder())
            self._move(set(names.values()))
            self._safe[number] = Folder(names)
        else:
            self._safe[number] = File(path.read_bytes(), status.st_mode, status.st_mtime_ns)

    def _move(self, numbers: AbstractSet[int]) -> None:
        """A renaming is saved whole: what has its new name has lost the old one."""
        for number, safe in self._safe.items():
            if isinstance(safe, Folder) and numbers & set(safe.names.values()):
                self._safe[number] = Folder({name: n for name, n in safe.names.items() if n not in numbers})

    def forget(self, path: Path) -> None:
        """``path`` goes, and its number on the file system may be given to another file. What is safe of it stays."""
        try:
            status = path.lstat()
        except OSError:
            return
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
            self._numbers.pop(status.st_ino, None)

    def cut(self, *, names: bool = False) -> None:
        """Takes away what was not synced. ``names``: all names are saved, as may be, and contents alone are lost."""
        left = self.root.with_name(f".{self.root.name}.left")
        if names:
            self._copy(self.root, left)
        else:
            self._restore(self._numbers[self.root.stat().st_ino], left)
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in left.iterdir():
            path.rename(self.root / path.name)
        left.rmdir()

    def _copy(self, source: Path, target: Path) -> None:
        if not source.is_dir():
            self._restore(self._number(source), target)
            return
        target.mkdir()
        for path in source.iterdir():
            self._copy(path, target / path.name)

    def _restore(self, number: int, target: Path) -> None:
        safe = self._safe.get(number, File(b"", 0o644, 0))
        if isinstance(safe, Folder):
            target.mkdir()
            for name, inner in safe.names.items():
                self._restore(inner, target / name)
            return
        target.write_bytes(safe.content)
        target.chmod(stat.S_IMODE(safe.mode))
        os.utime(target, ns=(safe.changed, safe.changed))
