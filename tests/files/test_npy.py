"""Many threads read `.npy` files at once."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hardneg.files.npy import mapped


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as they can, and garbage is collected all the time."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(5)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)


class Turn:
    """Garbage whose end lets other threads go on."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        for _ in range(50):
            len("a turn")


@pytest.mark.usefixtures("switching")
def test_threads_read_headers_at_once(tmp_path: Path) -> None:
    np.save(file := tmp_path / "a.npy", np.arange(3))

    def read(_: int) -> None:
        for _ in range(300):
            Turn()
            assert mapped(file)[2] == 2

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))
