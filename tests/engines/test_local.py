"""The engine on this machine, with processes that are really killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hardneg.engines import local
from hardneg.engines.local import Local
from hardneg.errors import WorkerError


@pytest.fixture(autouse=True)
def no_processes() -> Iterator[None]:
    yield
    local._stop(local._pool(1))


def killed(folder: Path, times: dict[int, int], how: str, number: int) -> int:
    """The number squared, by a process that dies of it so many times."""
    deaths = len(list(folder.glob(f"{number}-*")))
    if deaths < times.get(number, 0):
        (folder / f"{number}-{deaths}").write_text("")
        if how == "memory":
            raise MemoryError
        os.kill(os.getpid(), getattr(signal, how))
    return number * number


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "memory"])
def test_a_killed_process_is_replaced_and_its_shard_tried_again(tmp_path: Path, how: str) -> None:
    found = Local(workers=2).map(partial(killed, tmp_path, {2: 1, 5: 2}, how), range(7))
    assert sorted(found) == [n * n for n in range(7)]


@pytest.mark.parametrize("how", ["SIGKILL", "memory"])
def test_what_kills_every_process_is_given_up_when_all_others_are_done(tmp_path: Path, how: str) -> None:
    done: list[int] = []
    with pytest.raises(WorkerError) as raised:
        done.extend(Local(workers=2).map(partial(killed, tmp_path, {1: 99, 4: 99}, how), range(6)))
    assert raised.value.shards == [1, 4]
    assert sorted(done) == [0, 4, 9, 25]
    together = how == "SIGKILL"  # a death with others under way may be another's and does not count
    assert local.DEATHS <= len(list(tmp_path.glob("1-*"))) <= local.DEATHS + together


def test_a_lone_shard_goes_into_a_process_after_a_death(tmp_path: Path) -> None:
    engine = Local(workers=2)
    with pytest.raises(WorkerError):
        list(engine.map(partial(killed, tmp_path, {1: 99}, "SIGKILL"), range(2)))
    with pytest.raises(WorkerError):
        list(engine.map(partial(killed, tmp_path, {1: 99}, "SIGKILL"), [1]))


def test_one_process_gives_up_what_it_has_no_memory_for(tmp_path: Path) -> None:
    done: list[int] = []
    with pytest.raises(WorkerError) as raised:
        done.extend(Local().map(partial(killed, tmp_path, {1: 99}, "memory"), range(3)))
    assert (raised.value.shards, done) == ([1], [0, 4])


def failing(number: int) -> int:
    raise ValueError(f"number {number}")


def test_an_error_is_no_death() -> None:
    with pytest.raises(ValueError, match="number"):
        list(Local(workers=2).map(failing, range(4)))
