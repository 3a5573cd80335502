"""Tables that a file is gathered in before it can be used: in memory while they are small, then on the disk."""

# ruff: noqa: S608  what is put into a statement are names of columns, which stand in the code
from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hardneg.errors import StoreError

MEMORY = 8
"""MiB of a table that are held in memory."""


class Spilled:
    """Rows of some values by two texts, ``key`` and ``sub``, in the order in which they came.

    What does not fit into `MEMORY` goes into a file without a name in the folder for temporary files, which is gone
    when the process ends, however it ends. Raises `StoreError` when that disk is full.

    >>> judged = Spilled("grade")
    >>> judged.put("q1", "d3", 1), judged.put("q1", "d2", 0), judged.put("q1", "d3", 2)
    (None, None, (1,))
    >>> list(judged.of("q1"))
    [('d3', 1), ('d2', 0)]
    """

    def __init__(self, *values: str) -> None:
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        columns = "".join(f", {name}" for name in values)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{MEMORY << 10}"):
            self._rows.execute(f"PRAGMA {setting}")
        self._rows.execute(f"CREATE TABLE kept (number INTEGER PRIMARY KEY, key, sub{columns}, UNIQUE (key, sub))")
        self._rows.execute("BEGIN")
        self._values = ", ".join(values) or "NULL"
        self._put = f"INSERT OR IGNORE INTO kept (key, sub{columns}) VALUES (?, ?{', ?' * len(values)})"
        self._found = f"SELECT {self._values} FROM kept WHERE key = ? AND sub = ?"

    def put(self, key: str, sub: str = "", *values: Any) -> tuple[Any, ...] | None:
        """Adds a row, unless there is one of this key. Returns the values of the one that is there, else None."""
        with _told():
            if self._rows.execute(self._put, (key, sub, *values)).rowcount:
                return None
        return self.get(key, sub)

    def get(self, key: str, sub: str = "") -> tuple[Any, ...] | None:
        """The values of a row; None where there is none."""
        with _told():
            found: tuple[Any, ...] | None = self._rows.execute(self._found, (key, sub)).fetchone()
        return found

    def of(self, key: str) -> Iterator[tuple[Any, ...]]:
        """Sub and values of every row of a key."""
        return self._selected(f"SELECT sub, {self._values} FROM kept WHERE key = ? ORDER BY number", key)

    def drop(self, key: str) -> None:
        """Forgets the rows of a key."""
        with _told():
            self._rows.execute("DELETE FROM kept WHERE key = ?", (key,))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Key, sub and values of every row."""
        return self._selected(f"SELECT key, sub, {self._values} FROM kept ORDER BY number")

    def _selected(self, query: str, *given: str) -> Iterator[tuple[Any, ...]]:
        with _told():
            yield from self._rows.execute(query, given)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"the folder for temporary files does not take what is read ({error}); free some space there, or name "
            "another folder by TMPDIR"
        ) from error
