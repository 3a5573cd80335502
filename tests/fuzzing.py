"""Bytes that nobody meant: arbitrary ones, and good files with pieces cut out, doubled, moved or put in.

`HARDNEG_EXAMPLES` says how many each test tries; `make fuzz` tries many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MANY = int(os.environ.get("HARDNEG_EXAMPLES", "0"))
tried = settings(
    max_examples=MANY or 20,
    deadline=timedelta(seconds=20) if MANY else None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    derandomize=not MANY,
    database=None,
)


@contextmanager
def refused(error: type[Exception], place: str = "") -> Iterator[None]:
    """Around what ends well, or with such an error that begins with ``place``."""
    try:
        yield
    except error as found:
        if not str(found) or not str(found).startswith(place):
            raise AssertionError(f"{found!r} does not say where") from found


@st.composite
def damaged(draw: st.DrawFn, good: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    """One of the ``good`` files after some edits, which may put in ``pieces`` that are known to hurt; or any bytes."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(1, 4))):
        begin, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        edit = draw(st.sampled_from(("cut", "double", "put", "replace", "flip", "many")))
        piece = draw(st.sampled_from(pieces) | st.binary(min_size=1, max_size=4))
        if edit == "cut":
            data = data[:begin] + data[min(end, begin + 20) :]
        elif edit == "double":
            data = data[:end] + data[begin:]
        elif edit == "put":
            data = data[:begin] + piece + data[begin:]
        elif edit == "replace":
            data = data[:begin] + piece + data[min(end, begin + 20) :]
        elif edit == "flip" and begin < len(data):
            data = data[:begin] + bytes([data[begin] ^ 1 << draw(st.integers(0, 7))]) + data[begin + 1 :]
        elif edit == "many":
            data = (
                data[:begin]
                + piece * min(draw(st.sampled_from((10, 300, 3_000))), (1 << 20) // len(piece))
                + data[begin:]
            )
        data = data[: 1 << 20]
    return data
