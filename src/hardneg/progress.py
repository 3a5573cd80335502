"""Progress of long work, told to whoever listens: the command line draws bars, a library call stays quiet."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Listener(Protocol):
    """Draws progress: the command line's is made of rich bars."""

    def start(self, title: str, total: int | None) -> int: ...

    def advance(self, task: int, amount: int) -> None: ...

    def stop(self, task: int) -> None: ...

    def note(self, text: str) -> None: ...


class Task:
    """One piece of long work; `advance` by as many units as are done."""

    def __init__(self, listener: Listener | None, number: int) -> None:
        self._listener, self._number = listener, number

    def advance(self, amount: int = 1) -> None:
        if self._listener is not None:
            self._listener.advance(self._number, amount)


_listener: ContextVar[Listener | None] = ContextVar("hardneg_progress", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Sends the progress of everything inside to ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def listened() -> bool:
    """Whether anybody listens."""
    return _listener.get() is not None


def note(text: str) -> None:
    """Says something that a user should know now: a line on stderr, or a Python warning where nobody listens."""
    listener = _listener.get()
    if listener is not None:
        listener.note(text)
    else:
        warnings.warn(text, stacklevel=2)


@contextmanager
def task(title: str, total: int | None = None) -> Iterator[Task]:
    """A task of ``total`` units (None: unknown)."""
    listener = _listener.get()
    number = listener.start(title, total) if listener else 0
    try:
        yield Task(listener, number)
    finally:
        if listener:
            listener.stop(number)


def counted(items: Iterable[T], bar: Task) -> Iterator[T]:
    """The items, each counted as it goes by."""
    for item in items:
        yield item
        bar.advance()
