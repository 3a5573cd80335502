"""Progress as plain lines on stderr, for logs: one every ten seconds while work goes on, none for what is quick."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from typing_extensions import Self

from hardneg import progress

EVERY = 10.0
"""Seconds between two lines."""


@dataclass(slots=True)
class _Work:
    title: str
    total: int | None
    done: int = 0
    since: float = field(default_factory=time.monotonic)

    def line(self) -> str:
        """``encode corpus: 4,096 of 10,033, 210/s, 0:28 left``."""
        seconds = time.monotonic() - self.since
        if self.total is None:
            return f"{self.title}: {self.done:,}, {_clock(seconds)} so far"
        if not self.done:
            return f"{self.title}: 0 of {self.total:,}, {_clock(seconds)} so far"
        left = seconds / self.done * (self.total - self.done)
        return f"{self.title}: {self.done:,} of {self.total:,}, {self.done / seconds:,.0f}/s, {_clock(left)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Lines:
    """Listens to progress while it is entered. The innermost work is the one that is told of."""

    def __init__(self, every: float = EVERY) -> None:
        self._every, self._stack, self._stopped = every, ExitStack(), threading.Event()
        self._begin, self._count = time.monotonic(), 0
        self._running: dict[int, _Work] = {}

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._tell, daemon=True)
        self._stack.callback(thread.join)
        self._stack.callback(self._stopped.set)
        self._stack.enter_context(progress.listening(self))
        thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _tell(self) -> None:
        while not self._stopped.wait(self._every):
            running = list(self._running.values())
            line = running[-1].line() if running else f"working, {_clock(time.monotonic() - self._begin)} so far"
            print(line, file=sys.stderr, flush=True)

    def start(self, title: str, total: int | None) -> int:
        """More work, inside what runs already."""
        self._count += 1
        self._running[self._count] = _Work(title, total)
        return self._count

    def advance(self, task: int, amount: int) -> None:
        """So much of it is done."""
        self._running[task].done += amount

    def stop(self, task: int) -> None:
        """That work is done, or was stopped."""
        del self._running[task]

    def note(self, text: str) -> None:
        """A line at once."""
        print(f"hardneg: {text}", file=sys.stderr, flush=True)
