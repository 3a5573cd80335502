"""Parquet files that are written row by row, with one block of rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BLOCK = 10_000
"""Rows of a block, which becomes a row group of the file."""


@contextmanager
def rows_of(file: Path, schema: pa.Schema) -> Iterator[Callable[..., None]]:
    """Opens a file for rows, each given as one value a column."""
    columns: list[list[Any]] = [[] for _ in schema]
    with pq.ParquetWriter(file, schema) as writer:

        def write() -> None:
            arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))
            for values in columns:
                values.clear()

        count = 0

        def put(*row: Any) -> None:
            nonlocal count
            for values, value in zip(columns, row, strict=True):
                values.append(value)
            count += 1
            if not count % BLOCK:
                write()

        yield put
        if columns[0] or not count:
            write()
