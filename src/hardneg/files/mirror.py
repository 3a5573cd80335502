"""Folders whose files are at a URL too: each file goes there as soon as it is written, and comes from there when it is
asked for. What is at the URL is what counts; the folder is this machine's copy.

A folder is followed from `follow` on. For all others the functions here do what they say with what lies there alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hardneg.files.durable import FOLLOWERS, follower_of
from hardneg.files.remote import Item, Remote

MARK = ".fingerprint"
"""The last file of a published folder to come to its URL, and the first to go: where it is, the folder is whole."""
SMALL = re.compile(r"\.shard-.+\.lock|(?:claim|report|manifest)\.json|job\.yaml")
"""What is small, and written anew under the same name: it is fetched whenever a folder is opened."""
BESIDE = ("tune", "reviews")
"""Folders of which the same is true."""
VISIBLE, NONE = re.compile(r"[^.].*"), re.compile(r"(?!)")


@dataclass(slots=True)
class Mirror:
    """The folder ``root`` and what it is a copy of. ``shared``: others write to the URL at the same time, so that what
    is not there now may be there in a moment.
    """

    root: Path
    remote: Remote
    shared: bool = False
    _known: dict[Path, dict[str, Item]] = field(default_factory=dict)
    """By folder, what lies right in it at the URL, as it was when it was looked at last."""
    _held: dict[Path, None] | None = None
    """Files that are to go to the URL later, in their order."""

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _at(self, path: Path) -> Remote:
        return self.remote if path == self.root else self.remote.at(self._name(path))

    def listed(self, folder: Path, *, fresh: bool = False) -> dict[str, Item]:
        """The files right in a folder at the URL."""
        if fresh or folder not in self._known:
            self._known[folder] = self._at(folder).files(deep=False)
        return self._known[folder]

    def here(self, file: Path) -> bool:
        """Whether a file is at the URL; then it is in the folder too."""
        if file.name not in self.listed(file.parent) and (
            not self.shared or file.name not in self.listed(file.parent, fresh=True)
        ):
            return False
        if not file.exists():
            self.remote.fetch({self._name(file): self._known[file.parent][file.name]}, self.root)
        return True

    def bring(self, folder: Path, wanted: Callable[[str], bool], *, deep: bool, anew: re.Pattern[str]) -> None:
        """Fetches the wanted files that the folder lacks, or has in another size or under a name of ``anew``."""
        found = self._at(folder).files(deep=deep)
        if not deep:
            self._known[folder] = found
        lacking = {}
        for name, item in found.items():
            file = folder / name
            if wanted(name) and (anew.fullmatch(name) or not file.is_file() or file.stat().st_size != item.size):
                lacking[name] = item
        self._at(folder).fetch(lacking, folder)

    def offer(self, files: Iterable[Path]) -> None:
        """Puts those of these files to the URL that it lacks."""
        for file in files:
            if file.name not in self.listed(file.parent):
                self.written(file)

    def written(self, file: Path) -> None:
        """The file goes to the URL, in one step, in the place of an earlier one."""
        if self._held is not None:
            self._held.pop(file, None)
            self._held[file] = None
            return
        self._at(file).put(file)
        if (known := self._known.get(file.parent)) is not None:
            known[file.name] = Item(file.stat().st_size, "", None)

    def removing(self, file: Path) -> None:
        """The file goes at the URL."""
        if self._held is not None:
            self._held.pop(file, None)
            if file.name not in self.listed(file.parent):
                return
        self._at(file).remove()
        self._known.get(file.parent, {}).pop(file.name, None)

    def published(self, folder: Path) -> None:
        """The folder takes the place of the earlier one. Its mark goes first and comes last."""
        remote = self._at(folder)
        files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
        earlier = remote.files()
        remote.remove([MARK])
        for name in [name for name in files if name != MARK]:
            remote.at(name).put(files[name])
        remote.remove(name for name in earlier if name not in files)
        if MARK in files:
            remote.at(MARK).put(files[MARK])
        self._known = {path: known for path, known in self._known.items() if not path.is_relative_to(folder)}

    def offer_published(self, folder: Path) -> None:
        """`published`, where the URL has another mark or not the same files."""
        own = {f.relative_to(folder).as_posix(): f.stat().st_size for f in folder.rglob("*") if f.is_file()}
        there = {name: item.size for name, item in self._at(folder).files().items()}
        if own != there or self._at(folder).at(MARK).read() != (folder / MARK).read_bytes():
            self.published(folder)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is written inside goes to the URL at the end, and not at all when the block fails."""
        if self._held is not None:
            yield
            return
        self._held = {}
        try:
            yield
            files = list(self._held)
        finally:
            self._held = None
        for file in files:
            self.written(file)


def follow(root: Path, url: str) -> Mirror:
    """Makes the folder ``root`` this process's copy of what is at ``url``. Nothing is fetched yet."""
    FOLLOWERS[root] = mirror = Mirror(root, Remote(url))
    return mirror


def mirror_of(path: Path) -> Mirror | None:
    """What a file or folder is a copy of, if it is one."""
    found = follower_of(path)
    return found if isinstance(found, Mirror) else None


def opened(root: Path, *, shared: bool = False) -> None:
    """What is small is fetched anew, and what is remembered of the URL forgotten. ``shared`` as in `Mirror`."""
    if (mirror := mirror_of(root)) is not None:
        fresh = follow(root, mirror.remote.url)
        fresh.shared = shared
        fresh.bring(root, lambda name: SMALL.fullmatch(name) is not None, deep=False, anew=VISIBLE)
        if not fresh.listed(root):
            fresh.remote.refuse_unwritable()
        for folder in BESIDE:
            fresh.bring(root / folder, lambda _: True, deep=True, anew=VISIBLE)


def here(file: Path) -> bool:
    """Whether a file is there. One that is at a URL is fetched, and one that is not at its URL does not count."""
    mirror = mirror_of(file)
    return file.exists() if mirror is None else mirror.here(file)


def names(folder: Path) -> set[str]:
    """What lies right in a folder, at its URL where it has one."""
    if (mirror := mirror_of(folder)) is not None:
        return set(mirror.listed(folder, fresh=True))
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def bring(
    folder: Path, wanted: Callable[[str], bool] = lambda _: True, *, deep: bool = False, anew: re.Pattern[str] = NONE
) -> None:
    """Fetches what a folder lacks of its URL: the wanted names, ``deep`` also below. ``anew``: a pattern of names that
    are fetched even though they are there.
    """
    if (mirror := mirror_of(folder)) is not None:
        mirror.bring(folder, wanted, deep=deep, anew=anew)


def bring_published(folder: Path) -> None:
    """Fetches what a published folder lacks, where it is whole at its URL."""
    if (mirror := mirror_of(folder)) is not None and MARK in mirror.listed(folder, fresh=True):
        mirror.bring(folder, lambda _: True, deep=True, anew=re.compile(rf"{re.escape(MARK)}|README\.md"))


def offer_published(folder: Path) -> None:
    """Puts a published folder to its URL, where that does not have all of it."""
    if (mirror := mirror_of(folder)) is not None:
        mirror.offer_published(folder)


def offer(files: Iterable[Path]) -> None:
    """Puts those of these files to their URL that it lacks: what is there although it was never said to be written."""
    for file in files:
        if (mirror := mirror_of(file)) is not None:
            mirror.offer([file])


def exchange(folder: Path) -> None:
    """Of files that only grow, the longer ones take the place of the shorter, here and at the URL."""
    if (mirror := mirror_of(folder)) is None:
        return
    there = {name: item.size or 0 for name, item in mirror.listed(folder, fresh=True).items()}
    own = {path.name: path.stat().st_size for path in folder.iterdir()} if folder.is_dir() else {}
    mirror.bring(folder, lambda name: there[name] > own.get(name, -1), deep=False, anew=NONE)
    for name, size in own.items():
        if size > there.get(name, -1):
            mirror.written(folder / name)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """What is written to ``folder`` inside goes to its URL at the end, each file once, as it is then."""
    mirror = mirror_of(folder)
    if mirror is None:
        yield
    else:
        with mirror.held():
            yield
