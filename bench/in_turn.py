"""Runs that are held against each other take turns, so that what else a machine does falls on all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Spent(NamedTuple):
    """Seconds by the clock, and of this process's processors."""

    wall: float
    cpu: float


def in_turn(rounds: int, runs: dict[str, Callable[[], Any]], warm: int = 1) -> dict[str, list[Spent]]:
    """What each run takes in so many rounds. ``warm`` rounds go before and are not counted."""
    found: dict[str, list[Spent]] = {name: [] for name in runs}
    for number in range(rounds + warm):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if number >= warm:
                found[name].append(Spent(time.perf_counter() - wall, time.process_time() - cpu))
    return found
