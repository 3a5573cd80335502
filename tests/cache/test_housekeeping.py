"""What dead processes leave in the cache goes, what live ones use stays, and what may be pruned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hardneg.cache.folders import Cache
from hardneg.cache.housekeeping import MARGIN, entries, in_use, prune, sweep
from hardneg.cache.memo import Memo, keys_of
from hardneg.cli import main

DAY = 86_400
HOLDS = """
import sys, time
from pathlib import Path
from hardneg.cache.folders import Cache
from hardneg.cache.housekeeping import in_use
cache = Cache(Path(sys.argv[1]))
with in_use(cache), cache.workspace("corpus") as folder:
    (folder / "half").write_text("a half")
    print(folder, flush=True)
    time.sleep(60)
"""


@contextmanager
def other_process(cache: Cache) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process with a run under way and a workspace, and the workspace."""
    command = [sys.executable, "-c", HOLDS, str(cache.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def made(cache: Cache, group: str, name: str, *, days: float, size: int = 1_000) -> Path:
    """A thing of the cache that was used so many days ago."""
    path = cache.made(group, name, lambda folder: (folder / "file").write_bytes(b"x" * size) and None)
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def test_what_a_killed_process_left_goes_and_what_a_live_one_has_stays(cache: Cache) -> None:
    with other_process(cache) as (dead, left), other_process(cache) as (_, used):
        assert (left / "half").exists()
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        with in_use(cache):
            assert not left.exists()
            assert (used / "half").exists()
            assert not list((cache.root / "locks").glob(f"{left.name}*"))
    assert len(sweep(cache)) == 1


def test_the_lock_of_a_workspace_that_is_gone_goes_when_it_is_old(cache: Cache) -> None:
    """As after a kill between the renaming of the workspace and the removal of its lock."""
    locks = cache.root / "locks"
    locks.mkdir(parents=True)
    old, young = locks / ".corpus-0123456789abcdef.lock", locks / ".corpus-0123456789abcde0.lock"
    for lock in (old, young):
        lock.touch()
    os.utime(old, (time.time() - 2 * MARGIN,) * 2)
    with cache.workspace("corpus") as folder:
        used = locks / f"{folder.name}.lock"
        os.utime(used, (time.time() - 2 * MARGIN,) * 2)
        sweep(cache)
        assert {young, used} == set(locks.glob(".*"))


def test_leftovers_of_earlier_versions_go_when_they_are_old(cache: Cache) -> None:
    old, young, other = (cache.root / name for name in (".memo-ab_d1234", ".memo-ab_d1235", ".git"))
    for folder in (old, young, other):
        folder.mkdir(parents=True)
    for folder in (old, other):
        os.utime(folder, (time.time() - 2 * DAY,) * 2)
    assert sweep(cache) == [old]
    assert young.exists()
    assert other.exists()


def test_nothing_is_left_by_a_process_that_ends(cache: Cache) -> None:
    with in_use(cache), cache.workspace("corpus") as folder:
        assert folder.is_dir()
    assert [path for path in cache.root.rglob("*") if path.name != "locks"] == []


def test_by_age(cache: Cache) -> None:
    old, young = made(cache, "bm25", "old", days=40), made(cache, "bm25", "young", days=3)
    unfinished = cache.root / "embeddings" / ".half.unfinished"
    unfinished.mkdir(parents=True)
    os.utime(unfinished, (time.time() - 40 * DAY,) * 2)
    gone = prune(cache, older_than=30 * DAY)
    assert {entry.path for entry in gone} == {old, unfinished}
    assert [entry.path for entry in entries(cache)] == [young]
    assert not list(cache.root.glob(".*"))


def test_by_size_the_longest_unused_go_first(cache: Cache) -> None:
    first, second, third = (made(cache, "bm25", name, days=age) for name, age in (("a", 3), ("b", 2), ("c", 1)))
    assert [entry.path for entry in prune(cache, keep_bytes=2_800)] == [first]
    assert cache.find("bm25", "b") == second  # which uses it
    assert [entry.path for entry in prune(cache, keep_bytes=1_400)] == [third]


def test_answers_that_were_paid_for_stay(cache: Cache) -> None:
    paid = made(cache, "answers", "model", days=400)
    assert prune(cache, older_than=0.0, keep_bytes=0) == []
    assert paid.exists()


def test_what_a_run_uses_stays(cache: Cache) -> None:
    used, unused, making = (made(cache, "bm25", name, days=40) for name in ("used", "unused", "making"))
    with other_process(cache):
        assert cache.find("bm25", "used") == used
        with cache.lock("bm25", "making"):
            assert {entry.path for entry in prune(cache, keep_bytes=0)} == {unused}
        assert making.exists()
    assert {entry.path for entry in prune(cache, keep_bytes=0)} == {used, making}


def test_looking_up_numbers_uses_them(cache: Cache) -> None:
    memo, folder = Memo(cache, "name"), cache.root / "memo" / "name"
    memo.get(keys_of(["a"]), lambda numbers: np.ones((len(numbers), 1), np.float32))
    os.utime(folder, (0, 0))
    memo.get(keys_of(["a"]), lambda numbers: np.ones((len(numbers), 1), np.float32))
    assert time.time() - folder.stat().st_mtime < DAY


def test_a_cache_that_can_only_be_read_is_no_error(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with in_use(Cache(tmp_path / "file")):
        pass


def test_the_command(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    made(cache, "bm25", "old", days=40, size=1_500_000)
    made(cache, "bm25", "young", days=1)
    assert main(["cache", str(cache.root)]) == 0
    shown = capsys.readouterr().out
    assert "1.5 MB" in shown
    assert "40 d" in shown
    assert f"2 entries, 1.5 MB, in {cache.root}" in shown
    assert main(["cache", str(cache.root), "--prune", "--json"]) == 0
    assert '"name": "old"' in capsys.readouterr().out
    assert [entry.name for entry in entries(cache)] == ["young"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--older-than", "3d"], "give --prune too"),
        (["--prune", "--older-than", "3"], "--older-than: expected a number with one of m, h, d, w, not '3'"),
        (["--prune", "--keep", "3d"], "--keep: expected a number with one of KB, MB, GB, TB, not '3d'"),
        (["nowhere"], "there is no such folder"),
    ],
)
def test_wrong_arguments(
    cache: Cache,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARDNEG_CACHE", str(cache.root))
    assert main(["cache", *arguments]) == 2
    assert problem in capsys.readouterr().err
