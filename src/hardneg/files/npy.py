"""Arrays of `.npy` files, read by any number of threads at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np

HEADERS = threading.Lock()
"""Held while a header is parsed. numpy parses it with `ast.literal_eval`, which fails with a SystemError now and then
when two threads of Python 3.11 are in it at once (https://github.com/python/cpython/issues/106905).
"""


def mapped(file: Path, mode: Literal["r", "r+"] = "r") -> np.memmap[Any, Any]:
    """The array of a file, memory-mapped. Raises ValueError or EOFError for a file that is cut or is no array."""
    with HEADERS:
        array: np.memmap[Any, Any] = np.load(file, mmap_mode=mode, allow_pickle=False)
    return array
