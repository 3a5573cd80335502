"""Shards on this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from hardneg.errors import HardnegError, PartError
from hardneg.kinds import part

T = TypeVar("T")
R = TypeVar("R")


@part
class Local:
    """``workers: 1`` works on one shard after another in this process; more start as many processes, each with models
    of its own. The results are the same.
    """

    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise PartError(f"`workers` must be at least 1, not {self.workers!r}")

    def map(self, function: Callable[[T], R], shards: Sequence[T]) -> Iterator[R]:
        """``function(shard)`` of every shard, as each is done."""
        if self.workers == 1 or len(shards) < 2:
            yield from map(function, shards)
            return
        pool = ProcessPoolExecutor(min(self.workers, len(shards)), multiprocessing.get_context("spawn"))
        try:
            for future in as_completed([pool.submit(function, shard) for shard in shards]):
                yield future.result()
        except BrokenProcessPool as error:
            raise HardnegError(
                "a worker process died (out of memory?); run again to go on, or lower `engine.workers`"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
