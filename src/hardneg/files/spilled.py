"""Tables that a file is gathered in before it can be used: in memory while they are small, then on the disk."""

# ruff: noqa: S608  what is put into a statement are names of columns, which stand in the code
from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hardneg.errors import StoreError

Values = tuple[Any, ...]
FEW = 10_000
"""Rows that are plain objects in memory."""
MEMORY = 8
"""MiB of a table with more rows that are held in memory."""


class Spilled:
    """Rows of some values by two texts, ``key`` and ``sub``, in the order in which they came.

    What is more than `FEW` rows and does not fit into `MEMORY` goes into a file without a name in SQLite's folder for
    temporary files (TMPDIR, else /var/tmp), which is gone when the process ends, however it ends. Raises `StoreError`
    when that disk is full.

    >>> judged = Spilled("grade")
    >>> judged.put("q1", "d3", 1), judged.put("q1", "d2", 0), judged.put("q1", "d3", 2)
    (None, None, (1,))
    >>> list(judged.of("q1"))
    [('d3', 1), ('d2', 0)]
    """

    def __init__(self, *values: str) -> None:
        self._few: dict[tuple[str, str], Values] = {}
        self._subs: dict[str, list[str]] = {}
        self._rows: sqlite3.Connection | None = None
        columns = "".join(f", {name}" for name in values)
        self._create = f"CREATE TABLE kept (number INTEGER PRIMARY KEY, key, sub{columns}, UNIQUE (key, sub))"
        self._put = f"INSERT OR IGNORE INTO kept (key, sub{columns}) VALUES (?, ?{', ?' * len(values)})"
        self._values = columns

    def put(self, key: str, sub: str = "", *values: Any) -> Values | None:
        """Adds a row, unless there is one of this key. Returns the values of the one that is there, else None."""
        if self._rows is None:
            if (known := self._few.get((key, sub))) is not None:
                return known
            self._few[key, sub] = values
            self._subs.setdefault(key, []).append(sub)
            if len(self._few) > FEW:
                self._spill()
            return None
        with _told():
            if self._rows.execute(self._put, (key, sub, *values)).rowcount:
                return None
        return self.get(key, sub)

    def _spill(self) -> None:
        with _told():
            self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{MEMORY << 10}"):
                self._rows.execute(f"PRAGMA {setting}")
            self._rows.execute(self._create)
            self._rows.execute("BEGIN")
            self._rows.executemany(self._put, ((*names, *values) for names, values in self._few.items()))
        self._few, self._subs = {}, {}

    def get(self, key: str, sub: str = "") -> Values | None:
        """The values of a row; None where there is none."""
        if self._rows is None:
            return self._few.get((key, sub))
        found = next(self._selected("sub", "WHERE key = ? AND sub = ?", key, sub), None)
        return None if found is None else found[1:]

    def of(self, key: str) -> Iterator[Values]:
        """Sub and values of every row of a key."""
        if self._rows is None:
            return ((sub, *self._few[key, sub]) for sub in self._subs.get(key, ()))
        return self._selected("sub", "WHERE key = ? ORDER BY number", key)

    def drop(self, key: str) -> None:
        """Forgets the rows of a key."""
        if self._rows is None:
            for sub in self._subs.pop(key, ()):
                del self._few[key, sub]
            return
        with _told():
            self._rows.execute("DELETE FROM kept WHERE key = ?", (key,))

    def __iter__(self) -> Iterator[Values]:
        """Key, sub and values of every row."""
        if self._rows is None:
            return ((*names, *values) for names, values in self._few.items())
        return self._selected("key, sub", "ORDER BY number")

    def _selected(self, columns: str, where: str, *given: str) -> Iterator[Values]:
        if self._rows is not None:
            with _told():
                yield from self._rows.execute(f"SELECT {columns}{self._values} FROM kept {where}", given)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"the folder for temporary files ({os.environ.get('TMPDIR', '/var/tmp')}) does not take what is read "  # noqa: S108
            f"({error}); free some space there, or name another folder by TMPDIR"
        ) from error
