"""Shards on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from typing import TypeVar

from hardneg.bounds import Count
from hardneg.errors import HardnegError
from hardneg.kinds import part

T = TypeVar("T")
R = TypeVar("R")


@part
class Local:
    """``workers: 1`` works on one shard after another in this process; more start as many processes, each with models
    of its own. The results are the same.
    """

    workers: Count = 1

    def map(self, function: Callable[[T], R], shards: Sequence[T]) -> Iterator[R]:
        """``function(shard)`` of every shard, as each is done."""
        if self.workers == 1 or len(shards) < 2:
            yield from map(function, shards)
            return
        try:
            futures = [_pool(self.workers).submit(function, shard) for shard in shards]
            for future in as_completed(futures):
                yield future.result()
        except BaseException as error:
            pool = _pool(self.workers)
            _pool.cache_clear()
            for process in list((pool._processes or {}).values()):  # noqa: SLF001  public from Python 3.14 on
                process.terminate()  # a shard is written whole or not at all, so there is nothing to wait for
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise HardnegError(
                    "a worker process died (out of memory?); run again to go on, or lower `engine.workers`"
                ) from error
            raise


@lru_cache(maxsize=1)
def _pool(workers: int) -> ProcessPoolExecutor:
    """The processes of this one: kept from stage to stage, so that each loads its models once."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_follow_parent)


def _follow_parent() -> None:
    """In a worker: leaves Ctrl-C to the parent, and ends when the parent does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
