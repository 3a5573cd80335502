"""What a job may spend on language models: set by the job, looked at by whoever is about to ask one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock

from hardneg.data.chat import Usage


@dataclass(slots=True)
class Budget:
    """What a whole job may use. Tokens are reserved before a request is sent, each time that it is, so that ``spent``
    never passes the cap. Thread-safe.

    >>> budget = Budget(max_tokens=100)
    >>> budget.reserve(80, 0.0), budget.reserve(80, 0.0)
    (True, False)
    >>> budget.settle(80, 0.0, Usage(1, 30, 10)); budget.spent.tokens
    40
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    spent: Usage = field(default_factory=Usage)
    reserved_tokens: int = 0
    reserved_cost: float = 0.0
    part: float = 1.0
    """The part of the job that is this process's: the rates of clients are kept to it."""
    now: Usage = field(default_factory=Usage)
    """The part of ``spent`` that this process has sent for; earlier runs paid the rest."""
    looked_up: int = 0
    """Answers of this job that came from the log."""
    charged: set[str] = field(default_factory=set, repr=False)
    """Keys of the answers that are in ``spent``: an answer that is looked up again costs nothing."""
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def reserve(self, tokens: int, cost: float) -> bool:
        """Sets aside what a request may use at most; False when the cap does not allow it."""
        with self._lock:
            if self.max_tokens is not None and self.spent.tokens + self.reserved_tokens + tokens > self.max_tokens:
                return False
            if self.max_cost is not None and self.spent.cost + self.reserved_cost + cost > self.max_cost:
                return False
            self.reserved_tokens += tokens
            self.reserved_cost += cost
            return True

    def settle(self, tokens: int, cost: float, used: Usage) -> None:
        """Puts what was really used in place of what was set aside."""
        with self._lock:
            self.reserved_tokens -= tokens
            self.reserved_cost -= cost
            self.spent += used

    def narrow(self, own: int, of: int) -> None:
        """Keeps to ``own`` of ``of`` equal parts of the job. The rest is other processes', which do the same.

        >>> budget = Budget(max_tokens=100); budget.narrow(1, 3); budget.max_tokens
        33
        """
        self.part = own / of
        self.max_tokens = None if self.max_tokens is None else self.max_tokens * own // of
        self.max_cost = None if self.max_cost is None else self.max_cost * self.part

    def pay(self, tokens: int, cost: float, used: Usage) -> None:
        """`settle`, for what was sent now."""
        self.settle(tokens, cost, used)
        with self._lock:
            self.now += used

    def line(self) -> str:
        """What was paid now, what earlier, and what came from the log.

        >>> Budget(max_tokens=100, spent=Usage(3, 40, 10), now=Usage(1, 15, 5), looked_up=2).line()
        'budget: 50 tokens of 100: 20 paid now in 1 requests, 30 by earlier runs; 2 answers came from the log'
        """
        now, whole = self.now, self.spent
        cap = f" of {self.max_tokens:,}" if self.max_tokens is not None else ""
        money = f" ({now.cost:.2f} of {whole.cost:.2f} in money now)" if whole.cost else ""
        return (
            f"budget: {whole.tokens:,} tokens{cap}: {now.tokens:,} paid now in {now.requests:,} requests, "
            f"{whole.tokens - now.tokens:,} by earlier runs{money}; {self.looked_up:,} answers came from the log"
        )


_current: ContextVar[Budget | None] = ContextVar("hardneg_budget", default=None)


@contextmanager
def limited(budget: Budget) -> Iterator[Budget]:
    """Everything asked inside counts towards ``budget``."""
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


def current() -> Budget:
    """The budget in force; one without a cap when there is none."""
    return _current.get() or Budget()
