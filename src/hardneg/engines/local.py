"""Shards on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from hardneg.bounds import Count
from hardneg.errors import WorkerError
from hardneg.kinds import NEUTRAL, part

T = TypeVar("T")
R = TypeVar("R")
DEATHS = 3
"""So many processes may die of a shard before it is given up."""


@part
class Local:
    """``workers: 1`` works on one shard after another in this process; more start as many processes, each with models
    of its own. The results are the same.

    A process that is killed or out of memory is replaced, and its shard tried again: alone, so that a second death is
    that shard's own. A lone shard is worked on in this process as long as no other one was started.
    """

    workers: Count = field(default=1, metadata=NEUTRAL)

    def map(
        self, function: Callable[[T], R], shards: Sequence[T], *, stage: str = "", folders: Sequence[Path] = ()
    ) -> Iterator[R]:
        """``function(shard)`` of every shard, as each is done.

        Raises `WorkerError`, when all others are done, for shards that three processes died of.
        """
        if self.workers == 1 or (len(shards) < 2 and not _pool.cache_info().currsize):
            yield from _here(function, shards)
            return
        try:
            yield from self._map(function, shards)
        except WorkerError:
            raise
        except BaseException:
            _stop(_pool(self.workers))
            raise

    def close(self) -> None:
        """Nothing: the processes stay for the next run, with what they have loaded."""

    def _map(self, function: Callable[[T], R], shards: Sequence[T]) -> Iterator[R]:
        waiting, suspects, lost = deque(range(len(shards))), deque[int](), list[int]()
        deaths: Counter[int] = Counter()
        under_way: dict[Future[R], int] = {}
        while waiting or suspects or under_way:
            numbers, most = (suspects, 1) if suspects else (waiting, self.workers + 1)
            while numbers and len(under_way) < most:
                if (future := self._submitted(function, shards[numbers[0]])) is None:
                    break
                under_way[future] = numbers.popleft()
            done = wait(under_way, return_when=FIRST_COMPLETED).done
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                done = wait(under_way).done  # all that was under way may be to blame
                _stop(_pool(self.workers))
            sure = len(done) == 1  # else another one may have killed the process
            for future in done:
                number, error = under_way.pop(future), future.exception()
                if error is None:
                    yield future.result()
                elif isinstance(error, (BrokenProcessPool, MemoryError)):
                    deaths[number] += sure or isinstance(error, MemoryError)
                    (suspects if deaths[number] < DEATHS else lost).append(number)
                else:
                    raise error
        if lost:
            _pool(self.workers)  # what is tried of them goes into processes too
            raise WorkerError([shards[number] for number in sorted(lost)])

    def _submitted(self, function: Callable[[T], R], shard: T) -> Future[R] | None:
        """A shard under way; None where a process died idle, and others have taken their place."""
        try:
            return _pool(self.workers).submit(function, shard)
        except BrokenProcessPool:
            _stop(_pool(self.workers))
            return None


def _here(function: Callable[[T], R], shards: Sequence[T]) -> Iterator[R]:
    """In this process, where nothing can be done about a death, and a shard without enough memory is given up."""
    lost: list[T] = []
    for shard in shards:
        try:
            result = function(shard)
        except MemoryError:  # noqa: PERF203  a shard is long
            lost.append(shard)
        else:
            yield result
    if lost:
        raise WorkerError(lost)


@lru_cache(maxsize=1)
def _pool(workers: int) -> ProcessPoolExecutor:
    """The processes of this one: kept from stage to stage, so that each loads its models once."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_follow_parent)


def _stop(pool: ProcessPoolExecutor) -> None:
    """Ends the processes. A shard is written whole or not at all, so there is nothing to wait for."""
    _pool.cache_clear()
    for process in list((pool._processes or {}).values()):  # noqa: SLF001  public from Python 3.14 on
        process.terminate()
    pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """In a worker: leaves Ctrl-C to the parent, and ends when the parent does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
