"""Folders of the cache: made once, by one process at a time, and on the disk before they have their name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from filelock import Timeout
from support import Listener, on_linux

from hardneg import progress
from hardneg.cache import folders, memo
from hardneg.cache.folders import Cache
from hardneg.cache.memo import Memo, keys_of
from hardneg.files.durable import UNFINISHED
from hardneg.testing import faults
from hardneg.testing.faults import every_fault, run, some_faults


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


def write_folder(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    write(folder, text)


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


def test_waiting_for_another_process_is_shown_and_what_it_made_is_taken(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    lock = cache.lock("things", "one")

    def finish(title: str) -> None:
        write_folder(tmp_path / "things" / "one", "theirs")
        lock.release()

    lock.acquire()
    listener = Listener(finish)
    with progress.listening(listener):
        found = cache.made("things", "one", lambda folder: write(folder, "ours"))
    assert (found / "file").read_text() == "theirs"
    assert listener.titles == ["wait for another process: things"]


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


def fill(root: Path) -> None:
    cache = Cache(root / "cache")
    cache.made("things", "one", lambda folder: write(folder, "one"))
    with cache.workspace("thing") as folder:
        write(folder, "two")
        cache.publish(folder, "others", "two")
    Memo(cache, "name").get(keys_of(["a"]), lambda places: np.ones((len(places), 2), np.float32))


@on_linux
def test_things_outlive_a_power_cut(tmp_path: Path) -> None:
    assert run(fill, tmp_path, faults.POWER, faults.END).status == 0
    cache = Cache(tmp_path / "cache")
    assert cache.find("things", "one")
    assert cache.find("others", "two")
    [segment] = (tmp_path / "cache" / "memo" / "name").glob("*.npy")
    assert memo.whole(segment)


@on_linux
def test_things_are_on_the_disk_before_they_have_their_name(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for _ in some_faults(fill, tmp_path / "root", 15, faults=[faults.POWER, faults.POWER_BUT_NAMES]):
        for group, name in (("things", "one"), ("others", "two")):
            Cache(tmp_path / "root" / "cache").find(group, name)  # a damaged one would be said, as a warning
        assert all(memo.whole(segment) for segment in tmp_path.glob("root/cache/memo/name/*.npy"))


def fill_with_arrays(root: Path) -> None:
    cache = Cache(root / "cache")
    cache.made("things", "one", lambda folder: np.save(folder / "a.npy", np.arange(9)))
    Memo(cache, "name").get(keys_of(["a"]), lambda places: np.ones((len(places), 2), np.float32))


@on_linux
def test_an_array_that_the_disk_did_not_take_whole_is_never_finished(tmp_path: Path) -> None:
    """numpy says nothing when the last write of an array fails."""
    (tmp_path / "root").mkdir()
    failing = [dataclasses.replace(fault, hits=frozenset({"write"})) for fault in (faults.NO_SPACE, faults.IO_ERROR)]
    for trial in every_fault(fill_with_arrays, tmp_path / "root", failing):
        assert "StoreError: " in trial.output, trial
        for file in (tmp_path / "root" / "cache").glob("[tm]*/[!.]*/*.npy"):
            np.load(file)


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been checked yet."""
    monkeypatch.setattr(folders, "_intact", set())
    monkeypatch.setattr(memo, "_intact", set())


def publish(cache: Cache, text: str) -> Path:
    with cache.workspace("thing") as folder:
        write(folder, text)
        return cache.publish(folder, "things", "one")


def make(cache: Cache, text: str) -> Path:
    return cache.made("things", "one", lambda folder: write(folder, text))


def change(file: Path) -> None:
    """Another bit, and a time of change that no clock is too coarse for."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, (1_000, 1_000))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("how", [publish, make])
def test_a_thing_with_another_bit_is_made_again(tmp_path: Path, how: Callable[[Cache, str], Path], known: bool) -> None:
    """Also one that this process has looked at before."""
    cache = Cache(tmp_path)
    found = how(cache, "one")
    if known:
        assert cache.find("things", "one") == found
    change(found / "file")
    with pytest.warns(UserWarning, match="file has changed since it was written; it is removed and made again"):
        assert cache.find("things", "one") is None
    assert (how(cache, "two") / "file").read_text() == "two"


def test_what_a_killed_process_had_half_written_inside_is_gone(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def stopped(folder: Path) -> None:
        write(folder, "whole")
        (folder / f".half{UNFINISHED}").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.made("things", "one", stopped)
    seen: list[str] = []
    found = cache.made("things", "one", lambda folder: seen.extend(file.name for file in folder.iterdir()))
    assert seen == ["file"], "what was whole is there to go on with"
    assert sorted(file.name for file in found.iterdir()) == [".checksums.json", "file"]


def numbers(cache: Cache, keys: list[list[int]]) -> tuple[list[float], int]:
    """The numbers of these keys, the first half of each, and how many were computed now."""
    asked: list[int] = []

    def compute(places: np.ndarray) -> np.ndarray:
        asked.extend(places)
        return np.array([[keys[i][1]] for i in places], np.float32)

    found = Memo(cache, "name").get(np.array(keys, np.uint64), compute)
    return found[:, 0].tolist(), len(asked)


@pytest.mark.parametrize("known", [True, False])
def test_a_segment_with_another_bit_is_computed_again(tmp_path: Path, known: bool) -> None:
    cache = Cache(tmp_path)
    numbers(cache, [[1, 7]])
    if known:
        assert numbers(cache, [[1, 7]]) == ([7.0], 0)
    [file] = (tmp_path / "memo" / "name").glob("*.npy")
    change(file)
    with pytest.warns(UserWarning, match="its numbers are computed again"):
        assert numbers(cache, [[1, 7]]) == ([7.0], 1)


def test_both_halves_of_a_key_tell(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert numbers(cache, [[1, 7]]) == ([7.0], 1)
    assert numbers(cache, [[1, 8], [1, 7], [2, 7]]) == ([8.0, 7.0, 7.0], 2)
