"""Calls that may never come back, on a thread that can be left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Watched:
    """One thread that does one call after another for whoever waits.

    A call may hang in code that nothing can interrupt. Then the waiting thread goes on without it. The thread that
    hangs is a daemon, so the process can end.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._seen = 0.0
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def alive(self) -> None:
        """Says that the call under way makes progress."""
        self._seen = time.monotonic()

    def do(self, call: Callable[[], T], patience: float = threading.TIMEOUT_MAX) -> T:
        """What ``call`` returns or raises. Raises `StuckError` after ``patience`` seconds without `alive` or an end."""
        future: Future[T] = Future()
        self.alive()
        self._calls.put((call, future))
        left = patience
        while not wait([future], timeout=left).done:
            left = self._seen + patience - time.monotonic()
            if left <= 0:
                raise StuckError
        return future.result()

    def _work(self) -> None:
        while True:
            call, future = self._calls.get()
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is raised where the call is waited for
                future.set_exception(error)
            del call, future


class StuckError(Exception):
    """A call neither ended nor made progress for as long as was waited."""
