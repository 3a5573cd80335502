"""How fast a server is asked: slots that get fewer when it says that it is busy, and limits by the minute."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiolimiter import AsyncLimiter

FEWER = 0.7
EPISODE = 1.0
"""Seconds in which several refusals count as one."""


class Pace:
    """Gives out slots for requests. Belongs to one event loop.

    ``limit`` of slots falls by a third in an episode of refusals, and rises by one for as many successes as there are
    slots: additive increase, multiplicative decrease, as TCP does it.
    """

    def __init__(self, slots: int, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._most = slots
        self.limit: float = slots
        self._taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._rates = (_limiter(requests_per_minute), _limiter(tokens_per_minute))
        self._open_at = 0.0
        self._last = -EPISODE

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[None]:
        """One request of about so many tokens."""
        for limiter, amount in zip(self._rates, (1, tokens), strict=True):
            if limiter is not None:
                left = float(amount)
                while left > 0:  # a limiter gives no more than its own size at once
                    await limiter.acquire(min(left, limiter.max_rate))
                    left -= limiter.max_rate
        await self._take()
        try:
            while (pause := self._open_at - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            yield
        finally:
            self._taken -= 1
            self._hand_out()

    async def _take(self) -> None:
        """Waits for a slot, first come, first served: answers are handed on in order."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had just been given
                self._taken -= 1
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        while self._queue and self._taken < max(1, int(self.limit)):
            turn = self._queue.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def went_well(self) -> None:
        """A request was answered."""
        if self.limit < self._most:
            self.limit = min(self._most, self.limit + 1 / max(1.0, self.limit))

    def too_fast(self, wait: float | None) -> None:
        """The server refused a request because it is busy; nobody asks for ``wait`` seconds."""
        now = time.monotonic()
        if wait is not None:
            self._open_at = max(self._open_at, now + wait)
        if now - self._last > EPISODE:
            self._last = now
            self.limit = max(1.0, self.limit * FEWER)


def _limiter(per_minute: float | None) -> AsyncLimiter | None:
    """So many a minute, at most a tenth of them, or one, at once."""
    if per_minute is None:
        return None
    at_once = max(1.0, per_minute / 10)
    return AsyncLimiter(at_once, 60 * at_once / per_minute)
