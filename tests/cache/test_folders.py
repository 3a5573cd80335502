"""Folders of the cache: made once, by one process at a time, and on the disk before they have their name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from disk import watched
from filelock import Timeout

from hardneg.cache import memo
from hardneg.cache.folders import Cache
from hardneg.cache.memo import Memo, keys_of


def is_held(cache: Cache, group: str, name: str) -> bool:
    """Whether somebody holds the lock of a name."""
    try:
        with cache.lock(group, name).acquire(timeout=0):
            return False
    except Timeout:
        return True


class Watched(Cache):
    """Notes whether the lock of ``things/one``, or of the memo, is held when something is looked for or begun."""

    looked: list[bool]
    begun_memo: list[bool]

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        object.__setattr__(self, "looked", [])
        object.__setattr__(self, "begun_memo", [])

    def find(self, group: str, name: str) -> Path | None:
        self.looked.append(is_held(self, group, name))
        return super().find(group, name)

    @contextmanager
    def workspace(self, purpose: str) -> Iterator[Path]:
        self.begun_memo.append(is_held(self, "memo", "name"))
        with super().workspace(purpose) as folder:
            yield folder


class Overtaken(Cache):
    """Another process makes the same thing just before this one has the lock."""

    def lock(self, group: str, name: str) -> object:  # type: ignore[override]
        other = Cache(self.root)
        if not (self.root / group / name).exists():
            other.made(group, name, lambda folder: write(folder, "theirs"))
        return other.lock(group, name)


def write(folder: Path, text: str) -> None:
    (folder / "file").write_text(text)


def test_the_lock_is_held_while_a_thing_is_made_and_free_afterwards(tmp_path: Path) -> None:
    cache, held = Cache(tmp_path), []

    def make(folder: Path) -> None:
        held.extend([is_held(cache, "things", "one"), is_held(cache, "things", "two"), is_held(cache, "other", "one")])
        write(folder, "one")

    cache.made("things", "one", make)
    assert held == [True, False, False], "one lock a name"
    assert not is_held(cache, "things", "one")


def test_the_lock_is_held_when_a_finished_folder_is_looked_for_and_named(tmp_path: Path) -> None:
    cache = Watched(tmp_path)
    with cache.workspace("thing") as folder:
        write(folder, "one")
        cache.publish(folder, "things", "one")
    assert cache.looked == [True]


def test_what_another_process_made_first_is_taken(tmp_path: Path) -> None:
    cache = Overtaken(tmp_path)
    found = cache.made("things", "one", lambda folder: write(folder, "ours"))
    assert (found / "file").read_text() == "theirs"
    with cache.workspace("thing") as folder:
        write(folder, "ours")
        assert (cache.publish(folder, "things", "two") / "file").read_text() == "theirs"


def test_segments_are_put_together_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "SEGMENTS", 2)
    cache = Watched(tmp_path)
    for text in "abc":
        Memo(cache, "name").get(keys_of([text]), lambda numbers: np.ones((len(numbers), 2), np.float32))
    assert cache.begun_memo == [False, False, False, True], "the last writes the three as one"


def test_things_are_on_the_disk_before_they_have_their_name(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with watched() as disk:
        cache.made("things", "one", lambda folder: write(folder, "one"))
        assert disk.renamed == []
        with cache.workspace("thing") as folder:
            write(folder, "two")
            cache.publish(folder, "things", "two")
        assert disk.renamed == []
        Memo(cache, "name").get(keys_of(["a"]), lambda numbers: np.ones((len(numbers), 2), np.float32))
    assert disk.lost == []
